"""What an rpm file is: whether it is whole, and what repodata says of it.

    lead        96 bytes
    signature   a header, padded to 8 bytes: sizes and digests of what follows
    header      name, version, files, requires, changelog; and a digest of the payload
    payload     the files, packed: only hashed here

    a header    8e ad e8 01, 4 reserved, number of entries, bytes of data; 16 bytes an entry (tag, type, offset,
                count); data

Source: rpm's docs/manual/format_v4.md and tags.md. The structure is checked here first, all of it bounded, because
librpm, which then reads the header, is not made for strangers' files.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

import createrepo_c

from app.errors import Unprocessable

LEAD, LEAD_MAGIC, MAGIC = 96, b"\xed\xab\xee\xdb", b"\x8e\xad\xe8\x01"
LONGEST = 16 << 20  # bytes of a header; a kernel's sources, with a hundred thousand files, have 8 MiB
MOST = 300_000  # values of one entry: files, or what is required
LARGEST = 32 << 20  # bytes of all files' paths, which a header tells in far fewer
LONGEST_ABOUT = 64 << 20  # characters of a description
CHANGES = 10  # of a changelog, as createrepo_c lists them
PIECE = 1 << 20
SEPARATOR = "\x1e"  # between the three descriptions; no XML has it

_NUMBER, _LONG, _TEXT, _BYTES, _TEXTS, _TRANSLATED = 4, 5, 6, 7, 8, 9  # types of entries
# in the signature header: bytes of all that follows it, digests of the header, and of the header with the payload
_SIZE, _LONG_SIZE, _SHA1, _SHA256, _MD5 = 1000, 270, 269, 273, 1004
_PAYLOAD_DIGEST, _PAYLOAD_ALGORITHM = 5092, 5093  # in the header
_DIRECTORY_OF, _DIRECTORIES = 1116, 1118  # of each file the number of its directory, and their names
_ALGORITHMS = {8: "sha256", 9: "sha384", 10: "sha512"}  # RFC 9580, 9.5
_NO_XML = re.compile(rb"\xef\xbf[\xbe\xbf]|\xed[\xa0-\xbf]")  # U+FFFE, U+FFFF, surrogates: createrepo_c lets them by
_BETWEEN = re.compile(r">\s+<")  # a tenth of it all, which every dnf would read
_WORD = r"[A-Za-z0-9_][A-Za-z0-9._+~^-]*"
_NAMED = re.compile(rf"{_WORD}-[A-Za-z0-9._+~^]+-[A-Za-z0-9._+~^]+\.[A-Za-z0-9_]+")
LONGEST_NAME = 250  # bytes, as filesystems have it, with ".rpm"


@dataclass(frozen=True, slots=True)
class Rpm:
    """A whole package: `name` as its file is called, and what the createrepo_c library made of its header."""

    name: str
    package: createrepo_c.Package

    def described(self, href: str, digest: str, size: int, published: float) -> str:
        """Its <package> in primary, filelists and other, with a SEPARATOR between them."""
        package = self.package
        package.location_href, package.pkgId, package.size_package = href, digest, size
        package.time_file = int(published)
        try:
            told = createrepo_c.xml_dump(package)
            if sum(map(len, told)) > LONGEST_ABOUT:
                raise _refused(f"an index would say more than {LONGEST_ABOUT} characters of it")
            for each in told:  # of one that no client can parse, none of its repository can be installed
                expat.ParserCreate().Parse(each, True)
            return SEPARATOR.join(_BETWEEN.sub("><", each) for each in told)
        except (createrepo_c.CreaterepoCError, expat.ExpatError, SystemError, UnicodeError) as error:
            raise _refused(f"a text in it is none that XML can hold: {error}") from None


def read(path: Path) -> Rpm:
    """The package in this file; Unprocessable "not_a_package", with the reason, where it is not whole."""
    with path.open("rb") as file:
        try:
            return _checked(file)
        except (struct.error, UnicodeError):
            raise _refused("it ends in the middle, or an entry of its header points outside of it") from None


def _checked(file: BinaryIO) -> Rpm:
    lead = file.read(LEAD)
    if len(lead) < LEAD or not lead.startswith(LEAD_MAGIC):
        raise _refused("it does not begin as an rpm does")
    signature = _Header.read(file)
    padding = file.read(-signature.length % 8)
    header = _Header.read(file)
    if len(header.raw) < header.length:
        raise _refused("it ends in its header")
    _require_modest(header)
    _require_whole(file, signature, header)
    return _named(_parsed(lead + signature.raw + padding + header.raw))


@dataclass(frozen=True, slots=True)
class _Header:
    """One header; `raw` is all of it."""

    raw: bytes
    entries: int

    @classmethod
    def read(cls, file: BinaryIO) -> _Header:
        intro = file.read(16)
        if len(intro) < 16 or not intro.startswith(MAGIC):
            raise _refused("a header of it does not begin as one does")
        entries, data = struct.unpack_from(">II", intro, 8)
        if (length := 16 * entries + data) > LONGEST:
            raise _refused(f"a header of it is longer than {LONGEST} bytes")
        if len(rest := file.read(length)) < length:
            raise _refused("it ends in a header")
        return cls(intro + rest, entries)

    def is_clear(self) -> bool:
        """Whether it has each entry once: of two, librpm may read the other one."""
        tags = [tag for tag, _, _, _ in self._all()]
        return len(set(tags)) == len(tags)

    @property
    def length(self) -> int:
        return len(self.raw)

    def number(self, tag: int, *, kind: int = _NUMBER) -> int | None:
        """The first value of an entry of 32 (or, as _LONG, 64) bits."""
        at = self._find(tag, kind)
        return None if at is None else int(struct.unpack_from(">Q" if kind == _LONG else ">I", self.raw, at)[0])

    def text(self, tag: int) -> str | None:
        """The first text of an entry."""
        at = self._find(tag, _TEXT, _TEXTS)
        if at is None:
            return None
        end = self.raw.find(b"\0", at)
        return None if end < 0 else self.raw[at:end].decode("ascii")

    def binary(self, tag: int, size: int) -> bytes | None:
        at = self._find(tag, _BYTES)
        return None if at is None else self.raw[at : at + size]

    def numbers(self, tag: int) -> Sequence[int]:
        """Every value of an entry of 32 bits."""
        at = self._find(tag, _NUMBER)
        return () if at is None else struct.unpack_from(f">{self._count(tag)}I", self.raw, at)

    def lengths(self, tag: int) -> Sequence[int]:
        """Bytes of every text of an entry."""
        at, count = self._find(tag, _TEXTS), self._count(tag)
        return () if at is None else [len(each) for each in self.raw[at:].split(b"\0", count)[:count]]

    def texts(self) -> Iterator[bytes]:
        """What each entry of texts holds. librpm reads no header whose entries are not in the order of their data."""
        data = 16 + 16 * self.entries
        for (_, kind, start, _), (_, _, end, _) in pairwise((*self._all(), (0, 0, self.length - data, 0))):
            if kind in (_TEXT, _TEXTS, _TRANSLATED):
                yield self.raw[data + start : data + end]

    def most(self) -> int:
        """Values of the entry that has most, bytes aside."""
        return max((count for _, kind, _, count in self._all() if kind != _BYTES), default=0)

    def _count(self, tag: int) -> int:
        return next((count for found, _, _, count in self._all() if found == tag), 0)

    def _find(self, tag: int, *kinds: int) -> int | None:
        for found, kind, offset, _ in self._all():
            if found == tag and kind in kinds:
                return 16 + 16 * self.entries + offset
        return None

    def _all(self) -> Iterator[tuple[int, int, int, int]]:
        index = struct.iter_unpack(">IIII", self.raw[16 : 16 + 16 * self.entries])
        return ((tag, kind, offset, count) for tag, kind, offset, count in index)


def _require_modest(header: _Header) -> None:
    """Many files in one directory of a long name are few bytes here, and would be many in the index."""
    if not header.is_clear():
        raise _refused("its header has an entry twice")
    if header.most() > MOST:
        raise _refused(f"its header has an entry of more than {MOST} values")
    for texts in header.texts():
        if _NO_XML.search(texts) and any(map(_is_spoilt, texts.split(b"\0"))):
            raise _refused("a text in it is none that XML can hold: a surrogate, U+FFFE or U+FFFF")
    lengths = header.lengths(_DIRECTORIES)
    if sum(lengths[each] for each in header.numbers(_DIRECTORY_OF) if each < len(lengths)) > LARGEST:
        raise _refused(f"the paths of its files have more than {LARGEST} bytes")


def _is_spoilt(text: bytes) -> bool:
    """Whether it has such a character; what is not UTF-8 is read as Latin-1, which has none."""
    try:
        text.decode("utf-8", "surrogatepass")
    except UnicodeError:
        return False
    return _NO_XML.search(text) is not None


def _require_whole(file: BinaryIO, signature: _Header, header: _Header) -> None:
    """The payload is hashed once: by the header's digest, else by the signature's, as older packages have it."""
    algorithm = _ALGORITHMS.get(header.number(_PAYLOAD_ALGORITHM) or 0)
    wanted = header.text(_PAYLOAD_DIGEST) if algorithm else None
    sum_ = hashlib.new(algorithm) if algorithm and wanted else hashlib.md5(header.raw, usedforsecurity=False)
    size = header.length
    while piece := file.read(PIECE):
        sum_.update(piece)
        size += len(piece)
    told = signature.number(_SIZE) or signature.number(_LONG_SIZE, kind=_LONG)
    if told is not None and size != told:
        raise _refused(f"it has {size} bytes after its signature, and says that it has {told}")
    old = signature.binary(_MD5, 16)
    if wanted != sum_.hexdigest() if wanted else old is not None and old != sum_.digest():
        raise _refused("its payload is not what its digest says")
    _require_header(signature, header)


def _require_header(signature: _Header, header: _Header) -> None:
    digests = ((signature.text(_SHA256), "sha256"), (signature.text(_SHA1), "sha1"))
    for told, algorithm in digests:
        if told and told != hashlib.new(algorithm, header.raw, usedforsecurity=False).hexdigest():
            raise _refused("its header is not what its digest says")


def _parsed(head: bytes) -> createrepo_c.Package:
    """The library reads files: this one is in memory, and ends where the payload would begin."""
    with os.fdopen(os.memfd_create("rpm"), "wb", buffering=0) as file:
        file.write(head)
        try:
            return createrepo_c.package_from_rpm(f"/proc/self/fd/{file.fileno()}", changelog_limit=CHANGES)
        except (OSError, createrepo_c.CreaterepoCError) as error:
            raise _refused(f"librpm does not read its header: {str(error).rpartition(': ')[2]}") from None


def _named(package: createrepo_c.Package) -> Rpm:
    parts = (package.name, package.version, package.release, package.arch)
    if not all(parts):
        raise _refused("its header lacks a name, a version, a release or an architecture")
    name = "{}-{}-{}.{}".format(*parts)
    if not _NAMED.fullmatch(name) or len(name) > LONGEST_NAME - len(".rpm"):
        raise _refused("its name, version, release or architecture has characters that no file name should")
    return Rpm(f"{name}.rpm", package)


def _refused(reason: str) -> Unprocessable:
    return Unprocessable(f"this is no whole rpm package: {reason}", code="not_a_package")
