"""Connections to Postgres: opened when first needed, kept while idle, lent to one thread at a time.

Connecting happens in the caller, so that a dead server is an error at once and not a wait for a pool; only while it
fails already, a thread of its own connects, of which the caller awaits a moment.

A server that takes no writes (a standby, default_transaction_read_only) is connected to where there is no other one,
and lent for reading only.
"""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus

from app import metrics
from app.errors import StoreDown
from app.stores.breaker import Breaker

FAIL_FAST = 1.0  # seconds a server that failed is not asked again, at first
PROBE = 0.3  # seconds that a caller awaits a server that failed before
# What others hold for longer (a removal in a blob store that is slow) is an error of the statement, and Postgres is
# well: the server gives up on a lock before the patience with it ends.
LOCKS, MANY_LOCKS = "12s", "100s"
BUSY = (
    "55",
    "40",
    "57014",
)  # SQLSTATEs of what others do to us, no fault of the server's: a lock, a deadlock, a cancel
ROLE = "target_session_attrs"
DEFAULTS = {  # libpq's parameters (PostgreSQL, 32.1.2) unless the URL says otherwise; s, tcp_user_timeout in ms
    "connect_timeout": "2",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "artifactapi",
}


def parameters(url: str) -> dict[str, Any]:
    """What libpq is given for `url`: of several hosts, the one that takes writes. Raises psycopg.Error where it
    cannot be read."""
    return {ROLE: "read-write"} | DEFAULTS | _given(url)


def _given(url: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its message repeats the URL, which may hold a password
        raise psycopg.ProgrammingError(
            "DATABASE_URL is not a URL as libpq reads it (are %, @ and / escaped?)"
        ) from None


class Patient(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up on a server that is frozen: `patience` is in seconds per statement."""

    patience = 3.0
    writable = True

    def wait_longer(self) -> None:
        """For locks, in this transaction: where its patience is minutes."""
        self.execute(f"SET LOCAL lock_timeout = '{MANY_LOCKS}'")

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
        self._closed = False
        self._breaker = Breaker("Postgres", FAIL_FAST)
        self._writing = Breaker("Postgres", FAIL_FAST)  # open while it takes no writes
        self._attempt: Future[Patient] = Future()
        self._attempt.cancel()

    @contextlib.contextmanager
    def lend(self, patience: float = 3.0, writes: bool = True) -> Iterator[Patient]:
        """A live connection in autocommit mode; psycopg's errors leave as StoreDown.

        `patience` is in seconds: for a connection while all are lent, and for each statement. Only where nothing
        is to be written it may lead to a server that takes no writes.
        """
        self._check(writes)
        if not self._lendable.acquire(timeout=patience):
            metrics.STORE_BUSY.labels("postgres").inc()
            raise StoreDown("every connection to Postgres is busy", retry_after=1)
        connection = None
        try:
            self._check(writes, probing=True)
            connection = self._take(writes)
            connection.patience = patience
            yield connection
            self._mend(connection, writes)
        except (psycopg.Error, UnicodeError) as error:
            self._blame(connection, error)
            raise StoreDown(f"Postgres: {error}", retry_after=FAIL_FAST) from error
        finally:
            if connection is not None:
                self._give_back(connection)
            self._lendable.release()

    def read(self, patience: float = 3.0) -> contextlib.AbstractContextManager[Patient]:
        """lend() for what writes nothing."""
        return self.lend(patience, writes=False)

    def close(self) -> None:
        self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):  # another thread took the last
            while True:
                self._idle.pop().close()

    def _check(self, writes: bool, probing: bool = False) -> None:
        self._breaker.check(probing)
        if writes:
            self._writing.check(probing)

    def _mend(self, connection: Patient, writes: bool) -> None:
        self._breaker.mend()
        if writes and self._writing.failing and connection.writable:
            self._writing.mend()
            self._drop_idle()  # they lead to a server that takes no writes, and may be behind

    def _blame(self, connection: Patient | None, error: Exception) -> None:
        """Leave the server alone where it is at fault, rather than what it was asked."""
        if isinstance(error, ReadOnlySqlTransaction):
            if connection is not None:
                connection.close()  # the next one may find the new primary
            self._writing.trip(error)
        elif connection is None or connection.closed or _at_fault(error):
            self._drop_idle()  # each of them would cost its own time-out
            self._breaker.trip(error)

    def _take(self, writes: bool) -> Patient:
        with contextlib.suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if not _hung_up(connection) and (connection.writable or not writes):
                    return connection
                connection.close()
        failing = self._breaker.failing or (writes and self._writing.failing)
        connection = self._attempted() if failing else self._connect()
        if writes and not connection.writable:
            self._give_back(connection)
            raise ReadOnlySqlTransaction("no server takes writes")
        return connection

    def _connect(self) -> Patient:
        """Where only a server is left that takes no writes: to that one, unless the URL says what it must be."""
        wanted = parameters(self.url)
        writable = True
        try:
            connection = Patient.connect(autocommit=True, **wanted)
        except psycopg.OperationalError as error:
            if ROLE in _given(self.url) or "session is read-only" not in str(error):
                raise
            connection = Patient.connect(autocommit=True, **wanted | {ROLE: "any"})
            writable = False
        connection.writable = writable
        connection.isolation_level = IsolationLevel.READ_COMMITTED  # statements see what a lock waited for
        try:
            connection.execute(f"SET lock_timeout = '{LOCKS}'")  # a pooler accepts before it knows of any server
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _attempted(self) -> Patient:
        """Connect beside the caller, who awaits it for a moment; what comes later is kept for the next one."""
        if not self._attempt.done():
            raise self._unanswered()
        attempt = self._attempt = Future()
        try:
            threading.Thread(target=self._attempt_to, args=(attempt,), name="postgres", daemon=True).start()
        except RuntimeError:  # this process has all the threads that it may have
            attempt.cancel()
            raise self._unanswered() from None
        try:
            return attempt.result(PROBE)
        except TimeoutError:
            attempt.add_done_callback(self._keep)
            raise self._unanswered() from None

    def _attempt_to(self, attempt: Future[Patient]) -> None:
        try:
            attempt.set_result(self._connect())
        except Exception as error:
            attempt.set_exception(error)

    def _keep(self, attempt: Future[Patient]) -> None:
        if attempt.exception() is None:
            self._mend(attempt.result(), writes=True)
            self._give_back(attempt.result())

    def _unanswered(self) -> psycopg.Error:
        """Whether it is found or not: where reading works, only writing has failed again."""
        kind = psycopg.OperationalError if self._breaker.failing else ReadOnlySqlTransaction
        return kind(f"no answer within {PROBE} s")

    def _give_back(self, connection: Patient) -> None:
        if connection.info.transaction_status == TransactionStatus.IDLE and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()


def _at_fault(error: Exception) -> bool:
    """Whether the server is, rather than what others do there."""
    return isinstance(error, psycopg.OperationalError) and not str(error.sqlstate or "").startswith(BUSY)


def _hung_up(connection: Patient) -> bool:
    """A server says nothing on an idle connection, except that it closes it."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
