"""Bytes that are here already, through another name: who may vouch that this name has them too.

Equal bytes are stored once, but nobody gets them for guessing a digest: upstream's HEAD says that it has them under
this very name, or, while upstream cannot be asked, a stored index of the same image lists them.
"""

from __future__ import annotations

from dataclasses import replace

from app.errors import StoreDown, Unavailable, UpstreamError
from app.fetch import Fetch, refusal
from app.fills.receive import head_of
from app.resource import Entry, Resource

MOST = 1000  # indexes that are asked


def adopted(fetch: Fetch, resource: Resource, fence: int) -> tuple[Entry, str] | None:
    """An entry for bytes that need no download, and its X-Cache; None where they are not here.

    Raises what a client is to be told where nobody vouches.
    """
    expected = resource.expected
    if not resource.vouchers or expected is None or expected.algorithm != "sha256":
        return None
    file = fetch.shelf.blobs.open(expected.value)
    if file is None:
        return None
    with file:
        size = file.seek(0, 2)
    now = fetch.shelf.clock()
    entry = Entry(expected.value, size, fetched=now, checked=now, fence=fence)
    try:
        return _by_upstream(fetch, resource, entry), "REVALIDATED"
    except (UpstreamError, Unavailable):
        if not _listed(fetch, resource):
            raise
    return entry, "HIT"


def _by_upstream(fetch: Fetch, resource: Resource, entry: Entry) -> Entry:
    with fetch.head(resource, None) as answer:
        if answer.status != 200:
            raise refusal(answer, fetch.shelf.clock())
        head = head_of(resource, answer)
    return replace(entry, content_type=head.content_type, etag=head.etag, last_modified=head.last_modified)


def _listed(fetch: Fetch, resource: Resource) -> bool:
    """Whether a stored index below `resource.vouchers` lists the digest."""
    try:
        stored = fetch.shelf.catalog.index.listing(resource.repository.name, resource.vouchers, limit=MOST)
        return any(_lists(fetch, resource, each.path, each.entry) for each in stored)
    except StoreDown:
        return False


def _lists(fetch: Fetch, resource: Resource, path: str, entry: Entry) -> bool:
    served = fetch.shelf.take(entry, "")
    if served is None:
        return False
    with served.file as file:
        try:
            return any(link.digest == resource.expected for link in resource.format.read(resource, file).links)
        except ValueError:
            return False
