"""Which entries were served lately: gathered in memory, noted in the index in batches, for eviction to go by."""

from __future__ import annotations

import threading
import time

from app.errors import StoreDown
from app.stores.base import Index

EVERY = 10.0  # seconds between two batches
COARSE = 3600.0  # seconds within which a second use of an entry is not noted again
MOST = 10_000  # entries of one batch: when so many have gathered it is sent at once
REMEMBERED = 50_000  # entries that are known to be noted; what is forgotten is noted again, which changes nothing


class Usage:
    """One per process, for many threads; no request waits for it, and a hot entry costs a statement an hour."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._keys: set[tuple[str, str]] = set()
        self._noted: set[int] = set()  # hashes: two that are equal cost one of them its note
        self._forget_at = 0.0
        self._ticker: threading.Thread | None = None
        self._due, self._ended = threading.Event(), False

    def add(self, repository: str, key: str) -> None:
        """This entry was served just now."""
        used = (repository, key)
        with self._lock:
            if hash(used) in self._noted or used in self._keys:
                return
            if len(self._keys) >= MOST:
                self._due.set()
                return  # what is beyond it is noted at its next use
            self._keys.add(used)
            if self._ticker is None:  # only now: a thread started before the fork would be lost
                self._ticker = threading.Thread(target=self._tick, name="usage", daemon=True)
                self._ticker.start()

    def flush(self) -> None:
        """Note what has gathered; where the index is down it stays for the next time."""
        with self._lock:
            keys, self._keys = self._keys, set()
        if not keys:
            return
        try:
            self._index.used(sorted(keys), time.time(), COARSE)
        except StoreDown:
            with self._lock:
                self._keys |= keys if len(self._keys) + len(keys) <= MOST else set()
            return
        self._remember({hash(used) for used in keys})

    def _remember(self, noted: set[int]) -> None:
        with self._lock:
            if time.monotonic() >= self._forget_at or len(self._noted) + len(noted) > REMEMBERED:
                self._noted = set()
                self._forget_at = time.monotonic() + COARSE
            self._noted |= noted

    def _tick(self) -> None:
        while not self._ended:
            self._due.wait(EVERY)
            self._due.clear()
            self.flush()

    def close(self) -> None:
        """Note what is left and end."""
        self._ended = True
        self._due.set()
        if self._ticker is not None:
            self._ticker.join()
        self.flush()
