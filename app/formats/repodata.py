"""How repodata is written: the descriptions of all packages, three files named by their checksum, repomd.xml.

    repodata/<sha256>-primary.xml.zst     what dnf resolves with
    repodata/<sha256>-filelists.xml.zst   every file
    repodata/<sha256>-other.xml.zst       changelogs
    repodata/repomd.xml                   names the three

zstd is what createrepo_c itself writes since 1.0: dnf reads it since EL 8 and zypper since 15; gzip takes three times
as long, to write and to read. Two passes: the number of packages stands before the first of them, and the second
needs no Python for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import zstandard

PIECE = 1 << 20
LEVEL = 2  # of zstd: publishing waits for it
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://linux.duke.edu/metadata"


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three files: its name, and its outermost element with the namespaces it declares."""

    name: str
    element: str
    namespaces: tuple[tuple[str, str], ...]  # attribute, URI

    def head(self, packages: int) -> bytes:
        """What stands before the first package."""
        declared = " ".join(f'{name}="{uri}"' for name, uri in self.namespaces)
        return f'{_XML}<{self.element} {declared} packages="{packages}">\n'.encode()

    def foot(self) -> bytes:
        """What stands behind the last."""
        return f"</{self.element}>\n".encode()


KINDS = (
    Kind("primary", "metadata", (("xmlns", f"{NAMESPACE}/common"), ("xmlns:rpm", f"{NAMESPACE}/rpm"))),
    Kind("filelists", "filelists", (("xmlns", f"{NAMESPACE}/filelists"),)),
    Kind("other", "otherdata", (("xmlns", f"{NAMESPACE}/other"),)),
)


@dataclass(frozen=True, slots=True)
class Packed:
    """A file as repomd.xml names it; `href` is from the directory of repodata/, digests are sha256 in hex,
    `open` is before it was packed."""

    name: str
    href: str
    digest: str
    size: int
    open_digest: str
    open_size: int


class Packer(Protocol):
    """How a file is packed."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class Unpacked:
    """Not at all."""

    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def packed(kind: Kind, text: BinaryIO, into: BinaryIO, packages: int, named: str = "") -> Packed:
    """Write the file of one kind, whose packages `text` holds; `named` is a part of its name."""
    packer = zstandard.ZstdCompressor(LEVEL).compressobj()
    return packed_as(kind.name, f"{named}{kind.name}.xml.zst", _pieces(kind, text, packages), into, packer)


def packed_as(name: str, file: str, pieces: Iterable[bytes], into: BinaryIO, packer: Packer) -> Packed:
    """Write a file of a type `name`, which is called <sha256>-<file>."""
    open_sum, sum_, open_size, size = hashlib.sha256(), hashlib.sha256(), 0, 0

    def put(data: bytes) -> int:
        sum_.update(data)
        into.write(data)
        return len(data)

    for piece in pieces:
        open_sum.update(piece)
        open_size += len(piece)
        size += put(packer.compress(piece))
    size += put(packer.flush())
    digest = sum_.hexdigest()
    return Packed(name, f"repodata/{digest}-{file}", digest, size, open_sum.hexdigest(), open_size)


def _pieces(kind: Kind, text: BinaryIO, packages: int) -> Iterator[bytes]:
    yield kind.head(packages)
    while piece := text.read(PIECE):
        yield piece
    yield kind.foot()


def repomd(files: Iterable[Packed], revision: int) -> bytes:
    """The head of the set; `revision` in unix seconds."""
    import createrepo_c  # a tenth of a second that most processes need not spend

    head = createrepo_c.Repomd()
    head.set_revision(str(revision))
    for each in files:
        record = createrepo_c.RepomdRecord(each.name, None)
        record.location_href = each.href
        record.checksum_type = record.checksum_open_type = "sha256"
        record.checksum, record.checksum_open = each.digest, each.open_digest
        record.size, record.size_open, record.timestamp = each.size, each.open_size, revision
        head.set_record(record)
    text: str = head.xml_dump()
    return text.encode()
