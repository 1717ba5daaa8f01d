"""Which entries were served lately, and who pulled what: gathered in memory, written to the index in batches."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from app import metrics
from app.errors import StoreDown
from app.resource import Resource
from app.stores.base import Index
from app.stores.pulls import HIGHEST, MINUTE, Pull, Pulls, address
from app.web.ticker import Ticker

log = logging.getLogger(__name__)

EVERY = 10.0  # seconds between two batches
NOTED = 5.0  # the same of uses: eviction waits for so long before it goes by them (app/eviction.py)
FEW = 500  # entries of a batch in which each is noted as of its last use: of a million, too, 30 us of Postgres each
COARSE = 300.0  # seconds within which a second use is not noted again, in batches of more than FEW
MOST = 10_000  # entries of one batch: when so many have gathered it is sent at once
REMEMBERED = 50_000  # entries that are known to be noted; what is forgotten is noted again, which changes nothing
EARLY, ROWS = 5_000, 20_000  # rows of the record at which they are written at once, and beyond which none is added


@dataclass(frozen=True, slots=True)
class Artifact:
    """What was served: an entry's key and path, and the sha256 in hex of its bytes, "" where nobody knows it.

    `repository` is whose entry it is, "" for the one that was asked; `made_of` are the entries (repository, key) that
    it is kept in step with, which are used as often."""

    key: str
    path: str
    digest: str = ""
    repository: str = ""
    made_of: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, resource: Resource, digest: str = "") -> Artifact:
        made_of = tuple((each.repository.name, each.key) for each in resource.sources)
        return cls(resource.key, resource.path, digest, resource.repository.name, made_of)


class Usage:
    """One per process, for many threads; no request waits for it.

    While few entries are in use each is noted as of its last use, so that what was used before another goes before
    it; of a crowd an entry is noted once in COARSE seconds, by whichever process is first."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], float] = {}
        self._noted: set[int] = set()  # hashes: two that are equal cost one of them its note
        self._forget_at = 0.0
        self._ticker = Ticker("usage", NOTED, self.flush)

    def add(self, repository: str, key: str) -> None:
        """This entry was served just now."""
        used = (repository, key)
        with self._lock:
            if hash(used) in self._noted:
                return
            if len(self._keys) >= MOST and used not in self._keys:
                self._ticker.hasten()
                return  # what is beyond it is noted at its next use
            self._keys[used] = time.time()
            self._ticker.begin()

    def flush(self) -> None:
        """Note what has gathered; where the index is down it stays for the next time."""
        with self._lock:
            keys, self._keys = self._keys, {}
            if self._noted and time.monotonic() >= self._forget_at:
                self._noted = set()
        if not keys:
            return
        try:
            self._index.used(keys, COARSE if len(keys) > FEW else 0.0)
        except StoreDown:
            with self._lock:
                self._keys = keys | self._keys if len(self._keys) + len(keys) <= MOST else self._keys
            return
        if len(keys) > FEW:
            self._remember({hash(used) for used in keys})

    def _remember(self, noted: set[int]) -> None:
        with self._lock:
            if not self._noted or len(self._noted) + len(noted) > REMEMBERED:
                self._noted = set()
                self._forget_at = time.monotonic() + COARSE
            self._noted |= noted

    def close(self) -> None:
        """Note what is left and end."""
        self._ticker.close()


class Record(Protocol):
    """Where every pull is told to."""

    def add(
        self, repository: str, artifact: Artifact, client: str, at: float, requests: int = 1, sent: int = 0
    ) -> None:
        """This client was served it so often at `at` (unix seconds), with `sent` bytes of bodies."""

    def close(self) -> None:
        """Write what is left and end."""


class Unrecorded:
    """PULLS_KEEP=0: nobody asks who pulled what."""

    def add(
        self, repository: str, artifact: Artifact, client: str, at: float, requests: int = 1, sent: int = 0
    ) -> None:
        """See Record."""

    def close(self) -> None:
        """See Record."""


class Gathered:
    """The record of one process, for many threads; a request costs it a look into a dict, never a statement.

    While the index is down rows are kept for the next time, ROWS of them; the pulls of the others are counted in a
    metric and told in the log. A process that is killed takes the last EVERY seconds with it. A write of which
    nobody knows whether it was done is done again: `requests` may be too high then, no client is missing.
    """

    def __init__(self, pulls: Pulls) -> None:
        self._pulls = pulls
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str, str, str, int], list[int]] = {}
        self._lost = 0
        self._ticker = Ticker("pulls", EVERY, self.flush)

    def add(
        self, repository: str, artifact: Artifact, client: str, at: float, requests: int = 1, sent: int = 0
    ) -> None:
        """See Record."""
        about = (repository, artifact.path, artifact.digest, client, int(at // MINUTE))
        with self._lock:
            row = self._rows.get(about)
            if row is None:
                row = self._begun(about, requests)
            _count(row, requests, sent)

    def _begun(self, about: tuple[str, str, str, str, int], requests: int) -> list[int]:
        """A new row, or one that nobody will write where there are too many; the lock is held."""
        if len(self._rows) >= ROWS:
            self._lost += requests
            return [0, 0]
        row = self._rows[about] = [0, 0]
        if len(self._rows) == EARLY:
            self._ticker.hasten()
        self._ticker.begin()
        return row

    def flush(self) -> None:
        """Write what has gathered; where the index is down it stays for the next time."""
        with self._lock:
            rows, self._rows = self._rows, {}
        refused = 0
        try:
            refused = self._pulls.record(
                Pull(repository, path, digest, address(client), minute * MINUTE, *counts)
                for (repository, path, digest, client, minute), counts in rows.items()
            )
        except StoreDown:
            self._keep(rows)
        self._tell(refused)

    def _keep(self, rows: dict[tuple[str, str, str, str, int], list[int]]) -> None:
        """For the next time, the older ones first."""
        with self._lock:
            newer, self._rows = self._rows, rows
            for about, (requests, sent) in newer.items():
                row = self._rows.get(about)
                if row is None and len(self._rows) >= ROWS:
                    self._lost += requests
                    continue
                _count(self._rows.setdefault(about, [0, 0]), requests, sent)

    def _tell(self, refused: int) -> None:
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            log.warning("%d pulls are not in the record: too many at once, or the database is away", lost)
        if refused:
            log.error("%d pulls are not in the record: the database takes no such values", refused)
        metrics.UNRECORDED.inc(lost + refused)

    def close(self) -> None:
        """See Record."""
        self._ticker.close()


def _count(row: list[int], requests: int, sent: int) -> None:
    """Numbers that the index can write: one that it cannot would cost the others of its batch."""
    row[0] = min(row[0] + requests, HIGHEST)
    row[1] = min(row[1] + sent, HIGHEST)
