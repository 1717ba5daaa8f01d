"""What a virtual's repomd.xml is to be made of, and which of its members' files have to be read for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from app.errors import ArtifactError
from app.formats.base import within
from app.formats.merging import Claims, naming, opened, signs_itself
from app.formats.repodata import KINDS
from app.formats.rpm_packages import names, packages
from app.formats.rpm_parts import PARTS
from app.formats.rpm_rows import rows
from app.resource import Ask, Digest, Found, Kind, Repository, Resource

HEAD = "repodata/repomd.xml"


@dataclass(frozen=True, slots=True)
class Edition:
    """One member's repodata: the (digest, path) of its files by type."""

    resource: Resource
    head: BinaryIO
    files: dict[str, tuple[Digest | None, str]]

    @property
    def member(self) -> Repository:
        return self.resource.repository

    @property
    def directory(self) -> str:
        return self.resource.path.removesuffix(HEAD)

    def file(self, kind: str) -> Resource:
        return self.resource.format.resolve(self.member, Ask("GET", self.member.name, self.files[kind][1]))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a repomd.xml is made of: `merging` are its members' editions, `naming` those of locals that only say which
    names these have, `found` the files of editions that were read so far, by member and path."""

    resource: Resource
    merging: Sequence[Edition]
    naming: Sequence[Edition]
    found: dict[tuple[str, str], Found]
    silent: ArtifactError | None = None  # why a member is left out

    def lacks(self) -> Sequence[Resource]:
        """What has to be read before it can be made."""
        first = [each.file("primary") for each in (*self.merging, *self.naming)] if self._contested() else []
        lacking = [each for each in first if self._key(each) not in self.found]
        if lacking or not self.merges():
            return lacking
        rest = (each.file(kind) for each in self.merging for kind in kinds(each))
        return [each for each in rest if self._key(each) not in self.found]

    def merges(self) -> bool:
        """Whether a new list is written, and not the only member's handed on."""
        if len(self.merging) > 1 or (self.merging and signs_itself(self.resource, self.merging[0].member)):
            return True
        return self._contested() and any(self.refused(self.merging[0]))

    def _contested(self) -> bool:
        """Whether more than one member has a word in it."""
        if len(self.merging) != 1 or signs_itself(self.resource, self.merging[0].member):
            return bool(self.merging)
        members = (*self.resource.repository.parts, *self.resource.repository.unread)
        return Claims(members, [each.member.name for each in self.naming]).against(self.merging[0].member)

    def refused(self, edition: Edition) -> Iterator[str]:
        """The names in its list that are other members'."""
        claims, body = self.claims(), self.body(edition, "primary")
        with naming(edition.member.name):
            for package in packages(body, edition.directory) if body else ():
                if claims.refuse(edition.member, package.name):
                    yield package.name

    def claims(self) -> Claims:
        """Which names are whose."""
        held: set[str] = set()
        for each in (*self.merging, *self.naming):
            if each.member.kind is Kind.LOCAL and (body := self.body(each, "primary")):
                held |= names(body)
        return Claims((*self.resource.repository.parts, *self.resource.repository.unread), held)

    def body(self, edition: Edition, kind: str) -> BinaryIO | None:
        """A file from its beginning; None where there is none, or nobody answers for it. Raises ValueError."""
        found = self.found.get(self._key(edition.file(kind))) if kind in edition.files else None
        if found is None or (found.silent and found.entry is None):
            return None
        with naming(edition.member.name):
            return opened(found, edition.files[kind][0])

    def _key(self, resource: Resource) -> tuple[str, str]:
        return resource.repository.name, resource.path


def plan(resource: Resource, found: Sequence[Found]) -> Plan:
    """Raises ValueError where a head is none."""
    count = len([each for each in found if each.resource.path.endswith(HEAD)])
    heads = [_edition(each.resource, each.file) for each in found[:count] if each.file is not None]
    read = {(each.resource.repository.name, each.resource.path): each for each in found[count:]}
    parts = {part.name for part in resource.repository.parts}
    merging = [each for each in heads if each.resource.path == resource.path and each.member.name in parts]
    silent = {name: each.error for (name, _), each in read.items() if each.silent and each.entry is None}
    others = [each for each in heads if each not in merging]
    merging = [each for each in merging if each.member.name not in silent]
    return Plan(resource, merging, others, read, next(iter(silent.values()), None))


def _edition(resource: Resource, file: BinaryIO) -> Edition:
    file.seek(0)
    directory, files = resource.path.removesuffix(HEAD), dict[str, tuple[Digest | None, str]]()
    with naming(resource.repository.name):
        for kind, digest, href in rows(file):
            if (path := within(directory, href)) is not None:
                files.setdefault(kind, (digest, path))
        if "primary" not in files:
            raise ValueError("its repomd.xml names no list of packages")
    return Edition(resource, file, files)


def kinds(edition: Edition) -> Iterator[str]:
    """The types of its files that are merged."""
    return (kind for kind in (*(each.name for each in KINDS), *PARTS) if kind in edition.files)
