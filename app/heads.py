"""A HEAD of a stored copy that has expired: whether it is still upstream's, asked by a HEAD."""

from __future__ import annotations

import logging
from dataclasses import replace

from app.errors import NotFound, Unavailable, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.fetch import Fetch, Visit, name_of
from app.fills.fill import Fill
from app.fills.spool import Head
from app.freshness import renewed, rested
from app.locating import Locating
from app.records import Records
from app.resource import Entry, Resource
from app.stores.catalog import Known
from app.turns import Turns

log = logging.getLogger(__name__)


class Heads:
    """One per process, for many threads."""

    def __init__(self, fetch: Fetch, turns: Turns, records: Records, locating: Locating) -> None:
        self.fetch = fetch
        self.turns = turns
        self.shelf = fetch.shelf
        self.records = records
        self.locating = locating

    def look(self, fill: Fill, resource: Resource, known: Known, old: Entry) -> None:
        """Settle with whether `old` is still upstream's, by a HEAD: nothing is downloaded, nothing new stored."""
        held = self.turns.lock(name_of(resource, known.epoch))
        if held is None:  # a download of it runs, and knows better
            fill.settle(old, "UPDATING")
            return
        try:
            self._looked(Visit(fill, resource, known, self.fetch.fence(known)), old)
        finally:
            held.release()

    def _looked(self, visit: Visit, old: Entry) -> None:
        """Only what a GET would hear too rests the entry: some upstreams refuse every HEAD and answer GET."""
        resource, now = visit.resource, self.shelf.clock()
        try:
            head = self.fetch.told(self.locating.located(resource), old)
            if head is not None and not _same(old, head):
                visit.fill.tell(head)
                return
            entry, state = renewed(old, now, visit.fence), "REVALIDATED"
        except (UpstreamError, NotFound, Unavailable) as error:
            log.warning("HEAD of %s: %s", visit.fill.name, error.message)
            entry, state = rested(old, resource.ttl, now, visit.fence, retry_after=error.retry_after), "STALE"
            if not isinstance(error, UpstreamTimeout | UpstreamUnreachable):
                entry = old
        if entry is not old:
            self.records.touch(resource, replace(visit.known, entry=old), entry)
        visit.fill.settle(entry, state)


def _same(entry: Entry, head: Head) -> bool:
    if entry.etag or head.etag:
        return entry.etag == head.etag
    return entry.last_modified is not None and entry.last_modified == head.last_modified
