"""The index and the memory kept in step: whatever is changed in one is forgotten in the other."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from app.errors import StoreDown
from app.resource import Digest, Entry
from app.stores.base import Change, Flushed, Stored
from app.stores.publications import Changed, Indexed, Publication
from app.stores.recalled import FRESH as FRESH
from app.stores.recalled import HELD, Recalled, best_effort
from app.stores.recalled import Known as Known

PUBLISH = (0.0, 0.6, 1.1)  # seconds before each try to tell the memory of a flush: as its breaker opens
SUPERSEDED = 3600.0  # seconds for which a client may be using the index of before

log = logging.getLogger(__name__)


class Catalog(Recalled):
    """The index read through the memory, and changed with it. Only an index that is needed and down is StoreDown."""

    def commit(
        self,
        repository: str,
        key: str,
        path: str,
        entry: Entry,
        epoch: int,
        present: Callable[[], bool],
        replaces: int | None = None,
    ) -> bool:
        """Index.commit, then the copy."""
        recorded = self.index.commit(repository, key, path, entry, epoch, present, replaces)
        if recorded:
            self._copy(repository, key, epoch, entry)
        return recorded

    def switch(
        self,
        repository: str,
        changes: Sequence[Change],
        dropped: Sequence[str],
        epoch: int,
        present: Callable[[str], bool],
    ) -> bool:
        """Index.switch; from now on every worker sees the whole set."""
        keys = [*(change.key for change in changes), *dropped]
        with best_effort():  # before, so that every reader is at the index, where the set changes in one moment
            self._forget_all(repository, keys)
        done = self.index.switch(repository, changes, dropped, epoch, present)
        if done:
            with self._in_step(repository):
                self._forget_all(repository, keys)
        return done

    def _forget_all(self, repository: str, keys: Iterable[str]) -> None:
        for key in keys:
            self.memory.forget(repository, key)

    def record_list(
        self, repository: str, listing: str, root: str, rows: Iterable[tuple[str, Digest]], fence: int, epoch: int
    ) -> Sequence[str]:
        """Index.record_list; from now on no worker sees what the list evicted."""
        evicted = self.index.record_list(repository, listing, root, rows, fence, epoch)
        with self._in_step(repository):
            self._forget_all(repository, evicted)
        return evicted

    def change(
        self,
        repository: str,
        new: Sequence[Publication],
        gone: Sequence[str],
        present: Callable[[str], bool],
        journal: Callable[[Mapping[str, int]], None],
        created: float = 0.0,
        packages: Iterable[str] = (),
    ) -> Changed:
        """Publications.change; from now on every worker sees it, and of which packages there are files."""
        changed = self.index.hosted.change(repository, new, gone, present, journal, created)
        if changed.standing is None and not changed.removed:
            with self._in_step(repository):
                held = (HELD + package for package in sorted({*packages} - {""}))
                self._forget_all(repository, [*(each.path for each in new), *gone, *held])
        return changed

    def name(self, repository: str, packages: Mapping[bytes, str]) -> int:
        """Publications.name; from now on every worker sees it."""
        done = self.index.hosted.name(repository, packages)
        if done:
            with self._in_step(repository):
                self._forget_all(repository, sorted({HELD + package for package in packages.values()}))
        return done

    def switch_index(
        self, repository: str, scope: str, built: int, files: Sequence[Indexed], present: Callable[[str], bool]
    ) -> bool:
        """Publications.switch; from now on every worker sees the whole new index. What it no longer names stays
        SUPERSEDED seconds. False where a newer one was built meanwhile."""
        with best_effort():  # before, so that every reader is at the index, where the set changes in one moment
            self._forget_all(repository, [each.path for each in files])
        now = self.clock()
        changed = self.index.hosted.switch(repository, scope, built, files, now + SUPERSEDED, now, present)
        if changed is not None:
            with self._in_step(repository):
                self._forget_all(repository, changed)
        return changed is not None

    def expire_indexes(self) -> None:
        """Publications.expire of all; from now on no worker sees those files."""
        now, hosted = self.clock(), self.index.hosted
        for repository, scope in hosted.expiring(now):
            gone = hosted.expire(repository, scope, now)
            with self._in_step(repository):
                self._forget_all(repository, gone)

    def forget_hosted(self, repository: str, path: str, fence: int) -> bool:
        """Publications.forget; from now on no worker sees the file."""
        forgotten = self.index.hosted.forget(repository, path, fence)
        if forgotten:
            with self._in_step(repository):
                self.memory.forget(repository, path)
        return forgotten

    def forget(self, repository: str, key: str, fence: int | None = None) -> bool:
        """Index.forget; from now on no worker sees the entry."""
        forgotten = self.index.forget(repository, key, fence)
        if forgotten:
            with self._in_step(repository):
                self.memory.forget(repository, key)
        return forgotten

    def forget_all(self, repository: str, fences: Mapping[str, int]) -> Sequence[str]:
        """Index.forget of each key under its fence; from now on no worker sees those entries; their keys.

        While the memory is down, one epoch ends for all of them.
        """
        forgotten: list[str] = []
        try:
            for key, fence in fences.items():
                forgotten += [key] * self.index.forget(repository, key, fence)
        finally:
            if forgotten:
                with self._in_step(repository):
                    self._forget_all(repository, forgotten)
        return forgotten

    def remember_missing(
        self, repository: str, key: str, epoch: int, status: int, seconds: float, trusted: bool = True
    ) -> None:
        """Keep upstream's "no such thing" for so many seconds; see Memory."""
        with best_effort():
            self.memory.remember_missing(repository, key, epoch, status, seconds, trusted)

    def damaged(self, digest: str) -> None:
        """These bytes were put aside: no cache in front is to serve what it may have of them."""
        with best_effort():
            self.memory.edges.purge(sorted({each.repository for each in self.index.referring(digest)}))

    def flush(self, repository: str, prefix: str = "", expire: bool = False) -> tuple[Flushed, int | None]:
        """Index.flush, and how many copies the memory lost by it; None where it could not be told that their epoch
        is over: who still reaches it may trust them while they are FRESH."""
        flushed = self.index.flush(repository, prefix, expire)
        return flushed, self._tell(lambda: self.memory.flush(repository))

    def restore(self, files: Iterable[Stored], repositories: Iterable[str] = ()) -> tuple[int, bool]:
        """Index.restore, and whether from now on no worker trusts a copy of before; see flush()."""
        restored = self.index.restore(files, repositories)
        return restored, self._tell(lambda: 0) is not None

    def _tell(self, then: Callable[[], int]) -> int | None:
        """Tell the memory every epoch, and what `then` returns after that; None while it is down."""
        for pause in PUBLISH:  # a hiccup of one process must not leave the others trusting old copies
            time.sleep(pause)
            with best_effort():
                self.memory.raise_epochs(self.index.epochs())
                return then()
        log.warning("Redis was not told: who reaches it may trust copies of before for up to %.0f s", FRESH)
        return None

    @contextlib.contextmanager
    def _in_step(self, repository: str) -> Iterator[None]:
        """See that no worker trusts an old copy; those that cannot be reached now will be of an old epoch."""
        try:
            yield
        except StoreDown:
            self.index.raise_epoch(repository)
