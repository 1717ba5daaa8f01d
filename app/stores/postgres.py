"""The index in PostgreSQL (13 or newer): its transactions, their locks, and the schema's migration.

repositories  name -> epoch, forgotten               no row: both 0; forgotten: the epoch that the last delete began
entries       (repository, sha256 of key) -> Entry   with the key and the path in full, and when it was last served
lists, listed  see lists.py; pulled, pulls: see pulled.py; descriptions, scopes, generated: see indexes.py;
uploads, pieces: see postgres_uploads.py
fences        a sequence; every win of a lock takes one
notes         a sequence; every record of the journal takes one, and nothing else does

advisory locks, each for one transaction, in this order:
  blob        shared by commits of a digest (several in the order of digests), alone for its removal
  repository  shared by commits into it, alone for a flush: no commit slips in under the old epoch
  set         alone for what changes several entries, which would otherwise wait for each other in a circle
  files       of a repository: shared with the next, alone for what changes so many that it locks no single one
  file        alone for what publishes or withdraws it (hosted.py), several in the order of paths; then the rows of
              scopes, in the order of scopes
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg

from app.resource import Digest, Entry
from app.stores import lists, statements
from app.stores.base import Change, Flushed, Footprint, Listed, Stored, unnoted
from app.stores.browse import PostgresBrowse
from app.stores.connections import Connections, Patient
from app.stores.hosted import Hosted
from app.stores.lists import Lists
from app.stores.postgres_jobs import PostgresJobs
from app.stores.postgres_uploads import PostgresUploads
from app.stores.pulled import PostgresPulls
from app.stores.schema import migrate as migrate
from app.stores.statements import hashed, number, one, row, where, within

COMMIT, USED, FLUSH = 15.0, 10.0, 120.0  # seconds of patience; a commit may wait for a flush or a removal

log = logging.getLogger(__name__)


class _Refused(Exception):
    """Ends a transaction that must leave nothing; never leaves this file."""


class PostgresIndex:
    """The index of a fleet; every instance, on every node, of one database sees the same."""

    def __init__(self, database_url: str, connections: int = 2) -> None:
        self._connections = Connections(database_url, connections)
        self._lists = Lists(self._connections)
        self.hosted = Hosted(self._connections)
        self.uploads = PostgresUploads(self._connections)
        self.jobs = PostgresJobs(self._connections)
        self.pulls = PostgresPulls(self._connections)
        self.browse = PostgresBrowse(self._connections)

    def ping(self, writes: bool = True) -> None:
        with self._connections.lend(writes=writes) as connection:
            if one(connection.execute(statements.PING))[0] == "on" and writes:
                raise psycopg.errors.ReadOnlySqlTransaction("it takes no writes")

    def find(self, repository: str, key: str) -> tuple[int, Entry | None]:
        with self._connections.read() as connection:
            found = one(connection.execute(statements.FIND, where(repository, key), prepare=True))
        return found[0], Entry(*found[1:]) if found[1] is not None else None

    def find_each(self, keys: Sequence[tuple[str, str]]) -> list[tuple[int, Entry | None]]:
        values = [[repository for repository, _ in keys], [hashed(key) for _, key in keys]]
        with self._connections.read() as connection:
            rows = connection.execute(statements.FIND_EACH, values, prepare=True).fetchall()
        return [(found[0], Entry(*found[1:]) if found[1] is not None else None) for found in rows]

    def find_all(self, repository: str, keys: Sequence[str]) -> dict[str, Entry]:
        values = [repository, [hashed(key) for key in keys]]
        with self._connections.read() as connection:
            return {key: Entry(*found) for key, *found in connection.execute(statements.FIND_ALL, values)}

    def epochs(self) -> dict[str, int]:
        with self._connections.read() as connection:
            return dict(connection.execute("SELECT name, epoch FROM repositories").fetchall())

    def next_fence(self) -> int:
        with self._connections.lend() as connection:
            return int(one(connection.execute("SELECT nextval('fences')", prepare=True))[0])

    def raise_epoch(self, repository: str) -> int:
        with self._connections.lend(COMMIT) as connection:
            return int(one(connection.execute(statements.RAISE, [repository]))[0])

    def commit(
        self,
        repository: str,
        key: str,
        path: str,
        entry: Entry,
        epoch: int,
        present: Callable[[], bool],
        replaces: int | None = None,
    ) -> bool:
        values = row(repository, key, path, entry) | {"epoch": epoch, "replaces": replaces}
        locks = [number("blob", entry.digest), number("repository", repository)]
        with self._connections.lend(COMMIT) as connection, connection.transaction():
            connection.execute(statements.LOCK_SHARED, [locks])  # its blob is kept and its epoch held still
            return present() and connection.execute(statements.COMMIT, values).rowcount == 1

    def next_note(self) -> int:
        return self.hosted.next_note()

    def last_note(self) -> int:
        return self.hosted.last_note()

    def restore(self, files: Iterable[Stored], repositories: Iterable[str] = ()) -> int:
        return self.hosted.restore(files, repositories)

    def switch(
        self,
        repository: str,
        changes: Sequence[Change],
        dropped: Sequence[str],
        epoch: int,
        present: Callable[[str], bool],
    ) -> bool:
        digests = sorted({change.entry.digest for change in changes})
        locks = [*(number("blob", digest) for digest in digests), number("repository", repository)]
        with self._connections.lend(COMMIT) as connection, contextlib.suppress(_Refused), connection.transaction():
            connection.execute(statements.LOCK_SHARED, [locks])
            connection.execute(statements.LOCK, [number("set", repository)])
            if epoch < one(connection.execute(statements.EPOCHS, [repository]))[0]:
                raise _Refused
            if not all(present(digest) for digest in digests):
                raise _Refused
            _drop_all(connection, repository, dropped, changes)
            _commit_all(connection, repository, changes, epoch)
            return True
        return False

    def record_list(
        self, repository: str, listing: str, root: str, rows: Iterable[tuple[str, Digest]], fence: int, epoch: int
    ) -> Sequence[str]:
        return self._lists.record(repository, listing, root, rows, fence, epoch)

    def drop_lists(self, repository: str, root: str, kept: Sequence[str]) -> None:
        self._lists.drop(repository, root, kept)

    def listed(self, repository: str, key: str) -> Listed | None:
        return self._lists.listed(repository, key)

    def names(
        self, repositories: Sequence[str], pattern: str, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, str]]:
        values = {"repositories": list(repositories), "pattern": pattern, "limit": limit}
        values |= {"repository": after[0], "name": after[1].partition("\0")[0]}  # no text of Postgres's has a NUL
        with self._connections.read(COMMIT) as connection:
            return [(repository, name) for repository, name in connection.execute(statements.NAMES, values)]

    def forget(self, repository: str, key: str, fence: int | None = None) -> bool:
        with self._connections.lend(COMMIT) as connection:
            return connection.execute(statements.FORGET, where(repository, key) | {"fence": fence}).rowcount == 1

    def flush(self, repository: str, prefix: str = "", expire: bool = False) -> Flushed:
        values = within(repository, prefix)
        with self._connections.lend(FLUSH) as connection, connection.transaction():
            connection.wait_longer()
            connection.execute(statements.LOCK, [number("repository", repository)])
            connection.execute(statements.RAISE, [repository])
            if expire:
                return Flushed(connection.execute(statements.EXPIRE, values, prepare=False).rowcount, 0)
            connection.execute(statements.FORGOTTEN, [repository])
            lists.flush(connection, repository, prefix)
            return Flushed(*one(connection.execute(statements.DELETE, values, prepare=False)))

    def drop_unknown(
        self, known: frozenset[str], dry_run: bool = False, journal: Callable[[str, int], None] = unnoted
    ) -> dict[str, int]:
        return self.hosted.drop_unknown(known, dry_run, journal)

    def listing(self, repository: str, prefix: str = "", after: str = "", limit: int = 1000) -> list[Stored]:
        """A page is longer than `limit` only where its last path has several keys (variants)."""
        values = within(repository, prefix) | {"after": after, "limit": limit}
        with self._connections.read(COMMIT) as connection:
            return _stored(connection.execute(statements.LISTING, values, prepare=False))

    def drop_blob(self, digest: str, remove: Callable[[], None]) -> bool:
        with self._connections.lend(COMMIT) as connection, connection.transaction():
            connection.execute(statements.LOCK, [number("blob", digest)])
            if connection.execute(statements.REFERENCED, {"digest": digest}).fetchone():
                return False
            remove()
            return True

    def unreferenced(self, digests: Sequence[str]) -> list[str]:
        with self._connections.read(COMMIT) as connection:
            return [digest for (digest,) in connection.execute(statements.UNREFERENCED, [list(digests)])]

    def used(self, last: Mapping[tuple[str, str], float], coarse: float) -> None:
        """Rows that someone is writing are passed over: it waits for nobody, so nobody waits for it in a circle."""
        names, hashes = [name for name, _ in last], [hashed(key) for _, key in last]
        values = {"repositories": names, "hashes": hashes, "times": list(last.values()), "coarse": coarse}
        with self._connections.lend(USED) as connection:
            connection.execute(statements.USED, values, prepare=False)

    def footprint(self) -> Footprint:
        with self._connections.read(FLUSH) as connection:
            return Footprint(*one(connection.execute(statements.FOOTPRINT)))

    def coldest(self, repositories: Sequence[str], gone: bool, limit: int) -> list[Stored]:
        """Reads every entry once (`used` is in no index, see 0003): ask for thousands at a time."""
        values = {"repositories": list(repositories), "gone": gone, "limit": limit}
        with self._connections.read(FLUSH) as connection:
            return _stored(connection.execute(statements.COLDEST, values, prepare=False))

    def referring(self, digest: str) -> list[Stored]:
        with self._connections.read(COMMIT) as connection:
            return _stored(connection.execute(statements.REFERRING, [digest]))

    def named(
        self, digest: str, repositories: Sequence[str], prefix: str = "", ending: str = "", limit: int | None = None
    ) -> list[Stored]:
        values = [digest, list(repositories), prefix, ending, ending, limit]
        with self._connections.read(COMMIT) as connection:
            return _stored(connection.execute(statements.NAMED, values))

    def close(self) -> None:
        self._connections.close()


def _stored(rows: Iterable[tuple[Any, ...]]) -> list[Stored]:
    return [Stored(repository, path, Entry(*values), key, used=used) for repository, path, key, used, *values in rows]


def _drop_all(connection: Patient, repository: str, keys: Sequence[str], changes: Sequence[Change]) -> None:
    """Forget the keys; raises _Refused where one has an entry that is newer than the changes."""
    if keys:
        hashes = [hashed(key) for key in keys]
        newest = max((change.entry.fence for change in changes), default=2**63 - 1)
        connection.execute(statements.DROP_ALL, [repository, hashes, newest])
        if connection.execute(statements.ANY_OF, [repository, hashes]).fetchone():
            raise _Refused


def _commit_all(connection: Patient, repository: str, changes: Sequence[Change], epoch: int) -> None:
    """Record the changes; raises _Refused where one meets an entry that is newer."""
    rows = [
        row(repository, change.key, change.path, change.entry) | {"epoch": epoch, "replaces": None}
        for change in changes
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statements.COMMIT, rows)
        if cursor.rowcount != len(rows):
            raise _Refused
