"""Bytes that are here already, through another name: who may vouch that this name has them too.

Equal bytes are stored once, but nobody gets them for guessing a digest. Upstream vouches by a HEAD that announces
exactly these bytes; whatever else it answers, an ordinary GET decides, so that nothing tells whether the bytes are
here. While upstream cannot be asked at all, a stored index of the same image that lists them vouches, for this once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from app.errors import StoreDown, Unavailable, UpstreamDenied, UpstreamError, UpstreamLied
from app.fetch import Fetch, refusal
from app.fills.receive import head_of, refuse_html
from app.resource import Digest, Entry, Resource
from app.upstream import Download

MOST = 200  # indexes that are asked
LARGEST = 4 << 20  # bytes of one


@dataclass(frozen=True, slots=True)
class Adoption:
    """An entry for bytes that need no download, its X-Cache, and whether it may be recorded."""

    entry: Entry
    state: str
    lasting: bool


def adopted(fetch: Fetch, resource: Resource, fence: int) -> Adoption | None:
    """None where the bytes are not here, or only a GET can tell whose they are."""
    expected = resource.expected
    if not resource.vouchers or expected is None or expected.algorithm != "sha256":
        return None
    try:
        file = fetch.shelf.blobs.open(expected.value)
    except StoreDown:  # a GET passes it through
        return None
    if file is None:
        return None
    with file:
        size = file.seek(0, 2)
    now = fetch.shelf.clock()
    entry = Entry(expected.value, size, fetched=now, checked=now, fence=fence)
    try:
        announced = _announced(fetch, resource, entry)
        return Adoption(announced, "REVALIDATED", lasting=True) if announced else None
    except (UpstreamError, Unavailable) as error:
        if error.code == "upstream_busy":  # whoever makes it so must not be able to have bytes vouched for
            raise
        if isinstance(error, UpstreamDenied | UpstreamLied):
            return None
        return Adoption(entry, "HIT", lasting=False) if _vouched(fetch, resource, expected) else None


def _announced(fetch: Fetch, resource: Resource, entry: Entry) -> Entry | None:
    """The entry as upstream's HEAD describes it; None for any answer but a 200 of just these bytes."""
    with fetch.open(resource, "HEAD", None) as answer:
        if answer.status == 429 or answer.status >= 500:
            raise refusal(answer, fetch.shelf.clock())
        if answer.status != 200 or not _these(resource, answer, entry):
            return None
        refuse_html(resource, answer.headers)
        head = head_of(resource, answer)
    return replace(entry, content_type=head.content_type, etag=head.etag, last_modified=head.last_modified)


def _these(resource: Resource, answer: Download, entry: Entry) -> bool:
    """Its length is the stored one's, which is then whole, and its digest, where it has one, is no other."""
    return answer.announced == entry.size and resource.format.promised(resource, answer.headers) in (
        None,
        resource.expected,
    )


def _vouched(fetch: Fetch, resource: Resource, expected: Digest) -> bool:
    """Whether a stored index below `resource.vouchers` lists the digest, and the bytes still have it."""
    try:
        stored = fetch.shelf.catalog.index.listing(resource.repository.name, resource.vouchers, limit=MOST)
        listed = any(_lists(fetch, resource, each.entry, expected) for each in stored)
        return listed and _intact(fetch, expected)
    except StoreDown:
        return False


def _lists(fetch: Fetch, resource: Resource, entry: Entry, expected: Digest) -> bool:
    served = fetch.shelf.take(entry, "") if entry.size <= LARGEST else None
    if served is None:
        return False
    with served.file as file:
        if expected.value.encode() not in file.read():  # most do not, and parsing costs much more
            return False
        file.seek(0)
        try:
            return any(link.digest == expected for link in resource.format.read(resource, file).links)
        except ValueError:
            return False


def _intact(fetch: Fetch, expected: Digest) -> bool:
    file = fetch.shelf.blobs.open(expected.value)
    if file is None:
        return False
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest() == expected.value  # type: ignore[arg-type]
