"""Bytes that are still arriving, on disk: who writes them, how far they are, whether their writer lives.

    spool/<sha256 of the fill's name>.<fence>        the bytes; their number is the progress
    spool/<sha256 of the fill's name>.<fence>.json   Head, renamed into place before byte one
    spool/<token>.lock                               the Redis lock held under that token, from before upstream is
                                                     asked until it is released

The writer holds flock on the bytes until they are committed or given up, and on the note of its lock, so "a
non-blocking flock succeeds" means that the writer is dead, and reap() clears what it left.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from app.errors import StoreDown

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

full = threading.Event()  # set where a disk was full; whoever makes room in this process clears it


@dataclass(frozen=True, slots=True)
class Head:
    """What upstream's headers say of a body; `length` in bytes, None while unknown; `kept` as in Entry."""

    content_type: str
    length: int | None
    etag: str | None = None
    last_modified: str | None = None
    kept: str = ""

    def to_line(self) -> str:
        """As one header's value, for another node."""
        return base64.b64encode(json.dumps(asdict(self)).encode()).decode("ascii")

    @classmethod
    def from_line(cls, line: str) -> Head:
        """Raises ValueError or TypeError where `line` is none of to_line()'s."""
        return cls(**json.loads(base64.b64decode(line, validate=True)))


@dataclass(frozen=True, slots=True)
class Orphan:
    """What a dead writer left behind: the lock that it held, by name and token."""

    lock: str
    token: str


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = None
        if error.errno in FULL:
            code = "storage_full"
            full.set()
        raise StoreDown(f"the spool cannot be written: {error.strerror}", code=code) from error


class Spool:
    """One body being written; raises StoreDown where the disk is full or broken."""

    def __init__(self, directory: Path, name: str, fence: int) -> None:
        stem = hashlib.sha256(name.encode()).hexdigest()
        self.path = directory / f"{stem}.{fence or secrets.token_hex(8)}"
        self.size = 0
        with _disk():
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX)
            except OSError:
                self.close()
                raise

    @property
    def sidecar(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def _beside(self) -> Path:
        return self.path.with_name(self.path.name + ".new")

    def describe(self, head: Head) -> None:
        """Write the sidecar, whole or not at all; a body that has no room is refused before its first byte."""
        with _disk():
            if head.length is not None and head.length > _room(self.fd):
                raise OSError(errno.ENOSPC, "less room than the body will take")
            self._beside.write_text(json.dumps({"head": asdict(head)}))
            self._beside.rename(self.sidecar)

    def write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        with _disk():
            while view:
                written = os.write(self.fd, view)
                self.size += written
                view = view[written:]

    def reader(self) -> int:
        """Another descriptor of the bytes, the receiver's to close."""
        with _disk():
            return os.dup(self.fd)

    def sync(self) -> None:
        """Return when the bytes survive a loss of power."""
        with _disk():
            os.fsync(self.fd)

    def close(self) -> None:
        """Remove what is still on disk under the spool's own names; adopted bytes have moved away."""
        for path in (self.path, self.sidecar, self._beside):
            path.unlink(missing_ok=True)
        os.close(self.fd)


def _room(fd: int) -> float:
    """Bytes that its filesystem has left; any number where that does not know its size."""
    found = os.fstatvfs(fd)
    return found.f_bavail * found.f_frsize if found.f_blocks else math.inf


@contextlib.contextmanager
def noted(directory: Path, lock: str, token: str) -> Iterator[None]:
    """A note that this process holds a lock: should it die, its successor frees the lock, else it would lapse.

    Without a token there is no lock; a disk that cannot take the note will fail the download where it matters.
    """
    path = directory / f"{token.partition('@')[0]}.lock"  # what follows is an address
    with contextlib.ExitStack() as kept:
        with contextlib.suppress(OSError):
            if token:
                note = kept.enter_context(path.open("xb", buffering=0))  # with a buffer, closing would fail again
                kept.callback(path.unlink, missing_ok=True)
                fcntl.flock(note, fcntl.LOCK_EX)
                note.write(json.dumps({"lock": lock, "token": token}).encode())
        yield


def reap(directory: Path, age: float = 0.0) -> list[Orphan]:
    """Delete what dead writers left; the locks that they held.

    What was written in the last `age` seconds is left alone: its writer may be about to take its lock on it.
    """
    orphans = []
    before = time.time() - age
    for path in list(directory.iterdir()):
        if age and _written(path) > before:
            continue
        if path.suffix in (".json", ".new"):
            if not path.with_suffix("").exists():
                path.unlink(missing_ok=True)
        elif _dead(path):
            orphans += _bury(path)
    return orphans


def _written(path: Path) -> float:
    """When, in unix seconds; any time where it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _dead(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _bury(path: Path) -> list[Orphan]:
    found = []
    if path.suffix == ".lock":
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # it died while it wrote
            told = json.loads(path.read_text(encoding="utf-8"))
            found.append(Orphan(str(told["lock"]), str(told["token"])))
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".json").unlink(missing_ok=True)
    return found
