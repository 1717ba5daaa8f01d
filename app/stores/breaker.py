"""Failing fast: a store that just failed is not asked for a moment, so a dead one costs no time-outs."""

from __future__ import annotations

import logging
import time

from app.errors import StoreDown

log = logging.getLogger(__name__)


class Breaker:
    """One per process and store; open for `seconds` after each failure, then the next call is the probe."""

    def __init__(self, store: str, seconds: float) -> None:
        self.store = store
        self.seconds = seconds
        self._closed_at = 0.0

    def check(self) -> None:
        """Raises StoreDown while open."""
        rest = self._closed_at - time.monotonic()
        if rest > 0:
            raise StoreDown(f"{self.store} failed a moment ago", retry_after=rest)

    def trip(self, error: Exception) -> None:
        """Open it: the store did not answer, or failed."""
        log.warning("%s: %s", self.store, error)
        self._closed_at = time.monotonic() + self.seconds
