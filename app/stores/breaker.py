"""Failing fast: a store that just failed is not asked for a moment, so a dead one costs next to no time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from app import metrics
from app.errors import StoreDown

LONGEST = 4.0  # seconds between two tries, at most: what is back is found within five

log = logging.getLogger(__name__)


class Breaker:
    """One per process and store; open for `seconds` after a first failure, and twice as long after each further
    one. The call after that is the probe."""

    def __init__(self, store: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = 0.0  # seconds that the last failure cost; 0 while the store works
        self._opens = 0.0
        self._probing = False

    @property
    def failing(self) -> bool:
        """Whether nothing has worked since the last failure."""
        return self._pause > 0

    def check(self, probing: bool = False) -> None:
        """Raises StoreDown while open. A `probing` caller is the only one let through for a while; it ends that
        by mend() or trip()."""
        if not self._pause:
            return
        with self._lock:
            now = self._clock()
            if now < self._opens:
                raise StoreDown(f"{self.store} failed a moment ago", retry_after=self._opens - now)
            if probing:
                self._opens, self._probing = now + self._pause, True

    def trip(self, error: Exception) -> None:
        """Open it: the store did not answer, or failed."""
        metrics.STORE_FAILURES.labels(self.store.lower()).inc()
        with self._lock:
            now = self._clock()
            if now < self._opens and not self._probing:
                return  # it was asked before the failure that opened this
            again = self._probing or now < self._opens + LONGEST
            self._pause = min(self._pause * 2, LONGEST) if self._pause and again else self.seconds
            self._opens, self._probing = now + self._pause, False
        log.warning("%s is not asked for %.1f s: %s", self.store, self._pause, error)

    def mend(self) -> None:
        """Close it: the store has done something."""
        if self._pause:
            with self._lock:
                self._pause, self._opens, self._probing = 0.0, 0.0, False
            log.info("%s works again", self.store)
