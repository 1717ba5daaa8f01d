"""Blobs on a filesystem: one file per digest, visible only when whole; and the journal beside them.

<root>/                       0711, on the spool's filesystem (a rename, not a copy)
  sha256/                     0711, its group is the one nginx reads with (chgrp it once)
    ab/                       0711, the first two of the digest
      ab34...ef               0640, that group; never written again, mtime = last adopted
      .ab34...ef.<random>     a copy from another filesystem on its way; removed by reap()
  quarantine/ab34...ef        damaged bytes, for an operator to look at
  journal/00001763718123456/  0711, the first 17 of a note's 20 digits
    <name>.json               0640; .<name>.json.<random> on its way
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from app import metrics
from app.errors import StoreDown
from app.stores.blobs import HEX, NOTE, Room

DIRECTORY_MODE, FILE_MODE = 0o711, 0o640
ABANDONED = 86400.0  # seconds after which a half-made copy belongs to nobody
SHARD = 17  # characters of a note's name that are its directory
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FilesystemBlobs:
    """Blobs under `root`; what an unmounted or full disk says is StoreDown, never "not here"."""

    def __init__(self, root: Path) -> None:
        self.base = root / "sha256"
        self.aside = root / "quarantine"
        self.journal = root / "journal"
        with contextlib.suppress(OSError):  # a store that is down must not stop the start; ping() tells
            _make_directory(root, parents=True)
            _make_directory(self.base)

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be; ValueError unless `digest` is 64 lower-case hex digits."""
        return Path(self._place(digest))

    def _place(self, digest: str) -> str:
        if not HEX.fullmatch(digest):
            raise ValueError(f"not a sha256: {digest!r}")
        return f"{self.base}/{digest[:2]}/{digest}"

    def ping(self, writes: bool = True) -> None:
        """A byte is written, read back and removed; without `writes` the directory is read."""
        if not writes:
            with _store(), os.scandir(self.base) as found:
                next(found, None)
            return
        probe = self.base / f".probe.{secrets.token_hex(8)}"
        with _store():
            try:
                probe.write_bytes(b"1")
                if probe.read_bytes() != b"1":
                    raise OSError(errno.EIO, "reads are not what was written")
            finally:
                probe.unlink(missing_ok=True)

    def open(self, digest: str) -> BinaryIO | None:
        """The blob, unbuffered, with a fileno() for sendfile."""
        with _store():
            try:
                return io.FileIO(self._place(digest))  # Path's own way there would cost as much as the system's
            except FileNotFoundError:
                self._require_base()
                return None

    def exists(self, digest: str) -> bool:
        """Whether the blob is here; what is visible is whole."""
        return self.adopted(digest) is not None

    def adopted(self, digest: str) -> float | None:
        with _store():
            try:
                return self.path(digest).stat().st_mtime
            except FileNotFoundError:
                self._require_base()
                return None

    def adopt(self, file: Path, digest: str) -> None:
        """Move a spool file in. One that is here may be damaged and is replaced; who reads it goes on reading it."""
        target = self.path(digest)
        with _store():
            _make_directory(target.parent)
            with file.open("rb") as spooled:
                _settle(spooled, self.base)
                try:
                    file.replace(target)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    self._copy(spooled, target)
            _sync_directory(target.parent)
            file.unlink(missing_ok=True)  # still there where it was copied

    def remove(self, digest: str) -> None:
        with _store():
            self.path(digest).unlink(missing_ok=True)

    def quarantine(self, digest: str) -> None:
        source = self.path(digest)
        with _store():
            self._require_base()
            _make_directory(self.aside)
            with contextlib.suppress(FileNotFoundError):
                source.replace(self.aside / digest)
                _sync_directory(self.aside)
                _sync_directory(source.parent)

    def walk(self) -> Iterator[tuple[str, float]]:
        with _store():
            self._require_base()
            for item in _files(self.base):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    if HEX.fullmatch(item.name):
                        yield item.name, item.stat().st_mtime

    def room(self) -> Room:
        """What statvfs(3) says; space reserved for root counts as taken."""
        with _store():
            found = os.statvfs(self.base)
            return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def reap(self) -> int:
        """Half copies and half notes that a crash left."""
        count, before = 0, time.time() - ABANDONED
        with _store():
            self._require_base()
            for item in itertools.chain(_files(self.base), _files(self.journal), _entries(self.base)):
                with contextlib.suppress(FileNotFoundError):
                    if item.name.startswith(".") and item.stat().st_mtime < before:
                        Path(item).unlink()
                        count += 1
        return count

    def note(self, name: str, text: bytes) -> None:
        if not NOTE.fullmatch(name):
            raise ValueError(f"not a note's name: {name!r}")
        target = self.journal / name[:SHARD] / f"{name}.json"
        with _store():
            self._require_base()
            for directory in (self.journal, target.parent):
                _make_directory(directory)
            beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
            try:
                with beside.open("xb") as file:
                    file.write(text)
                    file.flush()
                    _settle(file, self.base)
                beside.replace(target)
            finally:
                beside.unlink(missing_ok=True)
            _sync_directory(target.parent)

    def noted(self, after: int) -> int | None:
        first = f"{after + 1:020d}"
        with _store():
            self._require_base()
            for directory in _entries(self.journal):
                for item in _entries(directory) if directory.name >= first[:SHARD] else ():
                    if item.name >= first and NOTE.fullmatch(item.name.removesuffix(".json")):
                        return int(item.name.partition("-")[0])
            return None

    def notes(self) -> Iterator[bytes]:
        with _store():
            self._require_base()
            for directory in sorted(_entries(self.journal), key=lambda each: each.name):
                for item in sorted(_entries(directory), key=lambda each: each.name):
                    if NOTE.fullmatch(item.name.removesuffix(".json")):
                        yield Path(item).read_bytes()

    def _copy(self, spooled: BinaryIO, target: Path) -> None:
        """The spool is on another filesystem: copy beside the target, then show it in one step."""
        beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        try:
            with beside.open("xb") as copy:
                shutil.copyfileobj(spooled, copy, 1 << 20)
                copy.flush()
                _settle(copy, self.base)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def _require_base(self) -> None:
        """Without its directory the store is not empty but gone: an unmounted disk."""
        self.base.stat()


@contextlib.contextmanager
def _store() -> Iterator[None]:
    """No space, no permission, a failing or read-only disk: all of it is StoreDown."""
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        if not full:  # one that is full works
            metrics.STORE_FAILURES.labels(metrics.BLOBS).inc()
        raise StoreDown(f"blobs: {error.strerror or error}", code="storage_full" if full else None) from error


def _entries(directory: os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What is in a directory; one that is not there (yet) has nothing."""
    try:
        return list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(base: Path) -> Iterator[os.DirEntry[str]]:
    """What is in the directories of `base`, one directory at a time."""
    for directory in _entries(base):
        yield from _entries(directory)


def _settle(file: BinaryIO, base: Path) -> None:
    """Give it the store's mode and group, make it young, and see it on the disk."""
    os.fchmod(file.fileno(), FILE_MODE)
    with contextlib.suppress(PermissionError):  # not a member of that group: nginx cannot read it, we can
        os.fchown(file.fileno(), -1, base.stat().st_gid)
    os.utime(file.fileno())
    os.fsync(file.fileno())


def _make_directory(directory: Path, parents: bool = False) -> None:
    """Make it with its mode whatever the umask, durable in its parent; one that is there is left alone."""
    try:
        directory.mkdir(parents=parents)
    except FileExistsError:
        return
    directory.chmod(DIRECTORY_MODE)
    _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
