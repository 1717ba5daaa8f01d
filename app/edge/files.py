"""The files of nginx's cache: which there are, and dropping them.

    <cache>/<last digit>/<the two before>/<32 digits>       levels=1:2; `<32 digits>.<number>` is still written

The digits are the md5 of the cache key; with Vary a further variant has others. Its head tells what a file is of.
A look reads the time of each directory and lists those alone that changed: some milliseconds for 4096 of them,
whatever is in them. So a file is known as soon as it can be served, not when the log tells of it: nginx logs a
request when its client has everything, which may take minutes, and serves the file to others meanwhile.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.edge.entry import END, Entry, hashed, of_file
from app.edge.index import Index, Named
from app.edge.problems import UnableError
from app.stores.edges import Purge

HEAD = 4096  # bytes that hold most files' heads
LONGEST_HEAD = 128 * 1024  # nginx's own limits are below
RACY = 0.1  # seconds after which a directory's time has surely moved on from its last change
AT_ONCE = 500  # files between two moments in which somebody else may have a turn
TOP, BELOW = "0123456789abcdef", 256
LEAST, SHARE = 64 << 20, 100  # bytes that have to be free, or one part in so many of a small disk
_NAME = re.compile(r"[0-9a-f]{32}")


class Files:
    """The cache below `directory`. look() and the drops are generators: they do a little at each step.

    UnableError where the directory cannot be read or written.
    """

    def __init__(self, directory: Path, index: Index) -> None:
        self.index = index
        self._directory = directory
        self._times: dict[int, int] = {}  # of a directory before all of it was known; absent: list it again

    def lack(self) -> str:
        """Why nothing may be added, "" where there is room: nginx breaks off answers that it cannot write."""
        with self._understood():
            return crowded(os.statvfs(self._directory))

    def look(self, ended: Callable[[Entry], bool]) -> Iterator[None]:
        """Take in what came and went since the last look; drop what came and is `ended`, or tells no entry."""
        with self._understood():
            if not os.access(self._directory, os.R_OK | os.W_OK | os.X_OK):
                raise UnableError(f"the cache {self._directory} cannot be read and written by this user")
            for digit in TOP:
                yield from self._below(digit, ended)
                yield

    def drop(self, purges: Iterable[Purge]) -> Iterator[None]:
        """Drop what these purges end and a look has found."""
        with self._understood():
            for purge in purges:
                key = None if purge.key is None else hashed(purge.key)
                while found := self.index.copies(purge.repository, key, purge.number, AT_ONCE):
                    self._unlink(found)
                    yield

    def drop_all(self) -> Iterator[None]:
        """Drop every file that is there."""
        with self._understood():
            for digit in TOP:
                for below in _names(self._directory / digit):
                    place = _place(digit, below)
                    names = _listed(self._path(place)) if place is not None else {}
                    self._unlink([Named(place or 0, name) for name in names])
                    yield
            self.index.clear()
            self._times.clear()

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnableError(f"the cache {self._directory}: {error.filename or ''} {error.strerror}") from error

    def _below(self, digit: str, ended: Callable[[Entry], bool]) -> Iterator[None]:
        try:
            top = os.open(self._directory / digit, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return  # nginx makes directories when it needs them
        try:
            for below in os.listdir(top):  # noqa: PTH208 - of a descriptor
                place = _place(digit, below)
                if place is None:
                    continue
                wall, changed = time.time(), os.stat(below, dir_fd=top).st_mtime_ns
                if self._times.get(place) == changed:
                    continue
                self._times.pop(place, None)  # a list that breaks off is made again
                yield from self._list(place, ended)
                if abs(wall - changed / 1e9) > RACY:  # a change so soon after may leave the time as it is
                    self._times[place] = changed
        finally:
            os.close(top)

    def _list(self, place: int, ended: Callable[[Entry], bool]) -> Iterator[None]:
        there, known = _listed(self._path(place)), self.index.within(place)
        self.index.remove(Named(place, name) for name in known.keys() - there.keys())
        came = [name for name, inode in there.items() if not self.index.same(inode, known.get(name))]
        for number, name in enumerate(came):
            self._take(Named(place, name), ended)
            if number % AT_ONCE == 0:
                yield

    def _take(self, file: Named, ended: Callable[[Entry], bool]) -> None:
        path = self._file(file)
        with suppress(FileNotFoundError):  # gone again, or replaced: the next look sees
            inode, entry = _read(path)
            if entry is None or ended(entry):
                self._unlink([file])
            else:
                self.index.put(file, inode, entry)

    def _unlink(self, files: list[Named]) -> None:
        for each in files:
            with suppress(FileNotFoundError):
                os.unlink(self._file(each))  # noqa: PTH108 - of many thousands
        self.index.remove(files)

    def _path(self, place: int) -> str:
        return f"{self._directory}/{place >> 8:x}/{place & 255:02x}"

    def _file(self, file: Named) -> str:
        return f"{self._path(file.place)}/{file.name.hex()}"


def crowded(disk: os.statvfs_result) -> str:
    """Why it is as good as full, for who is not root."""
    free = disk.f_bavail * disk.f_frsize
    if free < min(LEAST, disk.f_blocks * disk.f_frsize // SHARE):
        return f"the cache's disk is full but for {free >> 20} MiB"
    if disk.f_favail < disk.f_files // SHARE:  # some file systems have no number of files
        return f"the cache's disk is full but for {disk.f_favail} files"
    return ""


def _names(directory: Path) -> list[str]:
    try:
        return [each.name for each in directory.iterdir()]
    except FileNotFoundError:
        return []


def _place(digit: str, below: str) -> int | None:
    try:
        return int(digit, 16) * BELOW + int(below, 16) if len(below) == 2 else None
    except ValueError:
        return None


def _listed(path: str) -> dict[bytes, int]:
    """Name -> inode of the finished files of a directory, none of them opened."""
    try:
        with os.scandir(path) as found:
            return {bytes.fromhex(each.name): each.inode() for each in found if _NAME.fullmatch(each.name)}
    except FileNotFoundError:
        return {}


def _read(path: str) -> tuple[int, Entry | None]:
    """The inode and the entry of a file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        head = os.read(descriptor, HEAD)
        if END not in head:
            head += os.read(descriptor, LONGEST_HEAD)
        return os.fstat(descriptor).st_ino, of_file(head)
    finally:
        os.close(descriptor)
