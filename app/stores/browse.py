"""The index as people look at it: what is where, found by a part of its path, and how much of it there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg.sql import SQL

from app.resource import Entry
from app.stores.base import Stored
from app.stores.connections import Connections
from app.stores.statements import COLUMNS, INDEXED, WITHIN, within

READ = 15.0  # seconds of patience: a part of a path is in no index, so every path of the repository may be looked at

_SEARCH = SQL(
    """
    SELECT repository, path, key, used, {columns} FROM entries
    WHERE {within} AND (left(path, {indexed}), path) > (left(%(after)s, {indexed}), %(after)s)
    AND position(%(search)s IN path) > 0
    ORDER BY left(path, {indexed}), path FETCH FIRST %(limit)s ROWS WITH TIES
    """
).format(columns=COLUMNS, within=WITHIN, indexed=INDEXED)
_TOTALS = """
    SELECT repository, count(*), coalesce(sum(size), 0)::bigint FROM entries GROUP BY repository ORDER BY repository
    """


@dataclass(frozen=True, slots=True)
class Total:
    """Of one repository: entries, and the bytes of all of them, equal ones counted each time."""

    repository: str
    entries: int
    bytes: int


class Browse(Protocol):
    """Every method raises StoreDown."""

    def search(
        self, repository: str, search: str = "", prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Stored]:
        """As Index.listing, those that have `search` in their path."""

    def totals(self) -> Sequence[Total]:
        """By repository, of those that have entries."""


class PostgresBrowse:
    """See Browse."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def search(
        self, repository: str, search: str = "", prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Stored]:
        values = within(repository, prefix) | {"after": after, "limit": limit, "search": search}
        with self._connections.read(READ) as connection:
            return _stored(connection.execute(_SEARCH, values, prepare=False))

    def totals(self) -> Sequence[Total]:
        with self._connections.read(READ) as connection:
            return [Total(*found) for found in connection.execute(_TOTALS)]


def _stored(rows: Iterable[tuple[Any, ...]]) -> list[Stored]:
    return [Stored(repository, path, Entry(*values), key, used=used) for repository, path, key, used, *values in rows]
