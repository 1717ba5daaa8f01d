"""Hosted files in PostgreSQL: published, withdrawn, restored; what their indexes say is in indexes.py.

A fence is drawn while nobody else changes that file, so the order of fences, which is what the journal keeps, is the
order in which the changes of a file were committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from app.stores import indexes, lists, statements
from app.stores.base import Stored
from app.stores.connections import Patient
from app.stores.indexes import Indexes
from app.stores.publications import Changed, Publication
from app.stores.statements import number, one, row, where

COMMIT, RESTORE = 15.0, 120.0  # seconds of patience; a commit may wait for a flush, a removal or a slow journal
BATCH = 500  # files restored in one transaction
MANY = 500  # files of one change from which on it locks them together: the server has room for thousands of locks

_IS_MADE = "SELECT 1 FROM defined WHERE name = %s AND created = %s"
_UNKNOWN = "SELECT DISTINCT repository FROM entries WHERE repository <> ALL (%s) ORDER BY repository"
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


class Hosted(Indexes):
    """What is hosted in one database."""

    def change(
        self,
        repository: str,
        new: Sequence[Publication],
        gone: Sequence[str],
        present: Callable[[str], bool],
        journal: Callable[[Mapping[str, int]], None],
        created: float = 0.0,
    ) -> Changed:
        """See Publications.change."""
        digests = sorted({each.entry.digest for each in new})
        locks = [*(number("blob", digest) for digest in digests), number("repository", repository)]
        try:
            with self._connections.lend(COMMIT) as connection, connection.transaction():
                connection.execute(statements.LOCK_SHARED, [locks])
                if created and not connection.execute(_IS_MADE, [repository, created]).fetchone():
                    return Changed(removed=True)
                paths = sorted({*(each.path for each in new), *gone})
                many = len(paths) > MANY
                if many:
                    connection.execute(statements.LOCK, [number("files", repository)])
                fences = {path: _turn(connection, repository, path, locked=many) for path in paths}
                scopes = _drop(connection, repository, gone) | _record(connection, repository, new, fences, present)
                journal(fences)
                return Changed(scopes=indexes.count_up(connection, repository, scopes))
        except _Standing as standing:
            return Changed(standing.path, standing.generated)

    def generated(self, repository: str, path: str) -> bool:
        """See Publications.generated."""
        with self._connections.lend(writes=False) as connection:
            return connection.execute(indexes.IS_GENERATED, where(repository, path)).fetchone() is not None

    def holds(self, repositories: Sequence[str], package: str) -> bool:
        """See Publications.holds."""
        return any(held for _, held in self.holding(repositories, package).values())

    def holding(self, repositories: Sequence[str], package: str) -> dict[str, tuple[int, bool]]:
        """See Publications.holding."""
        values = {"repositories": list(repositories), "package": package}
        with self._connections.lend(writes=False) as connection:
            found = connection.execute(statements.HOLDS, values, prepare=True).fetchall()
        return {name: (epoch, held) for name, epoch, held in found}

    def unnamed(self, repository: str, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        """See Publications.unnamed."""
        with self._connections.lend(COMMIT) as connection:
            return connection.execute(statements.UNNAMED, [repository, after, limit]).fetchall()

    def name(self, repository: str, packages: Mapping[bytes, str]) -> int:
        """See Publications.name."""
        values = [list(packages), list(packages.values()), repository]
        with self._connections.lend(COMMIT) as connection:
            return connection.execute(statements.NAME, values).rowcount

    def forget(self, repository: str, path: str, fence: int) -> bool:
        """See Publications.forget."""
        values = where(repository, path) | {"fence": fence}
        with self._connections.lend(COMMIT) as connection, connection.transaction():
            indexes.lock_file(connection, repository, path)
            if connection.execute(statements.FORGET, values).rowcount != 1:
                return False
            scopes: dict[str, int] = {}
            indexes.undescribe(connection, repository, path, scopes)
            indexes.count_up(connection, repository, scopes)
            return True

    def drop_unknown(
        self, known: frozenset[str], dry_run: bool, journal: Callable[[str, int], None]
    ) -> dict[str, int]:
        """See Index.drop_unknown; whoever publishes there meanwhile has done so before, or does so after."""
        named = sorted(known)
        with self._connections.lend(RESTORE) as connection, connection.transaction(force_rollback=dry_run):
            connection.wait_longer()
            unknown = [name for (name,) in connection.execute(_UNKNOWN, [named])]
            for name in unknown:
                connection.execute(statements.LOCK, [number("repository", name)])
            lists.drop_unknown(connection, named)
            indexes.drop_unknown(connection, named)
            dropped = dict(connection.execute(statements.DROP_UNKNOWN, [named]).fetchall())
            for name in () if dry_run else dropped:
                fence = int(one(connection.execute(statements.NEXT_FENCE))[0])
                journal(name, fence)
            return dropped

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
        rows = [
            row(file.repository, file.key or file.path, file.path, file.entry) | {"package": file.package}
            for file in files
        ]
        names = sorted({file.repository for file in files})
        digests = sorted({file.entry.digest for file in files})
        locks = [*(number("blob", digest) for digest in digests), *(number("repository", name) for name in names)]
        with self._connections.lend(RESTORE) as connection, connection.transaction():
            connection.wait_longer()
            connection.execute(statements.LOCK_SHARED, [locks])
            for name in names:
                connection.execute(statements.LOCK, [number("set", name)])
            _raise_fences(connection, max(file.entry.fence for file in files))
            given = [(file.repository, file.key or file.path, file.entry.fence) for file in files]
            indexes.outdate(connection, given)
            with connection.cursor() as cursor:
                cursor.executemany(statements.RESTORE, rows)
                return cursor.rowcount


class _Standing(Exception):
    """Rolls the change back."""

    def __init__(self, path: str, generated: bool = False) -> None:
        super().__init__(path)
        self.path, self.generated = path, generated


def _drop(connection: Patient, repository: str, gone: Sequence[str]) -> dict[str, int]:
    """By how much each scope's number of files changes."""
    scopes: dict[str, int] = {}
    for path in gone:
        _refuse_generated(connection, repository, path)
        if connection.execute(statements.FORGET, where(repository, path) | {"fence": None}).rowcount != 1:
            raise _Standing(path)
        indexes.undescribe(connection, repository, path, scopes)
    return scopes


def _record(
    connection: Patient,
    repository: str,
    new: Sequence[Publication],
    fences: Mapping[str, int],
    present: Callable[[str], bool],
) -> dict[str, int]:
    scopes: dict[str, int] = {}
    for each in new:
        _refuse_generated(connection, repository, each.path)
        values = row(repository, each.path, each.path, replace(each.entry, fence=fences[each.path]))
        recorded = connection.execute(
            statements.PUBLISH, values | {"overwrite": each.overwrite, "package": each.package}
        ).rowcount
        if recorded != 1 or not present(each.entry.digest):
            raise _Standing(each.path)
        indexes.undescribe(connection, repository, each.path, scopes)
        if each.description is not None:
            indexes.describe(connection, repository, each.path, each.description, scopes)
    return scopes


def _refuse_generated(connection: Patient, repository: str, path: str) -> None:
    if connection.execute(indexes.IS_GENERATED, where(repository, path)).fetchone():
        raise _Standing(path, generated=True)


def _turn(connection: Patient, repository: str, key: str, *, locked: bool) -> int:
    """Wait until nobody else changes this file; the fence of the change that is now ours to make."""
    if not locked:
        indexes.lock_file(connection, repository, key)
    fence: int = one(connection.execute(statements.NEXT_FENCE, prepare=True))[0]
    return fence


def _raise_fences(connection: Patient, known: int) -> None:
    """Fences and notes beyond `known` and the milliseconds since 1970: no lost database gave a thousand a second."""
    for statement in _BEYOND:
        connection.execute(statement, {"beyond": max(known, int(time.time() * 1000))})


def _batches(files: Iterable[Stored]) -> Iterator[Sequence[Stored]]:
    rest = iter(files)
    while batch := list(islice(rest, BATCH)):
        yield batch
