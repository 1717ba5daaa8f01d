"""How far the news were applied, and how far a node is told so.

    poll with cursor n    says that number n is acknowledged: a look that began SETTLING after n was applied has ended

So an answer that a node gave before n, and that takes up to SETTLING to arrive, is dropped before anybody is promised
that no edge serves what n ended. Until then the node tells the same news again.
"""

from __future__ import annotations

from collections import deque

SETTLING = 0.5  # seconds


class Cursor:
    """Times are those of time.monotonic()."""

    def __init__(self, number: int) -> None:
        self.acknowledged = self.applied = number
        self._waiting: deque[tuple[int, float]] = deque()  # what was applied, and when

    def apply(self, number: int, at: float) -> None:
        self.applied = number
        self._waiting.append((number, at))

    def looked(self, begun: float) -> None:
        """A look that began then has ended: it found what had arrived by then."""
        while self._waiting and self._waiting[0][1] + SETTLING <= begun:
            self.acknowledged, _ = self._waiting.popleft()

    def unleased(self) -> None:
        """Nothing is served of what nginx keeps, whatever arrives."""
        self.acknowledged = self.applied
        self._waiting.clear()

    def restart(self) -> None:
        """Begin as one that knows nothing."""
        self.apply(0, 0.0)
        self.unleased()
