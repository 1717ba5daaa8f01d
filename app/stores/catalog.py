"""What is known of a key: the memory's copy while it can be trusted, else the index; the two kept in step.

copy in Redis                            answered from
of the current epoch, under 300 s        Redis: one round trip, no statement
older, of another epoch, or none         Postgres, and copied; while that is down, the older copy
negative entry of the current epoch      Redis
Redis down                               Postgres; both down: StoreDown
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from app.errors import StoreDown
from app.resource import Digest, Entry
from app.stores.base import Change, Flushed, Index, Stored
from app.stores.memory import Memory, Recollection
from app.stores.publications import Changed, Indexed, Publication

PUBLISH = (0.0, 0.6, 1.1)  # seconds before each try to tell the memory of a flush: as its breaker opens
FRESH = 300.0  # seconds a copy is trusted without asking the index
SUPERSEDED = 3600.0  # seconds for which a client may be using the index of before

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one key under `epoch`; `negative` is upstream's 404 or 410 if that is remembered.
    `missed` is such a status that only counts while upstream cannot be asked. `recorded` is False where
    Postgres is down and Redis does not know: a fill cannot be recorded. `stamp` as in Recollection: news
    up to it are older than what is told here.
    """

    epoch: int
    entry: Entry | None
    negative: int = 0
    recorded: bool = True
    missed: int = 0
    stamp: int = 0


class Catalog:
    """The index read through the memory. Only an index that is needed and down is StoreDown."""

    def __init__(self, index: Index, memory: Memory, clock: Callable[[], float] = time.time) -> None:
        self.index = index
        self.memory = memory
        self.clock = clock

    def find(self, repository: str, key: str) -> Known:
        """What is known of a key; warm: one round trip to Redis and no statement."""
        recalled = self._recall(repository, key)
        if recalled is not None and (known := self._trusted(recalled)) is not None:
            return known
        try:
            known = self.look_again(repository, key)
        except StoreDown:
            if recalled is None:
                raise
            return _outlasted(recalled)
        if known.entry is None and recalled is not None:
            self._correct(repository, key, known.epoch, recalled)
            return replace(known, missed=recalled.missed)
        return replace(known, stamp=recalled.stamp) if recalled is not None else known

    def look_again(self, repository: str, key: str) -> Known:
        """Straight from the index (after winning a lock, say); the copy is refreshed."""
        epoch, entry = self.index.find(repository, key)
        if entry is not None:
            self._copy(repository, key, epoch, entry)
        return Known(epoch, entry)

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
        with _best_effort():  # before, so that every reader is at the index, where the set changes in one moment
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
    ) -> Changed:
        """Publications.change; from now on every worker sees it."""
        changed = self.index.hosted.change(repository, new, gone, present, journal, created)
        if changed.standing is None and not changed.removed:
            with self._in_step(repository):
                self._forget_all(repository, [*(each.path for each in new), *gone])
        return changed

    def switch_index(
        self, repository: str, scope: str, built: int, files: Sequence[Indexed], present: Callable[[str], bool]
    ) -> bool:
        """Publications.switch; from now on every worker sees the whole new index. What it no longer names stays
        SUPERSEDED seconds. False where a newer one was built meanwhile."""
        with _best_effort():  # before, so that every reader is at the index, where the set changes in one moment
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
        with _best_effort():
            self.memory.remember_missing(repository, key, epoch, status, seconds, trusted)

    def damaged(self, digest: str) -> None:
        """These bytes were put aside: no cache in front is to serve what it may have of them."""
        with _best_effort():
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
            with _best_effort():
                self.memory.raise_epochs(self.index.epochs())
                return then()
        log.warning("Redis was not told: who reaches it may trust copies of before for up to %.0f s", FRESH)
        return None

    def _recall(self, repository: str, key: str) -> Recollection | None:
        """The memory's answer, None while it is down; a distrusted one is told the epochs and asked again."""
        try:
            recalled = self.memory.recall(repository, key)
            if self.memory.distrusted and self._republish():
                recalled = self.memory.recall(repository, key)
            return recalled
        except StoreDown:
            return None

    def _republish(self) -> bool:
        """Tell the memory every epoch; False while the index is down, when the memory is all there is."""
        try:
            epochs = self.index.epochs()
        except StoreDown:
            return False
        self.memory.raise_epochs(epochs)
        return True

    def _trusted(self, recalled: Recollection) -> Known | None:
        """What the memory may answer by itself."""
        if recalled.epoch is None:
            return None
        if recalled.entry is None or recalled.entry_epoch != recalled.epoch:
            return Known(recalled.epoch, None, recalled.negative) if recalled.negative else None
        fresh = abs(self.clock() - recalled.copied) < FRESH  # another node's clock may be ahead of ours
        return Known(recalled.epoch, recalled.entry, stamp=recalled.stamp) if fresh else None

    def _copy(self, repository: str, key: str, epoch: int, entry: Entry) -> None:
        with _best_effort():
            self.memory.remember(repository, key, epoch, entry, self.clock())

    @contextlib.contextmanager
    def _in_step(self, repository: str) -> Iterator[None]:
        """See that no worker trusts an old copy; those that cannot be reached now will be of an old epoch."""
        try:
            yield
        except StoreDown:
            self.index.raise_epoch(repository)

    def _correct(self, repository: str, key: str, epoch: int, recalled: Recollection) -> None:
        """The index has no such entry: drop a copy that outlived it; an unknown epoch becomes known."""
        with _best_effort():
            if recalled.entry is not None:
                self.memory.forget(repository, key)
            if recalled.epoch != epoch:
                self.memory.raise_epochs({repository: epoch} | self.index.epochs())


def _outlasted(recalled: Recollection) -> Known:
    """While the index is down: a copy of any age, unless a flush ended its epoch."""
    if recalled.entry is not None and recalled.epoch in (None, recalled.entry_epoch):
        return Known(recalled.entry_epoch, recalled.entry)
    return Known(recalled.epoch or 0, None, recorded=False, missed=recalled.missed)


@contextlib.contextmanager
def _best_effort() -> Iterator[None]:
    """A memory that is down is a slow day; it logs its failures itself."""
    try:
        yield
    except StoreDown as error:
        log.debug("not in step: %s", error.message)
