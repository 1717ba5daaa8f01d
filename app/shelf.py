"""What is stored, and whether it may be served without asking upstream: the half of the engine a worker has."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

from app import metrics
from app.errors import NotFound, StoreDown
from app.freshness import Freshness, judge, outdated
from app.resource import Entry, Kind, Resource
from app.stores.blobs import Blobs
from app.stores.catalog import Catalog, Known

READ_AHEAD = 1 << 17  # bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A stored body: `file` is open at its beginning and the receiver's to close; `state` is its X-Cache."""

    entry: Entry
    state: str
    file: BinaryIO


class Shelf:
    """Entries and their bytes."""

    def __init__(self, catalog: Catalog, blobs: Blobs, clock: Callable[[], float] = time.time) -> None:
        self.catalog = catalog
        self.blobs = blobs
        self.clock = clock

    def find(self, resource: Resource) -> Known:
        """What is known of it; one round trip when warm. Raises StoreDown."""
        return self.catalog.find(resource.repository.name, resource.key)

    def look_again(self, resource: Resource, known: Known) -> Known:
        """What the index knows by now; an entry that cannot be served is none."""
        try:
            again = self.catalog.look_again(resource.repository.name, resource.key)
        except StoreDown:
            again = replace(known, recorded=False)
        entry = again.entry
        try:
            if entry is None or outdated(entry, self.clock()) or not self.has(entry):
                return replace(again, entry=None)
        except StoreDown:  # neither served nor recorded
            return replace(again, entry=None, recorded=False)
        return again

    def stored(self, resource: Resource, known: Known) -> Served | None:
        """The copy to serve without asking upstream, or None; NotFound where that is known already."""
        entry = known.entry
        if entry is None:
            if resource.repository.kind is Kind.LOCAL and not known.recorded:
                raise StoreDown("the index does not answer, and it alone knows what is hosted", retry_after=1)
            if resource.repository.kind is Kind.LOCAL:
                raise NotFound("no such file", code="file_not_found")
            if known.negative:
                raise NotFound("upstream has no such file", upstream_status=known.negative)
            return None
        freshness = judge(entry, resource.ttl, self.clock())
        if freshness is Freshness.EXPIRED or outdated(entry, self.clock()):
            return None
        return self.serve(resource, entry, "HIT" if freshness is Freshness.FRESH else "STALE")

    def old(self, resource: Resource, known: Known) -> Served | None:
        """The copy that can be served while upstream is asked, or where it does not answer."""
        if known.entry is None or outdated(known.entry, self.clock()):
            return None
        return self.serve(resource, known.entry, "UPDATING")

    def serve(self, resource: Resource, entry: Entry, state: str) -> Served | None:
        """take() for a client: hashed before, where the repository wants that; damaged bytes are put aside."""
        for _ in range(2):  # a good blob may have taken the damaged one's place while that was read
            served = self.take(entry, state)
            if served is None or not resource.repository.verify_on_read or _intact(served):
                return served
            served.file.close()
        log.error("blob %s is damaged: its bytes have another checksum; it is put aside", entry.digest)
        self.blobs.quarantine(entry.digest)
        self.catalog.damaged(entry.digest)
        metrics.QUARANTINED.inc()
        return None

    def take(self, entry: Entry, state: str) -> Served | None:
        """The entry with its bytes, or None where they are not on the shelf whole. Raises StoreDown."""
        file = self.blobs.open(entry.digest)
        if file is None:
            return None
        if (size := file.seek(0, 2)) != entry.size:
            log.error("blob %s is damaged: it has %d bytes, not %d", entry.digest, size, entry.size)
            file.close()
            return None
        file.seek(0)
        return Served(entry, state, file)

    def has(self, entry: Entry) -> bool:
        """Whether the entry's bytes are here, whole."""
        served = self.take(entry, "")
        if served is None:
            return False
        served.file.close()
        return True


def buffered(file: BinaryIO) -> BinaryIO:
    """The same to read in small pieces, or by lines; closing it closes both."""
    return io.BufferedReader(file, READ_AHEAD) if isinstance(file, io.RawIOBase) else file


def _intact(served: Served) -> bool:
    """Whether the bytes have the digest; what a disk cannot read has not."""
    try:
        served.file.seek(0)
        found = hashlib.file_digest(served.file, "sha256").hexdigest()  # type: ignore[arg-type]
        served.file.seek(0)
    except OSError as error:
        log.error("blob %s cannot be read: %s", served.entry.digest, error.strerror)
        return False
    return found == served.entry.digest
