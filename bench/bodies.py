"""Bodies of any size whose every block is known without being stored, compared by memcmp as they arrive; and texts.

    block 0     serial (8 bytes), 0, the pattern
    block n     0      (8 bytes), n, the pattern        1 MiB each, the last one may be shorter

The number in each block shows a cut, a swap or a repetition; the serial makes a body unlike every other.
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

BLOCK = 1 << 20
HEADER = struct.Struct("<QQ")


@cache
def pattern() -> bytes:
    """One block of noise, the same in every process."""
    return random.Random(BLOCK).randbytes(BLOCK)


class Expected(Protocol):
    """What a comparison needs to know of the right bytes."""

    @property
    def size(self) -> int:
        """Bytes of the whole."""

    def same(self, number: int, block: bytearray, filled: int) -> bool:
        """Whether the first `filled` bytes are those of block `number`; may spoil the block."""


@dataclass(frozen=True, slots=True)
class Text:
    """A document, known because it is short."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def same(self, number: int, block: bytearray, filled: int) -> bool:
        """See Expected."""
        return block[:filled] == self.data[number * BLOCK : number * BLOCK + filled]


@dataclass(frozen=True, slots=True)
class Body:
    """A body by what tells it from others; `size` in bytes, at least HEADER.size."""

    serial: int
    size: int

    def header(self, number: int) -> bytes:
        return HEADER.pack(0 if number else self.serial, number)

    def blocks(self) -> Iterator[memoryview]:
        """Each block in turn, in one buffer that is used again."""
        block = bytearray(pattern())
        for number in range(-(-self.size // BLOCK)):
            block[: HEADER.size] = self.header(number)
            yield memoryview(block)[: min(BLOCK, self.size - number * BLOCK)]

    def same(self, number: int, block: bytearray, filled: int) -> bool:
        """See Expected."""
        if block[: HEADER.size] != self.header(number):
            return False
        block[: HEADER.size] = pattern()[: HEADER.size]  # so that one memcmp does for the block
        return block == pattern() if filled == BLOCK else block[:filled] == pattern()[:filled]

    def sha256(self) -> str:
        """In hex; a second for 2 GB or so."""
        state = hashlib.sha256()
        for block in self.blocks():
            state.update(block)
        return state.hexdigest()

    def write(self, path: Path) -> Body:
        """Make the file, or only stamp one of the same size with this serial."""
        if path.exists() and path.stat().st_size == self.size:
            with path.open("r+b") as file:
                file.write(self.header(0))
        else:
            with path.open("wb") as file:
                file.writelines(self.blocks())
        return self


class Comparison:
    """Takes the bytes of one body where they are received and says whether they are the expected ones."""

    def __init__(self, body: Expected) -> None:
        self._body = body
        self._block = bytearray(BLOCK)
        self._number = self._filled = 0
        self.left = body.size
        self.good = True

    def room(self) -> memoryview:
        """Where the next bytes go: the rest of this block, empty after the end."""
        return memoryview(self._block)[self._filled : self._filled + min(BLOCK - self._filled, self.left)]

    def took(self, count: int) -> None:
        """`count` bytes were put into room()."""
        self._filled += count
        self.left -= count
        if self._filled == BLOCK or not self.left:
            self._compare()

    def take(self, data: bytes) -> None:
        """The same for bytes that are somewhere else."""
        while data:
            room = self.room()
            part, data = data[: len(room)], data[len(room) :]
            if not part:
                self.good = False  # more than the whole body
                return
            room[: len(part)] = part
            self.took(len(part))

    @property
    def whole(self) -> bool:
        """Every byte came, each the right one."""
        return self.good and not self.left

    def _compare(self) -> None:
        self.good = self.good and self._body.same(self._number, self._block, self._filled)
        self._number, self._filled = self._number + 1, 0
