"""Knows how deb repositories are made: dpkg-deb, apt-ftparchive, diff, gpg.

<root>/pool/main/<name>_<version>_all.deb         those of the last editions
<root>/dists/<suite> -> <work>/<edition>          a link, replaced in one step; <root>/<suite> where it is flat
    InRelease, Release, Release.gpg               name everything below by checksum
    main/binary-amd64/Packages{,.gz,.xz}          (beside Release where it is flat)
    main/binary-amd64/by-hash/SHA256/<hex>        the same and those of the last editions
    main/binary-amd64/Packages.diff/Index         how to patch any of the last editions into this one
    main/binary-amd64/Packages.diff/<edition>.gz
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import lzma
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from tests.clients.commands import run
from tests.clients.dating import backdate
from tests.clients.placing import place, point
from tests.clients.signing import Key

_CONTROL = """\
Package: {name}
Version: {version}
Architecture: all
Maintainer: tests <tests@example.org>
Section: misc
Priority: optional
{depends}Description: {name} of the tests
"""


@dataclass(frozen=True, slots=True)
class Deb:
    """What is built: one file, /opt/<name>/payload; another `salt` is other bytes under the same name."""

    name: str
    version: str
    depends: tuple[str, ...] = ()
    size: int = 64
    salt: str = ""

    @property
    def payload(self) -> bytes:
        return random.Random(f"{self.name} {self.version} {self.salt}").randbytes(self.size)

    @property
    def file(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}_all.deb"

    @property
    def path(self) -> str:
        """Below the repository's root."""
        return f"pool/main/{self.file}"


LIBRARY = Deb("libgreet++", "1.0~rc1")
LIBRARY_2 = Deb("libgreet++", "1.0+b1")
GREETER = Deb("greeter", "1.0", depends=(LIBRARY.name,))
GREETER_2 = Deb("greeter", "2.0", depends=(LIBRARY.name,))
GREETER_AGAIN = Deb("greeter", "1.0", depends=(LIBRARY.name,), salt="rebuilt")


_INDEXES = 2  # editions before the newest whose by-hash files and patches stay
_PACKAGES = 10  # and whose packages stay
_CHECKSUMS = ("MD5", "SHA1", "SHA256", "SHA512")


@dataclass(frozen=True, slots=True)
class Layout:
    """What an archive offers; `valid` is in seconds from its publication, None for ever."""

    by_hash: bool = True
    inline: bool = True  # InRelease
    detached: bool = True  # Release and Release.gpg
    diffs: bool = False
    flat: bool = False
    valid: float | None = None
    checksum: str = "SHA256"


class Debs:
    """Builds every package once, and knows the stanza that an index has for it."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._stanzas: dict[Deb, str] = {}

    def file(self, package: Deb) -> Path:
        """The built package."""
        tree = self._tree(package)
        if not (tree / package.path).exists():
            self._build(package, tree)
        return tree / package.path

    def stanza(self, package: Deb) -> str:
        """The package as Packages describes it."""
        if package not in self._stanzas:
            self.file(package)
            self._stanzas[package] = run(["apt-ftparchive", "packages", "pool"], self._tree(package))
        return self._stanzas[package]

    def _tree(self, package: Deb) -> Path:
        return self.work / "built" / f"{package.file}{package.salt}"

    def _build(self, package: Deb, tree: Path) -> None:
        content = tree / "content"
        (content / "DEBIAN").mkdir(parents=True)
        (content / "opt" / package.name).mkdir(parents=True)
        (content / "opt" / package.name / "payload").write_bytes(package.payload)
        depends = f"Depends: {', '.join(package.depends)}\n" if package.depends else ""
        text = _CONTROL.format(name=package.name, version=package.version, depends=depends)
        (content / "DEBIAN" / "control").write_text(text, encoding="utf-8")
        (tree / package.path).parent.mkdir(parents=True)
        command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(content), str(tree / package.path)]
        run(command, self.work)
        backdate(tree)


class Archive:
    """One suite below `root`, in one edition after the other."""

    def __init__(self, debs: Debs, key: Key, root: Path, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()
        self.suite = "flat" if self.layout.flat else "stable"
        self.root = root
        self._debs, self._key = debs, key
        self._link = root / self.suite if self.layout.flat else root / "dists" / self.suite
        self._work = Path(tempfile.mkdtemp(prefix="archive", dir=debs.work))
        self._work.chmod(0o755)
        self._editions: list[tuple[Path, tuple[Deb, ...]]] = []

    @property
    def source(self) -> str:
        """What a line of sources.list says after the address."""
        return f"{self.suite}/" if self.layout.flat else f"{self.suite} main"

    @property
    def head(self) -> str:
        """The path of the suite below the root."""
        return str(self._link.relative_to(self.root))

    @property
    def release(self) -> str:
        """The path of the file that names the others."""
        return f"{self.head}/{'InRelease' if self.layout.inline else 'Release'}"

    @property
    def indexes(self) -> str:
        """The path of the directory of Packages below the root."""
        return str(self._indexes(Path(self.head)))

    def publish(self, *packages: Deb) -> None:
        """Make the archive the one of exactly these, in one step."""
        point(self._link, self._edition(packages))
        self._prune()

    def publish_head_first(self, *packages: Deb) -> Callable[[], None]:
        """Show the new edition's InRelease and Release above the old one's members; the rest when called."""
        old, _ = self._editions[-1]
        new = self._edition(packages)
        half = new.with_name(f"{new.name}-half")
        shutil.copytree(old, half, copy_function=os.link)
        for name in ("InRelease", "Release", "Release.gpg"):
            if (new / name).exists():
                (half / name).unlink(missing_ok=True)
                os.link(new / name, half / name)
        point(self._link, half)

        def finish() -> None:
            point(self._link, new)
            self._prune()

        return finish

    def _edition(self, packages: tuple[Deb, ...]) -> Path:
        """Build the next edition where nobody sees it; its packages are in the pool."""
        for package in packages:
            place(self._debs.file(package), self.root / package.path)
        edition = self._work / f"{len(self._editions):04}"
        self._indexes(edition).mkdir(parents=True)
        text = "\n".join(self._debs.stanza(package) for package in packages).encode()
        packed = {"": text, ".gz": gzip.compress(text, mtime=0), ".xz": lzma.compress(text)}
        for suffix, body in packed.items():
            (self._indexes(edition) / f"Packages{suffix}").write_bytes(body)
        self._editions.append((edition, packages))
        if self.layout.diffs:
            self._diff(self._indexes(edition))
        self._describe(edition)
        if self.layout.by_hash:
            self._link_by_hash(self._indexes(edition))
        backdate(edition)
        return edition

    def _indexes(self, edition: Path) -> Path:
        return edition if self.layout.flat else edition / "main" / "binary-amd64"

    def _last(self) -> list[Path]:
        """Where the indexes of the newest edition and of those kept before it are, oldest first."""
        return [self._indexes(edition) for edition, _ in self._editions[-1 - _INDEXES :]]

    def _describe(self, edition: Path) -> None:
        """Write Release and the signatures that are asked for."""
        say = {"Suite": self.suite, "Codename": self.suite, "Architectures": "amd64", "Components": "main"}
        say |= {name: str(name in ("MD5", self.layout.checksum)).lower() for name in _CHECKSUMS}
        say |= {"Acquire-By-Hash": "yes"} if self.layout.by_hash else {}
        options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in say.items()]
        text = run(["apt-ftparchive", *options, "release", "."], self._work, cwd=edition)
        if self.layout.valid is not None:
            until = formatdate(time.time() + self.layout.valid, usegmt=True).replace("GMT", "UTC")
            text = f"Valid-Until: {until}\n{text}"
        release = edition / "Release"
        release.write_text(text, encoding="utf-8")
        if self.layout.inline:
            self._key.sign_inline(release, edition / "InRelease")
        if self.layout.detached:
            self._key.sign_beside(release, edition / "Release.gpg")
        else:
            release.unlink()

    def _link_by_hash(self, indexes: Path) -> None:
        """Each index under its checksum too, and those that a client still asks for who saw an edition before."""
        for directory in (indexes, *indexes.glob("Packages.diff")):
            own = directory / "by-hash" / self.layout.checksum
            own.mkdir(parents=True)
            for old in self._last():
                for file in (old / directory.relative_to(indexes)).glob("[PI]*[!f]"):
                    name = hashlib.new(self.layout.checksum.lower(), file.read_bytes()).hexdigest()
                    if not (own / name).exists():
                        os.link(file, own / name)

    def _diff(self, indexes: Path) -> None:
        """Patches from each of the last editions, one from each to the next, and their index."""
        diffs = indexes / "Packages.diff"
        diffs.mkdir()
        rows: dict[str, list[str]] = {"History": [], "Patches": [], "Download": []}
        for old, new in itertools.pairwise(each / "Packages" for each in self._last()):
            name = f"T-{hashlib.sha256(str(new).encode()).hexdigest()[:8]}"
            patch = subprocess.run(["diff", "--ed", str(old), str(new)], stdout=subprocess.PIPE, check=False).stdout
            packed = gzip.compress(patch, mtime=0)
            (diffs / f"{name}.gz").write_bytes(packed)
            rows["History"].append(f" {_sum(old.read_bytes())} {name}")
            rows["Patches"].append(f" {_sum(patch)} {name}")
            rows["Download"].append(f" {_sum(packed)} {name}.gz")
        text = f"SHA256-Current: {_sum((indexes / 'Packages').read_bytes())}\n"
        text += "".join("\n".join((f"SHA256-{title}:", *lines, "")) for title, lines in rows.items())
        (diffs / "Index").write_text(text, encoding="utf-8")

    def _prune(self) -> None:
        """Remove from the pool what none of the last editions has."""
        kept = {deb.path for _, packages in self._editions[-1 - _PACKAGES :] for deb in packages}
        for file in (self.root / "pool").rglob("*.deb"):
            if str(file.relative_to(self.root)) not in kept:
                file.unlink()


def _sum(body: bytes) -> str:
    return f"{hashlib.sha256(body).hexdigest()} {len(body)}"
