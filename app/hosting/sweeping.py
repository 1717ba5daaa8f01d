"""Indexes that a dead process, or a store that was down, left behind: found and built, by one node at a time."""

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

    def once(self) -> int:
        """Build what is behind; how many. Raises StoreDown."""
        with alone(self._indexer.shelf.catalog.memory, "sweep of indexes") as ours:
            return self._sweep() if ours else 0

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
