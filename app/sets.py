"""An index and the files it names, replaced as one: the old set is served until the whole new one is here.

    new root arrives, unseen --> every slot that the old set has stored is fetched for the new one
        named by checksum    recorded at once: nobody who follows the old root asks for it
        named otherwise      kept unseen, like the root itself
        a signature beside   kept unseen; afterwards upstream's root must still be the one it was fetched with
    then one transaction records root and unseen files, and forgets the old set's that have no successor

What the old set names by checksum stays stored, so a client in the middle of it finds the rest. What has a plain
name changes under that client: before such a switch the old root is given to nobody for QUIET seconds, and who asks
meanwhile waits for the new one. Upstream may publish while a set is fetched: a file that is gone or is another one
starts over from the then newest root.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from app import metrics
from app.errors import NotFound, UpstreamLied
from app.fetch import Fetch, Visit, beside
from app.freshness import renewed
from app.records import Member, Records, resolved
from app.resource import Digest, Entry, Link, Resource, Role
from app.stores.base import Change
from app.stores.catalog import Known
from app.upstream import Download

Fetched = Callable[[Resource], tuple[Entry, bool]]

log = logging.getLogger(__name__)

ATTEMPTS = 5  # at a set that upstream replaces while it is fetched
LENIENT = 3  # visits in a row after which a listed file with a plain name may be one that upstream does not offer
QUIET = 3.0  # seconds for who was given the old root to fetch what it names by a name that changes its meaning
PAUSE = 0.2  # seconds before each further attempt, so that a publisher comes to an end


@dataclass(slots=True)
class Edition:
    """A new set as far as it is here: what one transaction will record and forget, and the lists to keep then."""

    root: Entry
    links: tuple[Link, ...]
    changes: list[Change] = field(default_factory=list)
    lists: list[tuple[Resource, Entry]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    unnamed: bool = False  # something came of which the root says nothing
    last: bool = False  # of the attempts
    lenient: bool = False  # and of visits that all found upstream's set not whole


class Moved(UpstreamLied):
    """Upstream's set is another one by now, or is not whole yet."""


class Sets:
    """Replaces sets; `fetched` fills one file that is named by its checksum (visit.py)."""

    def __init__(self, fetch: Fetch, records: Records, fetched: Fetched) -> None:
        self.fetch = fetch
        self.records = records
        self.turns = records.turns
        self.fetched = fetched

    def switch(self, visit: Visit, old: Entry, download: Download) -> None:
        """Settle the visit with the old root as soon as upstream's is a new one, then replace the set.

        Raises UpstreamError where no whole new set could be had: the old one stays.
        """
        root = self.fetch.body(visit, visit.resource, download)
        for left in reversed(range(ATTEMPTS)):
            if root.digest == old.digest:
                return self._unchanged(visit, root)
            visit.fill.settle(old, "UPDATING")
            try:
                return self._commit(visit, self._gather(visit, old, root, last=not left))
            except (NotFound, UpstreamLied) as error:
                if not left:
                    raise UpstreamLied(f"upstream's set is not whole: {error.message}") from error
                log.info("%s: upstream's set is not whole (%s); again", visit.fill.name, error.message)
            time.sleep(PAUSE * (ATTEMPTS - left))
            root = self._again(visit, root)
        return None

    def begin(self, visit: Visit, root: Entry, links: Iterable[Link]) -> bool:
        """Record a root that replaces none; what is stored beside it of another edition is forgotten."""
        if visit.fence == 0:
            return False
        members = resolved(visit.resource, links, Role.MEMBER)
        stored = self._stored(visit, members)
        strange = [key for key, entry in stored.items() if not _lasts(entry, members[key])]
        return self.records.switch(visit, [Change(visit.resource.key, visit.resource.path, root)], strange)

    def stored_root(self, resource: Resource) -> Known:
        """What is stored of the root that heads the set of `resource`; with no index to ask, nothing is."""
        root = beside(resource, resource.root)
        return self.fetch.shelf.look_again(root, Known(0, None))

    def paired(self, visit: Visit, before: Known, download: Download) -> Entry:
        """The body of a file that belongs to a root which says nothing of it, as a signature does.

        Raises Moved unless that is upstream's root afterwards, and the stored one still.
        """
        entry = self.fetch.body(visit, visit.resource, download)
        after = self.stored_root(visit.resource).entry
        if before.entry is not None and (after is None or after.digest != before.entry.digest):
            raise Moved("the index changed meanwhile")
        if after is not None:
            self._still(visit, beside(visit.resource, visit.resource.root), after)
        return entry

    # -- the steps of a switch ----------------------------------------------------------------------------

    def _unchanged(self, visit: Visit, root: Entry) -> None:
        """The same root, from an upstream that does not say 304; a set that moved back is whole already."""
        if visit.known.entry is None:
            return
        entry = renewed(visit.known.entry, root.checked, visit.fence)
        entry = replace(entry, etag=root.etag, last_modified=root.last_modified)
        self.records.touch(visit.resource, visit.known, entry)
        visit.fill.settle(entry, "REVALIDATED")

    def _gather(self, visit: Visit, old: Entry, root: Entry, *, last: bool) -> Edition:
        entry, links = self.records.read(visit.resource, root)
        edition = Edition(entry, links, last=last, lenient=last and old.failures >= LENIENT)
        before, after = self._before(visit, old), resolved(visit.resource, links, Role.MEMBER)
        stored = self._stored(visit, before | after)
        held = {slot for key, member in before.items() if _can_be(stored.get(key), member) for slot in member.slots}
        for key, member in after.items():
            if held & member.slots:
                self._member(visit, edition, member, stored.get(key))
        fetched = {change.key for change in edition.changes}
        for key in stored.keys() - fetched:
            if not (before[key].resource.immutable if key not in after else _lasts(stored[key], after[key])):
                edition.dropped.append(key)
        if edition.unnamed:
            self._still(visit, visit.resource, entry)
        return edition

    def _before(self, visit: Visit, old: Entry) -> dict[str, Member]:
        """The old set's members; none where an earlier version stored a root that this one cannot read."""
        try:
            return resolved(visit.resource, self.records.read(visit.resource, old)[1], Role.MEMBER)
        except UpstreamLied:
            return {}

    def _stored(self, visit: Visit, members: Mapping[str, Member]) -> dict[str, Entry]:
        return self.records.catalog.index.find_all(visit.repository, list(members))

    def _member(self, visit: Visit, edition: Edition, member: Member, present: Entry | None) -> None:
        """Have one member of the new set here, recorded or among the edition's changes."""
        resource = member.resource
        if resource.immutable:
            entry, visited = self.fetched(resource)
            if visited:
                edition.lists.append((resource, entry))
            return
        if present is not None and _proven(present, member):
            found: Entry | None = renewed(present, edition.root.checked, visit.fence)
        else:
            found = self._unseen(visit, edition, member)
        if found is None:
            return
        if member.signs and present is not None and present.digest == found.digest:
            raise Moved("the signature of the new index is not there yet")
        edition.changes.append(Change(resource.key, resource.path, found))
        edition.lists.append((resource, found))

    def _unseen(self, visit: Visit, edition: Edition, member: Member) -> Entry | None:
        """A member's bytes, not recorded; None for a companion that the new set does not have, even in the end."""
        resource = replace(member.resource, expected=member.digest)
        edition.unnamed = edition.unnamed or member.digest is None
        try:
            with self.fetch.open(resource, "GET", None) as download:
                return self.fetch.body(visit, resource, download)
        except NotFound:
            if member.digest is not None and not edition.lenient:
                raise
            if member.signs and not edition.last:
                raise
            return None

    def _still(self, visit: Visit, root: Resource, entry: Entry) -> None:
        """Raises Moved unless upstream's root is (still) `entry`."""
        with self.fetch.open(root, "GET", entry) as download:
            same = download.status == 304 or self.fetch.body(visit, root, download).digest == entry.digest
        if not same:
            raise Moved("upstream published a new set meanwhile")

    def _again(self, visit: Visit, root: Entry) -> Entry:
        """Upstream's root now; UpstreamLied where it has none any more."""
        try:
            with self.fetch.open(visit.resource, "GET", root) as download:
                return root if download.status == 304 else self.fetch.body(visit, visit.resource, download)
        except NotFound as error:
            raise UpstreamLied("upstream's index went away while its set was fetched") from error

    def _commit(self, visit: Visit, edition: Edition) -> None:
        resource = visit.resource
        if edition.changes or edition.dropped:
            self.turns.hold(visit.fill, QUIET)
        changes = [*edition.changes, Change(resource.key, resource.path, edition.root)]
        fence = self.fetch.fence(visit.known)  # newer than what members learnt of their old copies meanwhile
        changes = [replace(change, entry=replace(change.entry, fence=fence)) for change in changes]
        done = self._own(visit) and self.records.switch(visit, changes, edition.dropped)
        metrics.fill(visit.repository, "switched" if done else "unrecorded")
        self.turns.unhold(visit.fill)
        visit.fill.settle(edition.root if done else visit.known.entry, "EXPIRED" if done else "UPDATING")
        if done:
            for each, entry in ((resource, edition.root), *edition.lists):
                self.records.keep_list(each, replace(entry, fence=max(fence, entry.fence)), visit.known.epoch)
            self.records.drop_lists(resource, edition.links)

    def _own(self, visit: Visit) -> bool:
        """Whether the stored root is still the one that is being replaced."""
        now = self.fetch.shelf.look_again(visit.resource, visit.known).entry
        return now is not None and visit.known.entry is not None and now.fence == visit.known.entry.fence


def _can_be(entry: Entry | None, member: Member) -> bool:
    """Whether an entry is stored and can be that file, as far as its sha256 tells."""
    if entry is None:
        return False
    return member.digest is None or member.digest.algorithm != "sha256" or member.digest.value == entry.digest


def _proven(entry: Entry, member: Member) -> bool:
    """Whether an entry certainly is that file."""
    return member.digest == Digest("sha256", entry.digest)


def _lasts(entry: Entry, member: Member) -> bool:
    """Whether a stored file can stay beside a new root: its name says which it is, or the root does."""
    return member.resource.immutable or _proven(entry, member)
