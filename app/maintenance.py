"""What an operator does to the stores, by HTTP or by the command line: flush, garbage collection, restoring."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from weakref import WeakSet

from app import journal
from app.errors import Unavailable
from app.stores.base import Index, Stored
from app.stores.blobs import Blobs
from app.stores.catalog import Catalog

GRACE = 3600.0  # seconds a blob nothing refers to yet is left alone: a fill may be about to record it
BATCH = 1000  # digests that the index is asked about at once

_whole: WeakSet[Blobs] = WeakSet()


@dataclass(frozen=True, slots=True)
class Flush:
    """Entries forgotten or expired, copies removed from Redis, blobs that nothing refers to any more."""

    entries: int = 0
    redis_keys: int = 0
    unreferenced: int = 0


@dataclass(frozen=True, slots=True)
class Collection:
    """What gc found: blobs looked at, removed (or, in a dry run, removable), entries dropped before."""

    blobs: int
    removed: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Restored:
    """Hosted files that were recorded, and those dropped because the journal knows of their withdrawal."""

    files: int
    withdrawn: int


def flush(catalog: Catalog, repositories: Iterable[str], prefix: str, *, expire: bool) -> Flush:
    """Forget (or expire) the entries of these remotes whose path starts with `prefix`. Raises StoreDown."""
    entries = redis_keys = unreferenced = 0
    for name in repositories:
        flushed, removed = catalog.flush(name, prefix, expire)
        entries += flushed.entries
        unreferenced += flushed.unreferenced
        redis_keys += removed
    return Flush(entries, redis_keys, unreferenced)


def collect(index: Index, blobs: Blobs, *, grace: float = GRACE, known: frozenset[str] | None = None) -> Collection:
    """Remove blobs that nothing refers to and that are older than `grace` seconds.

    With `known`, entries of repositories not named in it are dropped first. Safe beside running fills: the
    index lets no commit of a digest happen while that digest is being removed. Raises StoreDown, and what
    require_whole() does.
    """
    require_whole(index, blobs)
    dropped = index.drop_unknown(known) if known is not None else 0
    seen = removed = 0
    before = time.time() - grace
    for batch in _batches(blobs.walk()):
        seen += len(batch)
        old = [digest for digest, adopted in batch if adopted <= before]
        removed += sum(drop(index, blobs, digest, before) for digest in index.unreferenced(old))
    return Collection(seen, removed, dropped)


def _batches(walked: Iterator[tuple[str, float]]) -> Iterator[list[tuple[str, float]]]:
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
    """Raise where the journal is ahead of the index: that is new, or older than the bytes, and what it does not
    know may be the only copy of what a team published.

    It shows until the index has drawn as many fences as the lost one had.
    """
    newest = blobs.newest()  # before the fence: what is published meanwhile has a higher one
    if newest > index.next_fence():
        raise Unavailable(
            "the journal beside the blobs is ahead of this database, which is new or an old back-up: "
            "run artifactapi restore --from-store (with --force after a back-up); "
            "until then nothing is removed or published",
            code="index_behind_journal",
        )


def require_whole_once(index: Index, blobs: Blobs) -> None:
    """require_whole(), until it was so once: databases are not exchanged under a running process."""
    if blobs not in _whole:
        require_whole(index, blobs)
        _whole.add(blobs)


def restore(
    catalog: Catalog,
    blobs: Blobs,
    repositories: Iterable[str],
    missing: Callable[[Stored], None],
    log: Callable[[str], None],
) -> Restored:
    """Record in the index what the journal says is published, and drop what it says was withdrawn.

    `repositories` are named so that nobody trusts an old copy of theirs. Files whose bytes are not here are told to
    `missing`, unreadable records to `log`. Can be run again. Raises StoreDown.
    """

    def here(files: Iterable[Stored]) -> Iterator[Stored]:
        for file in files:
            if blobs.exists(file.entry.digest):
                yield file
            else:
                missing(file)

    with journal.replayed(blobs, log) as replay:
        files = catalog.restore(here(replay.published()), repositories)
        withdrawn = sum(catalog.forget(*each) for each in replay.withdrawn())
    return Restored(files, withdrawn)
