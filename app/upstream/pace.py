"""At most so many requests a second towards one upstream, with a burst of one second's worth."""

from __future__ import annotations

import threading
import time


class Pace:
    """Turns are given in the order in which they are asked for; None is no limit.

    A bucket of max(rate, 1) turns that is full at first and fills at `rate` a second, kept as the moment at which
    the next turn is due.
    """

    def __init__(self, rate: float | None) -> None:
        self._apart = 1 / rate if rate else 0.0
        self._saved = max(1.0 - self._apart, 0.0)  # seconds by which turns may come early after a pause
        self._due = 0.0
        self._lock = threading.Lock()

    def take(self, patience: float) -> bool:
        """Wait for a turn and take it; False at once where that would take more than `patience` seconds."""
        if not self._apart:
            return True
        with self._lock:
            now = time.monotonic()
            due = max(self._due, now - self._saved)
            if due - now > patience:
                return False
            self._due = due + self._apart
        time.sleep(max(due - now, 0.0))
        return True
