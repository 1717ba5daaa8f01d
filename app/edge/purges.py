"""The purges of late: a response that was on its way while its news came is dropped when it arrives.

They are remembered for LONGEST, which no answer of at most 64 KiB takes to come. More than MOST keys of a repository
become one purge of all of it: that costs fetches, and never leaves anything behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from app.edge.entry import Entry, hashed
from app.stores.edges import Purge

LONGEST = 600.0  # seconds
MOST = 5000  # keys of a repository
ALL = ""  # stands for every repository


@dataclass(slots=True)
class _Ended:
    """What of one repository ended: the number and the time of the newest purge of all of it, and of each key."""

    number: int = 0
    at: float = 0.0
    keys: dict[int, tuple[int, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One purge as the state file has it; `key` hashed, or None; `at` in unix seconds."""

    repository: str
    key: int | None
    number: int
    at: float


class Purges:
    """Knows of any entry whether it ended lately."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._of: dict[str, _Ended] = {}
        for row in rows:
            self._add(row)

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, purge: Purge, at: float) -> None:
        key = None if purge.key is None else hashed(purge.key)
        self._add(Row(purge.repository, key, purge.number, at))

    def everything(self, number: int, at: float) -> None:
        """All of a stamp before `number` ended."""
        self._add(Row(ALL, None, number, at))

    def ended(self, entry: Entry) -> bool:
        """Whether a purge of late is newer than the entry."""
        for name in (ALL, entry.repository):
            found = self._of.get(name)
            if found and entry.stamp < max(found.number, found.keys.get(entry.key, (0, 0.0))[0]):
                return True
        return False

    def forget(self, before: float) -> None:
        """Forget purges that came before that time."""
        for name, found in list(self._of.items()):
            found.keys = {key: value for key, value in found.keys.items() if value[1] >= before}
            if found.at < before:
                found.number = 0
            if not found.keys and not found.number:
                del self._of[name]

    def rows(self) -> Iterator[Row]:
        for name, found in self._of.items():
            if found.number:
                yield Row(name, None, found.number, found.at)
            for key, (number, at) in found.keys.items():
                yield Row(name, key, number, at)

    def _add(self, row: Row) -> None:
        found = self._of.setdefault(row.repository, _Ended())
        if row.key is not None:
            found.keys[row.key] = max(found.keys.get(row.key, (0, 0.0)), (row.number, row.at))
        if row.key is None or len(found.keys) > MOST:
            found.number, found.at = max(found.number, row.number), max(found.at, row.at)
        if len(found.keys) > MOST:
            found.keys.clear()  # all had numbers up to this one's
