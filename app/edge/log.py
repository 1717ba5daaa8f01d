"""Follows nginx's edge log: by inode and offset, across rotation (rename and USR1, or copytruncate) and restarts.

A file that was renamed is read on for OVER seconds, for nginx's workers reopen one by one, and what they have in
their buffers goes to the old one. What was read is given back to the disk (a hole at the front) where this user may
write to the file, so that a container without logrotate does not fill up. Elsewhere logrotate does that.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.edge.problems import UnableError

CHUNK = 1 << 20  # bytes read at once; a longer line is none of nginx's
OVER = 10.0  # seconds that a renamed file is still read
HOLE = 16 << 20  # bytes that are given back together
_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02  # linux/falloc.h


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file has been read, in bytes."""

    inode: int
    offset: int


class _Open:
    def __init__(self, descriptor: int, writable: bool) -> None:
        self.descriptor, self.writable = descriptor, writable
        self.inode = os.fstat(descriptor).st_ino
        self.offset = self.hole = 0
        self.replaced = 0.0  # when another took its name, by time.monotonic()

    @property
    def unread(self) -> int:
        size = os.fstat(self.descriptor).st_size
        if size < self.offset:  # copytruncate
            self.offset = self.hole = 0
        return size - self.offset

    def chunk(self) -> bytes:
        """The next whole lines, b"" where there is none. A line longer than a chunk is skipped."""
        if not self.unread:
            return b""
        text = os.pread(self.descriptor, CHUNK, self.offset)
        end = text.rfind(b"\n") + 1
        if not end and len(text) == CHUNK:
            self.offset += CHUNK
        self.offset += end
        return text[:end]


class Log:
    """The log at `path`, from the `positions` of an earlier run; without any, from its present end.

    UnableError where it cannot be read.
    """

    def __init__(self, path: Path, positions: Iterable[Position] = ()) -> None:
        self._path = path
        self._files: list[_Open] = []  # the one at `path` last
        self._ends = not (found := {each.inode: each.offset for each in positions})
        self._resume = found
        for each in sorted(path.parent.glob(f"{path.name}.*"), key=_age) if found else ():
            with suppress(OSError):  # gone just now, or not for us: lines that nobody counts
                if each.stat().st_ino in found:
                    self._open(each, found)

    def chunks(self) -> Iterator[bytes]:
        """Whole lines of what is unread, at most CHUNK bytes at once."""
        for file in list(self._files):
            while text := self._chunk(file):
                yield text
            if file.replaced and time.monotonic() > file.replaced + OVER:
                self._close(file)

    @property
    def behind(self) -> int:
        """Bytes that are unread."""
        return sum(each.unread for each in self._files)

    @property
    def positions(self) -> list[Position]:
        return [Position(each.inode, each.offset) for each in self._files]

    def give_back(self) -> None:
        """Free the disk of what has been read; only after the positions were written down."""
        for file in self._files:
            if file.writable and file.offset - file.hole >= HOLE:
                file.writable = _punch(file.descriptor, file.offset)
                file.hole = file.offset

    def close(self) -> None:
        for each in list(self._files):
            self._close(each)

    def follow(self) -> None:
        """Open what has the name now, if it is another file than before."""
        try:
            inode = self._path.stat().st_ino
            if not self._files or self._files[-1].inode != inode:
                self._open(self._path, self._resume)
                if self._ends:
                    self._files[-1].offset = os.fstat(self._files[-1].descriptor).st_size
                self._ends, self._resume = False, {}
        except OSError as error:
            if not self._files or not isinstance(error, FileNotFoundError):  # renamed, and not made anew yet
                raise UnableError(f"nginx's log {self._path}: {error.strerror}") from error
        for each in self._files[:-1]:
            each.replaced = each.replaced or time.monotonic()

    def _chunk(self, file: _Open) -> bytes:
        try:
            return file.chunk()
        except OSError as error:
            raise UnableError(f"nginx's log {self._path}: {error.strerror}") from error

    def _open(self, path: Path, offsets: dict[int, int]) -> None:
        try:
            file = _Open(os.open(path, os.O_RDWR), writable=True)
        except OSError:  # not our file, a volume that is only for reading
            file = _Open(os.open(path, os.O_RDONLY), writable=False)
        file.offset = offsets.get(file.inode, 0)
        self._files.append(file)

    def _close(self, file: _Open) -> None:
        self._files.remove(file)
        with suppress(OSError):
            os.close(file.descriptor)


def _age(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _punch(descriptor: int, length: int) -> bool:
    """Free the first `length` bytes, which read as zeros from then on; False where this file system cannot."""
    library = ctypes.CDLL(None)  # it only returns -1 where it fails
    fallocate = getattr(library, "fallocate64", None) or library.fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(fallocate(descriptor, _KEEP_SIZE_PUNCH_HOLE, 0, length) == 0)
