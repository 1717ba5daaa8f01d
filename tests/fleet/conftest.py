"""Two nodes on one Postgres, one Redis and one S3, started once; and what a fleet of a test's own is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from app.supervisor.embedded import Postgres, Valkey
from tests.conftest import _valkey
from tests.fleet.fleet import Fleet, Shared
from tests.seaweed import SeaweedFS
from tests.stack import Stack, StackFactory
from tests.upstreams import Upstream

QUICK = {"connect_timeout": 1, "first_byte_timeout": 2, "stall_timeout": 2}  # seconds


def document(upstream: Upstream) -> dict[str, Any]:
    """`up` keeps what it has, `live` revalidates each time, `rpm` has sets, `team` is the fleet's own."""
    common = {"base_url": upstream.url, "upstream": QUICK}
    remotes = {
        "up": {**common, "immutable_patterns": [".*"]},
        "live": {**common, "cache": {"mutable_ttl": 0}},
        "rpm": {**common, "package": "rpm", "cache": {"mutable_ttl": 0}},
    }
    return {"remotes": remotes, "locals": {"team": {"package": "generic"}}}


@pytest.fixture(scope="package")
def fleet_upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def fleet_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """The fleet's own: other tests empty the session's."""
    yield from _valkey(tmp_path_factory.mktemp("v"))


@pytest.fixture(scope="package")
def empty_stores(postgres: Postgres, fleet_valkey: Valkey, seaweed: SeaweedFS) -> Iterator[Callable[[str], Shared]]:
    """make(name) -> an empty database of that name, the fleet's Redis and an empty bucket."""
    made: list[str] = []

    def make(name: str) -> Shared:
        made.append(name)
        _administer(postgres, f"CREATE DATABASE {name} TEMPLATE template0")
        bucket = seaweed.bucket()
        storage = {"STORAGE_URL": bucket.url, **bucket.environment}
        return Shared(postgres.database_url(name), fleet_valkey.url, storage)

    yield make
    for name in made:
        _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(postgres: Postgres, statement: str) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="package")
def whole_fleet(
    stack_factory: StackFactory, empty_stores: Callable[[str], Shared], fleet_upstream: Upstream
) -> Iterator[Fleet]:
    fleet = Fleet.of(stack_factory, 2, document(fleet_upstream), empty_stores("fleet")).start()
    yield fleet
    fleet.stop()


@pytest.fixture
def fleet(whole_fleet: Fleet, fleet_upstream: Upstream) -> Iterator[Fleet]:
    """The shared fleet, upstream well again; every test has paths of its own and leaves both nodes running."""
    fleet_upstream.reset()
    yield whole_fleet
    fleet_upstream.reset()
    for node in whole_fleet.nodes:
        assert "Traceback" not in node.log()


@pytest.fixture
def one(fleet: Fleet) -> Stack:
    return fleet.nodes[0]


@pytest.fixture
def other(fleet: Fleet) -> Stack:
    return fleet.nodes[1]
