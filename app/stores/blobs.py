"""The seam of bytes: what the engine asks of a blob store, and a body that is far away.

As in base.py: "not here" is None (or False), "broken" is errors.StoreDown.
"""

from __future__ import annotations

import io
import re
from abc import abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from app.errors import StoreDown

HEX = re.compile(r"[0-9a-f]{64}")  # a digest
NOTE = re.compile(r"[0-9]{20}-[0-9a-f]{1,64}")  # the name of a journal's record
FIRST, WINDOW = 64 << 10, 8 << 20  # bytes that reading asks for at first, and at most after doubling


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of the filesystem that blobs share with whatever else is on it."""

    free: int
    total: int


class Blobs(Protocol):
    """Bytes by sha256. Raises StoreDown where the store does not answer or is full ("storage_full")."""

    def ping(self, writes: bool = True) -> None:
        """Return if it can be read and, with `writes`, written now: one that is full can be read."""

    def open(self, digest: str) -> BinaryIO | None:
        """The bytes from their beginning, seekable; None if they are not here. With a fileno() for sendfile, or
        a Distant."""

    def exists(self, digest: str) -> bool:
        """Whether the bytes are here, whole."""

    def adopted(self, digest: str) -> float | None:
        """When the bytes were last adopted, in unix seconds; None if they are not here."""

    def adopt(self, file: Path, digest: str) -> None:
        """Take a finished, verified, fsynced spool file (moved, durable on return); `digest` is trusted."""

    def remove(self, digest: str) -> None:
        """Delete the bytes; nothing there is no error."""

    def quarantine(self, digest: str) -> None:
        """Put damaged bytes aside: nothing serves them any more, an operator can look at them."""

    def walk(self) -> Iterator[tuple[str, float]]:
        """(digest, unix time last adopted) of every blob, in no order."""

    def room(self) -> Room | None:
        """How full the filesystem is; None where the store has no such limit."""

    def reap(self) -> int:
        """Remove what dead processes left half-made, once it is old enough to be nobody's; how many."""

    def note(self, name: str, text: bytes) -> None:
        """Append to the journal: a small record, durable on return, under a name that was not used before
        (`<20 digits>-<hex>`, in whose order notes() returns them)."""

    def noted(self, after: int) -> int | None:
        """The number that a record's name begins with, of some record whose number is larger; None without any."""

    def notes(self) -> Iterator[bytes]:
        """The journal's records in the order of their names."""


@runtime_checkable
class Afar(Protocol):
    """Blobs whose bodies are Distant."""

    def reopen(self, digest: str, size: int) -> Distant:
        """A body of `size` bytes that another process has just found here: nothing is asked before its bytes are.
        Should they be gone by then, or the store be down, reading raises StoreDown."""


class Distant(io.RawIOBase):
    """A stored body without a descriptor: read by spans, or fetched by the client itself from a link.

    As a file it reads in windows, each asked for when its first byte is.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._position = 0
        self._asked = FIRST
        self._window: Iterator[bytes] = iter(())
        self._left = memoryview(b"")

    @abstractmethod
    def span(self, start: int, length: int) -> Generator[bytes, None, None]:
        """Exactly these bytes, as they come; StoreDown where the store fails before their end. Closing it early
        ends what was asked for."""

    @abstractmethod
    def link(self, seconds: int, content_type: str) -> str:
        """A URL by which anyone can read the body for so many seconds; it is sent under that type."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset != self._position:
            self._position = base + offset
            self._forget()
        return self._position

    def close(self) -> None:
        """The window that is being read gives its connection back."""
        self._forget()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer as far as the body goes: to parsers above, a short read is its end."""
        if self.closed:
            raise ValueError("the body is closed")
        view = memoryview(buffer)
        filled = 0
        while filled < len(view) and self._position < self.size:
            self._left = self._left or memoryview(self._next(len(view) - filled))
            count = min(len(view) - filled, len(self._left))
            view[filled : filled + count] = self._left[:count]
            self._left = self._left[count:]
            self._position += count
            filled += count
        return filled

    def _next(self, wanted: int) -> bytes:
        for _ in range(2):  # what is left of this window, else the next one's beginning
            if chunk := next(self._window, b""):
                return chunk
            length = min(max(self._asked, wanted), WINDOW, self.size - self._position)
            self._window, self._asked = self.span(self._position, length), 2 * self._asked
        raise StoreDown("the stored bytes ended early")

    def _forget(self) -> None:
        if isinstance(self._window, Generator):
            self._window.close()
        self._window, self._left, self._asked = iter(()), memoryview(b""), FIRST
