"""Accounts in PostgreSQL: the audit trail, beside users and tokens (postgres_users.py) and postgres_projects.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from psycopg.sql import SQL

from app.stores.accounts import Event
from app.stores.connections import Connections
from app.stores.postgres_projects import Projects
from app.stores.postgres_users import Users

LONGEST = 2048  # characters of a text in the trail
UNWRITABLE = re.compile(r"[\0\ud800-\udfff]")  # what no text of Postgres's has: half a surrogate pair, NUL

_COLUMNS = SQL("at, user_name, client, action, path, status, request_id, repository, detail")
_RECORD = SQL("INSERT INTO audit ({columns}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)").format(columns=_COLUMNS)
_EVENTS = SQL(
    """
    SELECT {columns}, id FROM audit
    WHERE (%(before)s = 0 OR id < %(before)s) AND (%(user)s = '' OR user_name = %(user)s)
    AND (%(repository)s = '' OR repository = %(repository)s) AND (%(action)s = '' OR action = %(action)s)
    ORDER BY id DESC LIMIT %(limit)s
    """
).format(columns=_COLUMNS)


class PostgresAccounts(Users, Projects):
    """The accounts of a fleet; every instance of one database sees the same."""

    def __init__(self, database_url: str, tell: Callable[[int], None], connections: int = 1) -> None:
        """`tell` is told the count of changes after each; it raises nothing."""
        super().__init__(Connections(database_url, connections), tell)

    def record(self, events: Sequence[Event]) -> None:
        rows = [_row(event) for event in events]
        with self._connections.lend() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(_RECORD, rows)

    def events(
        self, before: int = 0, limit: int = 100, user: str = "", repository: str = "", action: str = ""
    ) -> Sequence[Event]:
        values = {"before": before, "limit": limit, "user": user, "repository": repository, "action": action}
        with self._connections.read() as connection:
            return [Event(*found) for found in connection.execute(_EVENTS, values, prepare=False)]


def _row(event: Event) -> list[object]:
    texts = (event.user, event.client, event.action, event.path)
    more = (event.request_id, event.repository, event.detail)
    return [event.at, *map(_plain, texts), event.status, *map(_plain, more)]


def _plain(text: str) -> str:
    """A client's text may be anything; the trail takes it all."""
    return UNWRITABLE.sub("\ufffd", text[:LONGEST])
