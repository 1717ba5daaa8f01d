"""How a document is made of others: its sources brought up to date, Format.make run, the result recorded.

Runs under the lock of the document's key (visit.py), so no two workers make the same one, on any node; whoever waits
for it meanwhile has the old one.

    a source is stored and fresh           as it is
    it is expired, or missing              asked about like any resource, all of them side by side
    its upstream does not answer           its stored copy; with none it is left out, and the document says so
    upstream has no such thing             left out
    all of them are left out               as upstream says it of one: 404, or the first problem
    no document can be made of them        the old one; it is not tried again of the same while that rests
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from email.utils import formatdate

from app import metrics
from app.assembly import (
    ABSENT,
    BESIDE,
    FAILED,
    LEFT_OUT,
    RESTING,
    SILENT,
    STAMP,
    Assembly,
    Source,
    path_hash,
    rests,
    said,
    saying,
    stamp,
    written_with,
)
from app.desk import Page, Written, written
from app.errors import ArtifactError, Forbidden, NotFound, StoreDown, Unavailable, UpstreamError, UpstreamLied
from app.fetch import Visit
from app.freshness import NEGATIVE, REST_FIRST, dated_after, rested
from app.records import Records
from app.repository import variant
from app.resource import Entry, Found, Made, Resource
from app.shelf import buffered

log = logging.getLogger(__name__)

HERES = "Here"  # a line of Entry.kept: how often HERE stands in the body
MOST_FAILURES = 1024  # that are remembered of documents that have no old copy
_ROUNDS = 2000  # of Format.needs: pages of which each names the next; a chain without an end is no document

Current = Callable[[Sequence[Resource]], list[Found]]


@dataclass(frozen=True, slots=True)
class _Failure:
    """That of these sources (a stamp) no document could be made, which is believed until then (unix seconds)."""

    made_of: str
    until: float
    error: UpstreamLied | NotFound


@dataclass(slots=True)
class _Trial:
    """What is known of one try: what the sources are, and the members that did not answer."""

    made_of: str = ""
    silent: dict[str, int] = field(default_factory=dict)  # and their epochs


class Making:
    """One per process, for many threads."""

    def __init__(self, records: Records, current: Current) -> None:
        """`current` brings resources up to date and says what they are, side by side."""
        self.records = records
        self.shelf = records.shelf
        self.spools = records.fetch.spools
        self.assembly = Assembly(self.shelf)
        self.current = current
        self._failures: dict[tuple[str, str], _Failure] = {}

    def run(self, visit: Visit) -> None:
        """Settle the visit's fill. Raises UpstreamError, Unavailable, NotFound as if upstream had said it; Forbidden
        where patterns refuse what it would be made of."""
        old, trial = visit.known.entry, _Trial()
        try:
            self._try(visit, trial)
        except (NotFound, Forbidden) as error:
            self._forget(visit, old, missing=isinstance(error, NotFound))
            raise
        except (UpstreamError, Unavailable) as error:
            if old is None or isinstance(error, StoreDown):
                raise
            metrics.fill(visit.repository, error.code)
            log.warning("%s: %s", visit.fill.name, error.message)
            entry = rested(old, None, self.shelf.clock(), visit.fence, retry_after=error.retry_after)
            kept = saying(entry.kept, {RESTING: rests(trial.silent), FAILED: trial.made_of})
            self._touch(visit, replace(entry, kept=kept))
            visit.fill.settle(entry, "STALE")

    def _try(self, visit: Visit, trial: _Trial) -> None:
        resource, old = visit.resource, visit.known.entry
        found = self.current(self.assembly.asked(resource))
        trial.silent = _silent(found)
        for name in trial.silent:
            metrics.LEFT_OUT.labels(resource.repository.name, name).inc()
        trial.made_of = stamp(resource, [Source(each.resource, _state(each)) for each in found])
        if all(each.entry is None for each in found):
            raise _nothing(found)
        if old is not None and said(old, STAMP) == trial.made_of:
            self._unchanged(visit, old, trial, any(each.silent for each in found))
            return
        self._refuse_again(resource, trial.made_of)
        try:
            entry = self._made(visit, found, trial)
        except (UpstreamLied, NotFound) as error:
            self._remember(resource, trial.made_of, error)
            raise
        self.records.record(resource, visit.known, entry)
        metrics.fill(visit.repository, "made")
        visit.fill.settle(entry, "EXPIRED" if old is not None else "MISS")

    def _unchanged(self, visit: Visit, old: Entry, trial: _Trial, late: bool) -> None:
        """Its sources are the same; those that did not answer rest for a while."""
        now = self.shelf.clock()
        entry = replace(old, fence=visit.fence, retry_at=0.0, failures=0)
        if trial.silent:
            entry = rested(old, None, now, visit.fence)
        entry = replace(entry, kept=saying(old.kept, {RESTING: rests(trial.silent), FAILED: ""}))
        if trial.silent or old.retry_at or entry.kept != old.kept:
            self._touch(visit, entry)
        visit.fill.settle(entry, "STALE" if late else "REVALIDATED")

    def _forget(self, visit: Visit, old: Entry | None, *, missing: bool) -> None:
        """There is no such document any more, or nobody may have it; that there is none is remembered only to spare
        the index a question: whether it is so, the sources tell."""
        catalog, name, key = self.shelf.catalog, visit.repository, visit.resource.key
        with contextlib.suppress(StoreDown):
            if old is not None:
                catalog.forget(name, key, visit.fence)
        if missing:
            catalog.remember_missing(name, key, visit.known.epoch, 404, NEGATIVE)

    def _touch(self, visit: Visit, entry: Entry) -> None:
        self.records.touch(visit.resource, visit.known, entry)

    def doubt(self, document: Resource, path: str) -> bool:
        """Have a document made again that was recorded with that path beside it; False where it was not."""
        known = self.shelf.find(document)
        if known.entry is None or not written_with(known.entry, path):
            return False
        fence, kept = self.records.fetch.fence(known), saying(known.entry.kept, {STAMP: ""})
        return self.records.touch(document, known, replace(known.entry, fence=fence, kept=kept))

    # -- what cannot be made --------------------------------------------------------------------------------

    def _refuse_again(self, resource: Resource, made_of: str) -> None:
        """Raise what was said of the same sources a moment ago: reading a bad document may take seconds."""
        failure = self._failures.get((resource.repository.name, resource.key))
        if failure is not None and failure.made_of == made_of and self.shelf.clock() < failure.until:
            error, wait = failure.error, failure.until - self.shelf.clock()
            raise type(error)(error.message, code=error.code, retry_after=wait, upstream_status=error.upstream_status)

    def _remember(self, resource: Resource, made_of: str, error: UpstreamLied | NotFound) -> None:
        self._failures[resource.repository.name, resource.key] = _Failure(
            made_of, self.shelf.clock() + REST_FIRST, error
        )
        while len(self._failures) > MOST_FAILURES:
            with contextlib.suppress(KeyError, RuntimeError):  # another thread was quicker
                del self._failures[next(iter(self._failures))]

    # -- what can -------------------------------------------------------------------------------------------

    def _made(self, visit: Visit, found: list[Found], trial: _Trial) -> Entry:
        resource = visit.resource
        with ExitStack() as opened:
            self._open(found, opened)
            try:
                found, more = self._needed(resource, found, opened)
                entry = self._written(visit, found)
            except (ValueError, RecursionError) as error:
                raise UpstreamLied(f"{resource.path} cannot be made: {error}") from error
        trial.silent |= more
        told = trial.made_of
        if more:  # the stamp does not know of them
            entry = replace(entry, kept=saying(entry.kept, {FAILED: told}))
            told = "-"
        if trial.silent:
            failures = visit.known.entry.failures if visit.known.entry else 0
            entry = rested(replace(entry, failures=failures), None, self.shelf.clock(), entry.fence)
        silent = {LEFT_OUT: " ".join(trial.silent), RESTING: rests(trial.silent)}
        return replace(entry, kept=saying(entry.kept, {STAMP: told, **silent}))

    def _needed(
        self, resource: Resource, found: list[Found], opened: ExitStack
    ) -> tuple[list[Found], dict[str, int]]:
        """The sources with all that make() has to read besides; and the members of which some of it is silent."""
        silent: dict[str, int] = {}
        for _ in range(_ROUNDS):
            wanted = resource.format.needs(resource, found)
            if not wanted:
                return found, silent
            more = self.current(wanted)
            silent |= _silent(more)
            self._open(more, opened)
            found += more
        raise ValueError(f"after {_ROUNDS} rounds it still needs more")

    def _open(self, found: list[Found], opened: ExitStack) -> None:
        """Give each its bytes, in place."""
        for number, each in enumerate(found):
            if each.entry is None:
                continue
            served = self.shelf.take(each.entry, "")
            if served is None:
                raise StoreDown("a stored copy cannot be read", retry_after=1)
            found[number] = replace(each, file=opened.enter_context(buffered(served.file)))

    def _written(self, visit: Visit, found: list[Found]) -> Entry:
        resource = visit.resource
        with written(self.spools, visit.fill.name, visit.fence) as desk:
            if visit.known.entry is None and not resource.addressed:
                desk.given(visit.fill)
            made = resource.format.make(resource, found, desk)
            for beside in desk.others:
                self._record_beside(visit, beside)
            desk.ended(visit.fill)
            entry = self._adopted(desk.page, made, visit.fence, visit.known.entry)
            hashes = " ".join(path_hash(each.path) for each in desk.others)
        return replace(entry, kept=saying(entry.kept, {BESIDE: hashes}))

    def _record_beside(self, visit: Visit, beside: Written) -> None:
        """Under a key of those who may read the same members: it tells as much as the document does."""
        key, path = variant(visit.resource.repository, beside.path), beside.path
        entry = self._adopted(beside.page, Made(beside.content_type), visit.fence)
        other = replace(visit.resource, key=key, path=path, sources=(), addressed=False, whole=False)
        self.records.record(other, visit.known, entry)

    def _adopted(self, page: Page, made: Made, fence: int, before: Entry | None = None) -> Entry:
        page.flush()
        page.spool.sync()
        digest, now = page.digest.hexdigest(), self.shelf.clock()
        self.shelf.blobs.adopt(page.spool.path, digest)
        kept = saying(made.kept, {HERES: str(page.heres or "")})
        since = formatdate(dated_after(before, digest, now), usegmt=True)
        return Entry(digest, page.spool.size, made.content_type, f'"{digest}"', since, now, now, fence, kept=kept)


def _silent(found: Sequence[Found]) -> dict[str, int]:
    """The members that did not answer, and of which nothing is stored, and under which epochs they were asked."""
    return {each.resource.repository.name: each.epoch for each in found if each.silent and each.entry is None}


def _state(found: Found) -> str:
    if found.entry is not None:
        return found.entry.digest
    return SILENT if found.silent else ABSENT


def _nothing(found: Sequence[Found]) -> ArtifactError:
    """What a client is told where no source is there."""
    silent = next((each.error for each in found if each.silent), None)
    return silent or next((each.error for each in found if each.error), NotFound("no source has such a thing"))
