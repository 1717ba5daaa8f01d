"""A directory's page out of the paths in PostgreSQL: from name to name, never over what is below one.

The index is by the first characters of a path, so each step is one look into it, however much a directory holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from psycopg.sql import SQL

from app.resource import Entry
from app.stores.connections import Connections
from app.stores.publications import Child
from app.stores.statements import INDEXED

PATIENCE = 10.0  # seconds

# No path has a control character, so "\x01" is before whatever follows a file's name; "0" is what comes after "/".
_FIRST = """
    SELECT path, key_hash, strpos(substr(path, %(deep)s), '/') AS slash FROM entries
    WHERE repository = %(repository)s AND (left(path, {indexed}), path) >= (left({least}, {indexed}), {least})
    AND (left(path, {indexed}), path) < (left(%(beyond)s, {indexed}), %(beyond)s)
    ORDER BY left(path, {indexed}), path LIMIT 1
    """
_CHILDREN = """
    WITH RECURSIVE found AS (
        ({first})
        UNION ALL
        SELECT next.* FROM (
            SELECT CASE WHEN slash = 0 THEN path || E'\\x01' ELSE left(path, %(deep)s + slash - 2) || '0' END AS least
            FROM found
        ) AS last, LATERAL ({following}) AS next
    )
    SELECT CASE WHEN slash = 0 THEN substr(found.path, %(deep)s) ELSE substr(found.path, %(deep)s, slash) END,
    slash = 0, entries.used, {columns}
    FROM (SELECT * FROM found LIMIT %(limit)s) AS found JOIN entries
    ON entries.repository = %(repository)s AND entries.key_hash = found.key_hash
    ORDER BY found.path
    """
_STATEMENT = SQL(_CHILDREN).format(
    first=SQL(_FIRST).format(indexed=INDEXED, least=SQL("%(least)s::text")),
    following=SQL(_FIRST).format(indexed=INDEXED, least=SQL("last.least")),
    columns=SQL(", ".join(f"entries.{each.name}" for each in fields(Entry))),
)


def children(connections: Connections, repository: str, directory: str, after: str, limit: int) -> Sequence[Child]:
    """See Publications.children."""
    least = f"{directory}{after[:-1]}0" if after.endswith("/") else f"{directory}{after}\x01" if after else directory
    values = {
        "repository": repository,
        "deep": len(directory) + 1,
        "least": least,
        "beyond": f"{directory[:-1]}0" if directory else "\U0010ffff",
        "limit": limit,
    }
    with connections.read(PATIENCE) as connection:
        found = connection.execute(_STATEMENT, values, prepare=False)
        return [Child(name, Entry(*rest), used) if is_file else Child(name) for name, is_file, used, *rest in found]
