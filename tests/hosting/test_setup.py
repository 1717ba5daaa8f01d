"""A machine that is set up with what /setup gives, and nothing else, installs what was published: dnf, apt, pip."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.apt import Apt
from tests.clients.commands import CommandFailedError, as_root, run
from tests.clients.conftest import rpms
from tests.clients.dnf import installed
from tests.clients.rpms import Package, Rpms
from tests.conftest import require
from tests.hosting import wheels
from tests.hosting.asked import ask
from tests.hosting.debian import Debian
from tests.stack import Stack

__all__ = ["rpms"]


def fetched(hosted: Stack, path: str, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(f"{hosted.url}/setup/{path}", timeout=20) as answer:
        file.write_bytes(answer.read())
    return file


def publish(hosted: Stack, repository: str, rpms: Rpms, package: Package) -> None:
    body = rpms.file(package).read_bytes()
    assert ask("PUT", f"{hosted.url}/repository/{repository}/{package.file}", body).status == 201


def dnf(hosted: Stack, file: str, home: Path) -> Callable[..., str]:
    """dnf of a fresh machine that has that file."""
    fetched(hosted, file, home / "repos" / "x.repo")
    (home / "dnf.conf").write_text("[main]\nplugins=0\nlogdir=/log\n")
    command = [*as_root(), require("dnf"), f"--config={home / 'dnf.conf'}", f"--installroot={home / 'root'}"]
    more = [f"--setopt=reposdir={home / 'repos'}", "--setopt=varsdir=/dev/null", "--releasever=9", "--assumeyes"]
    return lambda *arguments: run([*command, *more, *arguments], home)


def test_dnf(hosted: Stack, rpms: Rpms, tmp_path: Path) -> None:
    """The index's signature is checked against the key that the file names."""
    publish(hosted, "signed-rpm", rpms, Package("set-up", "1.0"))
    dnf(hosted, "signed-rpm/signed-rpm.repo", tmp_path)("install", "set-up")
    assert installed(tmp_path / "root", tmp_path) == {"set-up": "1.0"}


def test_dnf_is_told_of_packages_that_nobody_signed(hosted: Stack, rpms: Rpms, tmp_path: Path) -> None:
    """It refuses them, whether or not the file names a key, unless the file was asked for otherwise."""
    for repository in ("rpm", "signed-rpm"):
        publish(hosted, repository, rpms, Package(f"nobodys-{repository}", "1.0"))
    for number, file in enumerate(("before-rpm/x.repo", "signed-rpm/x.repo?key=repodata/repomd.xml.key")):
        machine = dnf(hosted, file, tmp_path / f"{number}")
        machine("makecache")
        with pytest.raises(CommandFailedError, match="not signed"):
            machine("install", "nobodys-rpm" if number == 0 else "nobodys-signed-rpm")
    home = tmp_path / "open"
    dnf(hosted, "before-rpm/x.repo?trusted=yes", home)("install", "nobodys-rpm")
    assert installed(home / "root", home) == {"nobodys-rpm": "1.0"}


@pytest.mark.parametrize("name", ["signed-deb.sources", "company.list"])
def test_apt(hosted: Stack, name: str, tmp_path: Path) -> None:
    """One file has the key in it, the other takes one that was saved."""
    for tool in ("apt-get", "dpkg"):
        require(tool)
    debian = Debian(f"set-up-by-{name.rpartition('.')[2]}")
    where = f"{hosted.url}/repository/signed-deb/pool/setup/main/{debian.file}"
    assert ask("PUT", where, debian.body).status == 201
    machine = Apt(tmp_path / "machine", "http://127.0.0.1:9", "x y", Path("/nowhere"))
    (machine.root / "etc/apt/sources.list").unlink()
    file, key = machine.root / "etc/apt/sources.list.d" / name, tmp_path / "key.asc"
    key.write_bytes(ask("GET", f"{hosted.url}/repository/signed-deb/dists/setup/Release.key").body)
    named = f"&key={key}" if name.endswith(".list") else ""
    fetched(hosted, f"signed-deb/{name}?suites=setup{named}", file)
    assert ("BEGIN PGP PUBLIC KEY BLOCK" in file.read_text()) is not bool(named)
    machine("update")
    machine("install", debian.name)
    assert (machine.root / "opt" / debian.name / "payload").exists()


def test_pip(hosted: Stack, tmp_path: Path) -> None:
    assert wheels.publish(hosted, wheels.wheel("set-up", "1.0")).status_code == 200
    file = fetched(hosted, "pypi/pip.conf", tmp_path / "pip.conf")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    run(
        ["env", f"PIP_CONFIG_FILE={file}", *pip, "install", "--target", str(tmp_path / "t"), "set-up"],
        tmp_path / "home",
    )
    assert list((tmp_path / "t").glob("set_up*"))
