"""One visit to upstream for one resource: the lock, the second look, and what each answer does to what is stored.

Runs on a fill's own thread, so a client that leaves ends nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from app import metrics
from app.errors import (
    ArtifactError,
    Gone,
    NotFound,
    StoreDown,
    Unavailable,
    UpstreamDenied,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.fills.fill import Fill
from app.fills.receive import Receipt, head_of, receive, refuse_html
from app.fills.spool import Head, noted
from app.freshness import Freshness, forgettable, judge, renewed, rested
from app.resource import Entry, Resource
from app.shelf import Shelf
from app.stores.base import Held, Memory
from app.stores.catalog import Known
from app.upstream import Download, Upstreams, retry_after

log = logging.getLogger(__name__)

GONE = frozenset({401, 403, 404, 410})
ELSEWHERE = 10.0  # seconds to wait for another node's fill before streaming upstream unrecorded


class Unlocked:
    """The null lock: Redis is down, or another node has it for too long; a fence still orders commits."""

    token = ""

    def release(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """The parts a visit needs; `run` is what a fill's thread does."""

    shelf: Shelf
    memory: Memory
    upstreams: Upstreams
    spools: Path

    def run(self, fill: Fill, resource: Resource, known: Known) -> None:
        """Settle or fail the fill; `known.entry` is the old copy that can be served, if there is one."""
        held = self._lock(fill, resource, known)
        if held is None:
            return
        with noted(self.spools, fill.name, held.token):
            try:
                self._locked(fill, resource, known)
            finally:
                held.release()

    def open(self, resource: Resource, method: str, entry: Entry | None) -> Download:
        """Ask upstream, conditionally where `entry` can be compared; counts and times its answer."""
        begun = time.monotonic()
        download = self.upstreams.open(resource, method, validators(resource, entry))
        metrics.upstream(resource.repository.name, download.status, time.monotonic() - begun)
        return download

    def head(self, resource: Resource, entry: Entry | None) -> Download:
        """HEAD upstream; a GET whose body is left alone where upstream knows no HEAD."""
        answer = self.open(resource, "HEAD", entry)
        if answer.status not in (405, 501):
            return answer
        answer.close()
        return self.open(resource, "GET", entry)

    def look(self, fill: Fill, resource: Resource, known: Known, old: Entry) -> None:
        """Settle with whether `old` is still upstream's, by a HEAD: nothing is downloaded, nothing new stored."""
        held = self._try_lock(f"{resource.repository.name}@{known.epoch}/{resource.key}")
        if held is None:  # a download of it runs, and knows better
            fill.settle(old, "UPDATING")
            return
        try:
            self._looked(fill, resource, known, old)
        finally:
            held.release()

    def _looked(self, fill: Fill, resource: Resource, known: Known, old: Entry) -> None:
        """Only what a GET would hear too rests the entry: some upstreams refuse every HEAD and answer GET."""
        fence, now = self._fence(known), self.shelf.clock()
        try:
            with self.head(resource, old) as answer:
                head = replace(head_of(answer), length=None)
                if answer.status not in (200, 304):
                    raise refusal(answer, now)
                if answer.status == 200 and not _same(old, head):
                    refuse_html(resource, answer.headers)
                    fill.tell(head)
                    return
            entry, state = renewed(old, now, fence), "REVALIDATED"
        except (UpstreamError, NotFound, Unavailable) as error:
            log.warning("HEAD of %s: %s", fill.name, error.message)
            entry, state = rested(old, resource.ttl, now, fence, retry_after=error.retry_after), "STALE"
            if not isinstance(error, UpstreamTimeout | UpstreamUnreachable):
                entry = old
        if entry is not old:
            self._record(resource, known, entry)
        fill.settle(entry, state)

    # -- the lock, and another node's fill ----------------------------------------------------------------

    def _lock(self, fill: Fill, resource: Resource, known: Known) -> Held | None:
        """The lock of the key; None where the fill was settled by what another node stored."""
        held = self._try_lock(fill.name)
        if held is not None:
            return held
        if known.entry is not None:
            fill.settle(known.entry, "UPDATING")
            return None
        with metrics.lock_wait(resource.repository.name):
            return self._await_other(fill, resource)

    def _try_lock(self, name: str) -> Held | None:
        try:
            return self.memory.lock(name)
        except StoreDown:
            return Unlocked()

    def _await_other(self, fill: Fill, resource: Resource) -> Held | None:
        deadline = time.monotonic() + ELSEWHERE
        while time.monotonic() < deadline:
            time.sleep(0.1)
            if (held := self._try_lock(fill.name)) is not None:
                return held
            again = self._look_again(resource, Known(epoch=0, entry=None))
            if again.entry is not None and self.shelf.has(again.entry):
                fill.settle(again.entry, "HIT")
                return None
        log.warning("%s is being filled elsewhere without an end; streaming it unrecorded", fill.name)
        return Unlocked()

    # -- under the lock -----------------------------------------------------------------------------------

    def _locked(self, fill: Fill, resource: Resource, known: Known) -> None:
        again = self._look_again(resource, known)
        entry = again.entry if again.entry is not None and self.shelf.has(again.entry) else None
        if entry and judge(entry, resource.ttl, self.shelf.clock()) is Freshness.FRESH:
            fill.settle(entry, "HIT")
            return
        again = replace(again, entry=entry)
        fence = self._fence(again)
        try:
            with self.open(resource, "GET", entry) as download:
                receipt = Receipt(self.spools, self.shelf.blobs, fence)
                self._answered(fill, resource, again, receipt, download)
        except (UpstreamError, Unavailable) as error:
            self._failed(fill, resource, again, fence, error)

    def _look_again(self, resource: Resource, known: Known) -> Known:
        try:
            return self.shelf.catalog.look_again(resource.repository.name, resource.key)
        except StoreDown:
            return replace(known, recorded=False)

    def _fence(self, known: Known) -> int:
        """0 where the index is down: such a fill serves its readers and is not recorded."""
        if not known.recorded:
            return 0
        try:
            return self.shelf.catalog.index.next_fence()
        except StoreDown:
            return 0

    # -- upstream's answers -------------------------------------------------------------------------------

    def _answered(self, fill: Fill, resource: Resource, known: Known, receipt: Receipt, download: Download) -> None:
        now = self.shelf.clock()
        if download.status == 304 and known.entry is not None:
            entry = renewed(known.entry, now, receipt.fence)
            self._record(resource, known, entry)
            metrics.fill(resource.repository.name, "unchanged")
            fill.settle(entry, "REVALIDATED")
        elif download.status == 200:
            refuse_html(resource, download.headers)
            self._received(fill, resource, known, receipt, download)
        elif download.status in GONE:
            self._gone(fill, resource, known, receipt.fence, download.status)
        else:
            raise refusal(download, now)

    def _received(self, fill: Fill, resource: Resource, known: Known, receipt: Receipt, download: Download) -> None:
        """A new body; once its readers have seen it whole, a store that is down only means it is not kept.

        Nor is one whose end was only the connection's: a killed upstream looks the same (RFC 9112, 8).
        """
        try:
            entry = receive(fill, resource, download, receipt)
        except StoreDown as error:
            if not fill.complete:
                raise
            log.warning("%s is not kept: %s", fill.name, error.message)
            fill.settle(None)
            return
        now = self.shelf.clock()
        entry = replace(entry, fetched=now, checked=now, fence=receipt.fence)
        proven = download.framed or resource.expected is not None
        recorded = proven and self._record(resource, known, entry)
        metrics.fill(resource.repository.name, "stored" if recorded else "unrecorded")
        fill.settle(entry if recorded else None)

    def _gone(self, fill: Fill, resource: Resource, known: Known, fence: int, status: int) -> None:
        name, key = resource.repository.name, resource.key
        if known.entry is None:
            if status in (404, 410) and resource.remember_missing and known.recorded:
                self.shelf.catalog.remember_missing(name, key, known.epoch, status, forgettable(resource.ttl))
            raise _no_such(status, 404)
        if resource.repository.on_upstream_gone == "drop":
            self.shelf.catalog.forget(name, key, fence)
            fill.fail(_no_such(status, status))
            return
        entry = rested(known.entry, resource.ttl, self.shelf.clock(), fence, gone=status)
        self._record(resource, known, entry)
        fill.settle(entry, "STALE")

    def _failed(self, fill: Fill, resource: Resource, known: Known, fence: int, error: ArtifactError) -> None:
        """Nothing usable came: the old copy rests, or the client is told."""
        metrics.fill(resource.repository.name, error.code)
        log.warning("%s: %s", fill.name, error.message)
        if known.entry is None:
            raise error
        now = self.shelf.clock()
        entry = rested(known.entry, resource.ttl, now, fence, retry_after=error.retry_after)
        self._record(resource, known, entry)
        fill.settle(entry, "STALE")

    def _record(self, resource: Resource, known: Known, entry: Entry) -> bool:
        """Commit; False (and only a slow day) where the index is down or something newer is there."""
        if entry.fence == 0:
            return False
        name, blobs = resource.repository.name, self.shelf.blobs
        try:
            return self.shelf.catalog.commit(
                name, resource.key, resource.path, entry, known.epoch, lambda: blobs.exists(entry.digest)
            )
        except StoreDown as error:
            log.warning("%s/%s is not recorded: %s", name, resource.key, error.message)
            return False


def validators(resource: Resource, entry: Entry | None) -> Mapping[str, str]:
    """What makes a request conditional (RFC 9110, 13.1); empty where there is nothing to compare with."""
    if entry is None or not resource.repository.check_mutable_updates:
        return {}
    pairs = (("If-None-Match", entry.etag), ("If-Modified-Since", entry.last_modified))
    return {name: value for name, value in pairs if value}


def _same(entry: Entry, head: Head) -> bool:
    if entry.etag or head.etag:
        return entry.etag == head.etag
    return entry.last_modified is not None and entry.last_modified == head.last_modified


def refusal(download: Download, now: float) -> ArtifactError:
    """What a client is told of an upstream status that brought nothing."""
    status = download.status
    if status in GONE:
        return _no_such(status, 404)
    wait = retry_after(download.headers, now)
    return UpstreamError(f"upstream answered {status}", retry_after=wait, upstream_status=status)


def _no_such(upstream: int, shown: int) -> ArtifactError:
    if upstream in (401, 403):
        return UpstreamDenied(f"upstream answered {upstream}", upstream_status=upstream)
    error = Gone if shown == 410 else NotFound
    return error("upstream has no such file", upstream_status=upstream)
