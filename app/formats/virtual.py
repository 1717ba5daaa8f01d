"""What a virtual repository's path can be: the first member's that has it, or a document made of all members'."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from app.errors import Forbidden, NotFound
from app.repository import variant as variant
from app.resource import Ask, Format, Repository, Resource


def among(known: Format, repository: Repository, ask: Ask) -> Resource:
    """The same path in each member; raises Forbidden where every member's patterns refuse it."""
    found = _each(repository, lambda part: known.resolve(part, replace(ask, repository=part.name)))
    package, said = known.named(ask.path), "virtual: the first member that has it"
    return Resource(repository, ask.path, ask.path, format=known, among=found, package=package, rule=said)


def merged(
    known: Format, repository: Repository, key: str, path: str, source: Callable[[Repository], Resource]
) -> Resource:
    """A document made of each member's `source`, which may raise Forbidden for one that has none."""
    found = _each(repository, source)
    said = "virtual: made of what its members have"
    return made(known, repository, variant(repository, key), path, found, said)


def made(
    known: Format, repository: Repository, key: str, path: str, sources: Iterable[Resource], rule: str
) -> Resource:
    """A document made of others; it is whole before its first byte leaves, unless it is shown (Desk.show), and never
    expires by itself."""
    return Resource(
        repository,
        key,
        path,
        format=known,
        html=True,
        whole=True,
        sources=tuple(sources),
        package=known.named(path),
        rule=rule,
    )


def _each(repository: Repository, resource: Callable[[Repository], Resource]) -> tuple[Resource, ...]:
    found: list[Resource] = []
    refused: Forbidden | None = None
    for part in repository.parts:
        try:
            found.append(resource(part))
        except Forbidden as error:
            refused = refused or error
    if not found:
        raise refused or NotFound("no member that can be read")
    return tuple(found)
