"""Documents made of others, and choices among a virtual's members, as far as the shelf can tell.

What a made document was made of is its stamp, kept with it: the digest of every source, of those that may be asked.

    every source stored and fresh, the stamp theirs    it is served as it is stored
    none of them is there, which is known              there is no such document
    anything else                                      making.py finds out

Of a package that a virtual's member owns, its owners alone are asked; of one that a local member has files of, the
locals that have some: what a name means inside is never left to a stranger who takes it outside. Members that the
client may not read own names all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from app.errors import ArtifactError, NotFound, StoreDown
from app.freshness import Freshness, judge, outdated
from app.repository import owns, patterned
from app.resource import Entry, Kind, Located, Resource
from app.shelf import Served, Shelf, buffered
from app.stores.catalog import Known

ABSENT, SILENT = "-", "!"  # in a stamp, for a digest: not there; nobody knows
STAMP, FAILED = "Made-Of", "Not-Made-Of"  # lines of Entry.kept: the stamp; that of which no document can be made
LEFT_OUT, RESTING = "Left-Out", "Resting"  # the members that it is without; those that did not answer at the last try
BESIDE = "Beside"  # hashes of the paths that were recorded with it


@dataclass(frozen=True, slots=True)
class Source:
    """What a document can be made of: a source's name, and what is known of it (a digest, ABSENT or SILENT)."""

    resource: Resource
    state: str


@dataclass(frozen=True, slots=True)
class Look:
    """What one round trip told: of a made document, and of those of its sources (or of what it is among) that may
    be asked."""

    own: Known
    asked: Sequence[tuple[Resource, Known]]


class Assembly:
    """Questions to the shelf; one per process."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def look(self, resource: Resource) -> Look:
        """Raises StoreDown: nobody guesses who may be asked."""
        candidates, hosts = claimants(resource)
        every = (resource, *candidates) if resource.sources else candidates
        keys = [(each.repository.name, each.key) for each in every]
        first = not resource.sources  # the first that has it is all that a choice is about
        find = self.shelf.catalog.find_all
        known, held = find(keys, hosts, resource.package, always=len(every) - len(candidates), first=first)
        own = known.pop(0) if resource.sources else Known(0, None)
        pairs = list(zip(candidates, known, strict=not first))
        return Look(own, [(each, found) for each, found in pairs if _may(each, hosts, held)])

    def asked(self, resource: Resource) -> tuple[Resource, ...]:
        """Those of its sources, or of what it is among, that may be asked. Raises StoreDown."""
        candidates, hosts = claimants(resource)
        held = self.shelf.catalog.find_all((), hosts, resource.package)[1] if hosts else frozenset[str]()
        return tuple(each for each in candidates if _may(each, hosts, held))

    def instead(self, failed: Resource, error: ArtifactError, others: Sequence[Resource]) -> Sequence[Resource]:
        """Who may answer in the place of a virtual's member that has not: whoever is next, but of a file that stored
        lists of that member name, which is what clients were told of, only members that list the very same bytes."""
        missing = isinstance(error, NotFound)
        try:
            told = self._told(failed) if others else None
        except StoreDown:  # nobody knows which bytes they were told of
            return others if missing else ()
        if told is None or (missing and told.digest is None):
            return others
        with suppress(StoreDown):
            return [each for each in others if (its := self._told(each)) and its.digest == told.digest is not None]
        return ()

    def _told(self, resource: Resource) -> Located | None:
        """What clients of a virtual were told of a member's file, by what is stored of the member; None for nothing,
        or where its path says itself which bytes it has. Raises StoreDown."""
        if resource.expected is not None:
            return None
        for index in resource.format.lists(resource):
            entry = self.shelf.find(index).entry
            served = self.shelf.take(entry, "") if entry is not None else None
            if served is not None:
                with buffered(served.file) as file, suppress(ValueError, RecursionError):
                    if (found := resource.format.locate(replace(resource, named_in=index), file)) is not None:
                        return found
        listed = resource.listed and self.shelf.catalog.index.listed(resource.repository.name, resource.key)
        return Located("", listed.digest) if listed else None

    def ready(self, resource: Resource, look: Look | None = None) -> Served | None:
        """A made document that is what its sources are now; None where that has to be found out.

        Raises NotFound where none of them is there, StoreDown.
        """
        look = look or self.look(resource)
        entry, states, stale = look.own.entry, list[Source](), False
        resting = _resting(entry, self.shelf.clock())
        for source, known in look.asked:
            state, old = self._state(source, known)
            if not state and resting.get(source.repository.name) == str(known.epoch):
                state, old = SILENT, True
            if not state:
                return None
            states.append(Source(source, state))
            stale = stale or old
        if all(each.state == ABSENT for each in states):
            raise NotFound("no source has such a thing", upstream_status=404)
        return self._served(resource, entry, stamp(resource, states), stale) if entry is not None else None

    def _served(self, resource: Resource, entry: Entry, made_of: str, stale: bool) -> Served | None:
        if said(entry, STAMP) == made_of:
            return self.shelf.serve(resource, entry, "STALE" if stale else "HIT")
        if said(entry, FAILED) == made_of and entry.retry_at > self.shelf.clock():
            return self.shelf.serve(resource, entry, "STALE")
        return None

    def _state(self, source: Resource, known: Known) -> tuple[str, bool]:
        """What is known of a source without asking upstream ("" for nothing), and whether its upstream rests."""
        if source.repository.kind is Kind.LOCAL:
            if known.entry is None and not known.recorded:
                raise StoreDown("the index does not answer, and it alone knows what is hosted", retry_after=1)
            return (known.entry.digest if known.entry else ABSENT), False
        if known.entry is None:
            return (ABSENT if known.negative else ""), False
        now = self.shelf.clock()
        found = judge(known.entry, source.ttl, now)
        if found is Freshness.EXPIRED or outdated(known.entry, now):
            return "", False
        return known.entry.digest, found is not Freshness.FRESH


def claimants(resource: Resource) -> tuple[tuple[Resource, ...], list[str]]:
    """Its sources, or what it is among: of owners of its package alone, where there are any; and the local members of
    which it must be known whether they have files of that package, where there are none."""
    candidates = resource.sources or resource.among
    members = (*resource.repository.parts, *resource.repository.unread)
    if not resource.package or not members:
        return candidates, []
    owners = {each.name for each in members if owns(each, resource.package)}
    if owners:
        return tuple(each for each in candidates if each.repository.name in owners), []
    return candidates, [each.name for each in members if each.kind is Kind.LOCAL]


def _may(candidate: Resource, hosts: Sequence[str], held: frozenset[str]) -> bool:
    """Whether it may be asked: it is of one that has files of the package, or there is none, and it is no local."""
    name = candidate.repository.name
    return name in held if held else name not in hosts


def stamp(resource: Resource, sources: Iterable[Source]) -> str:
    """A name for all that a document depends on."""
    signing = resource.repository.signing
    key = hashlib.sha256(f"{signing.key}{signing.name}".encode()).hexdigest()
    lines = [resource.format.name, str(resource.format.edition), key]
    for each in resource.repository.unread:
        lines += [each.name, *each.owned]
    for source in sources:
        member = source.resource.repository
        lines += [member.name, *member.owned, *patterned(member), source.resource.key, source.state]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def said(entry: Entry, name: str) -> str:
    """The value of a line of Entry.kept, "" where there is none."""
    lines = (line.partition(": ") for line in entry.kept.splitlines())
    return next((value for found, _, value in lines if found == name), "")


def saying(kept: str, lines: Mapping[str, str]) -> str:
    """Entry.kept with these lines instead of those of the same names; "" takes one away."""
    left = [line for line in kept.splitlines() if line.partition(": ")[0] not in lines]
    return "\n".join([*left, *(f"{name}: {value}" for name, value in lines.items() if value)])


def left_out(entry: Entry) -> Sequence[str]:
    """The members that a merged document is without."""
    return said(entry, LEFT_OUT).split()


def path_hash(path: str) -> str:
    """How a path stands in BESIDE."""
    return hashlib.sha256(path.encode()).hexdigest()[:16]


def written_with(entry: Entry, path: str) -> bool:
    """Whether a file of that path was written beside a document."""
    return path_hash(path) in said(entry, BESIDE).split()


def rests(epochs: Mapping[str, int]) -> str:
    """The line RESTING of members that did not answer, under these epochs: a flush ends what it began."""
    return " ".join(f"{name}@{epoch}" for name, epoch in epochs.items())


def _resting(entry: Entry | None, now: float) -> Mapping[str, str]:
    told = said(entry, RESTING) if entry is not None and entry.retry_at > now else ""
    return {name: epoch for name, _, epoch in (each.partition("@") for each in told.split())}
