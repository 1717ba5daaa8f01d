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
    missing  -       404/410: 404, remembered for a short time; 401/403: 502, forgotten       NEGATIVE
    missing  (HEAD)  HEAD upstream; nothing stored, its Content-Length not trusted            MISS

Fetch, then swap: nothing here deletes a copy to make room for one that is still to come. This file is the
reader's side of the table, shelf.py its first two rows, fetch.py what the winner of the lock does.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from app.errors import NotFound, StoreDown, UpstreamDenied
from app.fetch import Fetch, refusal
from app.fills.fill import Fill, Flights, Stage
from app.fills.receive import head_of, refuse_html
from app.fills.spool import Head
from app.resource import Ask, Kind, Resource
from app.shelf import Served, Shelf
from app.stores.catalog import Known

log = logging.getLogger(__name__)

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


Outcome = Served | Arriving | Told


class Engine:
    """The state table, for GET and HEAD."""

    def __init__(self, shelf: Shelf, fetch: Fetch) -> None:
        self.shelf = shelf
        self.fetch = fetch
        self.flights = Flights()

    def get(self, ask: Ask, resource: Resource) -> Outcome:
        """Raises ArtifactError with what the client is to be told."""
        known = self._find(resource)
        if (served := self.shelf.stored(resource, known)) is not None:
            return served
        old = self.shelf.take(known.entry, "UPDATING") if known.entry else None
        if old is None and resource.repository.kind is Kind.LOCAL:
            raise StoreDown("the bytes of a hosted file are missing or damaged")
        if old is None:
            known = replace(known, entry=None)
            return self._told(resource) if ask.method == "HEAD" else self._missing(resource, known)
        try:
            renew = self._reheaded if ask.method == "HEAD" else self._renewed
            better = renew(resource, known, old)
        except BaseException:
            old.file.close()
            raise
        if not (isinstance(better, Served) and better.file is old.file):
            old.file.close()
        return better

    def _find(self, resource: Resource) -> Known:
        """With no store to ask, a remote still answers: passed through, not recorded."""
        try:
            return self.shelf.find(resource)
        except StoreDown:
            if resource.repository.kind is not Kind.REMOTE:
                raise
            return Known(epoch=0, entry=None, recorded=False)

    def _board(self, resource: Resource, known: Known) -> tuple[Fill, bool]:
        """The epoch is part of a fill's name: after a flush nobody joins what was begun before it."""
        name = f"{resource.repository.name}@{known.epoch}/{resource.key}"
        return self.flights.board(name, lambda fill: self.fetch.run(fill, resource, known))

    # -- missing ------------------------------------------------------------------------------------------

    def _missing(self, resource: Resource, known: Known) -> Outcome:
        fill, won = self._board(resource, known)
        fill.wait_for(Stage.ARRIVING)
        if fill.head is not None:
            return Arriving(fill, fill.head, "MISS" if won else "JOINED")
        if fill.error is not None:
            raise fill.error
        served = self.shelf.take(fill.entry, fill.state) if fill.entry else None
        if served is None:
            raise StoreDown("the stored copy cannot be read", retry_after=1)
        return served

    def _told(self, resource: Resource) -> Told:
        with self.fetch.head(resource, None) as answer:
            if answer.status != 200:
                raise refusal(answer, self.shelf.clock())
            refuse_html(resource, answer.headers)
            return Told(replace(head_of(answer), length=None), "MISS")

    # -- expired ------------------------------------------------------------------------------------------

    def _renewed(self, resource: Resource, known: Known, old: Served) -> Outcome:
        fill, won = self._board(resource, known)
        if not won or not fill.wait_for(Stage.SETTLED, PATIENCE):
            return old
        if isinstance(fill.error, NotFound | UpstreamDenied):
            raise fill.error
        served = self.shelf.take(fill.entry, fill.state or "EXPIRED") if fill.entry else None
        return served or replace(old, state="STALE")

    def _reheaded(self, resource: Resource, known: Known, old: Served) -> Outcome:
        name = f"HEAD {resource.repository.name}@{known.epoch}/{resource.key}"
        fill, won = self.flights.board(name, lambda fill: self.fetch.look(fill, resource, known, old.entry))
        if not won or not fill.wait_for(Stage.SETTLED, PATIENCE):
            return old
        if fill.told is not None:
            return Told(fill.told, "EXPIRED")
        served = self.shelf.take(fill.entry, fill.state) if fill.entry else None
        return served or replace(old, state="STALE")
