"""The record of pulls in PostgreSQL.

pulled  128-bit hash -> repository, path, digest, seen   an artifact's names once, however often it is pulled
pulls   (minute, artifact, client) -> requests, bytes    72 bytes and three index rows; new ones come at the end

Both are written in the order of their keys, so that two writers wait for each other in no circle. `seen` is the day
of the last pull, so an artifact that is pulled all day is written once, and one that is dropped has no pulls left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg import DataError
from psycopg.sql import SQL

from app.errors import StoreDown
from app.stores.connections import Connections
from app.stores.pulls import MINUTE, Cursor, Named, Page, Pull, Sought
from app.stores.statements import INDEXED, hashed, one, within

WRITE, READ, NAMES, PRUNE = 10.0, 20.0, 1.0, 60.0  # seconds of patience; an edge waits for the names
DAY = 86400
UNWRITABLE = (DataError, UnicodeError)  # SQLSTATE 22, and what never leaves this process
FEW = 5000  # artifacts that are looked up one by one; of more than that, somebody pulled one lately

_ARTIFACTS = """
    INSERT INTO pulled (id, repository, path, digest, seen)
    SELECT * FROM unnest(%(ids)s::uuid[], %(repositories)s::text[], %(paths)s::text[], %(digests)s::bytea[],
        %(days)s::integer[]) AS given (id, repository, path, digest, seen)
    WHERE NOT EXISTS (SELECT FROM pulled WHERE pulled.id = given.id AND pulled.seen >= given.seen)
    ORDER BY id ON CONFLICT (id) DO UPDATE SET seen = greatest(pulled.seen, excluded.seen)
    """
_PULLS = """
    INSERT INTO pulls (artifact, minute, client, requests, bytes)
    SELECT artifact, minute, client, least(sum(requests), 2147483647), least(sum(bytes), 9223372036854775807)
    FROM unnest(%(artifacts)s::uuid[], %(minutes)s::integer[], %(clients)s::inet[], %(requests)s::bigint[],
        %(bytes)s::bigint[]) AS given (artifact, minute, client, requests, bytes)
    GROUP BY minute, artifact, client ORDER BY minute, artifact, client
    ON CONFLICT (minute, artifact, client) DO UPDATE SET
        requests = least(pulls.requests::bigint + excluded.requests, 2147483647),
        bytes = least(pulls.bytes::numeric + excluded.bytes, 9223372036854775807)
    """
_CHOSEN = SQL(
    """
    (%(repository)s::text IS NULL OR repository = %(repository)s)
    AND (%(prefix)s = '' OR (left(path, {indexed}) LIKE %(like)s AND starts_with(path, %(prefix)s)))
    AND (%(digest)s::bytea IS NULL OR (digest = %(digest)s AND digest <> ''))
    """
).format(indexed=INDEXED)
_IDS = SQL("SELECT id FROM pulled WHERE {chosen} LIMIT {most}").format(chosen=_CHOSEN, most=FEW + 1)
_MEANT = SQL(
    """
    minute >= %(since)s AND minute < %(until)s AND (%(client)s::inet IS NULL OR client <<= %(client)s)
    AND (%(at)s::integer IS NULL OR (minute, artifact, client) < (%(at)s, %(artifact)s::uuid, %(last)s::inet))
    """
)
_ORDER = SQL("ORDER BY minute DESC, artifact DESC, client DESC LIMIT %(limit)s")
_ROW = SQL("repository, path, encode(digest, 'hex'), host(client), minute, requests, bytes, artifact")
_OF_FEW = SQL(
    """
    SELECT {row} FROM unnest(%(ids)s::uuid[]) AS chosen (id) JOIN pulled USING (id) CROSS JOIN LATERAL (
        SELECT * FROM pulls WHERE artifact = id AND {meant} {order}
    ) AS found {order}
    """
).format(row=_ROW, meant=_MEANT, order=_ORDER)
_OF_ALL = SQL("SELECT {row} FROM pulls JOIN pulled ON id = artifact WHERE {meant} AND {chosen} {order}").format(
    row=_ROW, meant=_MEANT, chosen=_CHOSEN, order=_ORDER
)
_COLUMNS = ("artifacts", "minutes", "clients", "requests", "bytes")  # as _PULLS names them
_OLDEST = "SELECT min(minute) FROM pulls"  # the first column of its key
_KNOWS = "SELECT EXISTS (SELECT FROM pulled WHERE repository = %s)"
_NAMED = """
    SELECT repository, key, path, digest, fetched FROM entries
    JOIN unnest(%s::text[], %s::bytea[]) AS given (repository, key_hash) USING (repository, key_hash)
    """
_PRUNE = "DELETE FROM pulls WHERE ctid = ANY (ARRAY(SELECT ctid FROM pulls WHERE minute < %s LIMIT %s))"
_TIDY = "DELETE FROM pulled WHERE ctid = ANY (ARRAY(SELECT ctid FROM pulled WHERE seen < %s LIMIT %s)) AND seen < %s"


class PostgresPulls:
    """The record of one database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def record(self, pulls: Iterable[Pull]) -> int:
        """See Pulls.record; halves of halves find the row."""
        given = list(pulls)
        try:
            self._write(given)
        except StoreDown as error:
            if not isinstance(error.__cause__, UNWRITABLE):
                raise
            if len(given) == 1:
                return given[0].requests
            middle = len(given) // 2
            return self.record(given[:middle]) + self.record(given[middle:])
        return 0

    def _write(self, pulls: Sequence[Pull]) -> None:
        artifacts: dict[tuple[str, str, str], str] = {}
        days: dict[str, int] = {}
        rows = []
        for pull in pulls:
            names = (pull.repository, pull.path, pull.digest)
            artifact = artifacts.get(names) or artifacts.setdefault(names, _number(*names))
            days[artifact] = max(days.get(artifact, 0), pull.minute // DAY)
            rows.append((artifact, pull.minute // MINUTE, pull.client, pull.requests, pull.bytes))
        if not rows:
            return
        with self._connections.lend(WRITE) as connection, connection.transaction():
            connection.execute(_ARTIFACTS, _artifacts(artifacts, days), prepare=False)
            columns = map(list, zip(*rows, strict=True))
            connection.execute(_PULLS, dict(zip(_COLUMNS, columns, strict=True)), prepare=False)

    def find(self, sought: Sought) -> Page:
        """See Pulls.find."""
        values = _values(sought)
        with self._connections.read(READ) as connection:
            statement = _OF_ALL
            if sought.path or sought.repository is not None or sought.digest is not None:
                ids = [found for (found,) in connection.execute(_IDS, values, prepare=False)]
                if len(ids) <= FEW:
                    statement, values = _OF_FEW, values | {"ids": ids}
            rows = connection.execute(statement, values, prepare=False).fetchall()
        return _page(rows, sought.limit)

    def oldest(self) -> int | None:
        """See Pulls.oldest."""
        with self._connections.read() as connection:
            minute = one(connection.execute(_OLDEST))[0]
        return None if minute is None else minute * MINUTE

    def knows(self, repository: str) -> bool:
        """See Pulls.knows."""
        with self._connections.read() as connection:
            return bool(one(connection.execute(_KNOWS, [repository]))[0])

    def named(self, keys: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Named]:
        """See Pulls.named."""
        given = list(keys)
        values = [[repository for repository, _ in given], [hashed(key) for _, key in given]]
        with self._connections.read(NAMES) as connection:
            found = connection.execute(_NAMED, values)
            return {(repository, key): Named(*rest) for repository, key, *rest in found}

    def prune(self, before: float, most: int) -> int:
        """See Pulls.prune."""
        with self._connections.lend(PRUNE) as connection:
            return connection.execute(_PRUNE, [int(before // MINUTE), most]).rowcount

    def tidy(self, before: float, most: int) -> int:
        """See Pulls.tidy; whoever records a pull first notes the day, so an artifact of today is left alone."""
        day = int(before // DAY) - 1
        with self._connections.lend(PRUNE) as connection:
            return connection.execute(_TIDY, [day, most, day]).rowcount


def _number(repository: str, path: str, digest: str) -> str:
    """128 bits in hex: nobody finds two paths that share them, to hide the pulls of one behind the other."""
    names = f"{repository}\0{path}\0{digest}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(names, digest_size=16).hexdigest()


def _artifacts(artifacts: Mapping[tuple[str, str, str], str], days: Mapping[str, int]) -> dict[str, Sequence[Any]]:
    return {
        "ids": list(artifacts.values()),
        "repositories": [repository for repository, _, _ in artifacts],
        "paths": [path for _, path, _ in artifacts],
        "digests": [bytes.fromhex(digest) for _, _, digest in artifacts],
        "days": [days[artifact] for artifact in artifacts.values()],
    }


def _values(sought: Sought) -> dict[str, Any]:
    after = sought.after or Cursor(0, "", "")
    until = 2**31 - 1 if sought.until is None else -int(-sought.until // MINUTE)  # the first minute of none
    return within(sought.repository or "", sought.path) | {
        "repository": sought.repository,
        "digest": bytes.fromhex(sought.digest) if sought.digest is not None else None,
        "client": sought.client,
        "since": int(sought.since // MINUTE),
        "until": until,
        "at": after.minute // MINUTE if sought.after else None,
        "artifact": after.artifact or None,
        "last": after.client or None,
        "limit": sought.limit + 1,
    }


def _page(rows: Sequence[tuple[Any, ...]], limit: int) -> Page:
    pulls = [
        Pull(name, path, digest, client, minute * MINUTE, requests, sent)
        for name, path, digest, client, minute, requests, sent, _ in rows[:limit]
    ]
    if len(rows) <= limit:
        return Page(pulls)
    return Page(pulls, Cursor(pulls[-1].minute, rows[limit - 1][-1].hex, pulls[-1].client))
