"""What is known of a key: the memory's copy while it can be trusted, else the index's word, of which a copy is kept.

copy in Redis                            answered from
of the current epoch, under 300 s        Redis: one round trip, for any number of keys, and no statement
older, of another epoch, or none         Postgres, and copied; while that is down, the older copy
negative entry of the current epoch      Redis
Redis down                               Postgres; both down: StoreDown

Whether a local repository has files of a package is known in the same way, under a key that no path can be (HELD).
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from app.errors import StoreDown
from app.resource import Entry
from app.stores.base import Index
from app.stores.memory import Memory, Recollection

FRESH = 300.0  # seconds a copy is trusted without asking the index
HELD = "\x1fheld\x1f"  # before a package's name: the key under which it is remembered whether there are files of it
_YES, _NO = "1", "0"  # in such a copy, for a digest

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


class Recalled:
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
        return self._corrected(repository, key, known, recalled)

    def find_all(
        self,
        keys: Sequence[tuple[str, str]],
        hosts: Sequence[str] = (),
        package: str = "",
        *,
        always: int = 0,
        first: bool = False,
    ) -> tuple[list[Known], frozenset[str]]:
        """What is known of each (repository, key), and which of the local repositories `hosts` have files of the
        package: where some have, only their keys are looked for, else those of all but `hosts`, and the first
        `always` keys in any case. With `first`, what comes after one that has an entry is left out.

        Warm: one round trip for all, else one statement more for the keys and one for the package.
        """
        named = [*keys, *((host, HELD + package) for host in hosts)]
        recalled = self._recall_all(named)
        held = self._held(hosts, package, recalled[len(keys) :]) if hosts else frozenset[str]()
        wanted = [
            place
            for place, (name, _) in enumerate(keys)
            if place < always or (name in held if held else name not in hosts)
        ]
        if first:
            wanted = wanted[: self._first(recalled[place] for place in wanted)]
            keys = keys[: wanted[-1] + 1] if wanted else ()
        found = self._read_all([keys[place] for place in wanted], [recalled[place] for place in wanted])
        known = dict(zip(wanted, found, strict=True))
        return [known.get(place, Known(0, None)) for place in range(len(keys))], held

    def look_again(self, repository: str, key: str) -> Known:
        """Straight from the index (after winning a lock, say); the copy is refreshed."""
        epoch, entry = self.index.find(repository, key)
        if entry is not None:
            self._copy(repository, key, epoch, entry)
        return Known(epoch, entry)

    def _first(self, recalled: Iterable[Recollection | None]) -> int | None:
        """How many there are up to the first that has an entry; None where none has."""
        for number, each in enumerate(recalled, 1):
            known = self._trusted(each) if each is not None else None
            if known is not None and known.entry is not None:
                return number
        return None

    # -- of several keys ----------------------------------------------------------------------------------

    def _read_all(self, keys: Sequence[tuple[str, str]], recalled: Sequence[Recollection | None]) -> list[Known]:
        known = [self._trusted(each) if each is not None else None for each in recalled]
        left = [place for place, each in enumerate(known) if each is None]
        found = self._asked([keys[place] for place in left], [recalled[place] for place in left])
        more = dict(zip(left, found, strict=True))
        return [more[place] if each is None else each for place, each in enumerate(known)]

    def _asked(self, keys: Sequence[tuple[str, str]], recalled: Sequence[Recollection | None]) -> list[Known]:
        try:
            found = self.index.find_each(keys) if keys else []
        except StoreDown:
            if any(each is None for each in recalled):
                raise
            return [_outlasted(each) for each in recalled if each is not None]
        told = []
        for (repository, key), (epoch, entry), each in zip(keys, found, recalled, strict=True):
            if entry is not None:
                self._copy(repository, key, epoch, entry)
            told.append(self._corrected(repository, key, Known(epoch, entry), each))
        return told

    def _held(self, hosts: Sequence[str], package: str, recalled: Sequence[Recollection | None]) -> frozenset[str]:
        known = [self._trusted(each) if each is not None else None for each in recalled]
        if any(each is None or each.entry is None for each in known):
            known = self._asked_held(hosts, package, recalled)
        pairs = zip(hosts, known, strict=True)
        return frozenset(host for host, each in pairs if each and each.entry and each.entry.digest == _YES)

    def _asked_held(
        self, hosts: Sequence[str], package: str, recalled: Sequence[Recollection | None]
    ) -> list[Known | None]:
        try:
            found = self.index.hosted.holding(hosts, package)
        except StoreDown:
            outlasted = [_outlasted(each) for each in recalled if each is not None]
            if len(outlasted) < len(hosts) or any(each.entry is None for each in outlasted):
                raise
            return [*outlasted]
        told: list[Known | None] = []
        for host in hosts:
            epoch, holds = found[host]
            entry = Entry(_YES if holds else _NO, 0)
            self._copy(host, HELD + package, epoch, entry)
            told.append(Known(epoch, entry))
        return told

    # -- the memory's part --------------------------------------------------------------------------------

    def _recall(self, repository: str, key: str) -> Recollection | None:
        return self._recall_all(((repository, key),))[0]

    def _recall_all(self, keys: Sequence[tuple[str, str]]) -> Sequence[Recollection | None]:
        """The memory's answer, None while it is down; a distrusted one is told the epochs and asked again."""
        try:
            recalled = self.memory.recall_all(keys)
            if self.memory.distrusted and self._republish():
                recalled = self.memory.recall_all(keys)
            return recalled
        except StoreDown:
            return [None] * len(keys)

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
        with best_effort():
            self.memory.remember(repository, key, epoch, entry, self.clock())

    def _corrected(self, repository: str, key: str, known: Known, recalled: Recollection | None) -> Known:
        """What the index said, with what the memory alone knows; a copy that outlived its entry is dropped."""
        if recalled is None:
            return known
        if known.entry is not None:
            return replace(known, stamp=recalled.stamp)
        self._correct(repository, key, known.epoch, recalled)
        return replace(known, missed=recalled.missed)

    def _correct(self, repository: str, key: str, epoch: int, recalled: Recollection) -> None:
        """The index has no such entry; an unknown epoch becomes known."""
        with best_effort():
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
def best_effort() -> Iterator[None]:
    """A memory that is down is a slow day; it logs its failures itself."""
    try:
        yield
    except StoreDown as error:
        log.debug("not in step: %s", error.message)
