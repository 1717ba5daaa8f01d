"""An index and the files it names, replaced as one: the old set is served until the whole new one is here.

    new root arrives, unseen --> every slot that the old set has stored is fetched for the new one
        named by checksum    recorded at once: nobody who follows the old root asks for it
        named otherwise      kept unseen, like the root itself
        a signature beside   kept unseen; afterwards upstream's root must still be the one it was fetched with
    then one transaction records root and unseen files, and forgets the old set's that have no successor

What the old set names by checksum stays stored, so a client in the middle of it finds the rest. Upstream may
publish meanwhile: a file that is gone or is another one starts over from the then newest root.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from app import metrics
from app.errors import NotFound, StoreDown, UpstreamLied
from app.fetch import Fetch, Visit, beside, name_of
from app.fills.fill import Fill
from app.freshness import renewed
from app.records import Records
from app.resource import Digest, Entry, Link, Resource, Role
from app.stores.base import Change
from app.stores.catalog import Known
from app.upstream import Download

Run = Callable[[Fill, Resource, Known], None]

log = logging.getLogger(__name__)

ATTEMPTS = 5  # at a set that upstream replaces while it is fetched
PAUSE = 0.2  # seconds before each further attempt, so that a publisher comes to an end


@dataclass(slots=True)
class Edition:
    """A new set as far as it is here: what one transaction will record and forget."""

    root: Entry
    links: tuple[Link, ...]
    changes: list[Change] = field(default_factory=list)
    lists: list[tuple[Resource, Entry]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    signed: bool = False


class Moved(UpstreamLied):
    """Upstream's root is another one by now."""


class Sets:
    """Replaces sets; `run` is what fills one ordinary file (visit.py)."""

    def __init__(self, fetch: Fetch, records: Records) -> None:
        self.fetch = fetch
        self.records = records

    def switch(self, visit: Visit, old: Entry, download: Download, run: Run) -> None:
        """Settle the visit with the old root as soon as upstream's is a new one, then replace the set.

        Raises UpstreamError where no whole new set could be had: the old one stays.
        """
        root = self.fetch.body(visit, visit.resource, download)
        for attempt in range(ATTEMPTS):
            if root.digest == old.digest:
                return self._unchanged(visit, old, root)
            visit.fill.settle(old, "UPDATING")
            try:
                edition = self._gather(visit, old, root, run)
            except (NotFound, UpstreamLied) as error:
                if attempt + 1 == ATTEMPTS:
                    raise UpstreamLied(f"upstream's set is not whole: {error.message}") from error
                log.info("%s: upstream's set is not whole (%s); again", visit.fill.name, error.message)
                time.sleep(PAUSE * (attempt + 1))
                root = self._again(visit, root)
            else:
                return self._commit(visit, edition)
        return None

    def begin(self, visit: Visit, root: Entry, links: Iterable[Link]) -> bool:
        """Record a root that replaces none; what is stored beside it of another edition is forgotten."""
        if visit.fence == 0:
            return False
        members = self._members(visit, links)
        stored = self._stored(visit, members.values())
        strange = [key for key, link in members.items() if key in stored and not _proven(stored[key], link)]
        return self.records.switch(visit, [Change(visit.resource.key, visit.resource.path, root)], strange)

    def paired(self, visit: Visit, resource: Resource, download: Download) -> Entry:
        """The body of a file that belongs to a root which says nothing of it, as a signature does.

        Raises Moved where upstream's root is no longer the stored one, which this file may not belong to.
        """
        entry = self.fetch.body(visit, resource, download)
        root = beside(resource, resource.root)
        known = self.records.catalog.find(root.repository.name, root.key)
        if known.entry is not None:
            self._still(visit, root, known.entry)
        return entry

    # -- the steps of a switch ----------------------------------------------------------------------------

    def _unchanged(self, visit: Visit, old: Entry, root: Entry) -> None:
        """The same root, from an upstream that does not say 304; a set that moved back is whole already."""
        entry = replace(renewed(old, root.checked, visit.fence), etag=root.etag, last_modified=root.last_modified)
        self.records.record(visit.resource, visit.known, entry)
        visit.fill.settle(entry, "REVALIDATED")

    def _gather(self, visit: Visit, old: Entry, root: Entry, run: Run) -> Edition:
        entry, links = self.records.read(visit.resource, root)
        edition = Edition(entry, links)
        before = self._members(visit, self.records.read(visit.resource, old)[1])
        stored = self._stored(visit, before.values())
        held = {link.slot for key, link in before.items() if _is(stored.get(key), link.digest)}
        wanted = self._members(visit, (link for link in links if link.slot in held))
        present = stored | self._stored(visit, wanted.values())
        for key, link in wanted.items():
            self._member(visit, edition, link, present.get(key), run)
        edition.dropped += sorted(stored.keys() - wanted.keys() - _named_by_checksum(visit.resource, before))
        if edition.signed:
            self._still(visit, visit.resource, entry)
        return edition

    def _members(self, visit: Visit, links: Iterable[Link]) -> dict[str, Link]:
        return {beside(visit.resource, link.path).key: link for link in links if link.role is Role.MEMBER}

    def _stored(self, visit: Visit, links: Iterable[Link]) -> dict[str, Entry]:
        keys = [beside(visit.resource, link.path).key for link in links]
        return self.records.catalog.index.find_all(visit.repository, keys)

    def _member(self, visit: Visit, edition: Edition, link: Link, present: Entry | None, run: Run) -> None:
        """Have one member of the new set here, recorded or among the edition's changes."""
        resource = beside(visit.resource, link.path)
        if resource.immutable:
            self._fetched(resource, run)
            return
        if link.digest is not None and present is not None and _is(present, link.digest):
            entry = renewed(present, edition.root.checked, visit.fence)
        else:
            found = self._unseen(visit, edition, replace(resource, expected=link.digest))
            if found is None:
                return
            entry = found
        edition.changes.append(Change(resource.key, resource.path, entry))
        edition.lists.append((resource, entry))

    def _unseen(self, visit: Visit, edition: Edition, resource: Resource) -> Entry | None:
        """A member's bytes, not recorded; None for a signature that the new set does not have."""
        edition.signed = edition.signed or resource.expected is None
        try:
            with self.fetch.open(resource, "GET", None) as download:
                return self.fetch.body(visit, resource, download)
        except NotFound:
            if resource.expected is not None:
                raise
            edition.dropped.append(resource.key)
            return None

    def _fetched(self, resource: Resource, run: Run) -> None:
        """Fill one file that is named by its checksum, as a client's request would."""
        known = self.fetch.shelf.find(resource)
        if known.entry is not None and self.fetch.shelf.has(known.entry):
            return
        fill = Fill(name_of(resource, known.epoch))
        run(fill, resource, replace(known, entry=None))
        if fill.error is not None:
            raise fill.error
        if fill.entry is None:
            raise StoreDown("a file of the new set could not be recorded", retry_after=1)

    def _still(self, visit: Visit, root: Resource, entry: Entry) -> None:
        """Raises Moved unless upstream's root is (still) `entry`."""
        with self.fetch.open(root, "GET", entry) as download:
            same = download.status == 304 or self.fetch.body(visit, root, download).digest == entry.digest
        if not same:
            raise Moved("upstream published a new set meanwhile")

    def _again(self, visit: Visit, root: Entry) -> Entry:
        """Upstream's root now."""
        with self.fetch.open(visit.resource, "GET", root) as download:
            return root if download.status == 304 else self.fetch.body(visit, visit.resource, download)

    def _commit(self, visit: Visit, edition: Edition) -> None:
        resource = visit.resource
        changes = [*edition.changes, Change(resource.key, resource.path, edition.root)]
        done = self.records.switch(visit, changes, edition.dropped)
        metrics.fill(visit.repository, "switched" if done else "unrecorded")
        if not done:
            return
        self.records.drop_lists(resource, edition.links)
        for each, entry in (*edition.lists, (resource, edition.root)):
            self.records.keep_list(each, entry, visit.known.epoch)


def _is(entry: Entry | None, digest: Digest | None) -> bool:
    """Whether an entry is stored and can be the file of that digest, as far as its sha256 tells."""
    if entry is None:
        return False
    return digest is None or digest.algorithm != "sha256" or digest.value == entry.digest


def _proven(entry: Entry, link: Link) -> bool:
    return link.digest is not None and _is(entry, link.digest)


def _named_by_checksum(root: Resource, members: Mapping[str, Link]) -> set[str]:
    return {key for key, link in members.items() if beside(root, link.path).immutable}
