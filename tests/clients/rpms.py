"""Knows how rpm repositories are made: rpmbuild, createrepo_c, modifyrepo_c.

<root>/Packages/<name>-<version>-1.noarch.rpm
<root>/repodata/repomd.xml                        names the checksum-named files beside it
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.clients.commands import run
from tests.clients.dating import backdate

_SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: {name} of the tests
License: MIT
BuildArch: noarch
{requires}
%description
{name} of the tests.
%install
mkdir -p %{{buildroot}}/opt/{name}
cp {payload} %{{buildroot}}/opt/{name}/payload
%files
/opt/{name}/payload
"""

_ADVISORY = """\
<?xml version="1.0" encoding="UTF-8"?>
<updates><update from="tests@localhost" status="final" type="security" version="1">
<id>TEST-2026:1</id><title>{name}</title><severity>Important</severity><issued date="2026-01-01 00:00:00"/>
<description>{name}</description>
<pkglist><collection short="t"><name>t</name>
<package name="{name}" version="{version}" release="1" epoch="0" arch="noarch" src="{name}.src.rpm">
<filename>{file}</filename></package></collection></pkglist>
</update></updates>
"""


@dataclass(frozen=True, slots=True)
class Package:
    """What is built: one file, /opt/<name>/payload, of `size` bytes that no compressor shrinks."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    size: int = 64

    @property
    def payload(self) -> bytes:
        return random.Random(f"{self.name} {self.version}").randbytes(self.size)

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}-1.noarch.rpm"


LIBRARY = Package("libstdc++-like", "1.0~rc1")
LIBRARY_2 = Package("libstdc++-like", "1.0")
HELLO = Package("hello", "1.0", requires=(LIBRARY.name,))
HELLO_2 = Package("hello", "2.0", requires=(LIBRARY.name,))
BIG = Package("big", "1.0", size=30 << 20)


class Rpms:
    """Builds every package once and puts it into any number of repositories."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._built = work / "built"
        self._built.mkdir(parents=True)

    def file(self, package: Package) -> Path:
        """The built package."""
        built = self._built / package.file
        if not built.exists():
            self._build(package)
        return built

    def publish(self, root: Path, *packages: Package, zchunk: bool = False) -> None:
        """Make `root` the repository of exactly these: an upstream change removes what it replaces."""
        shutil.rmtree(root / "Packages", ignore_errors=True)
        (root / "Packages").mkdir(parents=True)
        for package in packages:
            shutil.copy2(self.file(package), root / "Packages" / package.file)
        run(["createrepo_c", "--quiet", *(["--zck"] if zchunk else []), str(root)], self._work)
        backdate(root)

    def advise(self, root: Path, package: Package) -> None:
        """Add an updateinfo that calls `package` a security update."""
        advisory = self._work / "updateinfo.xml"
        text = _ADVISORY.format(name=package.name, version=package.version, file=package.file)
        advisory.write_text(text, encoding="utf-8")
        run(["modifyrepo_c", str(advisory), str(root / "repodata")], self._work)
        backdate(root)

    def _build(self, package: Package) -> None:
        payload = self._work / "payload"
        payload.write_bytes(package.payload)
        requires = "\n".join(f"Requires: {name}" for name in package.requires)
        text = _SPEC.format(name=package.name, version=package.version, payload=payload, requires=requires)
        spec = self._work / "package.spec"
        spec.write_text(text, encoding="utf-8")
        defines = {
            "_topdir": str(self._work / "top"),
            "_rpmdir": str(self._built),
            "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            "_binary_payload": "w0.gzdio",
        }
        options = [part for name, value in defines.items() for part in ("--define", f"{name} {value}")]
        run(["rpmbuild", "-bb", "--quiet", *options, str(spec)], self._work)
        backdate(self._built)
