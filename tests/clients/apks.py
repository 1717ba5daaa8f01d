"""Knows how apk repositories are made: packages by hand (v2) or `apk mkpkg` (v3), indexes by apk itself.

<root>/x86_64/<name>-<version>.apk
<root>/x86_64/APKINDEX.tar.gz          v2: `apk index`
<root>/x86_64/Packages.adb             v3: `apk mkndx`
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.clients.commands import run
from tests.clients.dating import backdate

ARCH = "x86_64"


@dataclass(frozen=True, slots=True)
class Package:
    """What is built: one file, usr/share/<name>/payload, that says which version it is."""

    name: str
    version: str
    depends: tuple[str, ...] = ()

    @property
    def payload(self) -> bytes:
        return f"{self.name} {self.version}\n".encode()

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath("usr/share", self.name, "payload")

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.apk"


LIBRARY = Package("libstdc++-like", "1.0_rc1-r0")
HELLO = Package("hello", "1.0-r0", (LIBRARY.name,))
HELLO_2 = Package("hello", "2.0-r0", (LIBRARY.name,))


def publish_v2(root: Path, apk: list[str], *packages: Package) -> None:
    """Make `root` the v2 repository of exactly these."""
    here = _emptied(root)
    for package in packages:
        (here / package.file).write_bytes(_v2(package))
    files = [package.file for package in packages]
    run([*apk, "index", "--allow-untrusted", "-o", "APKINDEX.tar.gz", *files], root.parent, cwd=here)
    backdate(here)


def publish_v3(root: Path, apk: list[str], *packages: Package) -> None:
    """Make `root` the v3 repository of exactly these."""
    here = _emptied(root)
    for package in packages:
        _v3(package, apk, here)
    files = [package.file for package in packages]
    run([*apk, "mkndx", "--allow-untrusted", "-o", "Packages.adb", *files], root.parent, cwd=here)
    backdate(here)


def _emptied(root: Path) -> Path:
    here = root / ARCH
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    return here


def _v3(package: Package, apk: list[str], here: Path) -> None:
    tree = here.parent / "tree"
    (tree / package.path).parent.mkdir(parents=True)
    (tree / package.path).write_bytes(package.payload)
    facts = {
        "name": package.name,
        "version": package.version,
        "description": "of the tests",
        "arch": ARCH,
        "license": "MIT",
        **({"depends": " ".join(package.depends)} if package.depends else {}),
    }
    options = [part for name, value in facts.items() for part in ("--info", f"{name}:{value}")]
    run([*apk, "mkpkg", *options, "--files", str(tree), "--output", package.file], here.parent, cwd=here)
    shutil.rmtree(tree)


def _v2(package: Package) -> bytes:
    """Two gzip members, control (a tar without its end mark) and data (Alpine's package format v2)."""
    data = gzip.compress(_data_tar(package), mtime=0)
    facts = [
        ("pkgname", package.name),
        ("pkgver", package.version),
        ("pkgdesc", "of the tests"),
        ("arch", ARCH),
        ("license", "MIT"),
        ("size", str(len(package.payload))),
        *(("depend", name) for name in package.depends),
        ("datahash", hashlib.sha256(data).hexdigest()),
    ]
    info = "".join(f"{name} = {value}\n" for name, value in facts).encode()
    return gzip.compress(_control_tar(info), mtime=0) + data


def _control_tar(info: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(".PKGINFO")
        member.size = len(info)
        tar.addfile(member, io.BytesIO(info))
        end = tar.offset
    return buffer.getvalue()[:end]


def _data_tar(package: Package) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in reversed(package.path.parents[:-1]):
            entry = tarfile.TarInfo(str(folder))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        entry = tarfile.TarInfo(str(package.path))
        entry.size = len(package.payload)
        entry.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(package.payload).hexdigest()}
        tar.addfile(entry, io.BytesIO(package.payload))
    return buffer.getvalue()
