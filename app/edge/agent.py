"""The agent's round: look, ask, drop, hold the lease, read the log, report.

poll with cursor n   says: of every file that was in the cache when the agent looked after it was told n, none that
                     the news up to n ended is left. An answer that a node gave before and that arrives after is
                     dropped at the next look: each round after a purge (FRESH), later every LOOK seconds.
the lease            is extended after the news of the same answer were applied, and begun only with an answer
                     that had none, when every file is known. The log may be behind: it is for counting only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from app.edge import state
from app.edge.files import Files
from app.edge.hits import Hits
from app.edge.index import Index
from app.edge.lease import Lease, Moment
from app.edge.lines import counted
from app.edge.log import Log
from app.edge.node import Node, Told
from app.edge.problems import AwayError, UnableError
from app.edge.purges import LONGEST, Purges
from app.edge.state import State

ROUND = 0.25  # seconds from the beginning of one to the next
LOOK = 0.5  # seconds between looks, and
FRESH = 10.0  # seconds after a purge in which every round looks: most of what it may overtake arrives then
STEP = 0.1  # seconds of a round that the first look, the log, reports may take each
REPORT = 5.0  # seconds that hits add up
SAVED = 5.0  # seconds between two states
ENDING = 3.0  # seconds that the last reading and the last report may take

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """Where this machine's nginx has its things, and we ours."""

    cache: Path
    log: Path
    leases: Path
    state: Path


class Agent:
    """One edge. `stop` ends it after the round."""

    def __init__(self, places: Places, node: Node, stop: Event) -> None:
        self._places, self._node, self._stop = places, node, stop
        self._lease = Lease(places.leases)
        known = state.load(places.state)
        self._cursor = known.cursor
        self._purges = Purges(known.purges)
        self._files = Files(places.cache, Index())
        self._log = Log(places.log, known.log)
        self._hits = Hits()
        self._hits.add(known.hits)
        self._first: Iterator[None] | None = self._look()  # until every file is known
        self._due = dict.fromkeys(("look", "report", "save"), 0.0)  # by time.monotonic()
        self._fresh = 0.0  # until when every round looks, by time.monotonic()
        self._unreadable = 0
        self._told = "not asked yet"  # why there is no lease, as was logged last

    def run(self) -> None:
        """Until `stop`; whatever ends it ends the lease first."""
        pause = 0.0
        try:
            while not self._stop.wait(pause):
                pause = self._round()
        finally:
            self._lease.end()
        self._finish()

    def _round(self) -> float:
        """Seconds to wait before the next one."""
        begun = time.monotonic()
        busy, away = False, False
        try:
            busy = self._serve()
        except AwayError as error:
            away = True
            if not self._lease.held:
                self._tell(str(error))
        except UnableError as error:
            self._lease.end()
            self._tell(str(error))
        self._within(STEP, self._reading())
        if not away and len(self._hits) and self._is_due("report", REPORT):
            self._report()
        return 0.0 if busy else max(begun + ROUND - time.monotonic(), 0.0)

    def _serve(self) -> bool:
        """Everything that the lease depends on; True where there may be more news at once."""
        if time.monotonic() >= self._due["save"]:
            self._save(ended=False)
        self._log.follow()
        if self._first is not None:
            self._begin()
        elif time.monotonic() < self._fresh or self._is_due("look", LOOK):
            self._through(self._look())
        begun = self._lease.begin()
        told = self._node.poll(self._cursor)
        news = bool(told.news.everything or told.news.purges)
        if news:
            self._apply(told)
        self._cursor = told.news.cursor
        self._purges.forget(time.time() - LONGEST)
        self._hold(begun, told, news)
        return news

    def _look(self) -> Iterator[None]:
        return self._files.look(self._purges.ended)

    def _begin(self) -> None:
        """A little of the first look."""
        end = time.monotonic() + STEP
        assert self._first is not None
        try:
            for _ in self._first:
                if time.monotonic() > end:
                    self._tell("the files of the cache are not all known yet")
                    return
        except UnableError:
            self._first = self._look()  # again from its beginning
            raise
        self._first = None
        log.info("files_known", extra={"fields": {"files": len(self._files.index)}})

    def _apply(self, told: Told) -> None:
        present = time.time()
        self._fresh = time.monotonic() + FRESH
        if told.news.everything:
            log.info("everything_dropped", extra={"fields": {"before": told.news.cursor}})
            self._purges.everything(told.news.cursor, present)
            self._through(self._files.drop_all())
            self._due["save"] = 0.0  # or it would all be dropped once more after a death
        for each in told.news.purges:
            self._purges.add(each, present)
        if self._first is None:
            self._through(self._look())
        self._through(self._files.drop(told.news.purges))

    def _through(self, steps: Iterator[None]) -> None:
        """All of it; a clock that is set meanwhile still ends the lease."""
        for _ in steps:
            self._lease.check()

    def _hold(self, begun: Moment, told: Told, news: bool) -> None:
        if self._first is not None or (news and not self._lease.held):
            return
        self._tell("" if self._lease.extend(begun, told.lease) else "the answer came too late")

    def _tell(self, reason: str) -> None:
        """Log why there is no lease (or that there is one again), once."""
        if reason == self._told:
            return
        if reason:
            log.warning("no_lease", extra={"fields": {"reason": reason}})
        else:
            log.info("leased", extra={"fields": {"files": len(self._files.index)}})
        self._told = reason

    def _report(self) -> None:
        """What a round has time for; where a node does not count, it is asked again after REPORT."""
        if not self._within(STEP, self._reporting()):
            self._due["report"] = 0.0  # goes on in the next one

    def _reading(self) -> Iterator[None]:
        for chunk in self._log.chunks():
            counts = counted(chunk)
            self._unreadable += counts.unreadable
            self._hits.add(counts.rows.items())
            yield

    def _reporting(self) -> Iterator[None]:
        while len(self._hits) and self._hits.report(self._node.report):
            yield

    def _within(self, seconds: float, steps: Iterator[None]) -> bool:
        """Whether it came to its end in time."""
        end = time.monotonic() + seconds
        for _ in steps:
            self._lease.check()
            if time.monotonic() > end:
                return False
        return True

    def _is_due(self, what: str, seconds: float) -> bool:
        present = time.monotonic()
        if present < self._due[what]:
            return False
        self._due[what] = present + seconds
        return True

    def _save(self, ended: bool) -> None:
        if self._unreadable:
            log.warning("lines_unreadable", extra={"fields": {"lines": self._unreadable}})
            self._unreadable = 0
        known = State(self._cursor, list(self._purges.rows()), self._log.positions, list(self._hits.rows()))
        state.save(self._places.state, known, ended)
        self._due["save"] = time.monotonic() + SAVED
        self._log.give_back()

    def _finish(self) -> None:
        self._within(ENDING, self._reading())
        self._within(ENDING, self._reporting())
        self._save(ended=True)
        self._log.close()
        self._node.close()
