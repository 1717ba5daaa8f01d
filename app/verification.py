"""Stored bytes read again: which are not what their name says, and what becomes of whoever refers to them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from app.errors import StoreDown
from app.repositories import Repositories
from app.repositories.directory import Directory
from app.stores.base import Index, Stored
from app.stores.blobs import Blobs
from app.stores.catalog import Catalog

CHUNK = 1 << 20  # bytes read at a time
PAGE = 1000  # entries of one look into the index


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are wrong, or not here (`missing`), and who referred to them: `forgotten` entries of remotes are
    fetched anew at their next request, `kept` files answer 503 until they are published again."""

    digest: str
    missing: bool
    forgotten: tuple[Stored, ...]
    kept: tuple[Stored, ...]


@dataclass(slots=True)
class Tally:
    """How far it is; `unread` are digests that the store did not give, which proves nothing about them."""

    blobs: int = 0
    bytes: int = 0
    unread: list[str] = field(default_factory=list)


class Verification:
    """One run, safe beside a running server; at most `rate` bytes a second are read (0: any number).

    `progress` is called often."""

    def __init__(
        self,
        catalog: Catalog,
        blobs: Blobs,
        known: Repositories | Directory,
        progress: Callable[[Tally], None],
        rate: int = 0,
    ) -> None:
        self.tally = Tally()
        self._progress = progress
        self._catalog = catalog
        self._blobs = blobs
        self._known = known
        self._rate = rate
        self._aside: set[str] = set()
        self._begun = time.monotonic()

    def run(self, repository: str | None) -> Iterator[Damage]:
        """Damage as it is found, in every stored blob or in those of one repository. Raises StoreDown."""
        names = [repository] if repository is not None else list(self._known.locals)
        if repository is None:
            for digest, _ in self._blobs.walk():
                yield from self._checked(digest)
        for digest in dict.fromkeys(each.entry.digest for name in names for each in pages(self._catalog.index, name)):
            if digest in self._aside:
                continue
            if not self._blobs.exists(digest):
                yield self._referred(digest, missing=True)
            elif repository is not None:
                yield from self._checked(digest)

    def _checked(self, digest: str) -> Iterator[Damage]:
        """Read twice before it is called damaged: it may have been replaced while it was read."""
        try:
            if self._whole(digest) or self._whole(digest):
                return
        except StoreDown:
            self.tally.unread.append(digest)
            return
        self._blobs.quarantine(digest)
        self._catalog.damaged(digest)
        self._aside.add(digest)
        yield self._referred(digest, missing=False)

    def _whole(self, digest: str) -> bool:
        """Also where it is gone by now: then it is somebody else's business."""
        file = self._blobs.open(digest)
        if file is None:
            return True
        self.tally.blobs += 1
        with file:
            return self._sum(file) == digest

    def _sum(self, file: BinaryIO) -> str:
        """The sha256 in hex; "" where the disk cannot read the bytes."""
        found = hashlib.sha256()
        try:
            while chunk := file.read(CHUNK):
                found.update(chunk)
                self.tally.bytes += len(chunk)
                self._progress(self.tally)
                self._slow_down()
        except OSError:
            return ""
        return found.hexdigest()

    def _slow_down(self) -> None:
        if self._rate:
            ahead = self._begun + self.tally.bytes / self._rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)

    def _referred(self, digest: str, missing: bool) -> Damage:
        """Forget what can be fetched again, which is what remotes have; everything else is kept."""
        forgotten, kept = [], []
        fences: dict[str, dict[str, int]] = {}
        for each in self._catalog.index.referring(digest):
            if each.repository in self._known.remotes:
                fences.setdefault(each.repository, {})[each.key or each.path] = each.entry.fence
                forgotten.append(each)
            else:
                kept.append(each)
        for repository, keys in fences.items():
            self._catalog.forget_all(repository, keys)
        return Damage(digest, missing, tuple(forgotten), tuple(kept))


def pages(index: Index, repository: str) -> Iterable[Stored]:
    """Every entry of a repository, in the order of paths."""
    after = ""
    while page := index.listing(repository, after=after, limit=PAGE):
        yield from page
        after = page[-1].path
