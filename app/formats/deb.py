"""What is odd about apt's repositories: one signed file heads a suite, and names all its indexes by checksum.

    dists/<suite>/InRelease                      heads the set; signed inside
    dists/<suite>/Release, Release.gpg           the same, its signature beside it
    dists/<suite>/<comp>/binary-<arch>/Packages  plain names move with their suite: Packages, .gz, .xz, ...
    .../by-hash/SHA256/<hex>                     the same bodies under names that do not move
    .../Packages.diff/Index, <date>.gz           pdiffs; each patch is never changed
    pool/...                                     packages, by paths from the directory that holds dists/
    <dir>/InRelease, <dir>/Packages              a flat repository: no dists, no components

In a flat one apt counts a package's path from the URI in sources.list, which a proxy does not see: that is the
list's own directory (`deb URI /`), or one above it (`deb URI <dir>/`) where the paths repeat what leads there or
begin with pool/. More is not guessed: a wrong guess would refuse another repository's file of that name.

Source: deb822(5), sources.list(5), apt-secure(8), the wiki page DebianRepository/Format.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from app.formats import deb_merged
from app.formats.base import MOST_LISTED, MOST_MEMBERS, PathRules, at_most, checksum, rule, within
from app.formats.companions import companion
from app.formats.deb822 import stanzas
from app.formats.deb_release import ALGORITHMS, Said, by_hash, files, seconds, text
from app.formats.deb_release import said as release_said
from app.formats.merging import beside, chosen
from app.formats.packed import unpacked
from app.resource import Ask, Desk, Digest, Found, Kind, Link, Made, Reading, Repository, Resource, Role

_ABOVE = 4  # directories that are looked at

_BY_HASH = (
    r"by-hash/(?=(?:MD5Sum/[0-9a-f]{32}|SHA1/[0-9a-f]{40}|SHA256/[0-9a-f]{64}|SHA512/[0-9a-f]{128})$)"
    r"[^/]+/(?P<digest>[0-9a-f]+)"
)
# The last of a path's directories of that name, and no other is tried: a path of repetitions would take long.
_DISTS = r"(?>(?:.*/)?dists/)"
_COMPONENT = rf"(?P<suite>{_DISTS}(?:[^/]+/)+?)[^/]+/(?:debian-installer/)?"
_BINARY, _SOURCE = rf"(?P<dir>{_COMPONENT}binary-[^/]+/)", rf"(?P<dir>{_COMPONENT}source/)"
_SUFFIX = r"(?:\.(?:gz|xz|bz2|zst))?"
_FLAT = r"(?P<dir>(?:.*/)?)(?P<kind>Packages|Sources)"

_OF_COMPONENT = re.compile(_DISTS + r".+/(?:binary-[^/]+|source)/Release")
_SUITE = rf"(?P<suite>{_DISTS}(?:[^/]+/)+?)[^/]+/binary-[^/]+/|(?P<flat>(?:.*/)?)"
_MERGED = re.compile(rf"(?:{_SUITE})by-hash/SHA256/[0-9a-f]{{64}}")
_FILE = re.compile(r"(?:.*/)?(?P<name>[^/_]+)_[^/]*\.(?:[ud]?deb)")

_PACKAGE = re.compile(rb"^Package[ \t]*:", re.MULTILINE | re.IGNORECASE)
_FILENAME = re.compile(rb"^Filename:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_DIRECTORY = re.compile(rb"^Directory:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_SUMS = tuple(
    (name.lower(), re.compile(rb"^%b:[ \t]*([0-9a-fA-F]+)[ \t\r]*$" % name.encode(), re.MULTILINE | re.IGNORECASE))
    for name in ALGORITHMS
)
_SOURCE_SUMS = tuple(
    (name.lower(), re.compile(rb"^Checksums-%b:[^\n]*\n((?:[ \t][^\n]*\n?)+)" % name.encode(), re.M | re.I))
    for name in ALGORITHMS
)


class _Deb(PathRules):
    __slots__ = ()
    dotted = True  # `deb URL ./` makes apt ask for URL/./InRelease

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        if repository.kind is not Kind.VIRTUAL:
            return super().resolve(repository, ask)
        name = ask.path.rpartition("/")[2]
        if name in ("InRelease", "Release") and not _OF_COMPONENT.fullmatch(ask.path):
            return deb_merged.head(self, repository, ask.path)
        if name in ("Release.gpg", "Release.key"):
            return companion(deb_merged.head(self, repository, ask.path[:-4]), ask.path)
        match = _MERGED.fullmatch(ask.path)
        if match is None:
            return chosen(self, repository, ask)
        head = deb_merged.head(self, repository, f"{match['suite'] or match['flat']}Release")
        return beside(super().resolve(replace(repository, kind=Kind.REMOTE), ask), head, ask)

    def named(self, path: str) -> str:
        """See Format: <name>_<version>_<arch>.deb."""
        match = _FILE.fullmatch(path)
        return match["name"] if match else ""

    def needs(self, resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
        """See Format."""
        return deb_merged.needs(resource, found)

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format."""
        return deb_merged.make(resource, found, desk)

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format; where a body that is named by its checksum is no list of packages, `links` is ()."""
        directory, _, name = resource.path.rpartition("/")
        if name in ("InRelease", "Release"):
            return _release(resource.path, body)
        pieces = unpacked(body)
        head = next(pieces, b"")
        if head and not _PACKAGE.search(head):
            if "/by-hash/" in resource.path:
                return Reading()
            raise ValueError("is no list of packages")
        found = stanzas(itertools.chain((head,), pieces))
        sources = resource.listing.endswith("#Sources")
        return Reading(at_most(MOST_LISTED, _listed(_bases(directory), found, sources)))


DEB = _Deb(
    "deb",
    (
        rule(
            _DISTS + r".+/(?:binary-[^/]+|source)/Release",
            "a Release file of one component",
            own=True,
            remember_missing=False,
            listed=True,
        ),
        rule(
            r"(?:.*/)?(?:In)?Release",
            "a Release file, which heads the suite",
            own=True,
            remember_missing=False,
            index=True,
            switched=True,
            listing=r"\g<0>",
            root=r"\g<0>",
        ),
        rule(
            r"(?P<release>(?:.*/)?Release)\.gpg",
            "the signature of a Release file",
            own=True,
            remember_missing=False,
            listed=True,
            root=r"\g<release>",
        ),
        *(
            each
            for directory, kind in ((_BINARY, "Packages"), (_SOURCE, "Sources"))
            for each in (
                rule(
                    directory + _BY_HASH,
                    "an index, named by its checksum",
                    immutable=True,
                    own=True,
                    remember_missing=False,
                    index=True,
                    listed=True,
                    listing=rf"\g<dir>#{kind}",
                    root=r"\g<suite>InRelease",
                ),
                rule(
                    directory + kind + _SUFFIX,
                    "an index",
                    own=True,
                    remember_missing=False,
                    index=True,
                    listed=True,
                    listing=rf"\g<dir>#{kind}",
                    root=r"\g<suite>InRelease",
                ),
            )
        ),
        rule(
            r"(?:.*/)?" + _BY_HASH,
            "an index, named by its checksum",
            immutable=True,
            own=True,
            remember_missing=False,
            listed=True,
        ),
        rule(
            _FLAT + _SUFFIX,
            "an index",
            own=True,
            remember_missing=False,
            index=True,
            listed=True,
            listing=r"\g<dir>#\g<kind>",
            root=r"\g<dir>InRelease",
        ),
        rule(r"(?:.*/)?[^/]+\.diff/Index", "an index of patches", own=True, remember_missing=False, listed=True),
        rule(
            _DISTS + r".*\.diff/[^/]+",
            "a patch of an index",
            immutable=True,
            own=True,
            remember_missing=False,
            listed=True,
        ),
        rule(r".*\.(?:[ud]?deb|dsc|changes|buildinfo|diff\.gz)", "a package", immutable=True, listed=True),
        rule(r"(?:.*/)?[^/_]*_[^/]*\.tar\.[a-z0-9]+(?:\.asc)?", "a source's archive", immutable=True, listed=True),
        rule(
            _DISTS + r"(?!.*\.html?$)(?:.*[^/])",
            "a file of a suite",
            own=True,
            remember_missing=False,
            listed=True,
        ),
        rule(
            r"(?:.*/)?(?:Contents|Translation|Components)-[^/]+",
            "an index",
            own=True,
            remember_missing=False,
            listed=True,
        ),
        rule(r".*\.(?:gpg|asc|pgp|key)", "a key", own=True),
    ),
    merged=True,
)


# -- InRelease, Release -----------------------------------------------------------------------------------


def _release(path: str, body: BinaryIO) -> Reading:
    said = release_said(body)
    links = tuple(at_most(MOST_MEMBERS, _members(path, said)))
    if not path.endswith("InRelease"):
        links += (Link(f"{path}.gpg", None, Role.MEMBER, ".gpg", signs=True),)
    until = said.get("valid-until")
    return Reading(links, until=seconds(until[0]) if until else 0.0)


def _members(path: str, said: Said) -> Iterator[Link]:
    """Each file under its plain name, with the preferred checksum, and under every by-hash name it has.

    Files of one content in one directory have one name by hash: a slot each.
    """
    directory = path[: path.rfind("/") + 1]
    slots: set[str] = set()
    for algorithm in ALGORITHMS:
        for slot, digest in files(said.get(algorithm.lower(), [])[1:], algorithm.lower()):
            if (member := within(directory, slot)) is None:
                continue
            if slot not in slots:
                slots.add(slot)
                yield Link(member, digest, Role.MEMBER, slot)
            if by_hash(said):
                name = f"{member[: member.rfind('/') + 1]}by-hash/{algorithm}/{digest.value}"
                yield Link(name, digest, Role.MEMBER, f"{slot} by-hash/{algorithm}")


# -- Packages, Sources ------------------------------------------------------------------------------------


def _bases(directory: str) -> tuple[str, ...]:
    """Where a list's paths may count from: what is before dists/, or the list's directory, then those above it."""
    segments = directory.split("/") if directory else []
    if "dists" in segments[:-1]:
        last = len(segments) - 1 - segments[::-1].index("dists")
        return ("".join(f"{each}/" for each in segments[:last]),)
    return tuple("".join(f"{each}/" for each in segments[:end]) for end in range(len(segments), -1, -1))[:_ABOVE]


def _listed(bases: tuple[str, ...], found: Iterator[bytes], sources: bool) -> Iterator[Link]:
    for stanza in found:
        for name, digest in _sourcefiles(stanza) if sources else _package(stanza):
            for base in bases:
                path = within(base, name)
                if path is not None and path.startswith((bases[0], f"{base}pool/")):
                    yield Link(path, digest)


def _package(stanza: bytes) -> Iterator[tuple[str, Digest]]:
    name = _FILENAME.search(stanza)
    if name is None:
        return
    for algorithm, pattern in _SUMS:
        if (value := pattern.search(stanza)) and (digest := checksum(algorithm, value[1].decode())):
            yield text(name[1]), digest
            return


def _sourcefiles(stanza: bytes) -> Iterator[tuple[str, Digest]]:
    directory = _DIRECTORY.search(stanza)
    for algorithm, pattern in _SOURCE_SUMS:
        if sums := pattern.search(stanza):
            start = f"{text(directory[1])}/" if directory else ""
            for name, digest in files(text(sums[1]).strip().split("\n"), algorithm):
                yield start + name, digest
            return
