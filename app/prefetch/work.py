"""One job being done: a queue of what is wanted, and a few threads that take from it and add to it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from app import metrics
from app.cache import Engine
from app.errors import ArtifactError
from app.prefetch.having import Had, Having, Left, problem
from app.prefetch.rules import STEPS
from app.prefetch.wanted import MOST, Wanted
from app.resource import Repository
from app.stores.jobs import MOST_FAILURES, Failure, Progress

log = logging.getLogger(__name__)

AT_ONCE = 4  # of what is wanted: clients come first
# what reading a stranger's document may end with; anything else is a defect
EXPECTED = (ArtifactError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError)
TOO_MUCH = f"it names more than {MOST} files"


class Work:
    """`name` is what the log calls its requests."""

    def __init__(self, engine: Engine, repository: Repository, name: str) -> None:
        self.reason = ""  # why it cannot be gone on with
        self._having = Having(engine, repository, name, lambda: self._ended)
        self._repository = repository
        self._queue: deque[Wanted] = deque()
        self._seen: set[tuple[str, str]] = set()
        self._busy, self._ended = 0, False
        self._progress = Progress()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, name="prefetch", daemon=True) for _ in range(AT_ONCE)]

    def start(self) -> None:
        """Begin with what was added."""
        for each in self._threads:
            each.start()

    def add(self, found: Iterable[Wanted]) -> None:
        """More that is wanted, each once; ends the job where that is too much."""
        for each in found:
            if not self._add(each):
                return

    def _add(self, each: Wanted) -> bool:
        """Whether there may be more."""
        with self._changed:
            known = (each.path, each.accept) in self._seen
            if not known and len(self._seen) >= MOST:
                self.reason, self._ended = TOO_MUCH, True
            if known or self._ended:
                self._changed.notify_all()
                return not self._ended
            self._seen.add((each.path, each.accept))
            self._queue.append(each)
            self._progress = replace(self._progress, total=self._progress.total + 1)
            self._changed.notify_all()
            return True

    def wait(self, seconds: float) -> bool:
        """Until everything was tried, or it cannot be gone on with; False when that took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended or not (self._queue or self._busy), seconds)

    def end(self, seconds: float = 0.0) -> None:
        """Leave what is not begun; wait so long for what is."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._busy, seconds)

    @property
    def progress(self) -> Progress:
        with self._changed:
            return self._progress

    def _run(self) -> None:
        while (each := self._next()) is not None:
            try:
                self._do(each)
            except Left:
                return
            except Exception as error:
                if not isinstance(error, EXPECTED):
                    log.exception("%s of %s ended by a defect", each.path, self._repository.name)
                self._failed(each, error)
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()

    def _next(self) -> Wanted | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._queue)
            if self._ended:
                return None
            self._busy += 1
            return self._queue.popleft()

    def _do(self, each: Wanted) -> None:
        had = self._having.have(each)
        if had is None:
            return self._count(total=-1)
        if each.then and had.entry is not None:
            with closing(self._having.open(had.entry).file) as body:
                self.add(STEPS[each.then](each, had.resource, body))
        return self._done(had)

    def _done(self, had: Had) -> None:
        metrics.PREFETCHED.labels(self._repository.name, "stored" if had.fetched else "present").inc()
        size = had.entry.size if had.entry is not None and had.fetched else 0
        self._count(done=1, stored=int(had.fetched), bytes=size)

    def _failed(self, each: Wanted, error: Exception) -> None:
        metrics.PREFETCHED.labels(self._repository.name, "failed").inc()
        self._count(done=1, failed=1, failures=(Failure(each.path, *problem(error)),))

    def _count(self, *, failures: tuple[Failure, ...] = (), **more: int) -> None:
        with self._changed:
            known = self._progress
            told = (known.failures + failures)[:MOST_FAILURES]
            counts = {name: getattr(known, name) + value for name, value in more.items()}
            self._progress = replace(known, failures=told, **counts)
