"""The parts that a visit to upstream is made of: asking, fences, a body nobody reads yet."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from app import metrics
from app.errors import ArtifactError, Gone, NotFound, StoreDown, UpstreamDenied, UpstreamError, UpstreamLied
from app.fills.fill import Fill
from app.fills.receive import Receipt, head_of, receive, refuse_html
from app.fills.spool import Head
from app.resource import Ask, Entry, Resource
from app.shelf import Shelf
from app.stores.catalog import Known
from app.stores.memory import Memory, Sighting
from app.upstream import Download, Upstreams, retry_after

log = logging.getLogger(__name__)

GONE = frozenset({401, 403, 404, 410, 451})  # 451: unavailable for legal reasons (RFC 7725)
NO_HEAD = frozenset({400, 405, 501})  # upstreams that know no HEAD


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit under way: who waits for it, for what, what is stored of it, and the fence it commits under."""

    fill: Fill
    resource: Resource
    known: Known
    fence: int

    @property
    def repository(self) -> str:
        return self.resource.repository.name


@dataclass(frozen=True, slots=True)
class Fetch:
    """What visits share; one per process, for many threads."""

    shelf: Shelf
    memory: Memory
    upstreams: Upstreams
    spools: Path

    # -- asking -------------------------------------------------------------------------------------------

    def open(self, resource: Resource, method: str, entry: Entry | None) -> Download:
        """Ask upstream, conditionally where `entry` can be compared; counts and times its answer."""
        begun = time.monotonic()
        try:
            download = self.upstreams.open(resource, method, validators(resource, entry))
        except ArtifactError as error:
            self.sight(resource, error.upstream_status, error.message)
            raise
        self.sight(resource, download.status)
        metrics.upstream(resource.repository.name, download.status, time.monotonic() - begun)
        metrics.quota(resource.repository.name, download.headers)
        return download

    def sight(self, resource: Resource, status: int, problem: str = "") -> None:
        """Remember what upstream did, for who asks why."""
        with contextlib.suppress(StoreDown):
            self.memory.sight(resource.repository.name, resource.key, Sighting(self.shelf.clock(), status, problem))

    def head(self, resource: Resource, entry: Entry | None) -> Download:
        """HEAD upstream; a GET whose body is left alone where upstream knows no HEAD."""
        answer = self.open(resource, "HEAD", entry)
        if answer.status not in (405, 501):
            return answer
        answer.close()
        return self.open(resource, "GET", entry)

    def told(self, resource: Resource, entry: Entry | None) -> Head | None:
        """What upstream's HEAD says of it now, None for "unchanged" (304); raises what a client is to be told.

        A length is only believed of bytes that have a digest for a name: several registries' HEAD lengths are
        not their GET lengths.
        """
        with self.head(resource, entry) as answer:
            if answer.status == 304:
                return None
            if answer.status != 200:
                raise refusal(answer, self.shelf.clock())
            refuse_html(resource, answer.headers)
            length = answer.announced if resource.vouchers else None
            return replace(head_of(resource, answer), length=length)

    def body(self, visit: Visit, resource: Resource, download: Download) -> Entry:
        """The verified bytes of an open download, on the shelf but not recorded: nobody sees them yet."""
        if download.status != 200:
            raise refusal(download, self.shelf.clock())
        if not download.framed and resource.expected is None:
            raise UpstreamLied("upstream's body ends only with its connection, and may be cut")
        unseen = Fill(f"{visit.fill.name} {resource.key}")
        return self.received(unseen, resource, download, visit.fence)

    def received(self, fill: Fill, resource: Resource, download: Download, fence: int) -> Entry:
        """receive(), checked by what upstream's headers promise too, and dated."""
        refuse_html(resource, download.headers)
        if resource.expected is None:
            resource = replace(resource, expected=resource.format.promised(resource, download.headers))
        entry = receive(fill, resource, download, Receipt(self.spools, self.shelf.blobs, fence))
        now = self.shelf.clock()
        return replace(entry, fetched=now, checked=now, fence=fence)

    # -- what is stored by now -------------------------------------------------------------------------

    def fence(self, known: Known) -> int:
        """0 where the index is down: such a visit serves its readers and is not recorded."""
        if not known.recorded:
            return 0
        try:
            return self.shelf.catalog.index.next_fence()
        except StoreDown:
            return 0


def name_of(resource: Resource, epoch: int) -> str:
    """A fill's and a lock's name; the epoch is part of it: after a flush nobody joins what began before."""
    return f"{resource.repository.name}@{epoch}/{resource.key}"


def beside(resource: Resource, path: str) -> Resource:
    """Another path of the same repository, as its format resolves it."""
    return resource.format.resolve(resource.repository, Ask("GET", resource.repository.name, path))


def validators(resource: Resource, entry: Entry | None) -> Mapping[str, str]:
    """What makes a request conditional (RFC 9110, 13.1); empty where there is nothing to compare with."""
    if entry is None or not resource.repository.check_mutable_updates:
        return {}
    pairs = (("If-None-Match", entry.etag), ("If-Modified-Since", entry.last_modified))
    return {name: value for name, value in pairs if value}


def refusal(download: Download, now: float) -> ArtifactError:
    """What a client is told of an upstream status that brought nothing."""
    status = download.status
    if status in GONE:
        return no_such(status, 404)
    wait = retry_after(download.headers, now)
    return UpstreamError(f"upstream answered {status}", retry_after=wait, upstream_status=status)


def told_before(known: Known, error: ArtifactError) -> ArtifactError:
    """While upstream cannot be asked, a 404 that it gave once beats an error: clients go on to what is there."""
    if known.missed and not isinstance(error, UpstreamDenied | UpstreamLied):
        return no_such(known.missed, 404)
    return error


def no_such(upstream: int, shown: int) -> ArtifactError:
    """The error for an upstream status of GONE; `shown` is 410 where the client is to see that one."""
    if upstream in (401, 403):
        return UpstreamDenied(f"upstream answered {upstream}", upstream_status=upstream)
    error = Gone if shown == 410 else NotFound
    return error("upstream has no such file", upstream_status=upstream)
