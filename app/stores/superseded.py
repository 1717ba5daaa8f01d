"""What indexes leave in PostgreSQL: files that a later edition no longer names, and scopes without any file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.stores.connections import Connections, Patient
from app.stores.statements import hashed

PATIENCE = 30.0  # seconds for a statement that reads every scope

_EXPIRED = """
    WITH gone AS (
        DELETE FROM generated
        WHERE repository = %(repository)s AND md5(scope) = md5(%(scope)s) AND scope = %(scope)s
        AND expires <= %(now)s RETURNING repository, key_hash, key
    ), deleted AS (DELETE FROM entries USING gone WHERE (entries.repository, entries.key_hash) = (gone.repository, gone.key_hash))
    SELECT key FROM gone
    """  # noqa: E501
_EXPIRING = "SELECT DISTINCT repository, scope FROM generated WHERE expires <= %s"
_HOLD = "SELECT FROM scopes WHERE repository = %s AND hash = %s FOR UPDATE"
_UNUSED = """
    SELECT repository, scope, changed FROM scopes WHERE files = 0 AND built >= changed AND NOT EXISTS (
        SELECT FROM generated AS g
        WHERE g.repository = scopes.repository AND md5(g.scope) = md5(scopes.scope) AND g.scope = scopes.scope
    ) ORDER BY repository, hash LIMIT %s
    """
_FORGET = """
    DELETE FROM scopes USING unnest(%s::text[], %s::bytea[], %s::bigint[]) AS given (repository, hash, changed)
    WHERE (scopes.repository, scopes.hash, scopes.changed) = (given.repository, given.hash, given.changed)
    AND files = 0 AND built >= scopes.changed
    """


def drop_expired(connection: Patient, values: Mapping[str, Any]) -> list[str]:
    """Drop what expired by `now` of one `scope` of a `repository`, within the caller's transaction; the paths."""
    return [found[0] for found in connection.execute(_EXPIRED, values)]


class Superseded:
    """What Publications knows of it, in one database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def expiring(self, now: float) -> Sequence[tuple[str, str]]:
        """See Publications.expiring."""
        with self._connections.lend(PATIENCE) as connection:
            return [(found[0], found[1]) for found in connection.execute(_EXPIRING, [now])]

    def expire(self, repository: str, scope: str, now: float) -> Sequence[str]:
        """See Publications.expire; whoever switches that scope waits, and is waited for."""
        values = {"repository": repository, "scope": scope, "now": now}
        with self._connections.lend(PATIENCE) as connection, connection.transaction():
            connection.execute(_HOLD, [repository, hashed(scope)])
            return drop_expired(connection, values)

    def unused(self, limit: int) -> frozenset[tuple[str, str, int]]:
        """See Publications.unused."""
        with self._connections.lend(PATIENCE) as connection:
            return frozenset((each[0], each[1], each[2]) for each in connection.execute(_UNUSED, [limit]))

    def forget_unused(self, scopes: Collection[tuple[str, str, int]]) -> int:
        """See Publications.forget_unused."""
        found = sorted(scopes)
        values = [name for name, _, _ in found], [hashed(scope) for _, scope, _ in found], [at for _, _, at in found]
        with self._connections.lend(PATIENCE) as connection:
            return connection.execute(_FORGET, list(values)).rowcount
