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

import datetime
import email.utils
import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO

from app.formats.base import MOST_LISTED, MOST_MEMBERS, PathRules, at_most, checksum, rule, within
from app.formats.deb822 import fields, stanzas, unsigned
from app.formats.packed import unpacked
from app.resource import Digest, Link, Reading, Resource, Role

# As apt names them, the preferred first: a stored body's sha256 is known without reading it again. MD5Sum is left
# out, it proves nothing.
_ALGORITHMS = ("SHA256", "SHA512", "SHA1")
_ABOVE = 4  # directories that are looked at
_LONGEST = 16 << 20  # bytes of an InRelease; large suites have some hundred KiB

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

_PACKAGE = re.compile(rb"^Package[ \t]*:", re.MULTILINE | re.IGNORECASE)
_FILENAME = re.compile(rb"^Filename:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_DIRECTORY = re.compile(rb"^Directory:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_SUMS = tuple(
    (name.lower(), re.compile(rb"^%b:[ \t]*([0-9a-fA-F]+)[ \t\r]*$" % name.encode(), re.MULTILINE | re.IGNORECASE))
    for name in _ALGORITHMS
)
_SOURCE_SUMS = tuple(
    (name.lower(), re.compile(rb"^Checksums-%b:[^\n]*\n((?:[ \t][^\n]*\n?)+)" % name.encode(), re.M | re.I))
    for name in _ALGORITHMS
)


class _Deb(PathRules):
    __slots__ = ()
    dotted = True  # `deb URL ./` makes apt ask for URL/./InRelease

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
)


# -- InRelease, Release -----------------------------------------------------------------------------------


def _release(path: str, body: BinaryIO) -> Reading:
    said = fields(unsigned(_text(b"".join(unpacked(body, _LONGEST)))))
    if not {"md5sum", "sha1", "sha256", "sha512"} & said.keys():
        raise ValueError("lists no files")
    links = tuple(at_most(MOST_MEMBERS, _members(path, said)))
    if not path.endswith("InRelease"):
        links += (Link(f"{path}.gpg", None, Role.MEMBER, ".gpg", signs=True),)
    until = said.get("valid-until")
    return Reading(links, until=_seconds(until[0]) if until else 0.0)


def _text(data: bytes) -> str:
    """Without an error for the byte of another encoding in a description; no path can have one (paths.check)."""
    return data.decode(errors="surrogateescape")


def _members(path: str, said: dict[str, list[str]]) -> Iterator[Link]:
    """Each file under its plain name, with the preferred checksum, and under every by-hash name it has.

    Files of one content in one directory have one name by hash: a slot each.
    """
    directory = path[: path.rfind("/") + 1]
    by_hash = said.get("acquire-by-hash", [""])[0].lower() == "yes"
    slots: set[str] = set()
    for algorithm in _ALGORITHMS:
        for slot, digest in _files(said.get(algorithm.lower(), [])[1:], algorithm.lower()):
            if (member := within(directory, slot)) is None:
                continue
            if slot not in slots:
                slots.add(slot)
                yield Link(member, digest, Role.MEMBER, slot)
            if by_hash:
                name = f"{member[: member.rfind('/') + 1]}by-hash/{algorithm}/{digest.value}"
                yield Link(name, digest, Role.MEMBER, f"{slot} by-hash/{algorithm}")


def _files(lines: list[str], algorithm: str) -> Iterator[tuple[str, Digest]]:
    """The (path, digest) of lines "<hex> <size> <path>"."""
    for line in lines:
        try:
            value, _, name = line.split()
        except ValueError:
            raise ValueError("has a line that names no file") from None
        if (digest := checksum(algorithm, value)) is not None:
            yield name, digest


def _seconds(date: str) -> float:
    """Unix seconds of an RFC 5322 date, in UTC where it names no zone; ValueError where it is none."""
    try:
        found = email.utils.parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise ValueError("has a date that is none") from None


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
        for name, digest in _source_files(stanza) if sources else _package(stanza):
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
            yield _text(name[1]), digest
            return


def _source_files(stanza: bytes) -> Iterator[tuple[str, Digest]]:
    directory = _DIRECTORY.search(stanza)
    for algorithm, pattern in _SOURCE_SUMS:
        if sums := pattern.search(stanza):
            start = f"{_text(directory[1])}/" if directory else ""
            for name, digest in _files(_text(sums[1]).strip().split("\n"), algorithm):
                yield start + name, digest
            return
