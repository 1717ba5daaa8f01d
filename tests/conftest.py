"""What every test may ask for: real stores of its own, an upstream, and a network that ends at loopback."""

from __future__ import annotations

import ipaddress
import itertools
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis

from app.supervisor.embedded import Postgres, Valkey
from tests.parallel import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.stack import stack_factory
from tests.upstreams import upstream

if TYPE_CHECKING:
    from tests.seaweed import Bucket, SeaweedFS

__all__ = [  # hooks and fixtures by import
    "pytest_collection_modifyitems",
    "pytest_xdist_make_scheduler",
    "stack_factory",
    "upstream",
]

_NUMBERS = itertools.count()


class OffLoopbackError(AssertionError):
    """A test tried to leave this machine; no OSError, so that nothing takes it for a network fault."""


def require(command: str) -> str:
    """The path of a real client; its test is skipped where it is absent, and fails where CI is set."""
    found = shutil.which(command, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        verdict = pytest.fail if os.environ.get("CI") else pytest.skip
        verdict(f"{command} is not installed (.ci/run installs it)")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host in ("localhost", "")


def _check(sock: socket.socket, address: Any) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(str(address[0])):
        raise OffLoopbackError(f"tests talk to loopback only, not to {address}")


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """This process connects to nothing but loopback, and asks no name server."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", _offline_getaddrinfo(socket.getaddrinfo))
        yield


def _guarded(original: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        _check(self, address)
        return original(self, address)

    return connect


def _offline_getaddrinfo(original: Any) -> Any:
    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            ipaddress.ip_address(str(host).partition("%")[0])
        except ValueError:
            if host not in (None, "", "localhost"):
                raise socket.gaierror(socket.EAI_NONAME, f"tests resolve no names: {host}") from None
        return original(host, *args, **kwargs)

    return getaddrinfo


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One Redis-compatible server for the whole session; a test that stops it takes `own_valkey` instead."""
    yield from _valkey(tmp_path_factory.mktemp("valkey"))


@pytest.fixture
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Redis that one test may stop, and that nobody else talks to."""
    yield from _valkey(tmp_path_factory.mktemp("v"))


def _valkey(directory: Path) -> Iterator[Valkey]:
    server = Valkey(directory / "data", directory / "s")
    server.start()
    try:
        server.await_ready(10)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL for the whole session."""
    directory = tmp_path_factory.mktemp("postgres")
    server = Postgres(directory / "data", directory / "s")
    server.start()
    try:
        server.await_ready(60)
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory / "data", ignore_errors=True)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """One S3 for the whole session; a test that stops it takes `own_seaweed` instead."""
    from tests.seaweed import running  # boto3 takes a third of a second to import

    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def own_seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """An S3 that one test may stop and start again: it keeps its ports and its data."""
    from tests.seaweed import running

    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def s3_bucket(seaweed: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket and a prefix in it; `url` is a STORAGE_URL, `environment` is set here too."""
    bucket = seaweed.bucket()
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def s3_url(s3_bucket: Bucket) -> str:
    """The STORAGE_URL of an empty place in S3, with what it needs beside in the environment."""
    return s3_bucket.url


@pytest.fixture(scope="session")
def valkey_url(valkey: Valkey) -> str:
    return valkey.url


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """An administrator's URL; its database stays empty."""
    return postgres.url


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture(scope="session")
def _migrated(postgres: Postgres) -> str:
    """A database with every migration applied, the template of all others."""
    from app.stores.postgres import migrate

    _administer(postgres, "CREATE DATABASE migrated")
    migrate(postgres.database_url("migrated"))
    return "migrated"


@pytest.fixture
def empty_database_url(postgres: Postgres) -> Iterator[str]:
    """A database of one test without any table."""
    yield from _database(postgres, "template0")


@pytest.fixture
def database_url(postgres: Postgres, _migrated: str) -> Iterator[str]:
    """A database of one test with every migration applied and no rows."""
    yield from _database(postgres, _migrated)


def _database(postgres: Postgres, template: str) -> Iterator[str]:
    name = f"test_{next(_NUMBERS)}"
    _administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres.database_url(name)
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(postgres: Postgres, statement: str) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(statement)  # names of our own making
