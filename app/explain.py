"""Why a client gets what it gets: everything that is known of one resource, and what a GET of it would do now.

Looking changes nothing: the very catalog and shelf of requests are asked, but through onlooking.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from app.errors import ArtifactError, NotFound, StoreDown, Unavailable
from app.explanation import Bytes, Download, Explanation, Here, Next
from app.fetch import name_of
from app.foresight import Found, Row, absent, certain, expired, hashed, missing, past, refused
from app.freshness import forgettable, judge, outdated, rested
from app.onlooking import Onlooker, Overheard
from app.resource import Entry, Kind, Resource
from app.shelf import Shelf
from app.stores.base import Index
from app.stores.catalog import Catalog, Known
from app.stores.memory import Memory, Sighting
from app.upstream.breaker import Health, Resting

REDIS, POSTGRES = "Redis", "Postgres"
DOWN = "{} does not answer"
OFFLINE = "never: it is offline"
LOST = "its bytes are not here whole; "
NAMES = {"HIT": "fresh", "STALE": "expired, upstream failed a moment ago: the old copy"}
TOLERANCE = 1.0  # seconds between a sighting and the rest that it caused


def explain(here: Here, resource: Resource) -> Explanation:
    """Never raises StoreDown: what cannot be looked up is said to be unknown."""
    return _Look(here, _unhashed(resource), resource.repository.verify_on_read).explanation()


def _unhashed(resource: Resource) -> Resource:
    """Without `verify_on_read`: reading a large body is no look, and what is damaged would be moved."""
    return replace(resource, repository=replace(resource.repository, verify_on_read=False))


class _Look:
    """One look at one resource."""

    def __init__(self, here: Here, resource: Resource, wary: bool) -> None:
        """`wary` where the repository hashes what it serves."""
        self.here, self.resource, self.wary = here, resource, wary
        self.index = Overheard(here.index)
        memory = cast(Memory, Onlooker(here.memory))
        self.shelf = Shelf(Catalog(cast(Index, self.index), memory, here.clock), here.blobs, here.clock)
        self.unknown: dict[str, str] = {}
        self.now = here.clock()

    def explanation(self) -> Explanation:
        known, problem = self._known()
        download, sighting = self._download(known), self._sighting()
        blob = self._bytes(known)
        row = refused("the stores are down", problem) if problem else self._row(known, download, blob)
        return Explanation(
            self.resource,
            known,
            self._source(known),
            self._freshness(known.entry),
            blob,
            download,
            sighting,
            self._health(),
            self._next(known, sighting, row),
            row,
            self.unknown,
        )

    # -- what is known ------------------------------------------------------------------------------------

    def _known(self) -> tuple[Known, StoreDown | None]:
        """As the engine finds it: with no store to ask, a remote is passed through."""
        try:
            return self.shelf.find(self.resource), None
        except StoreDown as down:
            self.unknown["known"] = f"neither {POSTGRES} nor {REDIS} answers"
            lost = Known(epoch=0, entry=None, recorded=False)
            return lost, None if self.resource.repository.kind is Kind.REMOTE else down

    def _source(self, known: Known) -> str:
        if self.index.answered:
            return POSTGRES
        if known.entry is None and not known.negative:
            return ""
        return REDIS if self.index.answered is None else f"{REDIS}, while {DOWN.format(POSTGRES)}"

    def _freshness(self, entry: Entry | None) -> str:
        if entry is None:
            return ""
        return "outdated" if outdated(entry, self.now) else str(judge(entry, self.resource.ttl, self.now).value)

    def _bytes(self, known: Known) -> Bytes | None:
        """Of the stored copy; else of the digest in the name, where another name's bytes may serve."""
        entry, expected = known.entry, self.resource.expected
        if entry is not None:
            digest = entry.digest
        elif self.resource.vouchers and expected is not None and expected.algorithm == "sha256":
            digest = expected.value
        else:
            return None
        try:
            size = self._size(digest)
        except StoreDown:
            self.unknown["bytes"] = DOWN.format("the bytes' store")
            return Bytes(digest, self.here.place(digest), "unknown")
        damaged = entry is not None and size not in (None, entry.size)
        state = "missing" if size is None else "damaged" if damaged else "present"
        return Bytes(digest, self.here.place(digest), state, size)

    def _size(self, digest: str) -> int | None:
        file = self.here.blobs.open(digest)
        if file is None:
            return None
        with file:
            return file.seek(0, 2)

    def _download(self, known: Known) -> Download | None:
        if self.resource.repository.kind is not Kind.REMOTE:
            return None
        name = name_of(self.resource, known.epoch)
        try:
            holder = self.here.memory.holder(name)
        except StoreDown:
            self.unknown["download"] = DOWN.format(REDIS)
            return Download(name)
        return Download(name, holder is not None, holder.address if holder else "")

    def _sighting(self) -> Sighting | None:
        if self.resource.repository.kind is not Kind.REMOTE:
            return None
        try:
            return self.here.memory.sighted(self.resource.repository.name, self.resource.key)
        except StoreDown:
            self.unknown["last_answer"] = DOWN.format(REDIS)
            return None

    # -- what a GET would do ------------------------------------------------------------------------------

    def _row(self, known: Known, download: Download | None, blob: Bytes | None) -> Row:
        """The engine's own steps, up to where it would ask upstream."""
        found = self._found(known, download, blob)
        try:
            served = self.shelf.stored(self.resource, known) or self.shelf.old(self.resource, known)
        except NotFound as error:
            local = self.resource.repository.kind is Kind.LOCAL
            name = "a local repository has no such file" if local else "missing, remembered"
            return absent(name, found, error, self._otherwise())
        except StoreDown as down:
            remote = self.resource.repository.kind is Kind.REMOTE
            return past(found, down) if remote else refused("the bytes' store is down", down)
        if served is None:
            return self._missing(found)
        served.file.close()
        row = expired(found) if served.state == "UPDATING" else certain(NAMES[served.state], served.state)
        return hashed(row, self._missing(found)) if self.wary else row

    def _missing(self, found: Found) -> Row:
        if self.resource.repository.kind is Kind.LOCAL:
            return refused(
                "a hosted file's bytes are missing or damaged",
                StoreDown("the bytes of a hosted file are missing or damaged"),
            )
        row = missing(replace(found, known=replace(found.known, entry=None)), self._otherwise())
        why = "outdated; " if self._freshness(found.known.entry) == "outdated" else ""
        lost = "" if why or found.known.entry is None else LOST
        return replace(row, name=f"{why}{lost}{row.name}")

    def _found(self, known: Known, download: Download | None, blob: Bytes | None) -> Found:
        running = download is not None and bool(download.running)
        elsewhere = running and download is not None and download.node not in ("", self.here.address)
        here = known.entry is None and blob is not None and blob.state == "present"
        return Found(self.resource, known, running, elsewhere, self._barred(), here)

    def _health(self) -> Sequence[Health]:
        if self.resource.repository.kind is not Kind.REMOTE:
            return ()
        if self.here.health is None:
            self.unknown["upstreams"] = DOWN.format("the fills process")
            return ()
        return self.here.health.get(self.resource.repository.name, ())

    def _barred(self) -> ArtifactError | None:
        """Why upstream would not be asked now, as Upstreams.open says it."""
        repository = self.resource.repository
        if repository.offline or self.here.offline:
            return Unavailable(f"{repository.name} is offline and has no copy of this", code="offline")
        health = self._health()
        if not health or len(health) < len(repository.base_urls) or any(each.state != "open" for each in health):
            return None
        first = min(health, key=lambda each: each.retry_in)
        return Resting(f"upstream is left alone after failures ({first.problem})", retry_after=first.retry_in)

    def _otherwise(self) -> Row | None:
        other = self.resource.otherwise
        return None if other is None else explain(self.here, other).row

    # -- the next try -------------------------------------------------------------------------------------

    def _next(self, known: Known, sighting: Sighting | None, row: Row) -> Next:
        repository = self.resource.repository
        if repository.kind is not Kind.REMOTE:
            return Next(None, "never: it has no upstream")
        if known.negative:
            return self._remembered(sighting)
        if known.entry is not None and not row.asked and self._freshness(known.entry) in ("fresh", "resting"):
            return self._kept(known.entry, sighting)
        if (barred := self._barred()) is not None:
            return Next(self.now + barred.retry_after, barred.message) if barred.retry_after else Next(None, OFFLINE)
        return Next(self.now, "at the next request")

    def _remembered(self, sighting: Sighting | None) -> Next:
        seconds = forgettable(self.resource.ttl)
        at = sighting.at + seconds if sighting is not None else None
        return Next(at, f"upstream's 404 is remembered for {seconds:g} s")

    def _kept(self, entry: Entry, sighting: Sighting | None) -> Next:
        if self._freshness(entry) == "resting":
            return Next(entry.retry_at, self._rest(entry, sighting))
        if self.resource.ttl is None:
            return Next(None, "never: it is kept for ever")
        return Next(entry.checked + self.resource.ttl, "its TTL ends then")

    def _rest(self, entry: Entry, sighting: Sighting | None) -> str:
        """Retry-After where the rest is longer than this server's own would be."""
        failed = sighting.at if sighting is not None else self.now
        own = rested(replace(entry, failures=max(0, entry.failures - 1)), self.resource.ttl, failed, 0).retry_at
        if entry.retry_at > own + TOLERANCE:
            return "upstream said so (Retry-After)"
        return f"a failing upstream rests ({entry.failures} in a row)"
