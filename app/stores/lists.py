"""What recorded lists say, in PostgreSQL: copied in beside, then swapped; only what differs is written.

lists    (repository, sha256 of listing) -> id, root, fence
listed   (repository, sha256 of key, list's id) -> algorithm, value     looked up by its first two columns

A list's row is locked from its upsert to the end of the transaction, so two of one listing follow each other.
Rows of `listed` whose list is gone are never found.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from app.errors import StoreDown
from app.resource import Digest
from app.stores.base import Listed
from app.stores.connections import Connections
from app.stores.statements import EPOCHS, LOCK, LOCK_SHARED, hashed, number, one, where

PATIENCE = 120.0  # seconds for each statement of a list, and for the list before it

_STAGE = """
    CREATE TEMPORARY TABLE staged
    (place bigint, key_hash bytea, algorithm text COLLATE "C", value text COLLATE "C") ON COMMIT DROP
    """
_COPY = "COPY staged (place, key_hash, algorithm, value) FROM STDIN"
_LAST = """
    DELETE FROM staged USING staged AS later
    WHERE staged.key_hash = later.key_hash AND staged.place < later.place
    """
_HEAD = """
    INSERT INTO lists (repository, listing_hash, listing, root, fence) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (repository, listing_hash) DO UPDATE SET root = excluded.root, fence = excluded.fence
    WHERE lists.fence <= excluded.fence RETURNING id
    """
_OLD = """
    DELETE FROM listed WHERE list = %(list)s
    AND NOT EXISTS (SELECT FROM staged WHERE staged.key_hash = listed.key_hash)
    """
_NEW = """
    INSERT INTO listed (repository, key_hash, list, algorithm, value)
    SELECT %(repository)s, key_hash, %(list)s, algorithm, value FROM staged
    WHERE NOT EXISTS (
        SELECT FROM listed WHERE list = %(list)s AND listed.key_hash = staged.key_hash
        AND listed.algorithm = staged.algorithm AND listed.value = staged.value
    )
    ON CONFLICT (repository, key_hash, list) DO UPDATE SET algorithm = excluded.algorithm, value = excluded.value
    """
_EVICT = """
    DELETE FROM entries USING staged
    WHERE repository = %(repository)s AND entries.key_hash = staged.key_hash
    AND algorithm = 'sha256' AND value <> digest RETURNING key
    """
_EVICT_AGAIN = """
    DELETE FROM entries USING listed
    WHERE list = %(list)s AND entries.repository = %(repository)s AND listed.repository = entries.repository
    AND entries.key_hash = listed.key_hash AND algorithm = 'sha256' AND value <> digest RETURNING key
    """
LISTED = """
    SELECT algorithm, value, root FROM listed JOIN lists ON id = list
    WHERE listed.repository = %(repository)s AND key_hash = %(key_hash)s ORDER BY fence DESC, id DESC LIMIT 1
    """
_DROP = "DELETE FROM lists WHERE repository = %s AND root = %s AND listing <> ALL (%s) RETURNING id"
_FLUSH = "DELETE FROM lists WHERE repository = %s AND starts_with(root, %s) RETURNING id"
_UNKNOWN = "DELETE FROM lists WHERE repository <> ALL (%s) RETURNING id"
_ROWS = "DELETE FROM listed WHERE list = ANY (%s)"


class Lists:
    """The lists of one database; one list is written at a time by a process, so that commits find a connection."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._turn = threading.Lock()

    def record(
        self, repository: str, listing: str, root: str, rows: Iterable[tuple[str, Digest]], fence: int, epoch: int
    ) -> Sequence[str]:
        """See Index.record_list."""
        with self._its_turn(), self._connections.lend(PATIENCE) as connection, connection.transaction():
            connection.wait_longer()
            _stage(connection, rows)
            connection.execute(LOCK_SHARED, [[number("repository", repository)]])
            if epoch < one(connection.execute(EPOCHS, [repository]))[1]:
                return ()
            head = connection.execute(_HEAD, [repository, hashed(listing), listing, root, fence]).fetchone()
            if head is None:
                return ()
            evicted = _swap(connection, repository, head[0])
        return [*evicted, *self._evict_again(repository, head[0])]

    def _evict_again(self, repository: str, list_id: int) -> list[str]:
        """What was committed by someone who could not see the list yet; whoever commits later looks it up."""
        with self._connections.lend(PATIENCE) as connection, connection.transaction():
            connection.wait_longer()
            return _evict(connection, _EVICT_AGAIN, {"repository": repository, "list": list_id})

    def drop(self, repository: str, root: str, kept: Sequence[str]) -> None:
        """See Index.drop_lists."""
        with self._connections.lend(PATIENCE) as connection, connection.transaction():
            connection.wait_longer()
            _delete(connection, _DROP, [repository, root, list(kept)])

    def listed(self, repository: str, key: str) -> Listed | None:
        """See Index.listed."""
        with self._connections.read() as connection:
            row = connection.execute(LISTED, where(repository, key), prepare=True).fetchone()
        return Listed(Digest(row[0], row[1]), row[2]) if row else None

    @contextmanager
    def _its_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=PATIENCE):
            raise StoreDown("another list is being recorded", retry_after=PATIENCE)
        try:
            yield
        finally:
            self._turn.release()


def flush(connection: psycopg.Connection[Any], repository: str, prefix: str) -> None:
    """Drop the lists whose root begins with `prefix`, within the caller's transaction."""
    _delete(connection, _FLUSH, [repository, prefix])


def drop_unknown(connection: psycopg.Connection[Any], known: Sequence[str]) -> None:
    """Drop the lists of repositories not in `known`, within the caller's transaction."""
    _delete(connection, _UNKNOWN, [list(known)])


def _stage(connection: psycopg.Connection[Any], rows: Iterable[tuple[str, Digest]]) -> None:
    """Copy the rows as they come into a table that nobody else sees; of several for one key, the last stays."""
    connection.execute(_STAGE)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for place, (key, digest) in enumerate(rows):
            copy.write_row((place, hashed(key), digest.algorithm, digest.value))
    connection.execute("ANALYZE staged", prepare=False)
    connection.execute(_LAST, prepare=False)


def _swap(connection: psycopg.Connection[Any], repository: str, list_id: int) -> list[str]:
    """Make the list what is staged; the keys of the entries that it contradicts and that are forgotten for it."""
    values = {"repository": repository, "list": list_id}
    for statement in (_OLD, _NEW):
        connection.execute(statement, values, prepare=False)
    return _evict(connection, _EVICT, values)


def _evict(connection: psycopg.Connection[Any], statement: str, values: dict[str, Any]) -> list[str]:
    connection.execute(LOCK, [number("set", values["repository"])])
    return [key for (key,) in connection.execute(statement, values, prepare=False)]


def _delete(connection: psycopg.Connection[Any], statement: str, values: list[Any]) -> None:
    """In two statements: a list recorded while the first waited for it must lose the rows it got then."""
    ids = [list_id for (list_id,) in connection.execute(statement, values)]
    if ids:
        connection.execute(_ROWS, [ids])
