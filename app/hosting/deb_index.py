"""How the indexes of a distribution are written: Packages by component and architecture, and the Release of all.

    dists/<distribution>/<component>/binary-<arch>/Packages{,.gz,.xz}
    dists/<distribution>/<component>/binary-<arch>/by-hash/SHA256/<hex>     the same, and for a while those of before
    dists/<distribution>/Release                                            names the above by SHA-256
    dists/<distribution>/InRelease, Release.gpg, Release.key                where there is a key

A package for `all` stands in every architecture's index, and in binary-all: apt reads that one too, so that machines
whose architecture has no package of its own find it. Where the very last package went the lists stay, and are empty:
apt takes a 404 of Release for an error. A component or an architecture that goes before goes from Release, too: apt
warns of it and goes on, and where each branch has its component there is no end of them. SHA-256 alone: a second sum
would need its own by-hash names.

Source: the wiki page DebianRepository/Format; apt, apt-pkg/deb/debmetaindex.cc; apt-secure(8).
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate, parsedate_to_datetime
from itertools import product
from pathlib import Path

from app.errors import Conflict, NotFound
from app.formats import openpgp
from app.hosting.base import Build, Built, Contents, Item
from app.hosting.dating import HEAD, dated
from app.hosting.deb_package import ALL

HELD = 1 << 16  # bytes of one list that wait for more; a smaller file is not copied for each of its names
MOST = 256  # lists of a distribution: a package builds all of them, with six files each
PRESET = 1  # xz: six times quicker than its default, and a fifth larger
PLAIN, ARMOUR = "text/plain; charset=utf-8", "application/pgp-signature"
TYPES = {"": PLAIN, ".gz": "application/gzip", ".xz": "application/x-xz"}


@dataclass(slots=True)
class _List:
    """Paragraphs for one component and architecture, in a file; in memory only the last few."""

    path: Path
    waiting: list[str] = field(default_factory=list)
    held: int = 0

    def add(self, text: str) -> None:
        self.waiting.append(text)
        self.held += len(text)
        if self.held >= HELD:
            self.flush()

    def flush(self) -> None:
        with self.path.open("ab") as file:
            file.write("".join(self.waiting).encode())
        self.waiting, self.held = [], 0


@dataclass(frozen=True, slots=True)
class _Sum:
    """A line of Release; `path` is from the distribution's directory."""

    path: str
    digest: str
    size: int


def written(build: Build) -> Iterator[Built]:
    """Every file of the distribution `build.scope`, none where it never had a package."""
    lists: dict[tuple[str, str], _List] = {}
    for item in build.items:
        component, arch = item.path.split("/")[2], item.about.partition("\n")[0]
        if (component, arch) not in lists:
            lists[component, arch] = _List(build.scratch())
        lists[component, arch].add(_paragraph(item))
    if not lists:
        lists = {names: _List(build.scratch()) for names in product(*_before(build.contents, build.scope))}
    for each in lists.values():
        each.flush()
    if lists:
        yield from _indexes(build, {names: each.path for names, each in lists.items()})


def require_room(contents: Contents, distribution: str, component: str, arch: str) -> None:
    """Conflict where a package of these would make a distribution of too many lists."""
    if contents.find(f"dists/{distribution}/{component}/binary-{arch}/Packages") is not None:
        return
    components, architectures = _before(contents, distribution)
    all_ = len({*components, component}) * len({*architectures, arch})
    if all_ > MOST and next(iter(contents.items(distribution)), None) is not None:  # else all go with that package
        reason = f"{distribution} would have {all_} lists, one of each component for each architecture"
        raise Conflict(f"{reason}: {MOST} are the most", code="too_many_lists")


def blank(build: Build) -> Iterator[Built]:
    """The head of a distribution without packages; older than any other, for apt goes back to no older one."""
    return _heads(build, _release(replace(build, now=0.0), [ALL], ["main"], []).encode())


def _before(contents: Contents, distribution: str) -> tuple[list[str], list[str]]:
    """The components and the architectures of the edition that is there."""
    try:
        with contents.open(f"dists/{distribution}/Release") as file:
            said = dict(line.partition(": ")[::2] for line in file.read(HEAD).decode().splitlines())
    except NotFound:
        return [], []
    return said.get("Components", "").split(), said.get("Architectures", "").split()


def _paragraph(item: Item) -> str:
    stanza = item.about.partition("\n")[2]
    return f"{stanza}Filename: {item.path}\nSize: {item.size}\nSHA256: {item.digest}\n\n"


def _indexes(build: Build, lists: dict[tuple[str, str], Path]) -> Iterator[Built]:
    components = sorted({component for component, _ in lists})
    architectures = sorted({arch for _, arch in lists})
    packing = _Packing(build.scratch(), build.scratch(), build.scratch())
    sums: list[_Sum] = []
    for component in components:
        for arch in architectures:
            own, every = lists.get((component, arch)), lists.get((component, ALL))
            packing.pack([path for path in dict.fromkeys((own, every)) if path is not None])
            for suffix, path in packing.files:
                size = path.stat().st_size
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found = _Sum(f"{component}/binary-{arch}/Packages{suffix}", digest, size)
                sums.append(found)
                yield from _named_twice(build.scope, found, path.read_bytes() if size < HELD else path, suffix)
    yield from _heads(build, _release(build, architectures, components, sums).encode())


def _named_twice(distribution: str, found: _Sum, body: bytes | Path, suffix: str) -> Iterable[Built]:
    directory = f"dists/{distribution}/{found.path.rpartition('/')[0]}"
    yield Built(f"{directory}/by-hash/SHA256/{found.digest}", body, TYPES[suffix], lasting=True)
    yield Built(f"dists/{distribution}/{found.path}", body, TYPES[suffix])


@dataclass(frozen=True, slots=True)
class _Packing:
    """Three files, used again for every list: there may be hundreds of lists."""

    plain: Path
    gz: Path
    xz: Path

    @property
    def files(self) -> Sequence[tuple[str, Path]]:
        return (("", self.plain), (".gz", self.gz), (".xz", self.xz))

    def pack(self, lists: Sequence[Path]) -> None:
        """Write the lists, one behind the other, in every form."""
        with (
            self.plain.open("wb") as plain,
            self.gz.open("wb") as packed,
            lzma.open(self.xz, "wb", preset=PRESET) as xz,
            gzip.GzipFile("", "wb", 6, packed, mtime=0) as gz,
        ):
            for piece in _pieces(lists):
                for file in (plain, gz, xz):
                    file.write(piece)


def _pieces(lists: Sequence[Path]) -> Iterator[bytes]:
    for path in lists:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece


# -- the head -----------------------------------------------------------------------------------------------


def _release(build: Build, architectures: Sequence[str], components: Sequence[str], sums: Sequence[_Sum]) -> str:
    about = " ".join(build.repository.description.split())
    date = dated(build, f"dists/{build.scope}/Release", _date)
    lines = [
        f"Origin: {build.repository.name}",
        f"Label: {build.repository.name}",
        f"Suite: {build.scope}",
        f"Codename: {build.scope}",
        f"Date: {formatdate(date, usegmt=True).replace('GMT', 'UTC')}",
        f"Architectures: {' '.join(architectures)}",
        f"Components: {' '.join(components)}",
        *([f"Description: {about}"] if about else []),
        "Acquire-By-Hash: yes",
        "SHA256:",
        *(f" {each.digest} {each.size} {each.path}" for each in sorted(sums, key=lambda each: each.path)),
    ]
    return "".join(f"{line}\n" for line in lines)


def _date(release: str) -> float:
    return parsedate_to_datetime(release.partition("\nDate: ")[2].partition("\n")[0]).timestamp()


def _heads(build: Build, release: bytes) -> Iterator[Built]:
    directory, signing = f"dists/{build.scope}", build.repository.signing
    if signing.key:
        yield Built(f"{directory}/Release.key", openpgp.public_key(signing), "application/pgp-keys")
        yield Built(f"{directory}/Release.gpg", openpgp.sign_detached(signing, release, build.now), ARMOUR)
        yield Built(f"{directory}/InRelease", openpgp.sign_cleartext(signing, release, build.now), PLAIN)
    yield Built(f"{directory}/Release", release, PLAIN)
