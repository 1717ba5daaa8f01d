"""When each token was last used: gathered in memory, written in batches; no request waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from app.errors import StoreDown
from app.web.ticker import Ticker

EVERY = 10.0  # seconds between two batches
COARSE = 300.0  # seconds within which a second use is not noted again
MOST = 10_000  # tokens that are known to be noted; what is forgotten is noted again, which changes nothing


class TokenUse:
    """One per process, for many threads. What a killed process had gathered is lost."""

    def __init__(self, write: Callable[[Mapping[int, float]], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._due: dict[int, float] = {}
        self._noted: dict[int, float] = {}
        self._ticker = Ticker("tokens", EVERY, self.flush)

    def add(self, token: int, at: float) -> None:
        """Token number `token` opened something at `at` (unix seconds); 0 is none."""
        with self._lock:
            if not token or at - self._noted.get(token, 0.0) < COARSE:
                return
            if len(self._noted) >= MOST:
                self._noted.clear()
            self._due[token] = self._noted[token] = at
            self._ticker.begin()

    def flush(self) -> None:
        """Write what has gathered; where that fails, the next use is noted again."""
        with self._lock:
            due, self._due = self._due, {}
        if due:
            try:
                self._write(due)
            except StoreDown:
                with self._lock:
                    for token in due:
                        self._noted.pop(token, None)

    def close(self) -> None:
        """Write what is left and end."""
        self._ticker.close()
