"""Where a document is written that this server makes: a spool, hashed as it grows, and files beside it.

A writer that dies leaves spools that nobody holds, and its successor removes them (fills/spool.py).
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from app.fills.fill import Fill
from app.fills.spool import Head, Spool
from app.resource import HERE, Made

GATHERED = 1 << 18  # bytes
LONG = 1 << 20  # bytes of a document that nobody waits for to the end
_HERE = HERE.encode()


class Page(io.RawIOBase):
    """A file that is written, hashed and counted at once; pieces are gathered until they are worth it."""

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self.spool = spool
        self.digest = hashlib.sha256()
        self.heres = 0  # how often HERE stands in it
        self.grown: Callable[[int], None] | None = None  # told of its size
        self._waiting = bytearray()
        self._last = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        before = len(self._waiting)
        self._waiting += cast(bytes, data)
        written = len(self._waiting) - before
        if len(self._waiting) >= GATHERED:
            self.flush()
        return written

    def flush(self) -> None:
        chunk, self._waiting = bytes(self._waiting), bytearray()
        self.heres += (self._last + chunk).count(_HERE)
        self._last = (self._last + chunk)[1 - len(_HERE) :]
        self.spool.write(chunk)
        self.digest.update(chunk)
        if self.grown is not None:
            self.grown(self.spool.size)


@dataclass(frozen=True, slots=True)
class Written:
    """A file beside the document."""

    path: str
    content_type: str
    page: Page


class Sheet:
    """A resource.Desk on this server's disk."""

    def __init__(self, spools: Path, name: str, fence: int, opened: ExitStack) -> None:
        self._spools, self._name, self._opened = spools, name, opened
        self.page = self._paged(name, fence)
        self.others: list[Written] = []
        self._made: Made | None = None

    def write(self, data: bytes, /) -> object:
        """See Desk."""
        return self.page.write(data)

    def show(self, made: Made) -> None:
        """See Desk."""
        self._made = made

    def given(self, fill: Fill) -> None:
        """Have those who wait for that fill read what is written, where it is long and its format shows it."""
        self.page.grown = partial(self._give, fill)

    def ended(self, fill: Fill) -> None:
        """There is no more of the page: who reads it meanwhile waits for no store."""
        self.page.flush()
        if fill.head is not None:
            fill.verified(self.page.spool.size, self.page.digest.hexdigest())

    def _give(self, fill: Fill, size: int) -> None:
        if self._made is None or size < LONG:
            return
        if fill.head is None:
            head = Head(self._made.content_type, None, kept=self._made.kept)
            self.page.spool.describe(head)
            fill.arrive(head, self.page.spool)
        fill.progress(size)

    def beside(self, path: str, content_type: str) -> BinaryIO:
        """See Desk."""
        self.others.append(Written(path, content_type, self._paged(f"{self._name} {path}", 0)))
        return cast(BinaryIO, self.others[-1].page)

    def scratch(self) -> BinaryIO:
        """See Desk; it has no name, so nothing is left of it wherever its writer dies."""
        return cast(BinaryIO, self._opened.enter_context(tempfile.TemporaryFile(dir=self._spools)))

    def _paged(self, name: str, fence: int) -> Page:
        spool = Spool(self._spools, name, fence)
        self._opened.callback(spool.close)
        return Page(spool)


@contextmanager
def written(spools: Path, name: str, fence: int) -> Iterator[Sheet]:
    """A desk; what was not adopted from it is removed at the end."""
    with ExitStack() as opened:
        yield Sheet(spools, name, fence, opened)
