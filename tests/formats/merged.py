"""Knows how a format makes a document by itself: of sources in memory, on a desk in memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from app.errors import NotFound
from app.formats import FORMATS
from app.resource import Ask, Entry, Found, Kind, Made, Repository, Resource

Files = Mapping[str, bytes]


class Kept(io.BytesIO):
    """A file whose bytes are there when it is closed."""

    def close(self) -> None:
        """Nothing."""


@dataclass
class Table:
    """A Desk."""

    text: io.BytesIO = field(default_factory=io.BytesIO)
    others: dict[str, Kept] = field(default_factory=dict)

    def show(self, made: Made) -> None:
        """Nobody waits for it."""

    def write(self, data: bytes, /) -> object:
        return self.text.write(data)

    def beside(self, path: str, content_type: str) -> BinaryIO:
        return self.others.setdefault(path, Kept())

    def scratch(self) -> BinaryIO:
        return io.BytesIO()


def virtual(package: str, *members: Repository) -> Repository:
    """A virtual repository `v` of these."""
    return Repository("v", Kind.VIRTUAL, package, members=tuple(each.name for each in members), parts=members)


def remote(package: str, name: str, *owned: str) -> Repository:
    return Repository(name, Kind.REMOTE, package, base_urls=("http://127.0.0.1:1",), owned=owned)


def local(package: str, name: str) -> Repository:
    return Repository(name, Kind.LOCAL, package)


def made(repository: Repository, path: str, files: Mapping[str, Files]) -> Table:
    """The document at that path, of what each member has by path. Raises as Format.make."""
    known = FORMATS[repository.package]
    resource = known.resolve(repository, Ask("GET", repository.name, path))
    found = [_found(each, files) for each in resource.sources]
    for _ in range(8):
        more: Sequence[Resource] = known.needs(resource, found)
        if not more:
            break
        found += [_found(each, files) for each in more]
    table = Table()
    known.make(resource, found, table)
    return table


def _found(resource: Resource, files: Mapping[str, Files]) -> Found:
    body = files.get(resource.repository.name, {}).get(resource.path)
    if body is None:
        return Found(resource, error=NotFound("none"))
    return Found(resource, Entry(hashlib.sha256(body).hexdigest(), len(body)), io.BytesIO(body))
