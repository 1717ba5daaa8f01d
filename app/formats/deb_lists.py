"""The packages of several members' lists for one component and architecture as one list."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.formats.base import within
from app.formats.deb822 import stanzas
from app.formats.deb_release import text
from app.formats.merging import MOST_PACKAGES, Claims, naming, path_of
from app.formats.packed import unpacked
from app.resource import Repository

LEVEL = 6  # of gzip
# Whatever apt takes for these fields: it passes over carriage returns before a name, and over any space, line feeds
# too, between a name and its colon. Nothing is tried twice, so a stanza of blanks takes no longer than another.
_FIELD = re.compile(rb"^\r*+(Package|Version|Architecture|Filename)\s*+:([^\n]*+)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One package of a list, in its own bytes; `key` is its name, version and architecture as one value."""

    name: str
    key: bytes
    stanza: bytes
    filename: tuple[int, int]  # where in the stanza

    def described(self, member: Repository) -> bytes | None:
        """What a merged list says of it; None where nobody could ask for its file."""
        start, end = self.filename
        path = within("", text(self.stanza[start:end]))
        if path is None:
            return None
        return self.stanza[:start] + path_of(member, path).encode() + self.stanza[end:] + b"\n\n"


def paragraphs(body: BinaryIO) -> Iterator[Paragraph]:
    """Every package; raises ValueError where the body is no list of packages."""
    for each in stanzas(unpacked(body)):
        stanza = each.strip(b"\n")
        if not stanza.strip():
            continue
        name, version, architecture, filename = _fields(stanza)
        key = b"\0".join(stanza[start:end] for start, end in (name, version, architecture))
        found = text(key.partition(b"\0")[0])
        yield Paragraph(found, hashlib.blake2b(key, digest_size=16).digest(), stanza, filename)


def _fields(stanza: bytes) -> list[tuple[int, int]]:
    """Where a package's name, version, architecture and file stand. Of a field that is there twice apt takes the
    last: what is listed has to be the one package whose name was looked at."""
    found: dict[bytes, tuple[int, int]] = {}
    for match in _FIELD.finditer(stanza):
        name, value = match[1].lower(), match[2].strip()
        if name in found or not value:  # apt goes on to the next line for a value that is not there
            raise ValueError("lists a package with a field that is empty, or there twice")
        start = match.start(2) + match[2].find(value)
        found[name] = start, start + len(value)
    if len(found) < 4:
        raise ValueError("lists a package without a name, a version, an architecture or a file")
    return [found[name] for name in (b"package", b"version", b"architecture", b"filename")]


@dataclass(frozen=True, slots=True)
class Packed:
    """A list that was written: sha256 in hex and sizes, as it is packed and before."""

    digest: str
    size: int
    open_digest: str
    open_size: int


def write(bodies: list[tuple[Repository, BinaryIO]], claims: Claims, into: BinaryIO) -> Packed:
    """Write the packages of each member in turn, without those that are there already, or others'; packed by gzip.

    Raises ValueError, naming the member."""
    seen: set[bytes] = set()
    packer, sum_, open_sum, sizes = zlib.compressobj(LEVEL, wbits=31), hashlib.sha256(), hashlib.sha256(), [0, 0]

    def put(data: bytes) -> None:
        sum_.update(data)
        into.write(data)
        sizes[0] += len(data)

    for member, body in bodies:
        for described in _described(member, body, claims, seen):
            open_sum.update(described)
            sizes[1] += len(described)
            put(packer.compress(described))
    put(packer.flush())
    return Packed(sum_.hexdigest(), sizes[0], open_sum.hexdigest(), sizes[1])


def _described(member: Repository, body: BinaryIO, claims: Claims, seen: set[bytes]) -> Iterator[bytes]:
    with naming(member.name):
        for each in paragraphs(body):
            if each.key in seen or claims.refuse(member, each.name):
                continue
            if (described := each.described(member)) is not None:
                seen.add(each.key)
                if len(seen) > MOST_PACKAGES:
                    raise ValueError(f"lists more than {MOST_PACKAGES} packages, with the others")
                yield described
