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
_FIELD = rb"^%b:[ \t]*([^\n]*?)[ \t\r]*$"
_NAME, _VERSION, _ARCH, _FILENAME = (
    re.compile(_FIELD % name, re.MULTILINE | re.IGNORECASE)
    for name in (b"Package", b"Version", b"Architecture", b"Filename")
)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One package of a list, in its own bytes; `key` is its name, version and architecture as one value."""

    name: str
    key: bytes
    stanza: bytes
    filename: re.Match[bytes]

    def described(self, member: Repository) -> bytes | None:
        """What a merged list says of it; None where nobody could ask for its file."""
        path = within("", text(self.filename[1]))
        if path is None:
            return None
        start, end = self.filename.span(1)
        return self.stanza[:start] + path_of(member, path).encode() + self.stanza[end:] + b"\n\n"


def paragraphs(body: BinaryIO) -> Iterator[Paragraph]:
    """Every package; raises ValueError where the body is no list of packages."""
    for each in stanzas(unpacked(body)):
        stanza = each.strip(b"\n")
        if not stanza.strip():
            continue
        found = [pattern.search(stanza) for pattern in (_NAME, _VERSION, _ARCH)]
        filename = _FILENAME.search(stanza)
        if filename is None or not all(found):
            raise ValueError("lists a package without a name, a version, an architecture or a file")
        key = b"\0".join(match[1] for match in found if match)
        name = text(key.partition(b"\0")[0])
        yield Paragraph(name, hashlib.blake2b(key, digest_size=16).digest(), stanza, filename)


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
