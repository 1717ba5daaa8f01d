"""Bytes that are still arriving, on disk: who writes them, how far they are, whether their writer lives.

    spool/<sha256 of the fill's name>.<fence>        the bytes; their number is the progress
    spool/<sha256 of the fill's name>.<fence>.json   Head, renamed into place before byte one
    spool/<token>.lock                               the Redis lock held under that token, from before upstream is
                                                     asked until it is released

The writer holds flock on the bytes until they are committed or given up, and on the note of its lock, so "a
non-blocking flock succeeds" means that the writer is dead, and reap() clears what it left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from app.errors import StoreDown


@dataclass(frozen=True, slots=True)
class Head:
    """What upstream's headers say of a body; `length` in bytes, None while unknown; `kept` as in Entry."""

    content_type: str
    length: int | None
    etag: str | None = None
    last_modified: str | None = None
    kept: str = ""


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
        code = "storage_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
        raise StoreDown(f"the spool cannot be written: {error.strerror}", code=code) from error


class Spool:
    """One body being written; raises StoreDown where the disk is full or broken."""

    def __init__(self, directory: Path, name: str, fence: int) -> None:
        stem = hashlib.sha256(name.encode()).hexdigest()
        self.path = directory / f"{stem}.{fence or secrets.token_hex(8)}"
        self.size = 0
        with _disk():
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            fcntl.flock(self.fd, fcntl.LOCK_EX)

    @property
    def sidecar(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def describe(self, head: Head) -> None:
        """Write the sidecar, whole or not at all."""
        beside = self.path.with_name(self.path.name + ".new")
        with _disk():
            beside.write_text(json.dumps({"head": asdict(head)}))
            beside.rename(self.sidecar)

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
        self.path.unlink(missing_ok=True)
        self.sidecar.unlink(missing_ok=True)
        os.close(self.fd)


@contextlib.contextmanager
def noted(directory: Path, lock: str, token: str) -> Iterator[None]:
    """A note that this process holds a lock: should it die, its successor frees the lock, else it would lapse.

    Without a token there is no lock; a disk that cannot take the note will fail the download where it matters.
    """
    path = directory / f"{token}.lock"
    with contextlib.ExitStack() as kept:
        with contextlib.suppress(OSError):
            if token:
                note = kept.enter_context(path.open("x", encoding="utf-8"))
                kept.callback(path.unlink, missing_ok=True)
                fcntl.flock(note, fcntl.LOCK_EX)
                note.write(json.dumps({"lock": lock, "token": token}))
                note.flush()
        yield


def reap(directory: Path) -> list[Orphan]:
    """Delete what dead writers left; the locks that they held."""
    orphans = []
    for path in list(directory.iterdir()):
        if path.suffix in (".json", ".new"):
            if not path.with_suffix("").exists():
                path.unlink(missing_ok=True)
        elif _dead(path):
            orphans += _bury(path)
    return orphans


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
