"""What indexes come packed in: gzip, bzip2, xz and zstd, told apart by their first bytes and read piece by piece.

Memory is bounded whatever the bytes say; time is, by LIMIT.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import zstandard

LIMIT = 1 << 30  # bytes, packed or not: ten times the longest list of packages there is
PIECE = 1 << 16
_WINDOW = 1 << 27  # bytes that one decoder may hold: xz -9 needs 65 MiB, zstd --ultra 128
_SIP = 1 << 8  # bytes of zstd at a time, which has no other bound: 4 of them can be 128 KiB


class Decoder(Protocol):
    """One member of a packed file, as the standard library's bz2 and lzma read it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's object, with bz2's manners."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Zstd:
    """zstandard's object, with bz2's manners; `max_length` is as much as a sip makes (8 MiB at worst)."""

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        self._waiting = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + bytes(self._waiting)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        waiting = memoryview(data) if data else self._waiting  # nothing waits where data is given
        self._waiting = waiting[_SIP:]
        return self._inner.decompress(waiting[:_SIP])


_DECODERS: tuple[tuple[bytes, Callable[[], Decoder]], ...] = (
    (b"\x1f\x8b", _Gzip),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW)),
    (b"\x28\xb5\x2f\xfd", _Zstd),
)


def unpacked(body: BinaryIO, limit: int = LIMIT) -> Iterator[bytes]:
    """The content of `body` in pieces, none empty; raises ValueError where it is damaged, cut or over `limit`."""
    pieces = _counted(_pieces(body), limit)
    head = next(pieces, b"")
    decoder = next((make for magic, make in _DECODERS if head.startswith(magic)), None)
    try:
        yield from _counted(_joined(head, pieces) if decoder is None else _members(decoder, head, pieces), limit)
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ValueError(f"cannot be unpacked: {error}") from error


class Poured(io.RawIOBase):
    """Pieces as a file to be read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        taken = min(len(into), len(self._rest))
        into[:taken], self._rest = self._rest[:taken], self._rest[taken:]
        return taken


def _pieces(body: BinaryIO) -> Iterator[bytes]:
    while piece := body.read(PIECE):
        yield piece


def _joined(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _counted(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for piece in pieces:
        limit -= len(piece)
        if limit < 0:
            raise ValueError("is longer than any index")
        if piece:
            yield piece


def _members(make: Callable[[], Decoder], head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Every member (stream, frame) after the other; zeros between and after them are padding."""
    data, decoder = head, make()
    while True:
        yield decoder.decompress(data, PIECE)
        data = b""
        if decoder.eof:
            data = _next_member(decoder.unused_data, rest)
            if not data:
                return
            decoder = make()
        elif decoder.needs_input:
            data = next(rest, b"")
            if not data:
                raise EOFError("it ends in the middle")


def _next_member(data: bytes, rest: Iterator[bytes]) -> bytes:
    while not (data := data.lstrip(b"\0")):
        data = next(rest, b"")
        if not data:
            return b""
    return data
