"""One child that must run: when it may be started again after a crash, and when to give up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from app.supervisor.processes import Process, StartError

MOST_CRASHES = 5
WITHIN = 30.0  # seconds


@dataclass(slots=True)
class Watched:
    """A name, how to start it, and what it does now; `clock` is monotonic seconds."""

    name: str
    spawn: Callable[[], Process]
    clock: Callable[[], float] = time.monotonic
    process: Process | None = None
    _crashes: deque[float] = field(default_factory=deque)
    _due: float = 0.0

    def start(self) -> None:
        self.process = self.spawn()

    def crashed(self) -> str | None:
        """Why it ended, once for each time it did; whatever it left running is killed."""
        if self.process is None or (status := self.process.ended()) is None:
            return None
        reason = f"status {status}" if status >= 0 else f"signal {-status}"
        words = self.process.last_words()
        self.process.bury()
        self.process = None
        self._rest()
        return f"{reason}: {words}" if words else reason

    def _rest(self) -> None:
        """Start the first time at once, then after 0.5, 1, 2, 4 seconds; StartError after too many."""
        now = self.clock()
        self._crashes.append(now)
        while self._crashes[0] < now - WITHIN:
            self._crashes.popleft()
        if len(self._crashes) > MOST_CRASHES:
            raise StartError(f"{self.name} ended {len(self._crashes)} times within {WITHIN:.0f} s: giving up")
        self._due = now + (0.25 * 2 ** (len(self._crashes) - 1) if len(self._crashes) > 1 else 0.0)

    def start_if_due(self) -> bool:
        """Start it again if it is down and has rested; True if that was done now."""
        if self.process is not None or self.clock() < self._due:
            return False
        self.start()
        return True

    @property
    def down(self) -> bool:
        return self.process is None
