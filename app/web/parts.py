"""What the body of a response consists of: literal bytes, spans of a stored or arriving body, or a stored body that
names this server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.errors import StoreDown
from app.resource import HERE, Headers

PIECE = 1 << 20  # bytes of a stored body that are looked through at a time
_HERE = HERE.encode()


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes of the body from `start`; a length of None is all that comes."""

    start: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Addressed:
    """All of a stored body of `size` bytes, with `address` wherever it has HERE; `length` bytes in all."""

    size: int
    address: bytes
    length: int

    def chunks(self, file: BinaryIO) -> Iterator[bytes]:
        """The bytes to send; raises StoreDown where they are not all there."""
        left, rest = self.size, b""
        while left:
            try:
                file.seek(self.size - left)
                chunk = file.read(min(left, PIECE))
            except OSError as error:
                raise StoreDown(f"the stored bytes cannot be read: {error.strerror}") from error
            if not chunk:
                raise StoreDown("the stored bytes ended early")
            left -= len(chunk)
            chunk = rest + chunk
            cut = len(chunk) - (next((n for n in (2, 1) if chunk.endswith(_HERE[:n])), 0) if left else 0)
            chunk, rest = chunk[:cut], chunk[cut:]
            yield chunk.replace(_HERE, self.address)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response but for its bytes: `parts` in order, literal bytes or parts of the stored body."""

    status: int
    headers: Headers
    parts: tuple[bytes | Span | Addressed, ...] = ()
    cache: str = ""

    @property
    def length(self) -> int | None:
        """Bytes of the response body, None while unknown."""
        total = 0
        for part in self.parts:
            length = len(part) if isinstance(part, bytes) else part.length
            if length is None:
                return None
            total += length
        return total
