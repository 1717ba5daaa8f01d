"""Where upstream keeps a file, where an index of its own says that: the address, and the digest that it must have.

A client never names an address. It names a path; the index of that package, which is upstream's word, names the
address; what the index does not list is not there. Another host than the remote's own is told no secrets, and may not
lead into this network (app/upstream/). An index that upstream need not have has a body for that (Resource.blank).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import BinaryIO

from app import paths
from app.errors import ArtifactError, NotFound, StoreDown, UpstreamError, UpstreamLied, UpstreamPage
from app.fetch import GONE
from app.freshness import Freshness, judge
from app.records import Records
from app.resource import Entry, Found, Located, Resource
from app.shelf import buffered

Fetched = Callable[[Resource], tuple[Entry, bool]]
Current = Callable[[Sequence[Resource]], list[Found]]

UNKNOWING = frozenset({400, 405})  # what upstreams say of any path that they do not know, like an HTML page
RECENT = 30.0  # seconds after which an index that does not name a file is asked about again


class Locating:
    """One per process, for many threads."""

    def __init__(self, records: Records, fetched: Fetched, current: Current) -> None:
        """`fetched` gives a resource's entry, stored or visited (True); `current` brings it up to date before."""
        self.records = records
        self.shelf = records.shelf
        self.fetched = fetched
        self.current = current

    def located(self, resource: Resource) -> Resource:
        """The resource with what its index says of it. Raises NotFound where that says nothing, UpstreamError."""
        index = resource.named_in
        if index is None or resource.url:
            return resource
        found = self._found(resource, index)
        if found is None:
            raise NotFound("the index of upstream does not list this file", upstream_status=404)
        promised = resource.expected is None and found.digest is not None  # that it is missing is never believed
        expected, remember = resource.expected or found.digest, resource.remember_missing and not promised
        if not found.url.startswith(("http://", "https://")):
            index = self.located(index)
        return replace(resource, url=_absolute(index, found), expected=expected, remember_missing=remember)

    def _found(self, resource: Resource, index: Resource) -> Located | None:
        try:
            entry, visited = self._entry(resource, index)
        except (NotFound, UpstreamError) as error:
            if index.blank is None or not self._has_none(index, error):
                raise
            return _said(resource, BytesIO(index.blank.body))
        found = self._read(resource, entry)
        if found is None and not visited and self.shelf.clock() - entry.checked > RECENT:
            self.records.doubt(index)
            newer = self.current([index])[0].entry
            found = self._read(resource, newer) if newer is not None and newer.digest != entry.digest else None
        return found

    def _has_none(self, index: Resource, error: ArtifactError) -> bool:
        """Whether upstream has no such index: it says so, or answers as if it knew no such path and never had one."""
        if error.upstream_status in GONE:
            return True
        if isinstance(error, UpstreamPage) or error.upstream_status in UNKNOWING:
            with suppress(StoreDown):
                return self.shelf.find(index).entry is None
        return False

    def _entry(self, resource: Resource, index: Resource) -> tuple[Entry, bool]:
        """The index, and whether it took a visit; for what changes itself, as it is now."""
        if self._known_missing(index):
            raise NotFound("upstream has no such index", upstream_status=404)
        entry, visited = self.fetched(index)
        if visited or resource.immutable or judge(entry, index.ttl, self.shelf.clock()) is not Freshness.EXPIRED:
            return entry, visited
        newer = self.current([index])[0].entry
        return newer or entry, newer is not None and newer.digest != entry.digest

    def _known_missing(self, index: Resource) -> bool:
        try:
            known = self.shelf.find(index)
        except StoreDown:
            return False
        return known.entry is None and bool(known.negative)

    def _read(self, resource: Resource, entry: Entry) -> Located | None:
        served = self.shelf.take(entry, "")
        if served is None:
            raise StoreDown("the stored copy cannot be read", retry_after=1)
        with buffered(served.file) as file:
            return _said(resource, file)


def _said(resource: Resource, index: BinaryIO) -> Located | None:
    try:
        return resource.format.locate(resource, index)
    except (ValueError, RecursionError) as error:
        raise UpstreamLied(f"upstream's index is not what it should be: {error}") from error


def _absolute(index: Resource, found: Located) -> str:
    """RFC 3986, 5; without a fragment."""
    bases = index.repository.base_urls or ("",)  # mirrors of a list have no one address
    base = index.url or (paths.join(bases[0], index.path, index.query) if bases[0] else "")
    try:
        url = urllib.parse.urldefrag(urllib.parse.urljoin(base, found.url)).url
        host = urllib.parse.urlsplit(url).hostname
    except ValueError:
        host = None
    if not host or not url.startswith(("http://", "https://")):
        raise UpstreamLied("upstream's index names an address that is no http or https URL")
    return url
