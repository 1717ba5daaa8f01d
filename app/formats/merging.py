"""What virtual repositories of system packages share: whose packages count, and a path for the file of one member.

    <any>/@<member>/<path>     <any>/<path> of that member, and of no other

A merged index lists every package by such a path. Two members may have files of one name, and one may have a file
that its index does not list, or no longer: the path says whose bytes the index means, so no other's are ever sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

from app.formats.virtual import among, variant
from app.repository import owns
from app.resource import Ask, Digest, Format, Found, Kind, Repository, Resource

MOST_PACKAGES = 500_000  # of a merged index; the largest distributions have a hundred thousand

_MEMBERS = re.compile(r"(?P<above>(?:.*?/)?)@(?P<member>[^/]+)/(?P<path>.+)")


def of_member(known: Format, repository: Repository, ask: Ask) -> Resource | None:
    """The file of one member, where the path says whose it is. Raises Forbidden."""
    match = _MEMBERS.fullmatch(ask.path)
    part = next((part for part in repository.parts if match and part.name == match["member"]), None)
    if match is None or part is None:
        return None
    own = known.resolve(part, replace(ask, repository=part.name, path=match["above"] + match["path"]))
    package, said = known.named(ask.path), f"virtual: of its member {part.name}"
    return Resource(repository, ask.path, ask.path, format=known, among=(own,), package=package, rule=said)


def chosen(known: Format, repository: Repository, ask: Ask) -> Resource:
    """The file of one member where the path says whose, else the first member's that has it."""
    return of_member(known, repository, ask) or among(known, repository, ask)


def beside(resource: Resource, head: Resource, ask: Ask) -> Resource:
    """A file that is written beside a merged index, or a member's where that is itself a virtual, far away;
    `resource` is what it would be in a remote."""
    own = Resource(
        head.repository,
        variant(head.repository, resource.path),
        resource.path,
        immutable=True,
        expected=resource.expected,
        remember_missing=False,
        format=head.format,
        beside=head,
        rule="virtual: made with its index",
    )
    found = among(head.format, head.repository, ask)
    return replace(found, among=(own, *found.among))


def path_of(member: Repository, path: str) -> str:
    """How a merged index writes a member's path."""
    return f"@{member.name}/{path}"


def source(resource: Resource) -> Resource:
    """A member's index as a source: that it is not there may be remembered for half a minute, for of many members
    only few have any one directory."""
    return replace(resource, remember_missing=True)


def signs_itself(index: Resource, member: Repository) -> bool:
    """Whether even what that member alone has is signed with the virtual's key, and not handed on: clients know that
    key, and what a local member has is ours to sign."""
    return bool(index.repository.signing.key) and member.kind is Kind.LOCAL


@contextmanager
def naming(member: str) -> Iterator[None]:
    """ValueErrors of what is read of a member say its name."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{member}: {error}") from error


def opened(found: Found, digest: Digest | None) -> BinaryIO:
    """The bytes of a file that an index names, from their beginning; ValueError where they are not what it says."""
    if found.file is None or found.entry is None:
        raise ValueError(f"{found.resource.path} is not there") from found.error
    found.file.seek(0)
    if digest is None:
        return found.file
    value = found.entry.digest if digest.algorithm == "sha256" else _sum(found.file, digest.algorithm)
    if value != digest.value:
        raise ValueError(f"{found.resource.path} is not the one that its index names")
    return found.file


def _sum(file: BinaryIO, algorithm: str) -> str:
    found = hashlib.new(algorithm, usedforsecurity=False)
    while piece := file.read(1 << 20):
        found.update(piece)
    file.seek(0)
    return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Claims:
    """Which packages are nobody's but some member's: those that it owns, or that locals have (`held`)."""

    members: tuple[Repository, ...]
    held: Collection[str] = ()

    def against(self, member: Repository) -> bool:
        """Whether any package of that member may be claimed by others."""
        claimed = any(each.owned for each in self.members if each.name != member.name)
        return claimed or (member.kind is not Kind.LOCAL and bool(self.held))

    def refuse(self, member: Repository, package: str) -> bool:
        """Whether a package of that name in that member is left out."""
        owners = [each.name for each in self.members if owns(each, package)]
        if owners:
            return member.name not in owners
        return member.kind is not Kind.LOCAL and package in self.held
