"""Maven: releases and builds of snapshots never change; what metadata lists does, and its checksums are told of it.

    maven-metadata.xml                 revalidated; merged in a virtual (maven_metadata.py)
    maven-metadata.xml.sha1, ...       never fetched: told of the very metadata that is served here
    <artifact>-<version>.<extension>   a release: for ever, as its checksums and signatures
    x-1.1-20261121.161714-3.jar        a snapshot's build: for ever
    x-1.1-SNAPSHOT.jar                 whatever was built last: revalidated
    archetype-catalog.xml, .index/     lists of everything: revalidated

From Maven 3.9 on its resolver takes X-Checksum-Sha1 and X-Checksum-Md5 for the checksums of the body that they come
with, and asks for no file of them ("Remote Included Checksums" in its documentation): metadata, and what is hosted
here, are told with them, and what upstream tells so of a file that never changes is what that file is verified by.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import BinaryIO

from app.errors import NotFound
from app.formats.base import PathRules, allows, checksum, rule
from app.formats.maven_metadata import Fields, Metadata, allowed, lists, merge, read
from app.formats.maven_paths import SUMS, coordinates, group_of, is_metadata, listed_in, summed
from app.formats.maven_xml import texts
from app.formats.virtual import merged
from app.repository import owns
from app.resource import (
    Ask,
    Desk,
    Digest,
    Entry,
    Format,
    Found,
    Headers,
    Kind,
    Literal,
    Located,
    Made,
    Reading,
    Repository,
    Resource,
)

KEPT = ("X-Checksum-Md5", "X-Checksum-Sha1", "X-Checksum-Sha512")  # lines of Entry.kept
PIECE = 1 << 20

_TOLD = (
    ("X-Checksum-Sha256", "sha256"),
    ("X-Checksum-Sha512", "sha512"),
    ("X-Checksum-Sha1", "sha1"),
    ("X-Goog-Meta-Checksum-Sha1", "sha1"),
)
_TAGGED = re.compile(r'"?\{SHA1\{(?P<digest>[0-9A-Fa-f]{40})\}\}"?')  # an ETag of Nexus
_HEX = re.compile(
    rb"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})(?![0-9A-Fa-f])"
)
_Told = tuple[Repository, Metadata]
_CATALOG = "archetype-catalog.xml"
_LARGEST = 256 << 20  # bytes of it; the largest known has 15 MB
_SUM = 4096  # bytes of a checksum's file; some name the file behind it


class Maven(PathRules):
    """See the module."""

    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        path, algorithm = summed(ask.path) or (ask.path, "")
        if is_metadata(path):
            return replace(self._metadata(repository, path), stated=bool(algorithm))
        if algorithm and repository.kind is Kind.LOCAL:
            return replace(super().resolve(repository, replace(ask, path=path)), stated=True)
        found = super().resolve(repository, ask)
        if repository.kind is not Kind.REMOTE:
            return found
        return replace(found, keep=KEPT if found.immutable else (), whole=found.index)

    def _metadata(self, repository: Repository, path: str) -> Resource:
        here = super().resolve
        if repository.kind is Kind.VIRTUAL:
            return merged(self, repository, path, path, lambda part: self._metadata(part, path))
        return replace(here(repository, Ask("GET", repository.name, path)), whole=True)

    def spelled(self, pattern: str) -> str:
        """See Format: there is a colon in every name."""
        return pattern if set(pattern) & set(":*?[") else f"{pattern}:*"

    def named(self, path: str) -> str:
        """See Format: `group:artifact`."""
        return coordinates(path)

    def promised(self, resource: Resource, headers: Mapping[str, str]) -> Digest | None:
        """What repository managers tell of a file: X-Checksum-..., Nexus' ETag, or Google's stores."""
        if not resource.immutable:
            return None
        told = ((algorithm, (headers.get(name) or "").strip()) for name, algorithm in _TOLD)
        found = next((each for pair in told if (each := checksum(*pair)) is not None), None)
        if found is None and (tag := _TAGGED.fullmatch(headers.get("ETag") or "")):
            found = checksum("sha1", tag["digest"])
        return found or _of_google(headers.get("X-Goog-Hash") or "")

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """The checksums that go with the body."""
        return tuple(checksums(kept).items())

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: metadata, a list of archetypes, or a checksum."""
        if is_metadata(resource.path):
            read(body)
            body.seek(0)
            return Reading(kept=told(sums(iter(lambda: body.read(PIECE), b""))))
        if resource.path == _CATALOG:
            tuple(texts(body, "archetype-catalog", frozenset(), _LARGEST))
        if summed(resource.path) and not _HEX.search(body.read(_SUM)):
            raise ValueError("is no checksum")
        return Reading()

    def stated(self, ask: Ask, resource: Resource, entry: Entry, body: BinaryIO) -> Literal:
        """See Format: the checksum that was asked for."""
        algorithm = (summed(ask.path) or ("", "sha256"))[1]
        value = entry.digest if algorithm == "sha256" else checksums(entry.kept).get(_header(algorithm))
        if value is None:  # published by another way, or restored without it
            body.seek(0)
            value = sums(iter(lambda: body.read(PIECE), b""))[algorithm]
        return Literal(value.encode(), "text/plain")

    def lists(self, resource: Resource) -> Sequence[Resource]:
        """See Format: of a release the artifact's metadata, of a snapshot's build the snapshot's."""
        path, member = listed_in(resource.path), resource.repository
        return (self._metadata(member, path),) if path and member.kind is Kind.REMOTE else ()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format: whether the version, or the build, is there."""
        return Located(resource.path) if lists(read(index), resource.path) else None

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format: what all members' metadata says."""
        said = [(each.resource.repository, _read(each)) for each in found if each.file is not None]
        left = [(member, allowed(resource.path, each, partial(allows, member))) for member, each in said]
        there = [(member, each) for member, each in left if each is not None]
        if not there:
            raise NotFound("no member may bring anything of that artifact", code="file_not_found")
        group = group_of(resource.path)
        body = merge([replace(said, plugins=_plugins(said, member, group, there)) for member, said in there])
        desk.write(body)
        return Made("application/xml", told(sums([body])))


def checksums(kept: str) -> dict[str, str]:
    """Checksums in hex by the names of KEPT, as far as Entry.kept has them."""
    lines = (line.partition(": ") for line in kept.splitlines())
    return {name: value for name, _, value in lines if name in KEPT and value.isalnum()}


def told(sums: Mapping[str, str]) -> str:
    """The lines of Entry.kept, of checksums by algorithm."""
    return "\n".join(f"{name}: {sums[name.rpartition('-')[2].lower()]}" for name in KEPT)


def sums(pieces: Iterable[bytes]) -> dict[str, str]:
    """The checksums of a body but for its sha256, which every entry has, by algorithm."""
    made = {each: hashlib.new(each, usedforsecurity=False) for each in SUMS.values() if each != "sha256"}
    for piece in pieces:
        for each in made.values():
            each.update(piece)
    return {name: each.hexdigest() for name, each in made.items()}


def _header(algorithm: str) -> str:
    return f"X-Checksum-{algorithm.capitalize()}"


def _of_google(value: str) -> Digest | None:
    """X-Goog-Hash: crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ== (against accidents; nothing else is told there)."""
    pairs = dict(each.strip().partition("=")[::2] for each in value.split(","))
    try:
        digest = base64.b64decode(pairs.get("md5", ""), validate=True)
    except binascii.Error:
        return None
    return Digest("md5", digest.hex()) if len(digest) == 16 else None


def _read(found: Found) -> Metadata:
    assert found.file is not None
    try:
        return read(found.file)
    except ValueError as error:
        raise ValueError(f"the metadata that {found.resource.repository.name} has {error}") from error


def _plugins(metadata: Metadata, member: Repository, group: str, there: Sequence[_Told]) -> list[Fields]:
    """Those of a member's plugins that no other member owns alone, by its `owned` or by hosting them."""
    found = []
    for each in metadata.plugins:
        artifact = each.get("artifactId", "")
        owners = [repository for repository, _ in there if owns(repository, f"{group}:{artifact}")] or [
            repository
            for repository, other in there
            if repository.kind is Kind.LOCAL and any(one.get("artifactId") == artifact for one in other.plugins)
        ]
        if not owners or member in owners:
            found.append(each)
    return found


_SNAPSHOT = r"(?:.*/)?(?:[^/]+-)?SNAPSHOT/"
_SUMMED = r"\.(?:md5|sha1|sha256|sha512)"
_RELEASE = r"(?:.*/)?(?P<artifact>[^/]+)/(?P<version>[^/]+)/(?P=artifact)-(?P=version)[.-][^/]+"

MAVEN: Format = Maven(
    "maven",
    (
        rule(r"(?:.*/)?maven-metadata\.xml", "which versions there are", own=True, index=True),
        rule(r"(?:.*/)?maven-metadata\.xml\.asc", "a signature of metadata", own=True),
        rule(re.escape(_CATALOG), "a list of all archetypes", own=True, index=True),
        rule(r"archetype-catalog\.xml\.[a-z0-9]+|\.index/.+", "a list of everything", own=True),
        rule(
            rf"{_SNAPSHOT}[^/]+-[0-9]{{8}}\.[0-9]{{6}}-[0-9]+[.-][^/]+{_SUMMED}",
            "a checksum",
            immutable=True,
            index=True,
        ),
        rule(rf"{_SNAPSHOT}[^/]+-[0-9]{{8}}\.[0-9]{{6}}-[0-9]+[.-][^/]+", "a snapshot's build", immutable=True),
        rule(rf"{_SNAPSHOT}[^/]+{_SUMMED}", "a checksum of a snapshot", index=True),
        rule(rf"{_SNAPSHOT}[^/]+", "a snapshot"),
        rule(rf"{_RELEASE}{_SUMMED}", "a checksum", immutable=True, index=True),
        rule(rf"{_RELEASE}\.html?", "a page of a release", immutable=True, html=True),
        rule(_RELEASE, "a file of a release", immutable=True),
    ),
    merged=True,
)
