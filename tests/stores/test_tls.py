"""Redis and Postgres by TLS: the URL says whom to trust, and a stranger is not talked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import StoreDown
from app.stores.postgres import PostgresIndex, migrate
from app.stores.redis import RedisMemory
from app.supervisor.embedded import Postgres, Valkey
from tests.stores.doors import Certificate, by_tls
from tests.stores.values import entry


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def ours(directory: Path) -> Certificate:
    return Certificate.make(directory, "ours")


@pytest.fixture(scope="module")
def strange(directory: Path) -> Certificate:
    return Certificate.make(directory, "strange")


@contextmanager
def memory_at(url: str) -> Iterator[RedisMemory]:
    memory = RedisMemory(url)
    try:
        yield memory
    finally:
        memory.close()


@contextmanager
def index_at(url: str) -> Iterator[PostgresIndex]:
    index = PostgresIndex(url)
    try:
        yield index
    finally:
        index.close()


class TestRedis:
    @pytest.fixture
    def port(self, valkey: Valkey, redis_url: str, ours: Certificate) -> Iterator[int]:
        with by_tls(valkey.socket, ours) as port:
            yield port

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_with_the_right_authority(self, port: int, ours: Certificate, host: str) -> None:
        with memory_at(f"rediss://{host}:{port}/0?ssl_ca_certs={ours.certificate}") as memory:
            memory.remember("alpine", "a", 0, entry(), 1.0)
            assert memory.recall("alpine", "a").entry == entry()
            held = memory.lock("a")
            assert held is not None
            held.release()

    def test_a_stranger_is_not_talked_to(self, port: int, strange: Certificate) -> None:
        for trust in ("", f"?ssl_ca_certs={strange.certificate}"):
            with (
                memory_at(f"rediss://:secret@127.0.0.1:{port}/0{trust}") as memory,
                pytest.raises(StoreDown, match="certificate verify failed") as caught,
            ):
                memory.ping()
            assert "secret" not in caught.value.message

    def test_plain_where_tls_is_spoken(self, port: int) -> None:
        with memory_at(f"redis://127.0.0.1:{port}/0") as memory, pytest.raises(StoreDown, match="Redis"):
            memory.ping()


class TestPostgres:
    @pytest.fixture
    def port(self, postgres: Postgres, ours: Certificate) -> Iterator[int]:
        with by_tls(postgres.socket, ours, postgres=True) as port:
            yield port

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_with_the_right_authority(self, port: int, database_url: str, ours: Certificate, host: str) -> None:
        url = f"postgresql://postgres@{host}:{port}/{_name(database_url)}?sslmode=verify-full"
        url += f"&sslrootcert={ours.certificate}"
        migrate(url)
        with index_at(url) as index:
            index.ping()
            assert index.commit("alpine", "a", "a", entry(), 0, lambda: True)
            assert index.find("alpine", "a") == (0, entry())

    def test_a_stranger_is_not_talked_to(self, port: int, database_url: str, strange: Certificate) -> None:
        url = f"postgresql://postgres:secret@127.0.0.1:{port}/{_name(database_url)}?sslmode=verify-full"
        url += f"&sslrootcert={strange.certificate}"
        with index_at(url) as index, pytest.raises(StoreDown, match="certificate verify failed") as caught:
            index.ping()
        assert "secret" not in caught.value.message
        assert caught.value.retry_after > 0
        with pytest.raises(StoreDown, match="certificate verify failed"):
            migrate(url)


def _name(database_url: str) -> str:
    return database_url.partition("?")[0].rpartition("/")[2]


@pytest.mark.parametrize(
    "url",
    ["postgresql://postgres:sec%ret@127.0.0.1/x", "postgresql://[secret/x", "postgresql://u@h/x?password=%secret"],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    asks: list[Callable[[], None]] = [PostgresIndex(url).ping, lambda: migrate(url)]
    for ask in asks:
        with pytest.raises(StoreDown, match="DATABASE_URL") as caught:
            ask()
        assert "sec" not in caught.value.message


@pytest.mark.parametrize(
    "url", ["redis://:sec/ret@127.0.0.1", "rediss://:secret@127.0.0.1?ssl_ca=x", "redis://:secret@127.0.0.1:x"]
)
def test_nor_one_of_redis(url: str) -> None:
    with pytest.raises(ValueError, match="REDIS_URL") as caught:
        RedisMemory(url)
    assert "sec" not in str(caught.value)
