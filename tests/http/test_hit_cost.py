"""What a warm HIT costs: one command to Redis, no statement to Postgres, nothing upstream; counted by the servers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict

from app.supervisor.embedded import Valkey
from app.web import usage
from app.web.node import Node as Parts
from tests.http.node import Node, body
from tests.http.variant import without_database
from tests.upstreams import Upstream

SMALL, BIG = "/repository/up/small.rpm", "/repository/up/big.rpm"
PRIVATE = "/repository/known/small.rpm"
TIMES = 40
# The fleet's counters (app/web/finish.py, Tally) leave in batches from a thread of their own; the others are ours.
APART = {"hincrby", "info", "config|resetstat"}


@pytest.fixture
def warm(
    remotes: dict[str, Any],
    tmp_path: Path,
    database_url: str,
    own_valkey: Valkey,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Node]:
    """A node that has served everything it is asked for here, twice."""
    monkeypatch.setattr(usage, "NOTED", 3600.0)  # one statement in five seconds, counted in tests/disk
    remotes["remotes"]["known"] = remotes["remotes"]["up"] | {"access": "authenticated"}
    with Node(tmp_path, database_url, own_valkey.url, remotes).running() as node:
        upstream.put("/small.rpm", b"s" * 20_000)
        upstream.put("/big.rpm", b"b" * 600_000)
        node.admin("PUT", "/repository/team/mine.bin", b"mine")
        settle(own_valkey)
        for memory in (node.app.extensions["artifactapi"].memory, node.carrier.engine.visits.fetch.memory):
            spare(memory)
        for path in [path for _, path, _ in HITS] * 2:
            body(node.get(path))
            node.idle()
        upstream.requests.clear()
        yield node
        assert upstream.requests == [], "a HIT asks nothing of upstream"


HITS = [
    ("GET", SMALL, {}),
    ("HEAD", SMALL, {}),
    ("GET", SMALL, {"If-None-Match": "*"}),
    ("GET", SMALL, {"Range": "bytes=5-9,100-"}),
    ("GET", "/api/v1/remote/up/small.rpm", {}),
    ("GET", BIG, {}),
    ("HEAD", BIG, {}),
    ("GET", "/repository/team/mine.bin", {}),
    ("GET", "/repository/up/missing.rpm", {}),  # a remembered 404
]


def spare(memory: Any) -> None:
    """Connections for the threads that count beside requests: a new one costs a look at the epochs."""
    pool = memory._client.connection_pool
    for connection in [pool.get_connection() for _ in range(4)]:
        pool.release(connection)


def settle(server: Valkey) -> None:
    """The moment after a publication is over, in which nobody may take a copy."""
    with redis.Redis.from_url(server.url) as client:
        for key in client.scan_iter("artifactapi:copy:team:*"):
            assert client.get(key) == b"forgotten"
            client.delete(key)


class Counted:
    """The commands a Redis was sent since this was made."""

    def __init__(self, server: Valkey) -> None:
        self._client = redis.Redis.from_url(server.url)
        self._client.config_resetstat()

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def commands(self) -> dict[str, int]:
        """Name -> calls."""
        stats: Any = self._client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}


def hit(node: Node, method: str, path: str, headers: dict[str, str]) -> None:
    answer = node.client.open(path, method=method, headers=headers, buffered=True)
    assert answer.headers["X-Cache"] in ("HIT", "NEGATIVE"), path


def test_a_hit_is_one_command_to_redis(warm: Node, own_valkey: Valkey) -> None:
    for method, path, headers in HITS:
        with Counted(own_valkey) as counted:
            for _ in range(TIMES):
                hit(warm, method, path, headers)
            commands = {name: calls for name, calls in counted.commands().items() if name not in APART}
        assert commands == {"mget": TIMES}, (method, path, headers)


def test_a_private_hit_is_two(
    warm: Node, own_valkey: Valkey, postgres_url: str, database_url: str, upstream: Upstream
) -> None:
    """The second asks who it is; of what is public nobody asks, whatever credentials come along."""
    people = warm.app.extensions["artifactapi"].accounts
    _, token = people.make_token(people.store.add_user("a@example.org", "", "").id, "test")
    headers = {"Authorization": f"Bearer {token}"}
    for path, commands in ((PRIVATE, 2), (SMALL, 1)):
        for _ in range(2):
            body(warm.get(path, **headers))
            warm.idle()
        upstream.requests.clear()
        before = statements(postgres_url, database_url)
        with Counted(own_valkey) as counted:
            for _ in range(TIMES):
                hit(warm, "GET", path, headers)
            counts = {name: calls for name, calls in counted.commands().items() if name not in APART}
        assert counts == {"mget": commands * TIMES}, path
        assert statements(postgres_url, database_url) == before


def test_counters_go_to_redis_in_batches(warm: Node, own_valkey: Valkey) -> None:
    parts = warm.app.extensions["artifactapi"]
    assert isinstance(parts, Parts)
    for finish in (parts.finish, warm.carrier.finish):
        finish.tally.flush()
    before = parts.memory.counts()["up"]["HIT"][0]
    with Counted(own_valkey) as counted:
        for _ in range(TIMES):
            hit(warm, "GET", SMALL, {})
        parts.finish.tally.flush()
        assert counted.commands()["hincrby"] <= TIMES / 2, "two a second, not two a request"
    assert parts.memory.counts()["up"]["HIT"][0] - before == TIMES


def statements(administrator: str, database_url: str) -> list[tuple[Any, ...]]:
    """When each connection to the node's database began its last statement, as Postgres itself says."""
    name = conninfo_to_dict(database_url)["dbname"]
    asked = "SELECT pid, query_start, xact_start, state_change FROM pg_stat_activity WHERE datname = %s ORDER BY pid"
    with psycopg.connect(administrator) as connection:
        return connection.execute(asked, (name,)).fetchall()


def test_a_hit_is_no_statement_to_postgres(warm: Node, postgres_url: str, database_url: str) -> None:
    before = statements(postgres_url, database_url)
    assert before, "the node is connected"
    for method, path, headers in HITS * 5:
        hit(warm, method, path, headers)
    warm.idle()
    assert statements(postgres_url, database_url) == before
    warm.clock.forward(299)
    hit(warm, "GET", SMALL, {})
    assert statements(postgres_url, database_url) == before
    warm.clock.forward(2)
    hit(warm, "GET", SMALL, {})
    reread = statements(postgres_url, database_url)
    assert reread != before, "a copy is read again after 300 s"
    hit(warm, "GET", SMALL, {})
    assert statements(postgres_url, database_url) == reread, "and trusted for as long again"


def test_hits_go_on_without_postgres(warm: Node, postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with without_database(warm, postgres_url):
        with caplog.at_level(logging.WARNING):
            for method, path, headers in HITS * 3:
                hit(warm, method, path, headers)
            warm.idle()
        assert "Postgres" not in caplog.text, "nobody noticed"
        assert warm.get("/health").get_json()["checks"]["database"] == "unhealthy"
        assert warm.get("/health/ready").status_code == 200
        warm.clock.forward(3600)
        hit(warm, "GET", SMALL, {})
    assert warm.get(SMALL).headers["X-Cache"] == "HIT"
