"""What of the peers is installed; apt brings the rest where this process may, and nothing of it starts by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

PACKAGES: Mapping[str, str] = {  # program -> Debian's package
    "wrk": "wrk",
    "curl": "curl",
    "nginx": "nginx-light",
    "docker-registry": "docker-registry",
    "apt-cacher-ng": "apt-cacher-ng",
    "skopeo": "skopeo",
    "dnf": "dnf",
    "rpmbuild": "rpm",
    "createrepo_c": "createrepo-c",
}
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
ETC = Path("/etc")
_LINKS = ("systemd/system/*.wants/*", "rc[2-5].d/S*")  # what starts at boot, below ETC

# Two words in the environment of the packages' scripts instead of a policy-rc.d: a file would outlive a bench that is
# killed, and no package could start its service any more. With the first, systemctl talks to no systemd (systemd's
# ENVIRONMENT.md); with the second, invoke-rc.d starts only what belongs to single-user mode (runlevel(8)).
STOPPED: Mapping[str, str] = {"SYSTEMD_OFFLINE": "1", "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}


def program(name: str) -> str | None:
    """Its path, or None."""
    return shutil.which(name, path=_PATH)


def missing() -> dict[str, str]:
    """Programs that are not here, with their packages."""
    return {name: package for name, package in PACKAGES.items() if not program(name)}


def install() -> dict[str, str]:
    """Install what is missing where we are root and apt is here; what is missing still."""
    wanted = missing()
    if wanted and os.geteuid() == 0 and shutil.which("apt-get"):
        bring(sorted(wanted.values()))
    return missing()


def bring(packages: list[str]) -> None:
    """The peers' own services neither start nor are enabled: the bench starts them itself, in directories of its own.

    apt-get takes its time: dpkg is not to be killed in the middle of its work, neither by a limit nor with the bench.
    """
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    click.secho(f"!! installing what is not here, services stopped: {' '.join(command)}", err=True, fg="yellow")
    before = enabled()
    settings = {**os.environ, **STOPPED}
    with subprocess.Popen(command, env=settings, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True) as apt:
        try:
            apt.wait()
        finally:
            apt.wait()  # also where a signal ended the line above
            disable(enabled() - before)


def enabled() -> frozenset[Path]:
    """Links that start a service at boot."""
    return frozenset(link for pattern in _LINKS for link in ETC.glob(pattern))


def disable(links: Iterable[Path]) -> None:
    """As `systemctl disable` and `update-rc.d NAME disable` do; either may be missing here."""
    for link in sorted(links):
        click.secho(f"!! stays disabled: {link}", err=True, fg="yellow")
        if link.parent.suffix == ".wants":
            link.unlink()
        else:
            link.rename(link.with_name(f"K01{link.name[3:]}"))
