"""Documents as a format's make() writes them, of bodies that stand for what sources have stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from app.formats import FORMATS
from app.resource import Ask, Entry, Found, Kind, Made, Repository

BASE = "http://127.0.0.1:1"


@dataclass(slots=True)
class Paper:
    """A desk whose documents are kept in memory."""

    body: bytes = b""

    def show(self, made: Made) -> None:
        """Nobody waits for it."""

    def write(self, data: bytes, /) -> object:
        self.body += data
        return None

    def beside(self, path: str, content_type: str) -> BinaryIO:
        raise NotImplementedError

    def scratch(self) -> BinaryIO:
        return BytesIO()


def remote(package: str, name: str = "r", owned: tuple[str, ...] = ()) -> Repository:
    """A remote that nobody dials."""
    return Repository(name, Kind.REMOTE, package, base_urls=(BASE,), owned=owned)


def virtual(package: str, *parts: Repository) -> Repository:
    """Those members as one."""
    return Repository("all", Kind.VIRTUAL, package, members=tuple(each.name for each in parts), parts=parts)


def written(repository: Repository, path: str, bodies: Mapping[str, bytes]) -> bytes:
    """The document at `path`, where each member has the body of its name; the others have none."""
    resource = FORMATS[repository.package].resolve(repository, Ask("GET", repository.name, path))
    found = []
    for each in resource.sources:
        body = bodies.get(each.repository.name)
        there = body is not None
        entry = Entry("0" * 64, len(body or b"")) if there else None
        found.append(Found(each, entry, BytesIO(body or b"") if there else None))
    paper = Paper()
    resource.format.make(resource, found, paper)
    return paper.body
