"""The lease as nginx sees it: an empty file for each second within which it may serve what it keeps.

    <directory>/<unix second>     by the clock of this machine, which is nginx's too

A file is there for second s only if s + 1 <= the moment the poll began + the lease that its answer gave. So who stops
asking, whatever the reason, holds nothing soon after, without anybody doing anything.

A clock that is set back would make used seconds come again: every check compares the wall clock with the monotonic
one, and what moved ends the lease at once. (A clock set back while the agent is dead or frozen, before its last lease
is over, is the one case that nobody sees.)
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.edge.problems import UnableError

MOVED = 0.05  # seconds by which the two clocks may differ from one check to the next


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment by both clocks, in seconds."""

    wall: float
    steady: float

    @property
    def apart(self) -> float:
        return self.wall - self.steady


def now() -> Moment:
    return Moment(time.time(), time.monotonic())


class Lease:
    """The files of one agent in `directory`, which is made where it is missing, and emptied of an earlier agent's."""

    def __init__(self, directory: Path, clock: Callable[[], Moment] = now) -> None:
        self._directory = directory
        self._clock = clock
        self._apart = clock().apart
        self._held: set[int] = set()
        try:
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._held = {int(each.name) for each in directory.iterdir() if each.name.isdigit()}
            for second in list(self._held):
                self._drop(second)
        except OSError as error:
            raise UnableError(f"the lease directory {directory}: {error.strerror}") from error
        self.over = clock().steady  # when the last one ended, or ends by itself: by time.monotonic()

    def begin(self) -> Moment:
        """The moment before a poll, for extend()."""
        self.check()
        return self._clock()

    def extend(self, begun: Moment, seconds: float) -> bool:
        """Hold it for `seconds` after `begun`; False where nothing of that is left, or a clock moved meanwhile."""
        self.check()
        present = self._clock()
        if abs(present.apart - begun.apart) > MOVED:
            return False
        first, last = int(present.wall), int(begun.wall + seconds) - 1
        self.over = max(self.over, begun.steady + seconds)
        try:
            for second in range(first, last + 1):
                self._hold(second)
            for second in [each for each in self._held if not first <= each <= last]:
                self._drop(second)
        except OSError as error:
            raise UnableError(f"the lease directory {self._directory}: {error.strerror}") from error
        return first <= last

    def check(self) -> None:
        """End the lease where a clock was set since the last check."""
        apart = self._clock().apart
        if abs(apart - self._apart) > MOVED:
            self.end()
        self._apart = apart

    @property
    def held(self) -> bool:
        return int(self._clock().wall) in self._held

    def end(self) -> None:
        """Hold it no more. What cannot be removed ends by itself."""
        for second in list(self._held):
            with contextlib.suppress(OSError):
                self._drop(second)
        if not self._held:
            self.over = min(self.over, self._clock().steady)

    def _hold(self, second: int) -> None:
        if second not in self._held:
            self._held.add(second)
            os.close(os.open(self._directory / str(second), os.O_CREAT | os.O_WRONLY, 0o644))

    def _drop(self, second: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._directory / str(second))  # noqa: PTH108 - in the loop of every quarter second
        self._held.discard(second)
