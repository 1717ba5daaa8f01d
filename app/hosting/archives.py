"""How packages are looked into without trusting them: what they are packed in, and ar; tar.py goes on. All bounded.

Nothing is written anywhere. What is refused is a ValueError whose text goes on after "the package": `with judged():`
makes a 422 of it.

Source: RFC 1952; deb(5).
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from app.errors import Unprocessable
from app.formats.limits import LIMITS as LIMITS
from app.formats.limits import Limits as Limits
from app.formats.limits import content as content
from app.formats.packed import PIECE, Poured, unpacked

AR = b"!<arch>\n"
_AR_HEADER = re.compile(rb"([\x20-\x7e]{16})[\x20-\x7e]{32}([0-9]{1,10}) *`\n")
_AR_SIZE = 60


GRACE = 1 << 20


@contextmanager
def judged() -> Iterator[None]:
    """Unprocessable "not_a_package" for a ValueError of reading."""
    try:
        yield
    except ValueError as error:
        raise Unprocessable(f"the package {error}", code="not_a_package") from error


# -- what is packed -----------------------------------------------------------------------------------------


class Slice(io.RawIOBase):
    """`length` bytes of a file from `start`, as a file of their own; the file is not closed with it."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._at, self._end = file, start, start + length

    def readable(self) -> bool:
        return True

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._at)
        found = self._file.read(min(len(into), self._end - self._at))
        into[: len(found)] = found
        self._at += len(found)
        return len(found)


class _Counted:
    """A body that knows how many of its bytes were read."""

    def __init__(self, body: BinaryIO) -> None:
        self._body, self.taken = body, 0

    def read(self, size: int) -> bytes:
        piece = self._body.read(size)
        self.taken += len(piece)
        return piece


def unpack(packed: BinaryIO, limits: Limits = LIMITS) -> BinaryIO:
    """The content of a body that is packed by gzip, bzip2, xz or zstd, or not at all; ValueError as it is read."""
    counted = _Counted(packed)
    pieces = unpacked(cast(BinaryIO, counted))
    return io.BufferedReader(Poured(_bounded(pieces, counted, limits)), PIECE)


def _bounded(pieces: Iterable[bytes], source: _Counted, limits: Limits) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        _permit(total, source.taken, limits)
        yield piece


def _permit(unpacked_size: int, packed_size: int, limits: Limits) -> None:
    if unpacked_size > limits.unpacked:
        raise ValueError(f"unpacks to more than {limits.unpacked >> 20} MiB where its metadata is looked for")
    if unpacked_size > GRACE and unpacked_size > limits.ratio * packed_size:
        raise ValueError(f"unpacks to more than {limits.ratio} times its size where its metadata is looked for")


def gzip_member(file: BinaryIO, limits: Limits = LIMITS) -> bytes:
    """What the one gzip member (RFC 1952, 2.2) at the file's position holds; the position is then behind it.

    Raises ValueError.
    """
    decoder, start, found = zlib.decompressobj(wbits=31), file.tell(), bytearray()
    try:
        while not decoder.eof:
            data = decoder.unconsumed_tail or file.read(PIECE)
            if not data:
                raise ValueError("ends too early")
            found += decoder.decompress(data, PIECE)
            _permit(len(found), file.tell() - start, limits)
    except zlib.error as error:
        raise ValueError(f"cannot be unpacked: {error}") from error
    file.seek(-len(decoder.unused_data), io.SEEK_CUR)
    return bytes(found)


# -- ar -----------------------------------------------------------------------------------------------------


def ar(file: BinaryIO, most: int = 16) -> Iterator[tuple[str, BinaryIO]]:
    """The members of an ar archive (deb(5)): name and content. Raises ValueError, also where it is cut short."""
    file.seek(0)
    if file.read(len(AR)) != AR:
        raise ValueError("is no ar archive")
    size, at, number = file.seek(0, io.SEEK_END), len(AR), 0
    while at < size:
        file.seek(at)
        header = _AR_HEADER.fullmatch(file.read(_AR_SIZE))
        if header is None:
            raise ValueError("has a damaged ar header")
        at, length, number = at + _AR_SIZE, int(header[2]), number + 1
        if number > most:
            raise ValueError(f"has more than {most} ar members")
        if at + length > size:
            raise ValueError("ends in the middle of a member")
        yield header[1].decode("ascii").rstrip().removesuffix("/"), io.BufferedReader(Slice(file, at, length), PIECE)
        at += length + length % 2
