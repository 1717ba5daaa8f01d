"""Hosted files in PostgreSQL: published, withdrawn, restored.

A fence is drawn while nobody else changes that file, so the order of fences, which is what the journal keeps, is the
order in which the changes of a file were committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from app.resource import Entry
from app.stores import statements
from app.stores.base import Stored
from app.stores.connections import Connections, Patient
from app.stores.statements import number, one, row, where

COMMIT, RESTORE = 15.0, 120.0  # seconds of patience; a commit may wait for a flush, a removal or a slow journal
BATCH = 500  # files restored in one transaction

_NEXT = "SELECT nextval('fences')"
_NEXT_NOTE = "SELECT nextval('notes')"
_LAST_NOTE = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM notes"
# The distance is more than anyone draws between the reading of last_value and its replacement.
_BEYOND = (
    "SELECT setval('fences', %(beyond)s::bigint + 1000000) FROM fences WHERE last_value < %(beyond)s",
    "SELECT setval('notes', %(beyond)s::bigint + 1000000) FROM notes WHERE last_value < %(beyond)s",
)
_EPOCHS = """
    INSERT INTO repositories (name, epoch)
    SELECT name, %(epoch)s FROM (
        SELECT unnest(%(names)s::text[]) COLLATE "C" AS name
        UNION SELECT repository FROM entries UNION SELECT name FROM repositories
    ) AS known ORDER BY name
    ON CONFLICT (name) DO UPDATE SET epoch = greatest(repositories.epoch + 1, excluded.epoch)
    """


class Hosted:
    """What is hosted in one database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def publish(
        self,
        repository: str,
        key: str,
        path: str,
        entry: Entry,
        overwrite: bool,
        present: Callable[[], bool],
        journal: Callable[[int], None],
    ) -> bool:
        """See Index.publish."""
        locks = [number("blob", entry.digest), number("repository", repository)]
        with self._connections.lend(COMMIT) as connection, connection.transaction():
            connection.execute(statements.LOCK_SHARED, [locks])
            fence = _turn(connection, repository, key)
            values = row(repository, key, path, replace(entry, fence=fence)) | {"overwrite": overwrite}
            if not present() or connection.execute(statements.PUBLISH, values).rowcount != 1:
                return False
            journal(fence)
            return True

    def withdraw(self, repository: str, key: str, journal: Callable[[int], None]) -> bool:
        """See Index.withdraw."""
        values = where(repository, key) | {"fence": None}
        with self._connections.lend(COMMIT) as connection, connection.transaction():
            fence = _turn(connection, repository, key)
            if connection.execute(statements.FORGET, values).rowcount != 1:
                return False
            journal(fence)
            return True

    def next_note(self) -> int:
        """See Index.next_note; it is on the server's disk before it is returned."""
        with self._connections.lend() as connection:
            return int(one(connection.execute(_NEXT_NOTE))[0])

    def last_note(self) -> int:
        """See Index.last_note; a server that takes no writes may be behind, and is not asked."""
        with self._connections.lend() as connection:
            return int(one(connection.execute(_LAST_NOTE))[0])

    def restore(self, files: Iterable[Stored], repositories: Iterable[str]) -> int:
        """See Index.restore; in constant memory, and begun again it goes on."""
        restored, names = 0, set(repositories)
        for batch in _batches(files):
            names.update(file.repository for file in batch)
            restored += self._restore(batch)
        with self._connections.lend(RESTORE) as connection:  # seconds since 1970: no flush raised an epoch as often
            _raise_fences(connection, 0)
            connection.execute(_EPOCHS, {"names": sorted(names), "epoch": int(time.time())})
        return restored

    def _restore(self, files: Sequence[Stored]) -> int:
        rows = [row(file.repository, file.key or file.path, file.path, file.entry) for file in files]
        names = sorted({file.repository for file in files})
        digests = sorted({file.entry.digest for file in files})
        locks = [*(number("blob", digest) for digest in digests), *(number("repository", name) for name in names)]
        with self._connections.lend(RESTORE) as connection, connection.transaction():
            connection.wait_longer()
            connection.execute(statements.LOCK_SHARED, [locks])
            for name in names:
                connection.execute(statements.LOCK, [number("set", name)])
            _raise_fences(connection, max(file.entry.fence for file in files))
            with connection.cursor() as cursor:
                cursor.executemany(statements.RESTORE, rows)
                return cursor.rowcount


def _turn(connection: Patient, repository: str, key: str) -> int:
    """Wait until nobody else changes this file; the fence of the change that is now ours to make."""
    connection.execute(statements.LOCK, [number("file", f"{repository}/{key}")])
    fence: int = one(connection.execute(_NEXT, prepare=True))[0]
    return fence


def _raise_fences(connection: Patient, known: int) -> None:
    """Fences and notes beyond `known` and the milliseconds since 1970: no lost database gave a thousand a second."""
    for statement in _BEYOND:
        connection.execute(statement, {"beyond": max(known, int(time.time() * 1000))})


def _batches(files: Iterable[Stored]) -> Iterator[Sequence[Stored]]:
    rest = iter(files)
    while batch := list(islice(rest, BATCH)):
        yield batch
