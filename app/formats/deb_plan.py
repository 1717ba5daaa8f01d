"""What a virtual's Release is to be made of, and which of its members' lists have to be read for that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from app.errors import ArtifactError
from app.formats.base import within
from app.formats.deb_lists import paragraphs
from app.formats.deb_release import ALGORITHMS, Said, by_hash, files, said
from app.formats.merging import Claims, naming, opened, signs_itself
from app.resource import Ask, Digest, Found, Kind, Repository, Resource

HEADS = ("InRelease", "Release")
FORMS = (".xz", ".zst", ".gz", ".bz2", "")  # the smallest first
_LIST = re.compile(
    r"(?P<list>(?:(?!.*debian-installer/)(?:[^/]+/)+binary-[^/]+/)?Packages)(?P<form>\.xz|\.zst|\.gz|\.bz2|)"
)
MOST_LISTS = 256  # of one suite; each is an open file while they are merged


@dataclass(frozen=True, slots=True)
class Edition:
    """One member's suite: its heads, what the one says that is read, and by name its lists as (path, digest)."""

    member: Repository
    heads: Mapping[str, BinaryIO]
    said: Said
    lists: Mapping[str, tuple[str, Digest]]

    def places(self, known: Resource, name: str) -> Iterator[Resource]:
        """Where a list may be, in the order in which apt looks: under its checksum where it has such a name."""
        path, digest = self.lists[name]
        if by_hash(self.said) and digest.algorithm.upper() in ALGORITHMS:
            hashed = f"{path[: path.rfind('/') + 1]}by-hash/{digest.algorithm.upper()}/{digest.value}"
            yield known.format.resolve(self.member, Ask("GET", self.member.name, hashed))
        yield known.format.resolve(self.member, Ask("GET", self.member.name, path))


@dataclass(frozen=True, slots=True)
class Plan:
    """`merging` are the editions of those members that the client may read, `naming` those of other locals, `found`
    the lists that were read so far, by member and path; `silent` why a member is left out."""

    resource: Resource
    merging: Sequence[Edition]
    naming: Sequence[Edition]
    found: Mapping[tuple[str, str], Found] = field(default_factory=dict)
    silent: ArtifactError | None = None

    def lacks(self) -> Sequence[Resource]:
        """What has to be read before it can be made."""
        if not self._contested():
            return []
        every = ((each, name) for each in (*self.merging, *self.naming) for name in each.lists)
        wanted = (self._next(each, name) for each, name in every)
        return [each for each in wanted if each is not None]

    def _next(self, edition: Edition, name: str) -> Resource | None:
        """Where a list is to be looked for; None where all is known of it."""
        for place in edition.places(self.resource, name):
            found = self.found.get((place.repository.name, place.path))
            if found is None:
                return place
            if not _is_absent(found):
                return None
        return None

    def merges(self) -> bool:
        """Whether a new Release is written, and not the only member's handed on."""
        if len(self.merging) > 1 or (self.merging and signs_itself(self.resource, self.merging[0].member)):
            return True
        return self._contested() and any(self._refused(self.merging[0]))

    def _contested(self) -> bool:
        if len(self.merging) != 1 or signs_itself(self.resource, self.merging[0].member):
            return bool(self.merging)
        return Claims(self._members(), [each.member.name for each in self.naming]).against(self.merging[0].member)

    def _members(self) -> tuple[Repository, ...]:
        return (*self.resource.repository.parts, *self.resource.repository.unread)

    def _refused(self, edition: Edition) -> Iterator[bool]:
        claims = self.claims()
        for name in edition.lists:
            body = self.body(edition, name)
            if body is None:  # nobody knows what it lists when it comes
                yield True
                continue
            with naming(edition.member.name):
                for each in paragraphs(body):
                    if claims.refuse(edition.member, each.name):
                        yield True

    def claims(self) -> Claims:
        """Which names are whose."""
        held: set[str] = set()
        for each in (*self.merging, *self.naming):
            if each.member.kind is Kind.LOCAL:
                bodies = (self.body(each, name) for name in each.lists)
                held |= {found.name for body in bodies if body for found in paragraphs(body)}
        return Claims(self._members(), held)

    def body(self, edition: Edition, name: str) -> BinaryIO | None:
        """A list from its beginning; None where a remote has it not: a mirror of some architectures or components has
        the Release of all. A local's are all there, for they say which names it has; and so is one at least of a
        remote's, else its Release is not to be believed. Raises ValueError."""
        places = [(each.repository.name, each.path) for each in edition.places(self.resource, name)]
        every = [self.found[place] for place in places if place in self.found]
        found = next((each for each in every if not _is_absent(each)), every[0])
        if _is_absent(found) and edition.member.kind is Kind.REMOTE and self._has_any(edition.member):
            return None
        with naming(edition.member.name):
            return opened(found, edition.lists[name][1])

    def _has_any(self, member: Repository) -> bool:
        return any(each.file is not None for (name, _), each in self.found.items() if name == member.name)


def _is_absent(found: Found) -> bool:
    """Whether its member says that there is none, which is more than no answer."""
    return found.entry is None and not found.silent


def plan(resource: Resource, found: Sequence[Found]) -> Plan:
    """Raises ValueError where a head is none."""
    directory = resource.path[: resource.path.rfind("/") + 1]
    heads: dict[str, dict[str, Found]] = {}
    lists: dict[tuple[str, str], Found] = {}
    for each in found:
        if each.resource.path in (directory + name for name in HEADS):
            heads.setdefault(each.resource.repository.name, {})[each.resource.path[len(directory) :]] = each
        else:
            lists[each.resource.repository.name, each.resource.path] = each
    silent = {name: each.error for (name, _), each in lists.items() if each.silent and each.entry is None}
    editions = [_edition(directory, each) for each in heads.values() if any(one.file for one in each.values())]
    parts = {part.name for part in resource.repository.parts}
    merging = [each for each in editions if each.member.name in parts and each.member.name not in silent]
    naming_only = [each for each in editions if each.member.name not in parts]
    return Plan(resource, merging, naming_only, lists, next(iter(silent.values()), None))


def _edition(directory: str, heads: Mapping[str, Found]) -> Edition:
    there = {name: found.file for name in HEADS if (found := heads.get(name)) is not None and found.file is not None}
    member = next(iter(heads.values())).resource.repository
    file = next(iter(there.values()))
    file.seek(0)
    with naming(member.name):
        fields = said(file)
        return Edition(member, there, fields, _lists(directory, fields))


def _lists(directory: str, fields: Said) -> Mapping[str, tuple[str, Digest]]:
    """Each list in the first form that it has, by its name from the suite's directory."""
    algorithm = next((each for each in ALGORITHMS if each.lower() in fields), "")
    if not algorithm:
        raise ValueError("names its files by no checksum that proves anything")
    found: dict[str, tuple[int, str, Digest]] = {}
    for name, digest in files(fields[algorithm.lower()][1:], algorithm.lower()):
        path = within(directory, name)
        match = _LIST.fullmatch(path[len(directory) :]) if path is not None else None
        if path is None or match is None:
            continue
        form = FORMS.index(match["form"])
        if match["list"] not in found or form < found[match["list"]][0]:
            found[match["list"]] = (form, path, digest)
        if len(found) > MOST_LISTS:
            raise ValueError(f"names more than {MOST_LISTS} lists of packages")
    return {name: (path, digest) for name, (_, path, digest) in found.items()}
