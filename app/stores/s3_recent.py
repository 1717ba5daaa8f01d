"""Which large objects this process found in S3 a moment ago, so that nobody asks again whether they are there."""

from __future__ import annotations

import time
from collections.abc import Callable

LATELY = 10.0  # seconds; as long may a worker take what is gone from the bucket for stored
MOST = 4096  # objects


class Recent:
    """Sizes by key, of what was found less than LATELY seconds ago."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, tuple[int, float]] = {}

    def size(self, key: str) -> int | None:
        """In bytes; None where it must be asked for."""
        size, until = self._found.get(key, (0, 0.0))
        return size if self._clock() < until else None

    def found(self, key: str, size: int) -> None:
        if len(self._found) >= MOST:
            self._found = {}  # asked for once more: cheaper than an order of use
        self._found[key] = (size, self._clock() + LATELY)

    def lost(self, key: str) -> None:
        """Removed, changed, or S3 did not give it."""
        self._found.pop(key, None)
