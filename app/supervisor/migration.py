"""When the database gets its schema: at the start, or later where it takes none then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from app.errors import StoreDown
from app.stores.postgres import migrate

AGAIN = 2.0  # seconds between the end of a try and the next one
TOLD_AGAIN = 30.0  # seconds between two lines about not being done

log = logging.getLogger("artifactapi.supervisor")


class Migration:
    """Tries until it is done, each time on a thread of its own: one that waits for a lock takes minutes.

    `begin` starts a try; `problem` is why the last one failed.
    """

    def __init__(self, begin: Callable[[], Future[None]]) -> None:
        self.done = False
        self.problem = ""
        self._begin = begin
        self._due = 0.0
        self._told = -TOLD_AGAIN
        self._running: Future[None] | None = None

    def look(self) -> None:
        """Take notice of a try that ended; begin the one that is due. To be called again and again."""
        now = time.monotonic()
        if self._running is not None and self._running.done():
            ended, self._running = self._running, None
            self._due = now + AGAIN
            self._judge(ended.exception(), now)
        if self._running is None and not self.done and now >= self._due:
            self._running = self._begin()

    def _judge(self, error: BaseException | None, now: float) -> None:
        if error is None:
            self.done = True
            if self.problem:
                log.info("the database has its schema now")
            return
        self.problem = error.message if isinstance(error, StoreDown) else repr(error)
        if now - self._told >= TOLD_AGAIN:
            self._told = now
            log.warning("waiting for the database: %s", self.problem)


def begun(database_url: str) -> Future[None]:
    """migrate() on a thread that ends with the process."""
    running: Future[None] = Future()

    def run() -> None:
        try:
            migrate(database_url)
            running.set_result(None)
        except BaseException as error:
            running.set_exception(error)

    try:
        threading.Thread(target=run, name="migration", daemon=True).start()
    except RuntimeError as error:  # no thread can be had now
        running.set_exception(error)
    return running
