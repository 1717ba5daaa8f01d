"""The agent's round: look, ask, drop, hold the lease, read the log, report.

poll with cursor n   says that nginx serves nothing that the news up to n ended: cursor.py. What arrives later still
                     is dropped at the next look: each round after a purge (FRESH), else every LOOK seconds.
the lease            is extended after the news of the same answer were applied. It begins only with an answer that
                     had none, when every file is known, and what was asked for under an earlier one has had
                     SETTLING to arrive and be found. The log may be behind: it is for counting only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from app.edge import state
from app.edge.cursor import SETTLING, Cursor
from app.edge.files import Files
from app.edge.hits import Hits
from app.edge.index import Index
from app.edge.lease import Lease, Moment
from app.edge.lines import counted
from app.edge.log import Log
from app.edge.node import Counted, Node, Told
from app.edge.problems import AwayError, UnableError, UnknownError
from app.edge.purges import LONGEST, Purges
from app.edge.state import State
from app.stores.edges import News

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
        self._cursor = Cursor(known.cursor)
        self._purges = Purges(known.purges)
        self._files = Files(places.cache, Index())
        self._log = Log(places.log, known.log)
        self._hits = Hits(known.reports)
        self._hits.add(known.hits)
        self._first: Iterator[None] | None = self._look()  # until every file is known
        self._due = dict.fromkeys(("look", "report", "save"), 0.0)  # by time.monotonic(), as the next two
        self._looked = 0.0  # when the last look began that came to its end
        self._fresh = time.monotonic() + FRESH  # until when every round looks
        self._halved = False  # whether there are reports that the state does not have
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
            self._end(str(error))
        try:
            self._within(STEP, self._reading())
            if not away and len(self._hits) and self._is_due("report", REPORT):
                self._report()
        except UnableError as error:
            self._end(str(error))
        return 0.0 if busy else max(begun + ROUND - time.monotonic(), 0.0)

    def _serve(self) -> bool:
        """Everything that the lease depends on; True where there may be more news at once."""
        if time.monotonic() >= self._due["save"]:
            self._save(ended=False)
        self._log.follow()
        if self._first is not None:
            self._begin()
        elif time.monotonic() < self._fresh or time.monotonic() >= self._due["look"]:
            self._see()
        begun = self._lease.begin()
        told = self._poll()
        news = told.news.everything or told.news.cursor > self._cursor.applied
        if news:
            self._apply(told.news)
        self._purges.forget(time.time() - LONGEST)
        self._hold(begun, told, news)
        if not self._lease.held:
            self._cursor.unleased()
        return news

    def _look(self) -> Iterator[None]:
        return self._files.look(self._purges.ended)

    def _see(self) -> None:
        """A whole look. Where it fails the next round does not ask for news either: nobody waits for this edge."""
        begun = time.monotonic()
        self._due["look"] = begun
        self._through(self._look())
        self._due["look"] = begun + LOOK
        self._looked = begun
        self._cursor.looked(begun)

    def _poll(self) -> Told:
        try:
            return self._node.poll(self._cursor.acknowledged)
        except UnknownError:
            self._cursor.restart()
            raise

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

    def _apply(self, news: News) -> None:
        present = time.time()
        self._fresh = time.monotonic() + FRESH
        if news.everything:
            log.info("everything_dropped", extra={"fields": {"before": news.cursor}})
            if self._lease.held:
                self._end("everything had to be dropped")
            self._purges.everything(news.cursor, present)
            self._through(self._files.drop_all())
            self._due["save"] = 0.0  # or it would all be dropped once more after a death
        purges = [each for each in news.purges if news.everything or each.number > self._cursor.applied]
        for each in purges:
            self._purges.add(each, present)
        if self._first is None:
            self._see()
        self._through(self._files.drop(purges))
        self._cursor.apply(news.cursor, time.monotonic())

    def _through(self, steps: Iterator[None]) -> None:
        """All of it; a clock that is set meanwhile still ends the lease."""
        for _ in steps:
            self._lease.check()

    def _hold(self, begun: Moment, told: Told, news: bool) -> None:
        if lack := self._files.lack():
            self._end(lack)
        elif self._first is None and (self._lease.held or not (news or self._unsettled)):
            self._extend(begun, told)

    @property
    def _unsettled(self) -> bool:
        """Whether something that was asked for under an earlier lease may just have arrived."""
        return self._looked < self._lease.over + SETTLING

    def _extend(self, begun: Moment, told: Told) -> None:
        self._tell("" if self._lease.extend(begun, told.lease) else "the answer came too late")

    def _end(self, reason: str) -> None:
        self._lease.end()
        self._tell(reason)

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
        """The state has each report before a node does: or the same hits would come again under another number."""
        while len(self._hits):
            if self._hits.cut() or self._halved:
                self._save(ended=False)
            verdict = self._hits.send(self._node.report)
            if verdict is Counted.LATER:
                return
            self._halved = verdict is Counted.NEVER
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
        purges, hits = list(self._purges.rows()), list(self._hits.rows())
        known = State(self._cursor.acknowledged, purges, self._log.positions, hits, self._hits.reports)
        state.save(self._places.state, known, ended)
        self._due["save"] = time.monotonic() + SAVED
        self._log.give_back()

    def _finish(self) -> None:
        with suppress(UnableError):
            self._within(ENDING, self._reading())
            self._within(ENDING, self._reporting())
        self._save(ended=True)
        self._log.close()
        self._node.close()
