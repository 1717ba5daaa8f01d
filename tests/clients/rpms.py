"""Knows how rpm repositories are made: rpmbuild, createrepo_c, modifyrepo_c.

<root>/Packages/<name>-<version>-1.noarch.rpm
<root>/repodata/repomd.xml                        names the checksum-named files beside it

A Mirror is the same with <root>/repodata a link into the edition that is current.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients.commands import run
from tests.clients.dating import backdate
from tests.clients.placing import place, point
from tests.clients.signing import Key

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
    """What is built: one file, /opt/<name>/payload, of `size` bytes that no compressor shrinks.

    Another `salt` is other bytes under the same name.
    """

    name: str
    version: str
    requires: tuple[str, ...] = ()
    size: int = 64
    salt: str = ""

    @property
    def payload(self) -> bytes:
        return random.Random(f"{self.name} {self.version}{self.salt}").randbytes(self.size)

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}-1.noarch.rpm"


LIBRARY = Package("libstdc++-like", "1.0~rc1")
LIBRARY_2 = Package("libstdc++-like", "1.0")
HELLO = Package("hello", "1.0", requires=(LIBRARY.name,))
HELLO_AGAIN = Package("hello", "1.0", requires=(LIBRARY.name,), salt="rebuilt")
HELLO_2 = Package("hello", "2.0", requires=(LIBRARY.name,))
REPOMD = "repodata/repomd.xml"
BIG = Package("big", "1.0", size=30 << 20)


class Rpms:
    """Builds every package once and puts it into any number of repositories."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._built = work / "built"
        self._built.mkdir(parents=True)

    def file(self, package: Package) -> Path:
        """The built package."""
        built = self._built / package.salt / package.file
        if not built.exists():
            self._build(package)
        return built

    def publish(self, root: Path, *packages: Package, options: Sequence[str] = ()) -> None:
        """Make `root` the repository of exactly these: an upstream change removes what it replaces."""
        shutil.rmtree(root / "Packages", ignore_errors=True)
        (root / "Packages").mkdir(parents=True)
        for package in packages:
            shutil.copy2(self.file(package), root / "Packages" / package.file)
        run(["createrepo_c", "--quiet", *options, str(root)], self.work)
        backdate(root)

    def advise(self, root: Path, package: Package) -> None:
        """Add an updateinfo that calls `package` a security update."""
        advisory = self.work / "updateinfo.xml"
        text = _ADVISORY.format(name=package.name, version=package.version, file=package.file)
        advisory.write_text(text, encoding="utf-8")
        run(["modifyrepo_c", str(advisory), str(root / "repodata")], self.work)
        backdate(root)

    def _build(self, package: Package) -> None:
        payload = self.work / "payload"
        payload.write_bytes(package.payload)
        requires = "\n".join(f"Requires: {name}" for name in package.requires)
        text = _SPEC.format(name=package.name, version=package.version, payload=payload, requires=requires)
        spec = self.work / "package.spec"
        spec.write_text(text, encoding="utf-8")
        defines = {
            "_topdir": str(self.work / "top"),
            "_rpmdir": str(self._built / package.salt),
            "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            "_binary_payload": "w0.gzdio",
        }
        options = [part for name, value in defines.items() for part in ("--define", f"{name} {value}")]
        run(["rpmbuild", "-bb", "--quiet", *options, str(spec)], self.work)
        backdate(self._built)


class Mirror:
    """A repository that is republished in one step: the former metadata are gone then, its packages linger."""

    def __init__(self, rpms: Rpms, root: Path, key: Key | None = None, *, hashed: bool = True) -> None:
        self._rpms, self._root, self._key = rpms, root, key
        self._naming = [] if hashed else ["--simple-md-filenames"]
        self._work = Path(tempfile.mkdtemp(prefix="mirror", dir=rpms.work))
        self._work.chmod(0o755)
        self._editions: list[tuple[Path, tuple[Package, ...]]] = []

    def publish(self, *packages: Package) -> None:
        """Make the mirror the one of exactly these."""
        point(self._root / "repodata", self._edition(packages) / "repodata")
        self._prune()

    def publish_index_first(self, *packages: Package) -> Callable[[], None]:
        """Show the new repomd.xml (and its signature) among the old one's members; the rest when called."""
        old, _ = self._editions[-1]
        new = self._edition(packages)
        half = new.with_name(f"{new.name}-half")
        shutil.copytree(old, half, copy_function=os.link)
        for file in new.glob("repodata/repomd.xml*"):
            (half / "repodata" / file.name).unlink(missing_ok=True)
            os.link(file, half / "repodata" / file.name)
        point(self._root / "repodata", half / "repodata")

        def finish() -> None:
            point(self._root / "repodata", new / "repodata")
            self._prune()

        return finish

    def _edition(self, packages: tuple[Package, ...]) -> Path:
        """Build the next edition where nobody sees it; its packages are in place."""
        edition = self._work / f"{len(self._editions):04}"
        self._rpms.publish(edition, *packages, options=self._naming)
        if self._key:
            repomd = edition / "repodata" / "repomd.xml"
            self._key.sign_beside(repomd, repomd.with_name("repomd.xml.asc"))
            backdate(edition)
        for package in packages:
            place(self._rpms.file(package), self._root / "Packages" / package.file)
        self._editions.append((edition, packages))
        return edition

    def _prune(self) -> None:
        """Remove the packages that none of the last ten editions has."""
        kept = {package.file for _, packages in self._editions[-10:] for package in packages}
        for file in (self._root / "Packages").glob("*.rpm"):
            if file.name not in kept:
                file.unlink()
