"""What an operator does to the stores, by HTTP or by the command line: flush, garbage collection, restoring."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

from app import journal
from app.errors import StoreDown, Unavailable
from app.stores.base import Index, Stored
from app.stores.blobs import Blobs
from app.stores.catalog import Catalog
from app.stores.edges import LEASE, Edges
from app.stores.memory import Memory

T = TypeVar("T")

GRACE = 3600.0  # seconds a blob nothing refers to yet is left alone: a fill may be about to record it
BATCH = 1000  # digests that the index is asked about at once
LONGEST_WAIT = LEASE + 1.0  # seconds for edges: by then the lease of one that did not ask again is over
LOOK = 0.05  # seconds between two looks at them
UNSETTLED = (
    "an edge asks for news and has not applied the last ones: it may still serve what was flushed; the log of "
    "artifactapi edge on its machine says why"
)

TRUSTED = 60.0  # seconds for which a database that was whole is not asked again: another may answer at its URL

_whole: WeakKeyDictionary[Blobs, float] = WeakKeyDictionary()  # when each was found so, in time.monotonic()


@dataclass(frozen=True, slots=True)
class Flush:
    """Entries forgotten or expired, copies removed from Redis, blobs that nothing refers to any more; `told` is False
    where Redis could not be told, so that older copies may be trusted for a while (Catalog.flush); `settled` is False
    where a cache in front asks for news and is so late with them that it may still serve what was ended."""

    entries: int = 0
    redis_keys: int = 0
    unreferenced: int = 0
    told: bool = True
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Collection:
    """What gc found: blobs looked at, removed (or, in a dry run, removable), entries dropped before."""

    blobs: int
    removed: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Restored:
    """Hosted files that were recorded, and those dropped because the journal knows of their withdrawal; `told` as in
    Flush."""

    files: int
    withdrawn: int
    told: bool


@contextlib.contextmanager
def alone(memory: Memory, name: str) -> Iterator[bool]:
    """Whether this node is the one of its fleet that does `name` now; while the memory is down every node is."""
    try:
        held = memory.lock(name)
    except StoreDown:
        yield True
        return
    try:
        yield held is not None
    finally:
        if held is not None:
            held.release()


def flush(catalog: Catalog, repositories: Iterable[str], prefix: str, *, expire: bool) -> Flush:
    """Forget (or expire) the entries of these remotes whose path starts with `prefix`, and wait until no cache in
    front serves them, LONGEST_WAIT at most. Raises StoreDown."""
    around = _around(catalog.memory.edges)  # a Redis that is emptied from here on knows of no edge
    entries = redis_keys = unreferenced = 0
    told = True
    for name in repositories:
        flushed, removed = catalog.flush(name, prefix, expire)
        entries += flushed.entries
        unreferenced += flushed.unreferenced
        redis_keys += removed or 0
        told = told and removed is not None
    settled = _settled(catalog.memory.edges, around) if told else _outwaited(around)
    return Flush(entries, redis_keys, unreferenced, told, settled)


def _around(edges: Edges) -> bool:
    with contextlib.suppress(StoreDown):
        edges.latest()
    return edges.around


def _outwaited(around: bool) -> bool:
    """Where Redis could not be told: it answers no poll either, so all leases are soon over. Or only we do not reach
    it; then whoever is polled finds the epochs in Postgres meanwhile (web/edges.py)."""
    time.sleep(LONGEST_WAIT if around else 0)
    return True


def _settled(edges: Edges, around: bool) -> bool:
    """Wait until no edge serves what was ended before; False where one may after all that time."""
    number, late = 0, False
    deadline = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < deadline:
        with contextlib.suppress(StoreDown):
            number = number or edges.latest()
            if number or not around:
                late = not edges.settled(number)
                if not late:
                    return True
        time.sleep(LOOK)
    return not late


def collect(
    index: Index,
    blobs: Blobs,
    *,
    grace: float = GRACE,
    known: frozenset[str] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Collection:
    """Remove blobs that nothing refers to and that are older than `grace` seconds; end early where `stop` says so.

    With `known`, entries of repositories not named in it are dropped first. Safe beside running fills: the
    index lets no commit of a digest happen while that digest is being removed. Raises StoreDown, and what
    require_whole() does.
    """
    require_whole(index, blobs)
    dropped = _drop_unknown(index, blobs, known) if known is not None else 0
    seen = removed = 0
    before = time.time() - grace
    for batch in _batches(blobs.walk()):
        seen += len(batch)
        for digest in index.unreferenced([digest for digest, adopted in batch if adopted <= before]):
            if stop():
                break
            removed += drop(index, blobs, digest, before)
        if stop():
            break
    return Collection(seen, removed, dropped)


def _drop_unknown(index: Index, blobs: Blobs, known: frozenset[str]) -> int:
    """The journal learns of it too: a restore would bring the files back, under a name that another team may have."""

    def note(name: str, fence: int) -> None:
        journal.removed(blobs, index.next_note(), name, fence)

    return sum(index.drop_unknown(known, journal=note).values())


def _batches(walked: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(walked, BATCH)):
        yield batch


def drop(index: Index, blobs: Blobs, digest: str, before: float) -> bool:
    """Remove a blob unless something refers to it, or it was adopted (again) after `before`; True if removed.

    Whoever adopted it a moment ago is about to record it.
    """
    removed = False

    def remove() -> None:
        nonlocal removed
        adopted = blobs.adopted(digest)
        if adopted is not None and adopted <= before:
            blobs.remove(digest)
            removed = True

    index.drop_blob(digest, remove)
    return removed


def require_whole(index: Index, blobs: Blobs) -> None:
    """Raise where the journal has records whose numbers the index never gave: it is new, or an old back-up, and what
    it does not know may be the only copy of what a team published.

    Only the journal draws those numbers, and nothing is added to it meanwhile, so neither asking nor downloads make
    the difference smaller.
    """
    last = index.last_note()
    while ahead := blobs.noted(last):
        last = index.last_note()  # it may have been published since
        if ahead <= last:
            continue
        raise Unavailable(
            "the journal beside the blobs is ahead of this database, which is new or an old back-up: "
            "run artifactapi restore --from-store (with --force after a back-up); "
            "until then nothing is removed or published",
            code="index_behind_journal",
        )


def require_still_whole(index: Index, blobs: Blobs) -> None:
    """require_whole(), unless it was so a moment ago."""
    if time.monotonic() - _whole.get(blobs, -TRUSTED) >= TRUSTED:
        require_whole(index, blobs)
        _whole[blobs] = time.monotonic()


def restore(
    catalog: Catalog,
    blobs: Blobs,
    repositories: Iterable[str],
    missing: Callable[[Stored], None],
    log: Callable[[str], None],
    named: Callable[[str, str], str] = lambda repository, path: "",
) -> Restored:
    """Record in the index what the journal says is published, and drop what it says was withdrawn.

    `repositories` are named so that nobody trusts an old copy of theirs; `named` tells the package of a file, by its
    repository and path. Files whose bytes are not here are told to
    `missing`, unreadable records to `log`. Can be run again. Raises StoreDown.
    """

    def here(files: Iterable[Stored]) -> Iterator[Stored]:
        for file in files:
            if blobs.exists(file.entry.digest):
                yield replace(file, package=named(file.repository, file.path))
            else:
                missing(file)

    with journal.replayed(blobs, log) as replay:
        files, told = catalog.restore(here(replay.published()), repositories)
        withdrawn = sum(catalog.forget_hosted(*each) for each in replay.withdrawn())
    return Restored(files, withdrawn, told)
