"""Indexes that a dead process, or a store that was down, left behind: found and built, by one node at a time.

Hourly also what indexes left that no later one clears: superseded files of a scope in which nothing happens any more,
and scopes that had not one file for an hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

from app.errors import StoreDown
from app.hosting.index import Indexer
from app.maintenance import alone
from app.resource import Repository
from app.stores.publications import Publications

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds between two looks
HOURLY = 3600.0  # seconds between two looks at what indexes left
MOST = 10_000  # scopes without a file that are forgotten at a time
RESTS = (10.0, 300.0)  # seconds after which an index that cannot be built is tried again: at first, at most


def behind(hosted: Publications) -> Iterator[tuple[str, str, int]]:
    """(repository, scope, changed) of every index that is behind. Raises StoreDown."""
    after = ("", "")
    while batch := hosted.unbuilt(after):
        after = batch[-1][:2]
        yield from batch


class Sweep:
    """One per node; `find` knows the repositories."""

    def __init__(self, indexer: Indexer, find: Callable[[str], Repository | None]) -> None:
        self._indexer, self._find = indexer, find
        self._rests: dict[tuple[str, str], tuple[float, float]] = {}  # until when (monotonic), for how long
        self._cleared = float("-inf")  # when (monotonic)
        self._unused: frozenset[tuple[str, str, int]] = frozenset()

    def once(self) -> int:
        """Build what is behind; how many. Raises StoreDown."""
        with alone(self._indexer.shelf.catalog.memory, "sweep of indexes") as ours:
            if ours and time.monotonic() - self._cleared >= HOURLY:
                self._cleared = time.monotonic()
                self.clear()
            return self._sweep() if ours else 0

    def clear(self) -> None:
        """What indexes left goes; a scope, where it was without a file the last time too. Raises StoreDown."""
        catalog = self._indexer.shelf.catalog
        catalog.expire_indexes()
        unused = catalog.index.hosted.unused(MOST)
        catalog.index.hosted.forget_unused(unused & self._unused)
        self._unused = unused

    def until(self, stop: Callable[[float], bool]) -> None:
        """Again and again; `stop` waits so many seconds and says whether to end."""
        while True:
            try:
                self.once()
            except StoreDown as error:
                log.debug("indexes are not looked after: %s", error.message)
            except Exception:
                log.exception("indexes are not looked after, by a defect")
            if stop(EVERY):
                return

    def _sweep(self) -> int:
        done, seen = 0, set()
        for name, scope, changed in behind(self._indexer.shelf.catalog.index.hosted):
            seen.add((name, scope))
            repository = self._find(name)
            if repository is not None and self._is_due((name, scope)):
                done += self._tried((name, scope), partial(self._indexer.settle, repository, {scope: changed}))
        self._rests = {key: rest for key, rest in self._rests.items() if key in seen}
        return done

    def _is_due(self, key: tuple[str, str]) -> bool:
        return time.monotonic() >= self._rests.get(key, (0.0, 0.0))[0]

    def _tried(self, key: tuple[str, str], build: Callable[[], bool]) -> bool:
        if build():
            self._rests.pop(key, None)
            return True
        rest = min(2 * self._rests[key][1], RESTS[1]) if key in self._rests else RESTS[0]
        self._rests[key] = time.monotonic() + rest, rest
        return False
