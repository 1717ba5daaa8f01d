"""Jobs in PostgreSQL.

jobs  id -> repository, author, source, task, state, progress, times        leased by one process at a time
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from psycopg.sql import SQL, Composed

from app.stores.connections import Connections
from app.stores.jobs import ATTEMPTS, KEPT, LEASE, MOST_OPEN, Claimed, Failure, Job, Progress, State

_COLUMNS = SQL(
    "id, repository, author, source, state, reason, attempts, created, started, finished, "
    "total, done, stored, failed, bytes, failures"
)
_ADD = """
    INSERT INTO jobs (id, repository, author, source, task, created)
    SELECT %(id)s, %(repository)s, %(author)s, %(source)s, %(task)s, %(now)s
    WHERE (SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')) < %(most)s
    """
_EXPIRE = "DELETE FROM jobs WHERE finished > 0 AND finished < %s"
_FIND = SQL("SELECT {columns} FROM jobs WHERE id = %s").format(columns=_COLUMNS)
_RECENT = SQL(
    """
    SELECT {columns} FROM jobs WHERE repository = ANY (%s) AND (created, id) < (%s, %s)
    ORDER BY created DESC, id DESC LIMIT %s
    """
).format(columns=_COLUMNS)
_CLAIM = SQL(
    """
    UPDATE jobs SET state = 'running', holder = %(holder)s, attempts = attempts + 1,
    started = CASE WHEN started = 0 THEN %(now)s ELSE started END, leased = now() + %(lease)s * interval '1 second'
    WHERE id = (
        SELECT id FROM jobs WHERE state IN ('queued', 'running') AND leased < now() AND attempts < %(attempts)s
        ORDER BY created FOR UPDATE SKIP LOCKED LIMIT 1
    ) RETURNING {columns}, task
    """
).format(columns=_COLUMNS)
_GIVE_UP = """
    UPDATE jobs SET state = 'failed', finished = %(now)s, reason = %(reason)s, task = ''
    WHERE state IN ('queued', 'running') AND leased < now() AND attempts >= %(attempts)s
    """
_PROGRESS = SQL(
    "total = %(total)s, done = %(done)s, stored = %(stored)s, failed = %(failed)s, bytes = %(bytes)s, "
    "failures = %(failures)s"
)
_OURS = SQL("WHERE id = %(id)s AND holder = %(holder)s AND state = 'running'")
_REPORT = SQL("UPDATE jobs SET {progress}, leased = now() + %(lease)s * interval '1 second' {ours}").format(
    progress=_PROGRESS, ours=_OURS
)
_FINISH = SQL(
    "UPDATE jobs SET {progress}, state = %(state)s, reason = %(reason)s, finished = %(now)s, task = '' {ours}"
).format(progress=_PROGRESS, ours=_OURS)
_RELEASE = SQL("UPDATE jobs SET state = 'queued', attempts = attempts - 1, leased = '-infinity' {ours}").format(
    ours=_OURS
)
_CANCEL = """
    UPDATE jobs SET state = 'cancelled', finished = %s, task = '' WHERE id = %s AND state IN ('queued', 'running')
    """
INTERRUPTED = f"interrupted: the process that did it ended {ATTEMPTS} times"


class PostgresJobs:
    """The jobs of one database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add(self, job: str, repository: str, author: str, source: str, task: str, now: float) -> bool:
        """See Jobs.add; two that come at once may be one more than MOST_OPEN."""
        values = {"id": job, "repository": repository, "author": author, "source": source, "task": task}
        with self._connections.lend() as connection:
            connection.execute(_EXPIRE, [now - KEPT])
            return connection.execute(_ADD, values | {"now": now, "most": MOST_OPEN}).rowcount == 1

    def find(self, job: str) -> Job | None:
        """See Jobs.find; asked where it is written, for a standby may be behind."""
        with self._connections.lend() as connection:
            found = connection.execute(_FIND, [job]).fetchone()
        return _job(found) if found else None

    def recent(self, repositories: Sequence[str], before: tuple[float, str], limit: int) -> Sequence[Job]:
        """See Jobs.recent."""
        with self._connections.read() as connection:
            rows = connection.execute(_RECENT, [list(repositories), *before, limit]).fetchall()
        return [_job(row) for row in rows]

    def claim(self, holder: str, now: float) -> Claimed | None:
        """See Jobs.claim."""
        values = {"holder": holder, "now": now, "lease": LEASE, "attempts": ATTEMPTS, "reason": INTERRUPTED}
        with self._connections.lend() as connection:
            connection.execute(_GIVE_UP, values)
            found = connection.execute(_CLAIM, values).fetchone()
        return Claimed(_job(found[:-1]), found[-1]) if found else None

    def report(self, job: str, holder: str, progress: Progress) -> bool:
        """See Jobs.report."""
        return self._changed(_REPORT, _told(progress) | {"id": job, "holder": holder, "lease": LEASE})

    def finish(self, job: str, holder: str, state: State, reason: str, progress: Progress, now: float) -> bool:
        """See Jobs.finish."""
        said = {"id": job, "holder": holder, "state": state.value, "reason": reason, "now": now}
        return self._changed(_FINISH, _told(progress) | said)

    def release(self, job: str, holder: str) -> None:
        """See Jobs.release."""
        self._changed(_RELEASE, {"id": job, "holder": holder})

    def cancel(self, job: str, now: float) -> bool:
        """See Jobs.cancel."""
        with self._connections.lend() as connection:
            return connection.execute(_CANCEL, [now, job]).rowcount == 1

    def _changed(self, statement: Composed, values: Mapping[str, Any]) -> bool:
        with self._connections.lend() as connection:
            return connection.execute(statement, values).rowcount == 1


def _told(progress: Progress) -> dict[str, Any]:
    names = ("total", "done", "stored", "failed", "bytes")
    failures = json.dumps([astuple(each) for each in progress.failures])
    return {name: getattr(progress, name) for name in names} | {"failures": failures}


def _job(row: Sequence[Any]) -> Job:
    name, repository, author, source, state, reason, *rest = row
    attempts, created, started, finished, total, done, stored, failed, size, failures = rest
    told = tuple(Failure(*each) for each in json.loads(failures))
    progress = Progress(total, done, stored, failed, size, told)
    return Job(name, repository, author, source, State(state), reason, progress, attempts, created, started, finished)
