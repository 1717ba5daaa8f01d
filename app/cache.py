"""The engine: what is served for a Resource, and what is done to be able to.

    entry    lock    what happens                                                             X-Cache
    -------  ------  -----------------------------------------------------------------------  --------------------
    fresh    -       serve the blob; upstream is not contacted                                HIT
    expired  -       upstream failed a moment ago: the old copy, no attempt                   STALE
    expired  won     conditional request; 304: touch                                          REVALIDATED
    expired  won     200: fill beside the old copy, wait up to PATIENCE for its commit        EXPIRED or UPDATING
    expired  won     unreachable, time-out, 5xx, 429, wrong body: the old copy, rest          STALE
    expired  won     401/403/404/410: the old copy, marked gone (or dropped, if so set)       STALE (or an error)
    expired  lost    the old copy at once                                                     UPDATING
    expired  (HEAD)  conditional HEAD; unchanged: touch, else upstream's new head, not kept   REVALIDATED, EXPIRED
    missing  won     look again, then fill; its bytes reach the client as they arrive         MISS
    missing  lost    join the running fill                                                    JOINED
    missing  lost    all bytes are here, and recorded within a MOMENT: like fresh             HIT
    missing  -       (index) not sent before it was read, if that is done within JUDGED seconds  MISS
    missing  -       404/410: 404, remembered for a short time; 401/403: 502, forgotten       NEGATIVE
    missing  (HEAD)  HEAD upstream; nothing stored, its Content-Length not trusted            MISS
    missing  (HEAD)  it is being downloaded: what that download's head says                   JOINED

    whole    -       its headers depend on its body: sent when stored, and fetched for a HEAD as for a GET
    switched won     a new edition: the old copy at once, the set behind it replaced as one   UPDATING
    outdated -       its own text says so: never stale, as good as missing                    MISS
    -        -       the bytes' store is down: passed through, not recorded                   MISS or JOINED
    -        -       upstream has none: what the resource names otherwise, else its blank     (as that), MISS
    made     -       its sources are what it was made of                                      HIT
    made     won     made again of what its sources are now (making.py); lost: the old one    MISS, EXPIRED, ...
    made     -       (shown by its format, and long) sent while it is written                 MISS
    among    -       the first member of a virtual that has it; one that fails is left out    (as that)
    among    -       one that fails, and its stored list names it: no other bytes than those  (as that, or an error)

Fetch, then swap: nothing here deletes a copy to make room for one that is still to come. This file is the
reader's side of the table, shelf.py its first two rows, visit.py what the winner of the lock does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app import metrics
from app.assembly import Assembly
from app.errors import (
    ArtifactError,
    Forbidden,
    NotFound,
    StoreDown,
    Unavailable,
    UpstreamDenied,
    UpstreamError,
    UpstreamLied,
)
from app.fetch import name_of, told_before
from app.fills.fill import Fill, Stage
from app.fills.spool import Head
from app.resource import Ask, Kind, Literal, Resource
from app.shelf import Served, Shelf
from app.stores.catalog import Known
from app.visit import Visits

log = logging.getLogger(__name__)

JUDGED = 1.0  # seconds that an index which nobody has yet may take to be read: a broken one is an error, not a 200
MOMENT = 0.5  # seconds that who asks for what was just downloaded waits for its record
PATIENCE = 5.0  # seconds that a client with a stored copy waits for upstream's newer one


@dataclass(frozen=True, slots=True)
class Arriving:
    """A body that can be read while it arrives."""

    fill: Fill
    head: Head
    state: str


@dataclass(frozen=True, slots=True)
class Told:
    """Upstream's answer to a HEAD: no body, nothing stored."""

    head: Head
    state: str


@dataclass(frozen=True, slots=True)
class Blank:
    """Upstream has nothing, and in this ecosystem that has a body of its own."""

    literal: Literal
    state: str = "MISS"


Outcome = Served | Arriving | Told | Blank


class Engine:
    """The state table, for GET and HEAD."""

    def __init__(self, shelf: Shelf, visits: Visits) -> None:
        self.shelf = shelf
        self.visits = visits
        self.flights = visits.flights
        self.assembly = Assembly(shelf)

    def get(self, ask: Ask, resource: Resource) -> Outcome:
        """Raises ArtifactError with what the client is to be told."""
        try:
            return self._get(ask, resource)
        except (NotFound, UpstreamLied) as error:
            if isinstance(error, NotFound) and resource.otherwise is not None:
                return self.get(ask, resource.otherwise)
            if resource.blank is not None:
                return Blank(resource.blank)
            raise

    def choose(self, ask: Ask, resource: Resource) -> tuple[Resource, Outcome]:
        """As get(), with the resource that was served: of what it is among, the first that is there."""
        if not resource.among:
            return resource, self.get(ask, resource)
        silent: dict[str, ArtifactError] = {}
        refused: Forbidden | None = None
        left: Sequence[Resource] = self.assembly.asked(resource)
        while left:
            each, *left = left
            try:
                return replace(each, left_out=tuple(silent)), self.get(ask, each)
            except NotFound as error:
                left = self.assembly.instead(each, error, left)
            except Forbidden as error:  # by that member's patterns, and so in none of its lists
                refused = refused or error
            except (UpstreamError, Unavailable) as error:
                if each.repository.kind is not Kind.REMOTE or isinstance(error, StoreDown):
                    raise
                silent[each.repository.name] = error
                metrics.LEFT_OUT.labels(resource.repository.name, each.repository.name).inc()
                left = self.assembly.instead(each, error, left)
        nowhere = refused or NotFound("no member has such a file", code="file_not_found")
        raise next(iter(silent.values()), nowhere)

    def _get(self, ask: Ask, resource: Resource) -> Outcome:
        if resource.sources:
            return self._made(resource)
        known = self._find(resource)
        try:
            if (served := self.shelf.stored(resource, known)) is not None:
                return served
            old = self.shelf.old(resource, known)
        except StoreDown as error:
            return self._past(ask, resource, known, error)
        if old is None and resource.repository.kind is Kind.LOCAL:
            raise StoreDown("the bytes of a hosted file are missing or damaged")
        if old is None:
            return self._fetched(ask, resource, replace(known, entry=None))
        renew = self._reheaded if _by_head(ask, resource) else self._renewed
        return _or_old(old, lambda: renew(resource, known, old))

    def _find(self, resource: Resource) -> Known:
        """With no store to ask, a remote still answers: passed through, not recorded."""
        try:
            known = self.shelf.find(resource)
            self.visits.flushed(resource, known)
            return known
        except StoreDown:
            if resource.repository.kind is Kind.LOCAL:
                raise
            return Known(epoch=0, entry=None, recorded=False)

    def _past(self, ask: Ask, resource: Resource, known: Known, down: StoreDown) -> Outcome:
        """The bytes cannot be reached: what a remote has upstream is passed through, and not recorded."""
        if resource.repository.kind is not Kind.REMOTE:
            raise down
        try:
            return self._fetched(ask, resource, replace(known, entry=None, recorded=False))
        except (UpstreamError, Unavailable) as error:
            raise (down if known.entry is not None else error) from error

    def _fetched(self, ask: Ask, resource: Resource, known: Known) -> Outcome:
        if not _by_head(ask, resource):
            return self._missing(resource, known)
        running = self.flights.find(name_of(resource, known.epoch))
        if running is not None and running.head is not None and running.stage is not Stage.FAILED:
            return self._recorded(resource, running) or Arriving(running, running.head, "JOINED")
        return self._told(resource, known)

    def _recorded(self, resource: Resource, fill: Fill) -> Served | None:
        """What a download left that was over when it was joined; None where its record takes longer than a moment."""
        if fill.stage in (Stage.WHOLE, Stage.SETTLED) and fill.wait_for(Stage.SETTLED, MOMENT) and fill.entry:
            return self.shelf.serve(resource, fill.entry, "HIT")
        return None

    def _board(self, resource: Resource, known: Known) -> tuple[Fill, bool]:
        return self.flights.board(name_of(resource, known.epoch), lambda fill: self.visits.run(fill, resource, known))

    def _made(self, resource: Resource) -> Outcome:
        try:
            if (served := self.assembly.ready(resource)) is not None:
                return served
        except StoreDown:  # making finds out whether that matters
            self.assembly.asked(resource)  # where nobody can tell whose the name is, the old copy may be a stranger's
        known = self._find(resource)
        old = self.shelf.old(resource, known)
        if old is None:
            return self._missing(resource, replace(known, entry=None))
        return _or_old(old, lambda: self._renewed(resource, known, old))

    # -- missing ------------------------------------------------------------------------------------------

    def _missing(self, resource: Resource, known: Known) -> Outcome:
        fill, won = self._board(resource, known)
        if not won and (served := self._recorded(resource, fill)) is not None:
            return served
        state = "MISS" if won else "JOINED"
        fill.wait_for(Stage.SETTLED if resource.whole and not resource.sources else Stage.ARRIVING)
        if resource.whole and (fill.error is not None or fill.entry is not None):
            return self._settled(resource, fill, state)
        if resource.index and fill.wait_for(Stage.SETTLED, JUDGED) and isinstance(fill.error, UpstreamError):
            raise fill.error
        if fill.head is not None:
            return Arriving(fill, fill.head, state)
        return self._settled(resource, fill, state)

    def _settled(self, resource: Resource, fill: Fill, state: str) -> Served:
        if fill.error is not None:
            raise fill.error
        served = self.shelf.serve(resource, fill.entry, fill.state or state) if fill.entry else None
        if served is None:
            raise StoreDown("the stored copy cannot be read", retry_after=1)
        return served

    def _told(self, resource: Resource, known: Known) -> Told:
        try:
            head = self.visits.fetch.told(self.visits.locating.located(resource), None)
        except (UpstreamError, Unavailable) as error:
            raise told_before(known, error) from error
        if head is None:
            raise UpstreamLied("upstream said 304 to an unconditional request")
        return Told(head, "MISS")

    # -- expired ------------------------------------------------------------------------------------------

    def _renewed(self, resource: Resource, known: Known, old: Served) -> Outcome:
        fill, won = self._board(resource, known)
        if (not won or not fill.wait_for(Stage.SETTLED, PATIENCE)) and fill.show(PATIENCE):
            return old
        if isinstance(fill.error, NotFound | UpstreamDenied | Forbidden):
            raise fill.error
        fill.show(0)
        served = self.shelf.serve(resource, fill.entry, fill.state or "EXPIRED") if fill.entry else None
        return served or replace(old, state="STALE")

    def _reheaded(self, resource: Resource, known: Known, old: Served) -> Outcome:
        name = f"HEAD {name_of(resource, known.epoch)}"
        fill, won = self.flights.board(name, lambda fill: self.visits.heads.look(fill, resource, known, old.entry))
        if not won or not fill.wait_for(Stage.SETTLED, PATIENCE):
            return old
        if fill.told is not None:
            return Told(fill.told, "EXPIRED")
        served = self.shelf.serve(resource, fill.entry, fill.state) if fill.entry else None
        return served or replace(old, state="STALE")


def _by_head(ask: Ask, resource: Resource) -> bool:
    """Whether upstream's HEAD can answer it: not what is made here, which has no upstream."""
    return ask.method == "HEAD" and not resource.whole and resource.beside is None


def _or_old(old: Served, renew: Callable[[], Outcome]) -> Outcome:
    """What is served instead of the old copy; that is closed, unless it is what is served."""
    try:
        better = renew()
    except BaseException:
        old.file.close()
        raise
    if not (isinstance(better, Served) and better.file is old.file):
        old.file.close()
    return better
