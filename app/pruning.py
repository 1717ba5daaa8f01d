"""What becomes of the record of pulls: a row is dropped PULLS_KEEP after its minute, a few thousand at a time.

One node of a fleet does it at a time (the Redis lock `pruning`); while Redis is down every node does, which is only
more work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from app.errors import StoreDown
from app.maintenance import alone
from app.stores.catalog import Catalog

log = logging.getLogger(__name__)

EVERY = 600.0  # seconds between two rounds
BATCH = 5000  # rows of one transaction, each a fraction of a second
PAUSE = 0.2  # seconds between two of them: others write there, too
TIDIED = 86400.0  # seconds between two looks for artifacts of which no pull is left: each reads all of them


class Pruning:
    """One a node, on a thread of its own; `keep` in seconds, 0 for nothing. `clock` gives unix seconds."""

    def __init__(self, catalog: Catalog, keep: int, clock: Callable[[], float] = time.time) -> None:
        self._catalog = catalog
        self._keep = keep
        self._clock = clock
        self._tidied = -TIDIED
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="pruning", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the batch it is at."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5)

    def round(self) -> int:
        """Drop what is too old; how many pulls that were. Raises StoreDown."""
        with alone(self._catalog.memory, "pruning") as mine:
            return self._prune() if mine else 0

    def _prune(self) -> int:
        pulls, before = self._catalog.index.pulls, self._clock() - self._keep
        dropped = self._all(lambda: pulls.prune(before, BATCH))
        if time.monotonic() - self._tidied >= TIDIED and not self._ended.is_set():
            self._tidied = time.monotonic()
            self._all(lambda: pulls.tidy(before, BATCH))
        return dropped

    def _all(self, drop: Callable[[], int]) -> int:
        """One batch after the other, until one is not full."""
        dropped = 0
        while not self._ended.is_set():
            dropped += (count := drop())
            if count < BATCH or self._ended.wait(PAUSE):
                break
        return dropped

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                if dropped := self.round():
                    log.info("pruned the record of pulls", extra={"fields": {"rows": dropped}})
            except StoreDown as error:
                log.warning("the record of pulls is not pruned: %s", error.message)
            except Exception:
                log.exception("the record of pulls is not pruned, by a defect")
