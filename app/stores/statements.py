"""The statements on repositories and entries, and how an Entry and its key become a row's values."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from typing import Any

import psycopg
from psycopg.sql import SQL

from app.resource import Entry

INDEXED = 256  # characters of a path that the index sorts by

_NAMES = [field.name for field in fields(Entry)]
COLUMNS = SQL(", ".join(_NAMES))
_VALUES = SQL(", ".join(f"%({name})s" for name in _NAMES))
_CHECKED_BY_EPOCH = SQL(", ").join(
    SQL("CASE WHEN %(epoch)s >= coalesce(epoch, 0) THEN %(checked)s::double precision ELSE 0 END")
    if name == "checked"
    else SQL(f"%({name})s")
    for name in _NAMES
)
_REPLACED = SQL(", ".join(f"{name} = excluded.{name}" for name in ["path", *_NAMES]))
WITHIN = SQL(
    "repository = %(repository)s AND left(path, {indexed}) LIKE %(like)s AND starts_with(path, %(prefix)s)"
).format(indexed=INDEXED)

PING = "SELECT current_setting('transaction_read_only'), EXISTS (SELECT FROM entries)"
FIND = SQL(
    """
    SELECT coalesce((SELECT epoch FROM repositories WHERE name = %(repository)s), 0), {columns}
    FROM (VALUES (1)) AS one
    LEFT JOIN entries ON repository = %(repository)s AND key_hash = %(key_hash)s
    """
).format(columns=COLUMNS)
FIND_EACH = SQL(
    """
    SELECT coalesce(epoch, 0), {columns}
    FROM unnest(%s::text[], %s::bytea[]) WITH ORDINALITY AS given (repository, key_hash, place)
    LEFT JOIN repositories ON name = given.repository
    LEFT JOIN entries ON entries.repository = given.repository AND entries.key_hash = given.key_hash
    ORDER BY place
    """
).format(columns=COLUMNS)
FIND_ALL = SQL("SELECT key, {columns} FROM entries WHERE repository = %s AND key_hash = ANY (%s)").format(
    columns=COLUMNS
)
COMMIT = SQL(  # what began before an expiring flush is kept, expired; before a deleting one, refused
    """
    INSERT INTO entries (repository, key_hash, key, path, {columns})
    SELECT %(repository)s, %(key_hash)s, %(key)s, %(path)s, {values}
    FROM (VALUES (1)) AS one LEFT JOIN repositories ON name = %(repository)s
    WHERE %(epoch)s >= coalesce(forgotten, 0) AND (%(replaces)s::bigint IS NULL OR EXISTS (
        SELECT FROM entries WHERE repository = %(repository)s AND key_hash = %(key_hash)s AND fence = %(replaces)s
    ))
    ON CONFLICT (repository, key_hash) DO UPDATE SET {replaced}
    WHERE entries.fence <= excluded.fence AND (%(replaces)s::bigint IS NULL OR entries.fence = %(replaces)s)
    """
).format(columns=COLUMNS, values=_CHECKED_BY_EPOCH, replaced=_REPLACED)
PUBLISH = SQL(
    """
    INSERT INTO entries (repository, key_hash, key, path, package, {columns})
    VALUES (%(repository)s, %(key_hash)s, %(key)s, %(path)s, %(package)s, {values})
    ON CONFLICT (repository, key_hash) DO UPDATE SET package = excluded.package, {replaced} WHERE %(overwrite)s
    """
).format(columns=COLUMNS, values=_VALUES, replaced=_REPLACED)
RESTORE = SQL(
    """
    INSERT INTO entries (repository, key_hash, key, path, package, {columns})
    VALUES (%(repository)s, %(key_hash)s, %(key)s, %(path)s, %(package)s, {values})
    ON CONFLICT (repository, key_hash) DO UPDATE SET package = excluded.package, {replaced}
    WHERE entries.fence < excluded.fence OR (entries.fence = excluded.fence AND entries.package <> excluded.package)
    """
).format(columns=COLUMNS, values=_VALUES, replaced=_REPLACED)
HOLDS = """
    SELECT given, coalesce(epoch, 0), EXISTS (
        SELECT FROM entries WHERE repository = given AND package <> '' AND md5(package) = md5(%(package)s::text)
        AND package = %(package)s
    )
    FROM unnest(%(repositories)s::text[]) AS given LEFT JOIN repositories ON name = given
    """
UNNAMED = """
    SELECT key_hash, path FROM entries WHERE repository = %s AND package = '' AND key_hash > %s
    AND NOT EXISTS (
        SELECT FROM generated AS g WHERE g.repository = entries.repository AND g.key_hash = entries.key_hash
    )
    ORDER BY key_hash LIMIT %s
    """
NAME = """
    UPDATE entries SET package = given.package FROM unnest(%s::bytea[], %s::text[]) AS given (key_hash, package)
    WHERE repository = %s AND entries.key_hash = given.key_hash AND entries.package = ''
    """
LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(number) FROM unnest(%s::bigint[]) AS number"  # in this order
LOCK = "SELECT pg_advisory_xact_lock(%s)"
LOCK_FILE = "SELECT pg_advisory_xact_lock_shared(%s), pg_advisory_xact_lock(%s)"
NEXT_FENCE = "SELECT nextval('fences')"
EPOCHS = "SELECT coalesce(max(epoch), 0), coalesce(max(forgotten), 0) FROM repositories WHERE name = %s"
DROP_ALL = "DELETE FROM entries WHERE repository = %s AND key_hash = ANY (%s) AND fence <= %s"
ANY_OF = "SELECT 1 FROM entries WHERE repository = %s AND key_hash = ANY (%s) LIMIT 1"
FORGET = """
    DELETE FROM entries WHERE repository = %(repository)s AND key_hash = %(key_hash)s
    AND (%(fence)s::bigint IS NULL OR fence <= %(fence)s)
    """
RAISE = """
    INSERT INTO repositories (name, epoch) VALUES (%s, 1)
    ON CONFLICT (name) DO UPDATE SET epoch = repositories.epoch + 1 RETURNING epoch
    """
FORGOTTEN = "UPDATE repositories SET forgotten = epoch WHERE name = %s"
EXPIRE = SQL("UPDATE entries SET checked = 0, retry_at = 0 WHERE {within}").format(within=WITHIN)
DELETE = SQL(  # all parts of a statement see the same snapshot: what is deleted is still among the entries
    """
    WITH deleted AS (DELETE FROM entries WHERE {within} RETURNING digest)
    SELECT (SELECT count(*) FROM deleted), count(*) FROM (
        SELECT digest FROM deleted EXCEPT SELECT digest FROM entries WHERE NOT ({within})
    ) AS unreferenced
    """
).format(within=WITHIN)
DROP_UNKNOWN = """
    WITH deleted AS (DELETE FROM entries WHERE repository <> ALL (%s) RETURNING repository),
    raised AS (
        INSERT INTO repositories (name, epoch, forgotten) SELECT DISTINCT repository, 1, 1 FROM deleted
        ON CONFLICT (name) DO UPDATE SET epoch = repositories.epoch + 1, forgotten = repositories.epoch + 1
    )
    SELECT repository, count(*) FROM deleted GROUP BY repository ORDER BY repository
    """
LISTING = SQL(
    """
    SELECT repository, path, key, used, {columns} FROM entries
    WHERE {within} AND (left(path, {indexed}), path) > (left(%(after)s, {indexed}), %(after)s)
    ORDER BY left(path, {indexed}), path FETCH FIRST %(limit)s ROWS WITH TIES
    """
).format(columns=COLUMNS, within=WITHIN, indexed=INDEXED)
REFERENCED = """
    SELECT 1 FROM entries WHERE digest = %(digest)s
    UNION ALL SELECT 1 FROM pieces WHERE digest = %(digest)s LIMIT 1
    """
UNREFERENCED = """
    SELECT digest FROM unnest(%s::text[]) AS given (digest)
    WHERE NOT EXISTS (SELECT FROM entries WHERE entries.digest = given.digest COLLATE "C")
    AND NOT EXISTS (SELECT FROM pieces WHERE pieces.digest = given.digest COLLATE "C")
    """
USED = """
    WITH due AS MATERIALIZED (
        SELECT repository, key_hash, at FROM entries
        JOIN unnest(%(repositories)s::text[], %(hashes)s::bytea[], %(times)s::float8[])
            AS given (repository, key_hash, at)
        USING (repository, key_hash)
        WHERE used < at - %(coarse)s FOR NO KEY UPDATE OF entries SKIP LOCKED
    )
    UPDATE entries SET used = at FROM due
    WHERE entries.repository = due.repository AND entries.key_hash = due.key_hash
    """
FOOTPRINT = """
    SELECT count(*), coalesce(sum(size), 0)::bigint, coalesce(sum(entries), 0)::bigint
    FROM (SELECT max(size) AS size, count(*) AS entries FROM entries GROUP BY digest) AS blobs
    """
COLDEST = SQL(
    """
    SELECT repository, path, key, used, {columns} FROM entries
    WHERE repository = ANY (%(repositories)s) AND (gone <> 0) = %(gone)s ORDER BY used LIMIT %(limit)s
    """
).format(columns=COLUMNS)
REFERRING = SQL("SELECT repository, path, key, used, {columns} FROM entries WHERE digest = %s").format(
    columns=COLUMNS
)
NAMED = SQL(
    """
    SELECT repository, path, key, used, {columns} FROM entries
    WHERE digest = %s AND repository = ANY (%s) AND starts_with(path, %s) AND right(path, length(%s)) = %s LIMIT %s
    """
).format(columns=COLUMNS)
# OFFSET 0 keeps the regular expression from being evaluated anew wherever its name is used.
NAMES = """
    SELECT DISTINCT repository, name FROM (
        SELECT repository, substring(path FROM %(pattern)s) AS name FROM entries
        WHERE repository = ANY (%(repositories)s) AND repository >= %(repository)s OFFSET 0
    ) AS named
    WHERE name IS NOT NULL AND (repository, name) > (%(repository)s, %(name)s)
    ORDER BY repository, name LIMIT %(limit)s
    """


def hashed(key: str) -> bytes:
    """By what a key of any length is found."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def where(repository: str, key: str) -> dict[str, Any]:
    """One key of one repository."""
    return {"repository": repository, "key_hash": hashed(key)}


def row(repository: str, key: str, path: str, entry: Entry) -> dict[str, Any]:
    """The values of one entry's row."""
    return where(repository, key) | asdict(entry) | {"key": key, "path": path}


def within(repository: str, prefix: str) -> dict[str, Any]:
    """A path's beginning as the index finds it (LIKE, with its own signs escaped) and as it is compared."""
    like = prefix[:INDEXED].replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
    return {"repository": repository, "prefix": prefix, "like": like}


def number(kind: str, name: str) -> int:
    """The 64-bit number of an advisory lock; two names that share one only wait for each other."""
    return int.from_bytes(hashlib.sha256(f"{kind} {name}".encode()).digest()[:8], "big", signed=True)


def one(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The row of a statement that always answers."""
    row = cursor.fetchone()
    if row is None:
        raise psycopg.DataError("a statement that always answers did not")
    return row
