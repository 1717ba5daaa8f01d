"""How a team's own file becomes visible: received beside, hashed, stored, and only then recorded and journaled."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import IO

from app import journal
from app.errors import Conflict, NotFound, StoreDown
from app.fills.checksums import Checksums
from app.fills.spool import Spool
from app.maintenance import require_still_whole
from app.resource import Entry, Repository
from app.shelf import Shelf


class Upload:
    """One body on its way in; leaving the block removes what was not published."""

    def __init__(self, spools: Path, repository: str) -> None:
        self._spools = spools
        self._spool = Spool(spools, f"upload to {repository}", 0)
        self._sums = Checksums(None)
        self._scratch = ExitStack()

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._sums.finish()
        self._spool.close()
        self._scratch.close()

    @property
    def size(self) -> int:
        return self._spool.size

    @property
    def path(self) -> Path:
        return self._spool.path

    def write(self, chunk: bytes) -> None:
        self._sums.update(chunk)
        self._spool.write(chunk)

    def finish(self) -> str:
        """The sha256 in hex, once the bytes are durable."""
        digest = self._sums.finish()
        self._spool.sync()
        return digest

    def scratch(self, *_: object, **__: object) -> IO[bytes]:
        """An unnamed file on the spool's filesystem, for a part of a multipart body."""
        return self._scratch.enter_context(tempfile.TemporaryFile(dir=self._spools))


def publish(shelf: Shelf, repository: Repository, path: str, upload: Upload, content_type: str) -> Entry:
    """Record the upload as `path`; Conflict where that is there and may not be replaced. Raises StoreDown.

    What is there and has lost its bytes is repaired by an upload of the same.
    """
    require_still_whole(shelf.catalog.index, shelf.blobs)
    digest = upload.finish()
    lost = None if repository.overwrite else _lost(shelf, repository, path, digest)
    now = shelf.clock()
    entry = Entry(
        digest,
        upload.size,
        content_type,
        etag=f'"{digest}"',
        last_modified=formatdate(now, usegmt=True),
        fetched=now,
        checked=now,
    )
    shelf.blobs.adopt(upload.path, digest)
    if lost is not None:
        return lost
    number = shelf.catalog.index.next_note()

    def present() -> bool:
        return shelf.blobs.exists(digest)

    def note(fence: int) -> None:
        journal.published(shelf.blobs, number, repository.name, path, replace(entry, fence=fence))

    if shelf.catalog.publish(repository.name, path, path, entry, repository.overwrite, present, note):
        return entry
    if not shelf.blobs.exists(digest):
        raise StoreDown("the upload was collected before it was recorded; send it again", retry_after=1)
    raise _conflict(path)


def refuse_published(shelf: Shelf, repository: Repository, path: str) -> None:
    """Conflict before a body is read in vain; publish() decides again when it records."""
    if not repository.overwrite:
        entry = shelf.catalog.find(repository.name, path).entry
        if entry is not None and shelf.blobs.exists(entry.digest):
            raise _conflict(path)


def _lost(shelf: Shelf, repository: Repository, path: str, digest: str) -> Entry | None:
    """What is recorded as `path`, where these are its bytes and were damaged or lost."""
    entry = shelf.catalog.find(repository.name, path).entry
    return entry if entry is not None and entry.digest == digest and not shelf.blobs.exists(digest) else None


def _conflict(path: str) -> Conflict:
    return Conflict(f"{path} is published already", code="already_published")


def withdraw(shelf: Shelf, repository: Repository, path: str) -> None:
    """Forget `path`; NotFound where it is not there."""
    require_still_whole(shelf.catalog.index, shelf.blobs)
    number = shelf.catalog.index.next_note()

    def note(fence: int) -> None:
        journal.withdrawn(shelf.blobs, number, repository.name, path, fence)

    if not shelf.catalog.withdraw(repository.name, path, note):
        raise NotFound("no such file", code="file_not_found")
