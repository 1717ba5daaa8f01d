"""What one node of a fleet does, all of them know at their next request; and no node needs another to serve."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from soak import bodies
from soak.client import Answer
from tests.faults.door import noise
from tests.fleet.conftest import document
from tests.fleet.fleet import Fleet, Shared, await_ready, destroy, flush, get, put
from tests.http.sets import REPOMD, Edition
from tests.stack import Stack, StackFactory, eventually
from tests.upstreams import Upstream


def test_nodes_that_start_at_once_on_an_empty_database_migrate_it_once(
    stack_factory: StackFactory, empty_stores: Callable[[str], Shared], fleet_upstream: Upstream
) -> None:
    shared = empty_stores("at_once")
    fleet = Fleet.of(stack_factory, 2, document(fleet_upstream), shared).start()
    try:
        assert [get(node, "/health").status for node in fleet.nodes] == [200] * 2
        with psycopg.connect(shared.database_url) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    finally:
        fleet.stop()


@pytest.mark.parametrize("mode", ["delete", "expire"])
def test_a_flush_on_one_is_seen_by_the_other_at_its_next_request(
    one: Stack, other: Stack, fleet_upstream: Upstream, mode: str
) -> None:
    path = f"/repository/up/flushed-{mode}.bin"
    for turn, (here, there) in enumerate([(one, other), (other, one), (one, other)]):
        fleet_upstream.put(f"/flushed-{mode}.bin", new := noise(3000, f"flush {mode} {turn}"))
        if turn:
            assert all(get(node, path).cache == "HIT" for node in (here, there) for _ in range(8))  # every worker's
        assert flush(here, f"remote=up&mode={mode}").status == 200
        assert get(there, path).body == new
        eventually(lambda: get(one, path).body == new and get(other, path).cache == "HIT", "stored")


def test_an_upload_to_one_is_read_from_the_other_at_once(one: Stack, other: Stack) -> None:
    for turn, (here, there) in enumerate([(one, other), (other, one)] * 3):
        path, body = f"/repository/team/{turn}.bin", noise(200_000 if turn % 2 else 900, f"upload {turn}")
        assert get(there, path).status == 404
        assert put(here, path, body).status == 201
        assert (read := get(there, path)).status == 200 and read.body == body
        assert put(there, path, body).status == 409


def test_a_new_edition_of_a_set_is_new_on_both(one: Stack, other: Stack, fleet_upstream: Upstream) -> None:
    old, new = (Edition({"other": word}, {"p/1.rpm": word}) for word in (b"old", b"new"))
    old.publish(fleet_upstream)
    for node in (one, other):
        assert get(node, f"/repository/rpm{REPOMD}").body == old.repomd
        for kind in old.data:
            assert get(node, f"/repository/rpm{old.path(kind)}").body == old.data[kind]
    new.publish(fleet_upstream)
    eventually(lambda: get(one, f"/repository/rpm{REPOMD}").body == new.repomd, "switched")
    old.withdraw(fleet_upstream)
    for node in (other, one):
        assert get(node, f"/repository/rpm{REPOMD}").body == new.repomd
        for kind in new.data:
            assert get(node, f"/repository/rpm{new.path(kind)}").body == new.data[kind]


def test_every_node_says_which_configuration_it_runs(fleet: Fleet, one: Stack, other: Stack) -> None:
    def told(node: Stack) -> str:
        return str(json.loads(get(node, "/health").body)["config_sha256"])

    before = told(one)
    assert told(other) == before
    plain = json.loads(other.config.read_text())
    other.configure({**plain, "locals": {**plain["locals"], "more": {"package": "generic"}}})
    other.reload()
    eventually(lambda: told(other) != before, "the new configuration")
    assert told(one) == before
    for node in fleet.nodes:
        assert told(node).encode() in get(node, "/metrics").body
    other.configure(plain)
    other.reload()
    eventually(lambda: told(other) == before, "the old configuration")


def test_one_restarts_while_the_other_serves_every_request(
    one: Stack, other: Stack, fleet_upstream: Upstream
) -> None:
    with Load(fleet_upstream, "restart", [other]) as load:
        one.stop()
        one.launch()
        await_ready(one)
        destroy(one)
        one.launch()
        await_ready(one)
    assert {(answer.status, answer.problem) for answer in load.answers} == {(200, "")}
    assert load.wrong == []


def test_a_rolling_restart_serves_no_wrong_byte(fleet: Fleet, fleet_upstream: Upstream) -> None:
    with Load(fleet_upstream, "rolling", fleet.nodes) as load:
        for node in fleet.nodes:
            node.stop()
            node.launch()
            await_ready(node)
    assert load.wrong == []
    left = [answer for answer in load.answers if (answer.status, answer.problem) != (200, "")]
    assert {answer.problem for answer in left} <= {"refused", "reset"}, left


class Load:
    """Clients that ask these nodes in turn for stored files and new ones until the block ends."""

    def __init__(self, upstream: Upstream, name: str, nodes: Sequence[Stack], clients: int = 3) -> None:
        self.answers: list[Answer] = []
        self.wrong: list[str] = []
        self._nodes = nodes
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._clients = clients
        self._paths = [f"/fixed/{name}/{number}" for number in range(60)]
        for path in self._paths:
            upstream.put(path, bodies.body(path))

    def __enter__(self) -> Load:
        self._running = [self._pool.submit(self._run, number) for number in range(self._clients)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._running:
            each.result()
        self._pool.shutdown()

    def _run(self, offset: int) -> None:
        turn = offset
        while not self._over.wait(0.01):
            turn += self._clients
            path = self._paths[min(turn, turn % len(self._paths))]
            answer = get(self._nodes[turn % len(self._nodes)], f"/repository/up{path}", keep=False)
            self.answers.append(answer)
            if answer.status == 200 and answer.whole and answer.digest != bodies.digest(path):
                self.wrong.append(path)
