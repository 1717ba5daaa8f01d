"""Which blobs of a local repository of images no manifest of their image names any more, and how they go.

Deleting a manifest leaves its blobs, for others may name them, and a client that pushes sends a blob (or finds it
here) before its manifest. So what is unused is withdrawn by garbage collection, a day after it came, or at least half
a day after somebody relied on it again (docker_blobs.py); collect() takes its bytes then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.formats.oci_manifests import read_manifest
from app.formats.oci_names import Endpoint, Target
from app.hosting.base import Accepted
from app.hosting.change_turn import turn
from app.hosting.index import Inside
from app.hosting.publish import carry_out
from app.resource import Repository
from app.shelf import Shelf
from app.stores.base import Stored
from app.stores.uploads import LIFE

BLOBS = r"^v2/(.+)/blobs/[^/]+$"  # POSIX: the first group is an image that has any
PAGE = 500  # names or files read at a time, and files withdrawn in one transaction


def withdraw_unused(shelf: Shelf, spools: Path, repository: Repository) -> int:
    """Withdraw what is unused in every image; how many. Raises StoreDown (also without Redis), Unavailable."""
    gone = 0
    for name in _images(shelf, repository):
        with turn(shelf.catalog.memory, repository, name, required=True):
            paths = list(_unused(shelf, repository, name))
            for start in range(0, len(paths), PAGE):
                carry_out(shelf, spools, repository, Accepted(gone=paths[start : start + PAGE]))
        gone += len(paths)
    return gone


def _images(shelf: Shelf, repository: Repository) -> Iterator[str]:
    after = ""
    while found := shelf.catalog.index.names([repository.name], BLOBS, (repository.name, after), PAGE):
        for _, after in found:
            yield after


def _unused(shelf: Shelf, repository: Repository, name: str) -> Iterator[str]:
    old = shelf.clock() - LIFE
    blobs = [each.path for each in _files(shelf, repository, name, Endpoint.BLOBS) if each.entry.fetched <= old]
    needed = _needed(shelf, repository, name) if blobs else frozenset()
    return (path for path in blobs if path not in needed)


def _needed(shelf: Shelf, repository: Repository, name: str) -> frozenset[str]:
    """Paths that a manifest of the image names; one that cannot be read ends it, with StoreDown or ValueError."""
    found: set[str] = set()
    inside, seen = Inside(shelf, repository.name), set[str]()
    for each in _files(shelf, repository, name, Endpoint.MANIFESTS):
        if each.entry.digest in seen:
            continue
        seen.add(each.entry.digest)
        with inside.open(each.path) as body:
            target = Target(Endpoint.MANIFESTS, name, each.path.rpartition("/")[2])
            found.update(link.path for link in read_manifest(target, body).links)
    return frozenset(found)


def _files(shelf: Shelf, repository: Repository, name: str, kind: Endpoint) -> Iterator[Stored]:
    """The image's own; behind the same prefix another image's may be ("a/blobs/b")."""
    prefix, after = f"v2/{name}/{kind}/", ""
    batch: Sequence[Stored]
    while batch := shelf.catalog.index.listing(repository.name, prefix, after, PAGE):
        after = batch[-1].path
        yield from (each for each in batch if "/" not in each.path.removeprefix(prefix))
