"""What a worker's views work with, and where they find it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from flask import current_app, g

from app.accounts.people import People
from app.config import Settings
from app.repositories.directory import Directory
from app.resource import Ask, Repository
from app.shelf import Shelf
from app.stores.memory import Memory
from app.web.finish import Finish
from app.web.handover import Handover

EXTENSION = "artifactapi"


@dataclass(frozen=True, slots=True)
class Node:
    """One process's parts; nothing in it is connected before its first use."""

    settings: Settings
    repositories: Directory
    shelf: Shelf
    memory: Memory
    handover: Handover
    finish: Finish
    accounts: People


def node() -> Node:
    return cast(Node, current_app.extensions[EXTENSION])


def named(name: str) -> Repository | None:
    """The repository of that name, looked for once a request. Raises StoreDown where nobody can say."""
    found: dict[str, Repository | None] = g.setdefault("repositories", {})
    if name not in found:
        found[name] = node().repositories.get(name)
    return found[name]


def ask() -> Ask:
    """The current request."""
    return cast(Ask, g.ask)


def about(repository: str, path: str, route: str = "repository") -> Ask:
    """The current request, now that it is known what it is about."""
    g.ask = found = replace(ask(), repository=repository, path=path, route=route)
    return found
