"""What is remembered of a body: its entry, what its format reads in it, the lists by which others are verified."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from app.errors import ArtifactError, BadRequest, Forbidden, NotFound, StoreDown, UpstreamLied
from app.fetch import Fetch, Visit, beside, name_of
from app.freshness import lasting
from app.resource import Digest, Entry, Link, Reading, Resource, Role
from app.shelf import buffered
from app.stores.base import Change
from app.stores.catalog import Known
from app.turns import Turns

log = logging.getLogger(__name__)


class Records:
    """Writes to the catalog; a store that is down is only a slow day."""

    def __init__(self, fetch: Fetch, turns: Turns) -> None:
        self.fetch = fetch
        self.turns = turns
        self.shelf = fetch.shelf
        self.catalog = fetch.shelf.catalog

    def record(self, resource: Resource, known: Known, entry: Entry, replaces: int | None = None) -> bool:
        """Commit; False where the index is down or something newer is there."""
        if entry.fence == 0:
            return False
        name, blobs = resource.repository.name, self.shelf.blobs
        present = lambda: blobs.exists(entry.digest)  # noqa: E731
        try:
            return self.catalog.commit(name, resource.key, resource.path, entry, known.epoch, present, replaces)
        except StoreDown as error:
            log.warning("%s/%s is not recorded: %s", name, resource.key, error.message)
            return False

    def touch(self, resource: Resource, known: Known, entry: Entry) -> bool:
        """Record what was learnt of the stored copy, unless that is another one by now: of a set, say, that
        changed meanwhile."""
        return self.record(resource, known, entry, known.entry.fence if known.entry else None)

    def switch(self, visit: Visit, changes: Sequence[Change], dropped: Sequence[str]) -> bool:
        """Commit a whole set, or nothing."""
        if visit.fence == 0:
            return False
        try:
            return self.catalog.switch(visit.repository, changes, dropped, visit.known.epoch, self.shelf.blobs.exists)
        except StoreDown as error:
            log.warning("the set of %s is not recorded: %s", visit.fill.name, error.message)
            return False

    # -- what a body says ---------------------------------------------------------------------------------

    def read(self, resource: Resource, entry: Entry) -> tuple[Entry, tuple[Link, ...]]:
        """The entry with what its body knows better, and the body's links where all of them are wanted now.

        UpstreamLied where the body is not what it should be.
        """
        if not resource.index:
            return entry, ()
        served = self.shelf.take(entry, "")
        if served is None:
            raise StoreDown("the stored copy cannot be read", retry_after=1)
        with buffered(served.file) as file:
            try:
                reading = resource.format.read(resource, file)
                links = tuple(reading.links) if resource.whole or resource.switched else ()
            except (ValueError, RecursionError) as error:
                raise UpstreamLied(f"upstream's body is not what it should be: {error}") from error
        kind, until = reading.content_type or entry.content_type, lasting(reading.until, self.shelf.clock())
        kept = "\n".join(each for each in (entry.kept, reading.kept) if each)
        return replace(entry, content_type=kind, until=until, kept=kept), links

    def alike(self, resource: Resource, known: Known, entry: Entry, links: Sequence[Link]) -> None:
        """Record the same body under its other names, as far as the patterns let anyone ask for them."""
        for key, member in resolved(resource, links, Role.SAME).items():
            if key != resource.key:
                self.record(member.resource, known, entry)

    # -- lists --------------------------------------------------------------------------------------------

    def expected(self, resource: Resource) -> Resource:
        """The resource with the digest that a list knows of it, where its name does not say one."""
        if not resource.listed or resource.expected is not None:
            return resource
        try:
            listed = self.catalog.index.listed(resource.repository.name, resource.key)
        except StoreDown:
            return resource
        return resource if listed is None else replace(resource, expected=listed.digest, root=listed.root)

    def keep_list(self, resource: Resource, entry: Entry, epoch: int) -> None:
        """Remember what a recorded index lists; what is stored and contradicts it is evicted."""
        if not resource.listing or entry.fence == 0:
            return
        try:
            if not self._current(resource):
                return
            served = self.shelf.take(entry, "")
            if served is None:
                return
            with buffered(served.file) as file:
                reading = resource.format.read(resource, file)
                if reading.links != ():
                    self._keep(resource, reading, entry.fence, epoch)
        except (StoreDown, ValueError, RecursionError) as error:
            log.warning("the list of %s/%s is not kept: %s", resource.repository.name, resource.key, error)

    def _current(self, resource: Resource) -> bool:
        """Whether the list is of the stored set: an older edition's, which upstream may still have, is nobody's."""
        if resource.root in ("", resource.path):
            return True
        root = beside(resource, resource.root)
        entry = self.catalog.find(root.repository.name, root.key).entry
        if entry is None:
            return True
        try:
            return any(link.path == resource.path for link in self.read(root, entry)[1])
        except (StoreDown, UpstreamLied):
            return True

    def _keep(self, resource: Resource, reading: Reading, fence: int, epoch: int) -> None:
        name = resource.repository.name
        evicted = self.catalog.record_list(name, resource.listing, resource.root, _rows(reading), fence, epoch)
        if evicted:
            log.info("%s: %s evicted %d replaced files", name, resource.key, len(evicted))

    def drop_lists(self, root: Resource, links: Sequence[Link]) -> None:
        """Forget the lists that the root's present edition no longer has."""
        kept = {member.resource.listing for member in resolved(root, links, Role.MEMBER).values()}
        try:
            self.catalog.index.drop_lists(root.repository.name, root.path, sorted(kept - {""} | {root.listing}))
        except StoreDown as error:
            log.warning("the lists of %s are not tidied: %s", root.path, error.message)

    def contradicted(self, resource: Resource, entry: Entry) -> bool:
        """Whether a list that came while the body did says that it is another; then it is forgotten."""
        wanted = self.expected(resource).expected
        if wanted is None or wanted.algorithm != "sha256" or wanted.value == entry.digest:
            return False
        log.info("%s/%s is not what is listed by now", resource.repository.name, resource.key)
        return self.catalog.forget(resource.repository.name, resource.key, entry.fence)

    def suspect(self, resource: Resource, error: ArtifactError) -> None:
        """What a list names is not there, or is something else: its root is to be asked about at the next request.

        Not while that is being replaced already: its lock says so. Nor for a file that no list promises.
        """
        resource = self.expected(resource)
        if not (root := resource.root) or root == resource.path:
            return
        if isinstance(error, NotFound) and resource.expected is None:
            return
        self.doubt(beside(resource, root))

    def doubt(self, head: Resource) -> None:
        """Have it asked about at the next request, as if it had expired; not while it is being replaced."""
        try:
            epoch = self.catalog.find(head.repository.name, head.key).epoch
        except StoreDown:
            return
        held = self.turns.lock(name_of(head, epoch))
        if held is None:
            return
        try:
            known = self.shelf.look_again(head, Known(epoch, None))
            if known.entry is not None and known.entry.checked > 0:
                self.touch(head, known, replace(known.entry, checked=0.0, fence=self.fetch.fence(known)))
        finally:
            held.release()


@dataclass(slots=True)
class Member:
    """What an index says of one file of its repository, and what the file is there."""

    resource: Resource
    digest: Digest | None
    signs: bool
    slots: set[str]


def resolved(root: Resource, links: Iterable[Link], role: Role) -> dict[str, Member]:
    """The links of one role by key; without those that nobody could ask for: patterns or the path check refuse."""
    found: dict[str, Member] = {}
    for link in links:
        if link.role is role:
            with contextlib.suppress(Forbidden, BadRequest, NotFound):
                resource = beside(root, link.path)
                member = found.setdefault(resource.key, Member(resource, link.digest, link.signs, set()))
                member.slots.add(link.slot)
    return found


def _rows(reading: Reading) -> Iterator[tuple[str, Digest]]:
    """A listed file's path is its key."""
    return ((link.path, link.digest) for link in reading.links if link.digest is not None)
