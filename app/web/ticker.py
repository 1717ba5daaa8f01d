"""When what a process gathers in memory is written: now and then, at once where much has come, and at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Ticker:
    """Calls `flush` every `seconds` on a thread `name`, for objects whose lock the caller of begin() holds."""

    def __init__(self, name: str, seconds: float, flush: Callable[[], None]) -> None:
        self._name, self._seconds, self._flush = name, seconds, flush
        self._thread: threading.Thread | None = None
        self._due, self._ended = threading.Event(), False

    def begin(self) -> None:
        """With the first thing to write, and only then: a thread started before the fork would be lost."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def hasten(self) -> None:
        """Write at once."""
        self._due.set()

    def close(self) -> None:
        """Write what is left and end."""
        self._ended = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()
        self._flush()

    def _run(self) -> None:
        while not self._ended:
            self._due.wait(self._seconds)
            self._due.clear()
            self._flush()
