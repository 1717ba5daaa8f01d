"""One visit to upstream for one resource: the lock, the second look, and what each answer does to what is stored.

Runs on a fill's own thread, so a client that leaves ends nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from app import metrics
from app.adopt import adopted
from app.assembly import written_with
from app.errors import (
    ArtifactError,
    NotFound,
    StoreDown,
    Unavailable,
    UpstreamError,
    UpstreamLied,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.fetch import GONE, NO_HEAD, Fetch, Visit, name_of, no_such, refusal, told_before
from app.fills.fill import Fill, Flights, Stage
from app.fills.spool import noted
from app.freshness import Freshness, forgettable, judge, renewed, rested
from app.heads import Heads
from app.locating import Locating
from app.making import Making
from app.records import Records
from app.resource import Digest, Entry, Resource
from app.sets import Sets
from app.sources import Sources
from app.stores.catalog import Known
from app.turns import Turns
from app.upstream import Download

log = logging.getLogger(__name__)

OUTLASTING = 86400.0  # seconds that a 404 is kept for when upstream cannot be asked
MIRRORS = 5  # tried for a body whose digest a list of mirrors pins


class Visits:
    """What the winner of a key's lock does."""

    def __init__(self, fetch: Fetch, turns: Turns) -> None:
        self.fetch = fetch
        self.turns = turns
        self.shelf = fetch.shelf
        self.records = Records(fetch, turns)
        self.flights = Flights()
        self.sets = Sets(fetch, self.records, self._fetched)
        self.sources = Sources(self.shelf, self.flights, self.run)
        self.locating = Locating(self.records, self._fetched, self.sources.current)
        self.making = Making(self.records, self.sources.current)
        self.heads = Heads(fetch, turns, self.records, self.locating)

    def run(self, fill: Fill, resource: Resource, known: Known) -> None:
        """Settle or fail the fill; `known.entry` is the old copy that can be served, if there is one."""
        try:
            self._run(fill, resource, known)
        except (NotFound, UpstreamLied) as error:
            self.records.suspect(resource, error)
            raise

    def _run(self, fill: Fill, resource: Resource, known: Known) -> None:
        self.flushed(resource, known)
        held = self.turns.turn(fill, resource, known)
        if held is None:
            return
        fill.token = held.token
        with noted(self.fetch.spools, fill.name, held.token):
            try:
                self._locked(fill, resource, known)
            finally:
                held.release()

    def flushed(self, resource: Resource, known: Known) -> None:
        """What failed before a flush is tried again; what no index told is no epoch that one could have ended."""
        if known.recorded:
            self.fetch.upstreams.flushed(resource.repository, known.epoch)

    def _fetched(self, resource: Resource) -> tuple[Entry, bool]:
        """The entry of one file, filled as at a client's request; True if that took a visit."""
        known = self.shelf.find(resource)
        if known.entry is not None and self.shelf.has(known.entry):
            return known.entry, False
        missing = replace(known, entry=None)
        name = name_of(resource, known.epoch)
        fill, _ = self.flights.board(name, lambda fill: self._run(fill, resource, missing))
        fill.wait_for(Stage.SETTLED)
        if fill.error is not None:
            raise fill.error
        if fill.entry is None:
            raise StoreDown("a file of the new set could not be recorded", retry_after=1)
        return fill.entry, True

    # -- under the lock -----------------------------------------------------------------------------------

    def _locked(self, fill: Fill, resource: Resource, known: Known) -> None:
        fence = self.fetch.fence(known)  # before what is looked up: whoever changes that later has a newer one
        again = replace(self.shelf.look_again(resource, known), missed=known.missed)
        found = again.entry if not resource.sources else None  # of what is made, making.py knows whether it is fresh
        if found and judge(found, resource.ttl, self.shelf.clock()) is Freshness.FRESH:
            fill.settle(found, "HIT")
            return
        visit = Visit(fill, self.records.expected(resource), again, fence if again.recorded else 0)
        try:
            self._begin(visit)
        except (UpstreamError, Unavailable) as error:
            self._failed(visit, error)

    def _begin(self, visit: Visit) -> None:
        if visit.resource.sources:
            return self.making.run(visit)
        if visit.resource.beside is not None:
            return self._beside(visit, visit.resource.beside)
        try:
            visit = replace(visit, resource=self.locating.located(visit.resource))
        except NotFound:
            return self._gone(visit, 404)
        return self._decide(visit)

    def _beside(self, visit: Visit, document: Resource) -> None:
        """What is recorded with a document comes with it, and with it again where it alone was lost."""
        path = visit.resource.path
        made = self.sources.whole(document)
        again = self.shelf.look_again(visit.resource, visit.known)
        if again.entry is None and self.making.doubt(document, path):
            made = self.sources.whole(document)
            again = self.shelf.look_again(visit.resource, visit.known)
        if again.entry is not None and visit.known.entry is not None:  # it was told to expire: its name is its bytes'
            self._unchanged(replace(visit, known=again), again.entry)
        elif again.entry is not None:
            visit.fill.settle(again.entry, "MISS")
        elif made is not None and written_with(made, path):
            raise StoreDown("what is made here cannot be recorded now", retry_after=1)
        else:
            raise NotFound("no document that is made here has such a part", upstream_status=404)

    def _decide(self, visit: Visit) -> None:
        resource, entry = visit.resource, visit.known.entry
        if entry is None:
            if (found := adopted(self.fetch, resource, visit.fence)) is not None:
                self._keep(visit, found.entry, state=found.state, proven=found.lasting)
                return
        elif resource.head_first and resource.repository.check_mutable_updates and self._unmoved(visit, entry):
            return
        if pins := self.fetch.upstreams.pins(resource):
            self._pinned(visit, pins)
        elif resource.root and resource.expected is None and not resource.index and visit.fence:
            self._companion(visit)
        else:
            with self.fetch.open(resource, "GET", entry) as download:
                self._answered(visit, download)

    def _companion(self, visit: Visit) -> None:
        """A file of a set of which the index says nothing, as of its own signature."""
        root = self.sets.stored_root(visit.resource)  # before asking: which index it will have to belong to
        with self.fetch.open(visit.resource, "GET", visit.known.entry) as download:
            if download.status == 200:
                self._keep(visit, self.sets.paired(visit, root, download))
            else:
                self._answered(visit, download)

    def _unmoved(self, visit: Visit, entry: Entry) -> bool:
        """Compare by HEAD, which costs upstream nothing; False where a GET has to tell."""
        with self.fetch.open(visit.resource, "HEAD", None) as answer:
            if answer.status in NO_HEAD:
                return False
            if answer.status in GONE:
                self._gone(visit, answer.status)
                return True
            if answer.status != 200:
                raise refusal(answer, self.shelf.clock())
            promised = visit.resource.format.promised(visit.resource, answer.headers)
        if promised != Digest("sha256", entry.digest):
            return False
        self._unchanged(visit, entry)
        return True

    def _pinned(self, visit: Visit, pins: tuple[Digest, ...]) -> None:
        """A body whose digest is known beforehand, from the first mirror that has it."""
        entry, upstreams = visit.known.entry, self.fetch.upstreams
        if entry is not None and Digest("sha256", entry.digest) in pins:
            return self._unchanged(visit, entry)
        for left in reversed(range(MIRRORS)):
            pinned = replace(visit, resource=replace(visit.resource, expected=upstreams.pinned(visit.resource)))
            with self.fetch.open(visit.resource, "GET", None) as download:
                try:
                    return self._mirrored(pinned, download)
                except (UpstreamLied, UpstreamUnreachable, UpstreamTimeout) as error:
                    log.info("%s: another mirror, for this one's is not it: %s", visit.fill.name, error.message)
                    upstreams.demote(visit.resource, download.url)
                    if not left or visit.fill.stage is not Stage.OPENING:
                        raise
                except StoreDown:
                    if not left or not visit.fence or visit.fill.stage is not Stage.OPENING:
                        raise
                    visit = replace(visit, fence=0)  # nothing can be kept: passed through
        return None

    def _mirrored(self, visit: Visit, download: Download) -> None:
        """A mirror's answer: readers see nothing before it is verified, for the next mirror's may differ."""
        if download.status == 200 and visit.known.entry is None and visit.fence:
            self._keep(visit, self.fetch.body(visit, visit.resource, download))
        else:
            self._answered(visit, download)

    # -- upstream's answers -------------------------------------------------------------------------------

    def _answered(self, visit: Visit, download: Download) -> None:
        resource, entry = visit.resource, visit.known.entry
        if download.status == 304 and entry is not None:
            self._unchanged(visit, entry)
        elif download.status in GONE:
            self._gone(visit, download.status)
        elif download.status != 200:
            raise refusal(download, self.shelf.clock())
        elif resource.switched and entry is not None:
            self.sets.switch(visit, entry, download)
        else:
            self._received(visit, download)

    def _unchanged(self, visit: Visit, entry: Entry) -> None:
        entry = renewed(entry, self.shelf.clock(), visit.fence)
        self.records.touch(visit.resource, visit.known, entry)
        metrics.fill(visit.repository, "unchanged")
        visit.fill.settle(entry, "REVALIDATED")

    def _received(self, visit: Visit, download: Download) -> None:
        """A new body; once its readers have seen it whole, a store that is down only means it is not kept.

        Nor is one whose end was only the connection's: a killed upstream looks the same (RFC 9112, 8).
        """
        fill = visit.fill
        try:
            entry = self.fetch.received(fill, visit.resource, download, visit.fence)
            self._keep(visit, entry, proven=download.framed or visit.resource.expected is not None)
        except StoreDown as error:
            if not fill.complete:
                raise
            log.warning("%s is not kept: %s", fill.name, error.message)
            fill.settle(None)

    def _keep(self, visit: Visit, entry: Entry, *, state: str = "", proven: bool = True) -> None:
        """Record a body that is on the shelf, settle the fill, and then see what it lists."""
        resource, known = visit.resource, visit.known
        entry, links = self.records.read(resource, entry)
        if resource.switched:
            recorded = proven and self.sets.begin(visit, entry, links)
        else:
            recorded = proven and self.records.record(resource, known, entry)
        if recorded and resource.listed and resource.expected is None:
            recorded = not self.records.contradicted(resource, entry)
        if recorded:
            self.records.alike(resource, known, entry, links)
        metrics.fill(visit.repository, "stored" if recorded else "unrecorded")
        there = recorded or resource.whole or resource.index or not visit.fill.complete
        visit.fill.settle(entry if there else None, state)
        if recorded:
            self.records.keep_list(resource, entry, known.epoch)

    def _gone(self, visit: Visit, status: int) -> None:
        resource, known = visit.resource, visit.known
        name, key = resource.repository.name, resource.key
        if known.entry is None:
            if status in (404, 410) and known.recorded:
                listed = resource.listed and resource.expected is not None  # a mirror's lag, not an absence
                trusted = resource.remember_missing and not listed
                seconds = forgettable(resource.ttl) if trusted else OUTLASTING
                self.shelf.catalog.remember_missing(name, key, known.epoch, status, seconds, trusted)
            raise no_such(status, 404)
        ended = resource.follow_gone and status in (404, 410)
        if ended or resource.repository.on_upstream_gone == "drop":
            self.shelf.catalog.forget(name, key, visit.fence)
            visit.fill.fail(no_such(status, status))
            return
        entry = rested(known.entry, resource.ttl, self.shelf.clock(), visit.fence, gone=status)
        self.records.touch(resource, known, entry)
        visit.fill.settle(entry, "STALE")

    def _failed(self, visit: Visit, error: ArtifactError) -> None:
        """Nothing usable came: the old copy rests, or the client is told."""
        metrics.fill(visit.repository, error.code)
        log.warning("%s: %s", visit.fill.name, error.message)
        self.fetch.sight(visit.resource, error.upstream_status, error.message)
        entry = visit.known.entry
        if entry is None:
            raise told_before(visit.known, error)
        if isinstance(error, UpstreamLied):
            self.records.suspect(visit.resource, error)
        now = self.shelf.clock()
        entry = rested(entry, visit.resource.ttl, now, visit.fence, retry_after=error.retry_after)
        self.records.touch(visit.resource, visit.known, entry)
        visit.fill.settle(entry, "STALE")
