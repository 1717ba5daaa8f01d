"""A machine that is set up with what /setup gives, and nothing else, installs what was published: dnf, apt, pip."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

from tests.clients.apt import Apt
from tests.clients.commands import as_root, run
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


def test_dnf(hosted: Stack, rpms: Rpms, tmp_path: Path) -> None:
    """The index's signature is checked against the key that the file names."""
    package = Package("set-up", "1.0")
    posted = ask("PUT", f"{hosted.url}/repository/signed-rpm/{package.file}", rpms.file(package).read_bytes())
    assert posted.status == 201
    fetched(hosted, "signed-rpm/signed-rpm.repo", tmp_path / "repos" / "x.repo")
    (tmp_path / "dnf.conf").write_text("[main]\nplugins=0\nlogdir=/log\n")
    root = tmp_path / "root"
    command = [
        *as_root(),
        require("dnf"),
        f"--config={tmp_path / 'dnf.conf'}",
        f"--installroot={root}",
        "--assumeyes",
    ]
    more = [f"--setopt=reposdir={tmp_path / 'repos'}", "--setopt=varsdir=/dev/null", "--releasever=9"]
    run([*command, *more, "install", "set-up"], tmp_path / "home")
    assert installed(root, tmp_path / "home") == {"set-up": "1.0"}


def test_apt(hosted: Stack, tmp_path: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        require(tool)
    debian = Debian("set-up")
    where = f"{hosted.url}/repository/signed-deb/pool/setup/main/{debian.file}"
    assert ask("PUT", where, debian.body).status == 201
    machine = Apt(tmp_path / "machine", "http://127.0.0.1:9", "x y", Path("/nowhere"))
    (machine.root / "etc/apt/sources.list").unlink()
    file = machine.root / "etc/apt/sources.list.d/team.sources"
    fetched(hosted, "signed-deb/signed-deb.sources?suites=setup", file)
    assert "BEGIN PGP PUBLIC KEY BLOCK" in file.read_text()
    machine("update")
    machine("install", "set-up")
    assert (machine.root / "opt/set-up/payload").exists()


def test_pip(hosted: Stack, tmp_path: Path) -> None:
    assert wheels.publish(hosted, wheels.wheel("set-up", "1.0")).status_code == 200
    file = fetched(hosted, "pypi/pip.conf", tmp_path / "pip.conf")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    run(
        ["env", f"PIP_CONFIG_FILE={file}", *pip, "install", "--target", str(tmp_path / "t"), "set-up"],
        tmp_path / "home",
    )
    assert list((tmp_path / "t").glob("set_up*"))
