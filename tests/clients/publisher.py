"""Knows how a test lets something happen again and again beside it: an upstream that publishes, clients that ask."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable


class Repeating:
    """Calls `work(turn)` inside a `with` block, turn after turn in each thread; its end raises what a turn raised.

    `every` is in seconds from the begin of a turn to the begin of the next, 0 for at once.
    """

    def __init__(self, work: Callable[[int], object], *, threads: int = 1, every: float = 0.0) -> None:
        self.turns = 0  # that ended well
        self._work, self._every = work, every
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._failures: list[Exception] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Repeating:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
        if self._failures and error is None:
            total = f"{len(self._failures)} failed, {self.turns} did not"
            raise AssertionError("\n\n".join((total, *map(str, self._failures[:5]))))

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self._work(next(self._numbers))
                self.turns += 1
            except Exception as error:
                self._failures.append(error)
            self._stop.wait(max(0.0, begun + self._every - time.monotonic()))
