"""What an operator does to the stores, by HTTP or by the command line: flush, garbage collection."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from app.stores.base import Blobs, Index
from app.stores.catalog import Catalog

GRACE = 3600.0  # seconds a blob nothing refers to yet is left alone: a fill may be about to record it


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
    index lets no commit of a digest happen while that digest is being removed.
    """
    dropped = index.drop_unknown(known) if known is not None else 0
    seen = removed = 0
    before = time.time() - grace
    for digest, adopted in blobs.walk():
        seen += 1
        if adopted <= before and index.drop_blob(digest, lambda digest=digest: blobs.remove(digest)):  # type: ignore[misc]
            removed += 1
    return Collection(seen, removed, dropped)
