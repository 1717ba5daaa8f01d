"""Stores that stop, freeze and come back in mid-use: a slow day, no wrong answer, and well again by itself."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from app.errors import StoreDown
from app.resource import Digest
from app.stores import connections
from app.stores.base import Change, Listed
from app.stores.catalog import Catalog, Known
from app.stores.postgres import PostgresIndex, migrate
from app.stores.redis import RedisMemory
from app.supervisor.embedded import Postgres, Valkey
from tests.stores.values import at_once, digest, entry, publish, withdraw

T = TypeVar("T")


def here() -> bool:
    return True


def recovered(ask: Callable[[], T]) -> T:
    """The first answer after an outage; bounded, because a breaker stays open for a moment."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with suppress(StoreDown):
            return ask()
        time.sleep(0.05)
    return ask()


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short one, for sockets; open to the user that Postgres runs as."""
    with tempfile.TemporaryDirectory(prefix="stores-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def own_valkey(directory: Path) -> Iterator[Valkey]:
    server = Valkey(directory / "valkey", directory / "r")
    server.start()
    server.await_ready(10)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Its cluster serves all tests here; each starts from empty tables."""
    directory = tmp_path_factory.mktemp("own")
    server = Postgres(directory / "data", directory / "s")
    server.start()
    server.await_ready(60)
    migrate(server.url)
    yield server
    server.stop()
    shutil.rmtree(directory / "data", ignore_errors=True)


@pytest.fixture
def index(own_postgres: Postgres) -> Iterator[PostgresIndex]:
    with psycopg.connect(own_postgres.url) as connection:
        connection.execute("TRUNCATE entries, repositories, lists, listed")
    index = PostgresIndex(own_postgres.url)
    yield index
    index.close()


@pytest.fixture
def memory(own_valkey: Valkey) -> Iterator[RedisMemory]:
    memory = RedisMemory(own_valkey.url)
    yield memory
    memory.close()


@pytest.fixture
def catalog(index: PostgresIndex, memory: RedisMemory) -> Catalog:
    return Catalog(index, memory)


@contextmanager
def stopped(server: Valkey | Postgres) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()
        server.await_ready(30)


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


class TestPostgres:
    def test_stopped_and_started_again(self, own_postgres: Postgres, index: PostgresIndex) -> None:
        assert index.commit("alpine", "a", "a", entry(), 0, here)
        with stopped(own_postgres):
            for ask in (
                index.ping,
                index.epochs,
                index.next_fence,
                lambda: index.find("alpine", "a"),
                lambda: index.commit("alpine", "a", "a", entry(), 0, here),
                lambda: publish(index.hosted, "alpine", "a"),
                lambda: withdraw(index.hosted, "alpine", "a"),
                lambda: index.restore([]),
                lambda: index.used({("alpine", "a"): 1e10}, 1.0),
                index.footprint,
                lambda: index.coldest(["alpine"], False, 1),
                lambda: index.referring(entry().digest),
                lambda: index.forget("alpine", "a"),
                lambda: index.flush("alpine"),
                lambda: index.listing("alpine"),
                lambda: index.find_all("alpine", ["a"]),
                lambda: index.switch("alpine", [Change("a", "a", entry())], [], 0, lambda digest: True),
                lambda: index.record_list("alpine", "list", "root", [], 1, 0),
                lambda: index.drop_lists("alpine", "root", []),
                lambda: index.listed("alpine", "a"),
                lambda: index.names(["alpine"], "(.*)", ("", ""), 1),
                lambda: index.drop_blob(entry().digest, lambda: None),
            ):
                with pytest.raises(StoreDown):
                    ask()
        assert recovered(lambda: index.find("alpine", "a")) == (0, entry())

    def test_a_restart_between_two_questions_is_not_noticed(
        self, own_postgres: Postgres, index: PostgresIndex
    ) -> None:
        assert index.commit("alpine", "a", "a", entry(), 0, here)
        with stopped(own_postgres):
            pass
        assert index.find("alpine", "a") == (0, entry())

    def test_a_frozen_one_is_given_up_on(self, own_postgres: Postgres, index: PostgresIndex) -> None:
        assert index.find("alpine", "a") == (0, None)
        with psycopg.connect(own_postgres.url) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'artifactapi'"
            ).fetchall()
        with frozen(*(pid for (pid,) in rows)):
            with pytest.raises(StoreDown):
                index.find("alpine", "a")
            with pytest.raises(StoreDown, match="a moment ago"):
                index.find("alpine", "a")
        assert recovered(lambda: index.find("alpine", "a")) == (0, None)

    def test_a_connection_lost_in_a_transaction_leaves_nothing(
        self, own_postgres: Postgres, index: PostgresIndex
    ) -> None:
        def cut() -> bool:
            with psycopg.connect(own_postgres.url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'artifactapi'"
                )
            return True

        with pytest.raises(StoreDown):
            index.commit("alpine", "a", "a", entry(), 0, cut)
        assert recovered(lambda: index.find("alpine", "a")) == (0, None)
        assert index.commit("alpine", "a", "a", entry(), 0, here)

    def test_a_connection_lost_while_a_list_is_copied_leaves_the_one_before(
        self, own_postgres: Postgres, index: PostgresIndex
    ) -> None:
        def rows() -> Iterator[tuple[str, Digest]]:
            for number in range(5000):
                yield str(number), Digest("sha256", digest("new"))
            with psycopg.connect(own_postgres.url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'artifactapi'"
                )
            yield "a", Digest("sha256", digest("new"))

        old = Digest("sha256", digest("old"))
        index.record_list("alpine", "list", "root", [("a", old)], 1, 0)
        with pytest.raises(StoreDown):
            index.record_list("alpine", "list", "root", rows(), 2, 0)
        assert recovered(lambda: index.listed("alpine", "a")) == Listed(old, "root")
        assert index.listed("alpine", "1") is None

    def test_a_lock_that_others_hold_for_long_is_no_outage(
        self, own_postgres: Postgres, index: PostgresIndex, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As while gc removes a blob from a store that is slow."""
        monkeypatch.setattr(connections, "LOCKS", "200ms")
        other = PostgresIndex(own_postgres.url)
        begun, ended = threading.Event(), threading.Event()

        def remove() -> None:
            begun.set()
            ended.wait(20)

        def commit() -> None:
            begun.wait(20)
            try:
                with pytest.raises(StoreDown, match="lock timeout") as caught:
                    other.commit("alpine", "a", "a", entry(), 0, here)
                assert caught.value.retry_after > 0
                assert other.find("alpine", "a") == (0, None), "it was not taken for one"
            finally:
                ended.set()

        at_once([lambda: index.drop_blob(entry().digest, remove), commit])
        other.close()

    def test_a_wrong_question_is_no_outage(self, index: PostgresIndex) -> None:
        with pytest.raises(StoreDown):
            index.commit("alpine", "a\0", "a", entry(), 0, here)
        index.ping()


class TestRedis:
    def test_stopped_and_started_again(self, own_valkey: Valkey, memory: RedisMemory) -> None:
        memory.remember("alpine", "a", 1, entry(), 1.0)
        held = memory.lock("a")
        assert held is not None
        with stopped(own_valkey):
            memory.raise_epochs({})
            for ask in (
                memory.ping,
                lambda: memory.recall("alpine", "a"),
                lambda: memory.remember("alpine", "a", 1, entry(), 1.0),
                lambda: memory.remember_missing("alpine", "a", 1, 404, 1),
                lambda: memory.forget("alpine", "a"),
                lambda: memory.raise_epochs({"alpine": 1}),
                lambda: memory.flush("alpine"),
                lambda: memory.lock("b"),
                lambda: memory.break_lock("b", "token"),
                lambda: memory.token("a"),
                lambda: memory.keep_token("a", "secret", 60),
                lambda: memory.count("alpine", "HIT", 1, 1),
                memory.counts,
            ):
                with pytest.raises(StoreDown):
                    ask()
            assert memory.distrusted
            held.release()  # no error either
        assert recovered(lambda: memory.recall("alpine", "a")).entry is None

    def test_a_restart_between_two_questions_is_only_distrusted(
        self, own_valkey: Valkey, memory: RedisMemory
    ) -> None:
        memory.ping()
        memory.raise_epochs({"alpine": 1})
        assert not memory.distrusted
        with stopped(own_valkey):
            pass
        assert memory.recall("alpine", "a").epoch is None
        assert memory.distrusted

    def test_a_frozen_one_is_given_up_on(self, own_valkey: Valkey, memory: RedisMemory) -> None:
        memory.ping()
        with frozen(own_valkey.process.pid):
            with pytest.raises(StoreDown):
                memory.recall("alpine", "a")
            with pytest.raises(StoreDown, match="a moment ago"):
                memory.recall("alpine", "a")
        recovered(memory.ping)

    def test_a_held_lock_survives_a_short_outage_of_a_frozen_one(self, own_valkey: Valkey) -> None:
        memory = RedisMemory(own_valkey.url, lock_timeout=3.0)
        held = memory.lock("a")
        assert held is not None
        with frozen(own_valkey.process.pid):
            time.sleep(1.3)  # the beat at 0.9 s fails
        time.sleep(2.5)
        assert recovered(lambda: memory.lock("a")) is None
        assert not held.lost
        held.release()
        memory.close()


class TestCatalog:
    def test_redis_down_hits_come_from_the_index(self, own_valkey: Valkey, catalog: Catalog) -> None:
        with stopped(own_valkey):
            assert catalog.find("alpine", "a") == Known(0, None)
            assert catalog.commit("alpine", "a", "a", entry(), 0, here)
            assert catalog.find("alpine", "a") == Known(0, entry())
            catalog.remember_missing("alpine", "b", 0, 404, 60)
            assert catalog.flush("alpine", "", True)[1] is None
            assert catalog.find("alpine", "a").epoch == 1
        recovered(catalog.memory.ping)
        assert catalog.find("alpine", "a").epoch == 1
        assert catalog.memory.recall("alpine", "a").epoch == 1

    @pytest.mark.parametrize("change", ["forget", "publish", "withdraw", "switch", "drop", "list", "flush"])
    def test_what_changed_while_redis_was_away_is_not_answered_from_old_copies(
        self, own_valkey: Valkey, catalog: Catalog, change: str
    ) -> None:
        catalog.commit("alpine", "a", "a", entry(), 0, here)
        assert catalog.memory.recall("alpine", "a").entry == entry()
        with frozen(own_valkey.process.pid):  # it keeps its copies, as one beyond a broken network would
            if change == "forget":
                assert catalog.forget("alpine", "a")
            elif change == "withdraw":
                assert withdraw(catalog, "alpine", "a")
            elif change == "publish":
                assert publish(catalog, "alpine", "a", entry("new"))
            elif change == "switch":
                changes = [Change("a", "a", entry("new"))]
                assert catalog.switch("alpine", changes, [], 0, lambda digest: True)
            elif change == "drop":
                assert catalog.switch("alpine", [Change("b", "b", entry())], ["a"], 0, lambda digest: True)
            elif change == "list":
                rows = [("a", Digest("sha256", digest("new")))]
                assert catalog.record_list("alpine", "list", "root", rows, 1, 0) == ["a"]
            else:
                catalog.flush("alpine", "", False)
        recovered(catalog.memory.ping)
        found = catalog.find("alpine", "a").entry
        assert (found and found.digest) == (digest("new") if change in ("publish", "switch") else None)

    def test_postgres_down_copies_are_served_however_old(self, own_postgres: Postgres, catalog: Catalog) -> None:
        catalog.commit("alpine", "a", "a", entry(), 0, here)
        catalog.find("alpine", "a")
        catalog.clock = lambda: time.time() + 10_000
        with stopped(own_postgres):
            assert catalog.find("alpine", "a") == Known(0, entry())
            assert catalog.find("alpine", "b") == Known(0, None, recorded=False)
            with pytest.raises(StoreDown):
                catalog.commit("alpine", "b", "b", entry(), 0, here)
            with pytest.raises(StoreDown):
                catalog.look_again("alpine", "a")
        assert recovered(lambda: catalog.commit("alpine", "b", "b", entry(), 0, here))

    def test_postgres_down_a_flushed_copy_is_not_served(self, own_postgres: Postgres, catalog: Catalog) -> None:
        catalog.commit("alpine", "a", "a", entry(), 0, here)
        catalog.memory.raise_epochs({"alpine": 1})
        with stopped(own_postgres):
            assert catalog.find("alpine", "a") == Known(1, None, recorded=False)

    def test_both_down_is_an_error(self, own_postgres: Postgres, own_valkey: Valkey, catalog: Catalog) -> None:
        catalog.commit("alpine", "a", "a", entry(), 0, here)
        with stopped(own_postgres), stopped(own_valkey), pytest.raises(StoreDown):
            catalog.find("alpine", "a")
        recovered(catalog.index.ping)
        assert catalog.find("alpine", "a") == Known(0, entry())
