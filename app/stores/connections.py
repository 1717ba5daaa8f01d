"""Connections to Postgres: opened when first needed, kept while idle, lent to one thread at a time.

Connecting happens in the caller, so that a dead server is an error at once and not a wait for a pool.
"""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from app.errors import StoreDown
from app.stores.breaker import Breaker

FAIL_FAST = 1.0  # seconds a server that failed is not asked again
DEFAULTS = {  # libpq's parameters (PostgreSQL, 32.1.2) unless the URL says otherwise; s, the last in ms
    "connect_timeout": "2",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "target_session_attrs": "read-write",  # of several hosts, the one that is not a standby
    "application_name": "artifactapi",
}


def parameters(url: str) -> dict[str, Any]:
    """What libpq is given for `url`; raises psycopg.Error where it cannot be read."""
    return DEFAULTS | conninfo_to_dict(url)


class Patient(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up on a server that is frozen: `patience` is in seconds per statement."""

    patience = 3.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                self.close()  # still at it: nothing more can be asked of this connection, not even a rollback
            raise


class Connections:
    """At most `size` connections at once; nothing connects before the first lend()."""

    def __init__(self, url: str, size: int = 2) -> None:
        self.url = url
        self._lendable = threading.BoundedSemaphore(size)
        self._idle: list[Patient] = []
        self._breaker = Breaker("Postgres", FAIL_FAST)

    @contextlib.contextmanager
    def lend(self, patience: float = 3.0) -> Iterator[Patient]:
        """A live connection in autocommit mode; psycopg's errors leave as StoreDown.

        `patience` is in seconds: for a connection while all are lent, and for each statement.
        """
        self._breaker.check()
        if not self._lendable.acquire(timeout=patience):
            raise StoreDown("every connection to Postgres is busy", retry_after=1)
        connection = None
        try:
            self._breaker.check()
            connection = self._take()
            connection.patience = patience
            yield connection
        except (psycopg.Error, UnicodeError) as error:
            if connection is None or _lost(connection, error):
                self._breaker.trip(error)
            raise StoreDown(f"Postgres: {error}") from error
        finally:
            if connection is not None:
                self._give_back(connection)
            self._lendable.release()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Patient:
        with contextlib.suppress(IndexError):  # another thread took the last
            while True:
                connection = self._idle.pop()
                if not _hung_up(connection):
                    return connection
                connection.close()
        connection = Patient.connect(autocommit=True, **parameters(self.url))
        connection.isolation_level = IsolationLevel.READ_COMMITTED  # statements see what a lock waited for
        return connection

    def _give_back(self, connection: Patient) -> None:
        if connection.info.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()


def _lost(connection: Patient, error: Exception) -> bool:
    """Whether the server is at fault, rather than what it was asked."""
    return connection.closed or isinstance(error, psycopg.OperationalError)


def _hung_up(connection: Patient) -> bool:
    """A server says nothing on an idle connection, except that it closes it."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
