"""The indexes of hosted files in PostgreSQL: what they say, which are behind, and how one is switched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.sql import SQL

from app.resource import Entry
from app.stores import statements
from app.stores.children import children
from app.stores.connections import Patient
from app.stores.publications import Child, Described, Description, Indexed
from app.stores.statements import COLUMNS, hashed, number, one, row, where, within
from app.stores.superseded import Superseded, drop_expired

PATIENCE = 30.0  # seconds for a statement that reads or writes a whole index
FETCHED = 500  # files read at a time
ROOM = 1 << 20  # bytes of what is said of them that are read at a time, if it is not one file of which more is said

IS_GENERATED = "SELECT 1 FROM generated WHERE repository = %(repository)s AND key_hash = %(key_hash)s"
_UNDESCRIBE = """
    DELETE FROM descriptions WHERE repository = %(repository)s AND key_hash = %(key_hash)s RETURNING scope, also
    """
_DESCRIBE = """
    INSERT INTO descriptions (repository, key_hash, scope, also, about)
    VALUES (%(repository)s, %(key_hash)s, %(scope)s, %(also)s, %(about)s)
    """
_COUNT_UP = """
    INSERT INTO scopes (repository, hash, scope, changed, files)
    VALUES (%(repository)s, %(hash)s, %(scope)s, 1, greatest(%(files)s::bigint, 0))
    ON CONFLICT (repository, hash) DO UPDATE
    SET changed = scopes.changed + 1, files = greatest(scopes.files + %(files)s::bigint, 0) RETURNING changed
    """
_SAME = "SELECT 1 FROM entries WHERE repository = %(repository)s AND key_hash = %(key_hash)s AND fence = %(fence)s"
_UNDESCRIBED = SQL(
    """
    SELECT path, {columns} FROM entries
    WHERE {within} AND (left(path, {indexed}), path) > (left(%(after)s, {indexed}), %(after)s)
    AND NOT EXISTS (SELECT FROM descriptions AS d WHERE (d.repository, d.key_hash) = (entries.repository, entries.key_hash))
    AND NOT EXISTS (SELECT FROM generated AS g WHERE (g.repository, g.key_hash) = (entries.repository, entries.key_hash))
    ORDER BY left(path, {indexed}), path LIMIT %(limit)s
    """  # noqa: E501
).format(columns=COLUMNS, within=statements.WITHIN, indexed=statements.INDEXED)
_SCOPE = "SELECT changed, built FROM scopes WHERE repository = %s AND hash = %s"
_UNBUILT = """
    SELECT repository, scope, changed FROM scopes WHERE built < changed AND (repository, scope) > (%s, %s)
    ORDER BY repository, scope LIMIT %s
    """
TOUCH = "UPDATE scopes SET changed = changed + 1 WHERE repository = %s"
_ITEMS = """
    SELECT key_hash, octet_length(about), path, size, digest, fetched
    FROM descriptions JOIN entries USING (repository, key_hash)
    WHERE repository = %(repository)s AND md5(scope) = md5(%(scope)s) AND scope = %(scope)s AND path > %(after)s
    ORDER BY path
    """
_DESCRIBED = """
    SELECT path, size, digest, fetched, about FROM descriptions JOIN entries USING (repository, key_hash)
    WHERE repository = %(repository)s AND key_hash = %(key_hash)s
    """
# One look-up by the primary key for each: without statistics, a list of keys is looked for in the whole repository.
_ABOUT = """
    SELECT key_hash, (
        SELECT about FROM descriptions WHERE repository = %s AND descriptions.key_hash = wanted.key_hash
    ) FROM unnest(%s::bytea[]) AS wanted (key_hash)
    """
_SCOPES = SQL(
    """
    SELECT scope FROM scopes WHERE repository = %s AND files > 0
    AND (left(scope, {indexed}), scope) > (left(%s, {indexed}), %s)
    ORDER BY left(scope, {indexed}), scope LIMIT %s
    """
).format(indexed=statements.INDEXED)
_BUILT = """
    UPDATE scopes SET built = %(built)s
    WHERE repository = %(repository)s AND hash = %(hash)s AND built < %(built)s AND changed >= %(built)s
    """
_OUTDATE = """
    DELETE FROM descriptions USING entries, unnest(%s::text[], %s::bytea[], %s::bigint[]) AS given (name, hash, fence)
    WHERE (descriptions.repository, descriptions.key_hash) = (name, hash)
    AND (entries.repository, entries.key_hash) = (name, hash) AND entries.fence < given.fence
    RETURNING descriptions.repository, scope, also
    """
_DROP_UNKNOWN = tuple(
    f"DELETE FROM {table} WHERE repository <> ALL (%s)"  # noqa: S608
    for table in ("descriptions", "generated", "scopes")
)
_GENERATE = """
    INSERT INTO generated (repository, key_hash, key, scope, lasting)
    VALUES (%(repository)s, %(key_hash)s, %(key)s, %(scope)s, %(lasting)s)
    ON CONFLICT (repository, key_hash) DO UPDATE
    SET scope = excluded.scope, lasting = excluded.lasting, expires = NULL
    """
_SUPERSEDE = """
    UPDATE generated SET expires = CASE WHEN lasting THEN %(expires)s ELSE 0 END
    WHERE repository = %(repository)s AND md5(scope) = md5(%(scope)s) AND scope = %(scope)s AND expires IS NULL
    AND key_hash <> ALL (%(kept)s)
    """


def lock_file(connection: Patient, repository: str, path: str) -> None:
    """Nobody else changes this file until the transaction ends: nor a change of so many that it locks them all."""
    connection.execute(statements.LOCK_FILE, [number("files", repository), number("file", f"{repository}/{path}")])


def undescribe(connection: Patient, repository: str, path: str, scopes: dict[str, int]) -> None:
    """Drop a file's description, and count it out of its scopes."""
    for scope, also in connection.execute(_UNDESCRIBE, where(repository, path)):
        scopes[scope] = scopes.get(scope, 0) - 1
        for each in also:
            scopes.setdefault(each, 0)


def describe(
    connection: Patient, repository: str, path: str, description: Description, scopes: dict[str, int]
) -> None:
    """Say what an index is to know of a file, and count it into its scopes."""
    also = [*description.also, *description.when_gone]  # what is stored is read when it goes
    said = {"scope": description.scope, "also": also, "about": description.about}
    connection.execute(_DESCRIBE, where(repository, path) | said)
    scopes[description.scope] = scopes.get(description.scope, 0) + 1
    for each in description.also:
        scopes.setdefault(each, 0)


def count_up(connection: Patient, repository: str, scopes: Mapping[str, int]) -> dict[str, int]:
    """Count every scope up, in one order for all; the last thing in a transaction, for others wait for it."""
    counts = {}
    for scope in sorted(scopes):
        values = {"repository": repository, "hash": hashed(scope), "scope": scope, "files": scopes[scope]}
        counts[scope] = int(one(connection.execute(_COUNT_UP, values))[0])
    return counts


def outdate(connection: Patient, files: Sequence[tuple[str, str, int]]) -> None:
    """Drop what is said of those (repository, path, fence) of which an older edition is there."""
    values = [name for name, _, _ in files], [hashed(path) for _, path, _ in files], [fence for _, _, fence in files]
    changed: dict[str, dict[str, int]] = {}
    for repository, scope, also in connection.execute(_OUTDATE, list(values)):
        scopes = changed.setdefault(repository, {})
        scopes[scope] = scopes.get(scope, 0) - 1
        for each in also:
            scopes.setdefault(each, 0)
    for repository in sorted(changed):
        count_up(connection, repository, changed[repository])


def drop_unknown(connection: Patient, known: Sequence[str]) -> None:
    """Drop what is said of repositories that are not `known`, within the caller's transaction."""
    for statement in _DROP_UNKNOWN:
        connection.execute(statement, [list(known)])


class Indexes(Superseded):
    """What Publications knows of indexes, in one database."""

    def describe(self, repository: str, path: str, fence: int, description: Description | None) -> bool:
        """See Publications.describe."""
        with self._connections.lend(PATIENCE) as connection, connection.transaction():
            lock_file(connection, repository, path)
            if not connection.execute(_SAME, where(repository, path) | {"fence": fence}).fetchone():
                return False
            scopes: dict[str, int] = {}
            undescribe(connection, repository, path, scopes)
            if description is not None:
                describe(connection, repository, path, description, scopes)
            count_up(connection, repository, scopes)
            return True

    def undescribed(self, repository: str, after: str = "", limit: int = 1000) -> Sequence[tuple[str, Entry]]:
        """See Publications.undescribed."""
        values = within(repository, "") | {"after": after, "limit": limit}
        with self._connections.read(PATIENCE) as connection:
            return [(path, Entry(*found)) for path, *found in connection.execute(_UNDESCRIBED, values)]

    def scope(self, repository: str, scope: str) -> tuple[int, int]:
        """See Publications.scope."""
        with self._connections.lend() as connection:  # where it was written: a standby may be behind
            found = connection.execute(_SCOPE, [repository, hashed(scope)]).fetchone()
        return (found[0], found[1]) if found else (0, 0)

    def unbuilt(self, after: tuple[str, str] = ("", ""), limit: int = 100) -> Sequence[tuple[str, str, int]]:
        """See Publications.unbuilt."""
        with self._connections.lend() as connection:
            return [(found[0], found[1], found[2]) for found in connection.execute(_UNBUILT, [*after, limit])]

    def children(self, repository: str, directory: str, after: str = "", limit: int = 1000) -> Sequence[Child]:
        """See Publications.children."""
        return children(self._connections, repository, directory, after, limit)

    def touch(self, repository: str) -> int:
        """See Publications.touch."""
        with self._connections.lend(PATIENCE) as connection:
            return connection.execute(TOUCH, [repository]).rowcount

    @contextlib.contextmanager
    def items(self, repository: str, scope: str, after: str = "") -> Iterator[tuple[int, Iterator[Described]]]:
        """See Publications.items; one snapshot for the count and the files."""
        values = {"repository": repository, "scope": scope, "after": after}
        with self._connections.lend(PATIENCE) as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            try:
                with connection.transaction():
                    found = connection.execute(_SCOPE, [repository, hashed(scope)]).fetchone()
                    with connection.cursor(name="items") as cursor:
                        cursor.itersize = FETCHED
                        cursor.execute(_ITEMS, values)
                        yield (found[0] if found else 0), _described(connection, repository, cursor)
            finally:
                connection.isolation_level = IsolationLevel.READ_COMMITTED

    def described(self, repository: str, path: str) -> Described | None:
        """See Publications.described."""
        with self._connections.read() as connection:
            found = connection.execute(_DESCRIBED, where(repository, path)).fetchone()
        return Described(*found) if found else None

    def scopes(self, repository: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        """See Publications.scopes."""
        with self._connections.read() as connection:
            return [found[0] for found in connection.execute(_SCOPES, [repository, after, after, limit])]

    def switch(
        self,
        repository: str,
        scope: str,
        built: int,
        files: Sequence[Indexed],
        expires: float,
        now: float,
        present: Callable[[str], bool],
    ) -> Sequence[str] | None:
        """See Publications.switch."""
        digests = sorted({each.entry.digest for each in files})
        locks = [*(number("blob", digest) for digest in digests), number("repository", repository)]
        values: dict[str, Any] = {"repository": repository, "scope": scope, "expires": expires, "now": now}
        values["kept"] = [hashed(each.path) for each in files]
        expired: list[str] | None = None
        with self._connections.lend(PATIENCE) as connection, connection.transaction():
            connection.execute(statements.LOCK_SHARED, [locks])
            if connection.execute(_BUILT, values | {"built": built, "hash": hashed(scope)}).rowcount != 1:
                return None
            if not all(present(digest) for digest in digests):
                raise psycopg.Rollback
            _generate(connection, repository, scope, files)
            connection.execute(_SUPERSEDE, values)
            expired = drop_expired(connection, values)
        return None if expired is None else [*(each.path for each in files), *expired]


def _described(connection: Patient, repository: str, files: Iterable[Sequence[Any]]) -> Iterator[Described]:
    """The files with what is said of them, which may be megabytes of each: as much at a time as there is ROOM."""
    batch: list[Sequence[Any]] = []
    size = 0
    for each in files:
        if batch and size + each[1] > ROOM:
            yield from _with_about(connection, repository, batch)
            batch, size = [], 0
        batch.append(each)
        size += each[1]
    yield from _with_about(connection, repository, batch)


def _with_about(connection: Patient, repository: str, batch: Sequence[Sequence[Any]]) -> Iterator[Described]:
    said = dict(connection.execute(_ABOUT, [repository, [key for key, *_ in batch]]).fetchall())
    for key, _, path, size, digest, published in batch:
        yield Described(path, size, digest, published, said[key])


def _generate(connection: Patient, repository: str, scope: str, files: Iterable[Indexed]) -> None:
    fence = int(one(connection.execute("SELECT nextval('fences')"))[0])
    for each in files:
        values = row(repository, each.path, each.path, replace(each.entry, fence=fence))
        values |= {"overwrite": True, "package": ""}
        connection.execute(statements.PUBLISH, values)
        connection.execute(_GENERATE, values | {"scope": scope, "lasting": each.lasting})
