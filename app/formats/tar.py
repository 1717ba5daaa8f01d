"""How a tar is read without trusting it: its regular files one after the other, bounded in every respect.

Links, devices and sparse files are passed over, nothing is written anywhere, and a name only says which file it is.
The standard library's tarfile is not used: some of its versions take hours over a header of digits (CVE-2024-6232),
or do not end at all (CVE-2025-8194).

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar, "Basic Tar Format".
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.formats.limits import LIMITS, Limits, content
from app.formats.packed import PIECE

_BLOCK = 512
_LONGEST_EXTENSION = 64 << 10  # bytes of a pax header or a long name
_EXTENSIONS = 4  # of such headers to a member: GNU tar writes two, pax one
_RECORDS = 100  # of a pax header
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_RECORD = re.compile(rb"([0-9]{1,5}) ([^=]+)=")  # of pax, as far as its value
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(slots=True)
class _Extended:
    """What the headers before a member's own say of it."""

    path: str = ""
    size: int | None = None
    sparse: bool = False
    headers: int = 0


def files(tar: BinaryIO, limits: Limits = LIMITS) -> Iterator[tuple[str, BinaryIO]]:
    """Every regular file of a tar: its path without "./", and its content, to be read before the next is taken.

    Raises ValueError; what reading `tar` raises goes through. A tar may end without its end mark.
    """
    extended, number = _Extended(), 0
    while header := _header(tar):
        number += 1
        if number > limits.members:
            raise ValueError(f"has more than {limits.members} members")
        kind, size = header[156:157], _number(header[124:136])
        if kind in (b"x", b"L"):
            _extend(extended, kind, _text(tar, size))
            continue
        if kind in (b"g", b"K", b"N", b"V", b"X"):
            _skip(tar, size)
            continue
        size = size if extended.size is None else extended.size
        if kind in (b"0", b"\0", b"7") and not extended.sparse:
            body = _Member(tar, size)
            yield _path(extended.path or _named(header), limits), io.BufferedReader(body, PIECE)
            _skip(tar, body.left, -size % _BLOCK)
        else:
            _pass_over(tar, kind, header, size)
        extended = _Extended()


def top_level(tar: BinaryIO, wanted: str, limit: int, limits: Limits) -> Iterator[tuple[str, bytes]]:
    """(path, content) of every file of that name in a directory that is in none, each of at most `limit` bytes. All
    is read to its end: what is cut short is a ValueError."""
    for name, body in files(tar, limits):
        if name.count("/") == 1 and name.endswith(f"/{wanted}"):
            yield name, content(body, limit, f"a {wanted}")
        while body.read(PIECE):
            pass
    while tar.read(PIECE):
        pass


class _Member(io.RawIOBase):
    """The content of the member that `tar` is at."""

    def __init__(self, tar: BinaryIO, size: int) -> None:
        self._tar, self.left = tar, size

    def readable(self) -> bool:
        return True

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]
        found = self._tar.read(min(len(into), self.left))
        if not found and self.left and len(into):
            raise ValueError("ends in the middle of a tar")
        into[: len(found)] = found
        self.left -= len(found)
        return len(found)


def _header(tar: BinaryIO) -> bytes:
    """The next header, b"" behind the last."""
    header = tar.read(_BLOCK)
    if not header.strip(b"\0"):
        return b""
    if len(header) < _BLOCK:
        raise ValueError("ends in the middle of a tar")
    if sum(header) - sum(header[148:156]) + 8 * 0x20 != _number(header[148:156]):
        raise ValueError("holds a damaged tar")
    return header


def _map(tar: BinaryIO) -> bytes:
    """A further part of a sparse file's map, which is a block of its own."""
    block = tar.read(_BLOCK)
    if len(block) < _BLOCK:
        raise ValueError("ends in the middle of a tar")
    return block


def _number(digits: bytes) -> int:
    """Octal, or GNU's binary form."""
    if digits[0] == 0x80:
        return int.from_bytes(digits[1:], "big")
    match = _OCTAL.fullmatch(digits)
    if match is None:
        raise ValueError("holds a damaged tar")
    return int(match[1] or b"0", 8)


def _named(header: bytes) -> str:
    name, prefix = (part.partition(b"\0")[0] for part in (header[:100], header[345:500]))
    posix = header[257:263] == b"ustar\0" and prefix  # GNU keeps other things there
    return _decoded(prefix + b"/" + name if posix else name)


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _text(tar: BinaryIO, size: int) -> bytes:
    if size > _LONGEST_EXTENSION:
        raise ValueError(f"has a tar header of more than {_LONGEST_EXTENSION} bytes")
    text = tar.read(size)
    if len(text) < size:
        raise ValueError("ends in the middle of a tar")
    _skip(tar, -size % _BLOCK)
    return text


def _extend(extended: _Extended, kind: bytes, text: bytes) -> None:
    """GNU's long name, or the records "<length> <key>=<value>\\n" of pax."""
    extended.headers += 1
    if extended.headers > _EXTENSIONS:
        raise ValueError(f"has more than {_EXTENSIONS} tar headers for one member")
    if kind == b"L":
        extended.path = _decoded(text.partition(b"\0")[0])
        return
    for key, value in _records(text):
        if key == b"path":
            extended.path = _decoded(value)
        elif key == b"size":
            extended.size = int(value) if value.isdigit() and len(value) < 20 else _LONGEST_EXTENSION << 40
        extended.sparse |= key.startswith(b"GNU.sparse.")


def _records(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = number = 0
    while at < len(text):
        match, number = _RECORD.match(text, at), number + 1
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(text) or number > _RECORDS:
            raise ValueError("holds a damaged tar")
        yield match[2], text[match.end() : end].removesuffix(b"\n")
        at = end


def _pass_over(tar: BinaryIO, kind: bytes, header: bytes, size: int) -> None:
    if kind == b"S":  # GNU's sparse file: its map may go on in further headers
        more = header[482]
        while more:
            more = _map(tar)[-8]
    if kind not in (b"1", b"2", b"3", b"4", b"5", b"6"):
        _skip(tar, size, -size % _BLOCK)


def _skip(tar: BinaryIO, *sizes: int) -> None:
    left = sum(sizes)
    while left:
        found = tar.read(min(left, PIECE))
        if not found:
            return  # a tar without padding at its end; a member that is cut short fails as it is read
        left -= len(found)


def _path(name: str, limits: Limits) -> str:
    path = "/".join(each for each in name.split("/") if each != ".")
    if len(name.encode("utf-8", "surrogateescape")) > limits.name:
        raise ValueError(f"has a member's name of more than {limits.name} bytes")
    if path.startswith("/") or ".." in path.split("/") or _UNPRINTABLE.search(path):
        raise ValueError(f"has a member whose name is no path below it: {name[:80]!r}")
    return path
