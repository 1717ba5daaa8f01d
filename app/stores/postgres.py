"""The index in PostgreSQL (13 or newer): the statements, their locks, and the schema's migration.

repositories  name -> epoch, forgotten               no row: both 0; forgotten: the epoch that the last delete began
entries       (repository, sha256 of key) -> Entry   with the key and the path in full
fences        a sequence; every win of a lock takes one

advisory locks, each for one transaction, in this order:
  blob        shared by commits of a digest, alone for its removal
  repository  shared by commits into it, alone for a flush: no commit slips in under the old epoch
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL

from app.errors import StoreDown
from app.resource import Entry
from app.stores.base import Flushed, Stored
from app.stores.connections import Connections, parameters

COMMIT, FLUSH = 15.0, 120.0  # seconds of patience; a commit may wait for a flush or a removal
INDEXED = 256  # characters of a path that the index sorts by

_NAMES = [field.name for field in fields(Entry)]
_COLUMNS = SQL(", ".join(_NAMES))
_VALUES = SQL(", ".join(f"%({name})s" for name in _NAMES))
_CHECKED_BY_EPOCH = SQL(", ").join(
    SQL("CASE WHEN %(epoch)s >= coalesce(epoch, 0) THEN %(checked)s::double precision ELSE 0 END")
    if name == "checked"
    else SQL(f"%({name})s")
    for name in _NAMES
)
_REPLACED = SQL(", ".join(f"{name} = excluded.{name}" for name in ["path", *_NAMES]))

_FIND = SQL(
    """
    SELECT coalesce((SELECT epoch FROM repositories WHERE name = %(repository)s), 0), {columns}
    FROM (VALUES (1)) AS one
    LEFT JOIN entries ON repository = %(repository)s AND key_hash = %(key_hash)s
    """
).format(columns=_COLUMNS)
_COMMIT = SQL(  # what began before an expiring flush is kept, expired; before a deleting one, refused
    """
    INSERT INTO entries (repository, key_hash, key, path, {columns})
    SELECT %(repository)s, %(key_hash)s, %(key)s, %(path)s, {values}
    FROM (VALUES (1)) AS one LEFT JOIN repositories ON name = %(repository)s
    WHERE %(epoch)s >= coalesce(forgotten, 0)
    ON CONFLICT (repository, key_hash) DO UPDATE SET {replaced} WHERE entries.fence <= excluded.fence
    """
).format(columns=_COLUMNS, values=_CHECKED_BY_EPOCH, replaced=_REPLACED)
_PUBLISH = SQL(
    """
    INSERT INTO entries (repository, key_hash, key, path, {columns})
    VALUES (%(repository)s, %(key_hash)s, %(key)s, %(path)s, {values})
    ON CONFLICT (repository, key_hash) DO UPDATE SET {replaced} WHERE %(overwrite)s
    """
).format(columns=_COLUMNS, values=_VALUES, replaced=_REPLACED)
_FORGET = """
    DELETE FROM entries WHERE repository = %(repository)s AND key_hash = %(key_hash)s
    AND (%(fence)s::bigint IS NULL OR fence <= %(fence)s)
    """
_RAISE = """
    INSERT INTO repositories (name, epoch) VALUES (%s, 1)
    ON CONFLICT (name) DO UPDATE SET epoch = repositories.epoch + 1 RETURNING epoch
    """
_FORGOTTEN = "UPDATE repositories SET forgotten = epoch WHERE name = %s"
_WITHIN = SQL(
    "repository = %(repository)s AND left(path, {indexed}) LIKE %(like)s AND starts_with(path, %(prefix)s)"
).format(indexed=INDEXED)
_EXPIRE = SQL("UPDATE entries SET checked = 0, retry_at = 0 WHERE {within}").format(within=_WITHIN)
_DELETE = SQL(  # all parts of a statement see the same snapshot: what is deleted is still among the entries
    """
    WITH deleted AS (DELETE FROM entries WHERE {within} RETURNING digest)
    SELECT (SELECT count(*) FROM deleted), count(*) FROM (
        SELECT digest FROM deleted EXCEPT SELECT digest FROM entries WHERE NOT ({within})
    ) AS unreferenced
    """
).format(within=_WITHIN)
_DROP_UNKNOWN = """
    WITH deleted AS (DELETE FROM entries WHERE repository <> ALL (%s) RETURNING repository),
    raised AS (
        INSERT INTO repositories (name, epoch, forgotten) SELECT DISTINCT repository, 1, 1 FROM deleted
        ON CONFLICT (name) DO UPDATE SET epoch = repositories.epoch + 1, forgotten = repositories.epoch + 1
    )
    SELECT count(*) FROM deleted
    """
_LISTING = SQL(
    """
    SELECT path, {columns} FROM entries
    WHERE {within} AND (left(path, {indexed}), path) > (left(%(after)s, {indexed}), %(after)s)
    ORDER BY left(path, {indexed}), path FETCH FIRST %(limit)s ROWS WITH TIES
    """
).format(columns=_COLUMNS, within=_WITHIN, indexed=INDEXED)


class PostgresIndex:
    """The index of a fleet; every instance, on every node, of one database sees the same."""

    def __init__(self, database_url: str, connections: int = 2) -> None:
        self._connections = Connections(database_url, connections)

    def ping(self) -> None:
        with self._connections.lend() as connection:
            connection.execute("SELECT 1 FROM entries LIMIT 1")

    def find(self, repository: str, key: str) -> tuple[int, Entry | None]:
        with self._connections.lend() as connection:
            row = _one(connection.execute(_FIND, _where(repository, key), prepare=True))
        return row[0], Entry(*row[1:]) if row[1] is not None else None

    def epochs(self) -> dict[str, int]:
        with self._connections.lend() as connection:
            return dict(connection.execute("SELECT name, epoch FROM repositories").fetchall())

    def next_fence(self) -> int:
        with self._connections.lend() as connection:
            fence: int = _one(connection.execute("SELECT nextval('fences')", prepare=True))[0]
            return fence

    def raise_epoch(self, repository: str) -> int:
        with self._connections.lend(COMMIT) as connection:
            epoch: int = _one(connection.execute(_RAISE, [repository]))[0]
            return epoch

    def commit(
        self, repository: str, key: str, path: str, entry: Entry, epoch: int, present: Callable[[], bool]
    ) -> bool:
        values = _where(repository, key) | asdict(entry) | {"key": key, "path": path, "epoch": epoch}
        return self._write(_COMMIT, values, present)

    def publish(
        self, repository: str, key: str, path: str, entry: Entry, overwrite: bool, present: Callable[[], bool]
    ) -> bool:
        values = _where(repository, key) | asdict(entry) | {"key": key, "path": path, "overwrite": overwrite}
        return self._write(_PUBLISH, values, present)

    def _write(self, statement: Any, values: dict[str, Any], present: Callable[[], bool]) -> bool:
        """Run an upsert with its blob kept and its epoch held still; whether a row was written."""
        locks = [_lock("blob", values["digest"]), _lock("repository", values["repository"])]
        with self._connections.lend(COMMIT) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock_shared(%s), pg_advisory_xact_lock_shared(%s)", locks)
            return present() and connection.execute(statement, values).rowcount == 1

    def forget(self, repository: str, key: str, fence: int | None = None) -> bool:
        with self._connections.lend(COMMIT) as connection:
            return connection.execute(_FORGET, _where(repository, key) | {"fence": fence}).rowcount == 1

    def flush(self, repository: str, prefix: str = "", expire: bool = False) -> Flushed:
        within = _within(repository, prefix)
        with self._connections.lend(FLUSH) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_lock("repository", repository)])
            connection.execute(_RAISE, [repository])
            if expire:
                return Flushed(connection.execute(_EXPIRE, within, prepare=False).rowcount, 0)
            connection.execute(_FORGOTTEN, [repository])
            return Flushed(*_one(connection.execute(_DELETE, within, prepare=False)))

    def drop_unknown(self, known: frozenset[str]) -> int:
        with self._connections.lend(FLUSH) as connection:
            dropped: int = _one(connection.execute(_DROP_UNKNOWN, [sorted(known)]))[0]
            return dropped

    def listing(self, repository: str, prefix: str = "", after: str = "", limit: int = 1000) -> list[Stored]:
        """A page is longer than `limit` only where its last path has several keys (variants)."""
        values = _within(repository, prefix) | {"after": after, "limit": limit}
        with self._connections.lend(COMMIT) as connection:
            rows = connection.execute(_LISTING, values, prepare=False).fetchall()
        return [Stored(repository, path, Entry(*row)) for path, *row in rows]

    def drop_blob(self, digest: str, remove: Callable[[], None]) -> bool:
        with self._connections.lend(COMMIT) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_lock("blob", digest)])
            if connection.execute("SELECT 1 FROM entries WHERE digest = %s LIMIT 1", [digest]).fetchone():
                return False
            remove()
            return True

    def close(self) -> None:
        self._connections.close()


def migrate(database_url: str) -> None:
    """Bring the schema up to this version; by several processes at once, one does it and the others wait.

    A schema that is ahead (a newer version was here already) is left as it is: steps only ever expand.
    Raises StoreDown.
    """
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    engine = sa.create_engine(
        "postgresql+psycopg://",
        poolclass=sa.NullPool,
        creator=lambda: psycopg.connect(**parameters(database_url)),
    )
    try:
        with engine.connect() as connection:  # the lock ends with the connection
            connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": _lock("schema", "")})
            connection.commit()
            current = MigrationContext.configure(connection).get_current_revision()
            connection.rollback()
            if current is None or current in known:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except (psycopg.Error, sa.exc.SQLAlchemyError) as error:
        raise StoreDown(f"Postgres: the schema is not migrated: {error}") from error


def _where(repository: str, key: str) -> dict[str, Any]:
    hashed = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return {"repository": repository, "key_hash": hashed}


def _within(repository: str, prefix: str) -> dict[str, Any]:
    """A path's beginning as the index finds it (LIKE, with its own signs escaped) and as it is compared."""
    like = prefix[:INDEXED].replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
    return {"repository": repository, "prefix": prefix, "like": like}


def _lock(kind: str, name: str) -> int:
    """The 64-bit number of an advisory lock; two names that share one only wait for each other."""
    return int.from_bytes(hashlib.sha256(f"{kind} {name}".encode()).digest()[:8], "big", signed=True)


def _one(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise psycopg.DataError("a statement that always answers did not")
    return row
