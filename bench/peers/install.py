"""What of the peers is installed; apt brings the rest where this process may."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

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
_DENIED = "#!/bin/sh\nexit 101\n"  # invoke-rc.d: an installed server must not start by itself
_POLICY = Path("/usr/sbin/policy-rc.d")


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
        _apt(sorted(wanted.values()))
    return missing()


def _apt(packages: list[str]) -> None:
    """The peers' own services stay stopped: the bench starts them itself, in directories of its own."""
    made = not _POLICY.exists()
    if made:
        _POLICY.write_text(_DENIED, encoding="ascii")
        _POLICY.chmod(0o755)
    try:
        settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        subprocess.run(command, env=settings, stdout=subprocess.DEVNULL, timeout=300, check=False)
    finally:
        if made:
            _POLICY.unlink()
