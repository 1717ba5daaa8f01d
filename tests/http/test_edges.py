"""POST /api/v1/edges/<name>, and how a flush waits for who polls it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import maintenance, repositories
from app.hosting.defining import Defining
from app.stores import redis_edges
from app.stores.edges import LEASE
from app.stores.redis_scripts import STAMP
from app.supervisor.embedded import Valkey
from tests.http.node import ADMIN, TOKEN, Node
from tests.http.test_contract_auth import GUARDED, WRONG, basic
from tests.http.variant import NOBODY, worker
from tests.upstreams import Upstream

EDGE_TOKEN = "an-edge-token-of-the-tests"
EDGE = {"Authorization": f"Bearer {EDGE_TOKEN}"}
PATH = "/api/v1/edges/one"
FILE = "/repository/up/a.rpm"
NAMELESS = {
    name: {"package": "docker", "base_url": "http://127.0.0.1:9", **said}
    for name, said in (
        ("hub", {"default": True}),
        ("quay", {"serves": ["quay.example"]}),
        ("g", {"hosts": ["g.example"]}),
    )
}


class Edge:
    """An agent that keeps nothing: it asks, and says that it has applied what it was told."""

    def __init__(self, client: FlaskClient, name: str = "one") -> None:
        self.client = client
        self.name = name
        self.cursor = 0

    def ask(self) -> dict[str, Any]:
        answer = self.client.post(f"/api/v1/edges/{self.name}", json={"cursor": self.cursor}, headers=EDGE)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        told: dict[str, Any] = answer.get_json()
        return told

    def apply(self) -> dict[str, Any]:
        told = self.ask()
        self.cursor = told["cursor"]
        return told

    @contextmanager
    def polling(self, *, applying: bool = True) -> Iterator[None]:
        ended = threading.Event()

        def poll() -> None:
            while not ended.wait(0.05):
                if applying:
                    self.apply()
                else:
                    self.ask()

        thread = threading.Thread(target=poll)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def node(remotes: dict[str, Any], tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Node]:
    with Node(tmp_path, database_url, redis_url, remotes, EDGE_TOKEN=EDGE_TOKEN).running() as node:
        yield node


@pytest.fixture
def edge(node: Node) -> Edge:
    """It has dropped everything, and said so."""
    edge = Edge(node.app.test_client())
    assert edge.apply()["everything"]
    settle(node)
    while edge.apply()["purges"]:
        pass
    return edge


def settle(node: Node) -> None:
    """Every epoch has been told."""
    catalog = node.app.extensions["artifactapi"].shelf.catalog
    node.get("/repository/up/nothing")
    catalog.memory.raise_epochs(catalog.index.epochs())


def warm(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.rpm", b"bytes")
    for _ in range(2):
        assert node.get(FILE).status_code == 200
        node.idle()


def stamp(node: Node) -> int:
    """Of an answer that an edge may keep for long."""
    now = int(time.time())
    answer = node.get(FILE, X_Edge=f"{now}.000")
    assert answer.headers["X-Cache"] == "HIT"
    assert int(answer.headers["X-Accel-Expires"][1:]) > now + 1000
    number, repository, key, digest = answer.headers["X-Edge-Entry"].split(" ")
    assert (repository, key, digest) == ("up", "a.rpm", hashlib.sha256(b"bytes").hexdigest())
    return int(number)


def flush(node: Node, client: FlaskClient | None = None) -> tuple[dict[str, Any], float]:
    begun = time.monotonic()
    answer = (client or node.client).put("/cache/flush?remote=up", headers=ADMIN)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.get_json()
    return told, time.monotonic() - begun


def test_a_new_repository_of_images_ends_what_was_kept_under_its_name(node: Node, edge: Edge) -> None:
    """/v2/<its name>/... may have been an image of a remote that answers without its name."""
    parts = node.app.extensions["artifactapi"]
    parts.repositories.accounts.add_project("team", "", 0)
    node.settings.config_path.write_text(
        json.dumps({"remotes": NAMELESS | {"up": {"base_url": "http://127.0.0.1:9"}}})
    )
    parts.repositories.filed = repositories.load(node.settings.config_path)
    defining = Defining(parts.repositories, parts.shelf)
    defining.define("files", "team", {"package": "generic"}, administrator=True)
    assert edge.apply()["purges"] == []
    defining.define("ours", "team", {"package": "docker"}, administrator=True)
    assert [each["repository"] for each in edge.apply()["purges"]] == list(NAMELESS)


class TestPoll:
    def test_the_answer(self, node: Node, edge: Edge) -> None:
        catalog = node.app.extensions["artifactapi"].shelf.catalog
        catalog.memory.forget("up", "ü \udcff")
        before = edge.cursor
        purge = {"number": before + 1, "repository": "up", "key": "ü \udcff"}
        assert edge.apply() == {"cursor": before + 1, "everything": False, "purges": [purge], "lease": LEASE}
        assert edge.apply() == {"cursor": before + 1, "everything": False, "purges": [], "lease": LEASE}
        catalog.memory.edges.purge(["up"])
        assert edge.apply()["purges"] == [{"number": before + 2, "repository": "up", "key": None}]

    def test_the_edge_token_or_the_admins(self, node: Node) -> None:
        right = [f"Bearer {EDGE_TOKEN}", basic("edge", EDGE_TOKEN), f"Bearer {TOKEN}", basic("", TOKEN)]
        for given in right:
            answer = node.client.post(PATH, json={"cursor": 0}, headers={"Authorization": given})
            assert answer.status_code == 200, given
        for given in [*WRONG, f"Bearer {EDGE_TOKEN}x", basic(EDGE_TOKEN, "")]:
            answer = node.client.post(PATH, json={"cursor": 0}, headers={"Authorization": given})
            assert (answer.status_code, answer.get_json()["error"]) == (401, "unauthorized"), given

    def test_the_edge_token_opens_nothing_else(self, node: Node) -> None:
        for method, path in GUARDED:
            answer = node.client.open(path, method=method, headers=EDGE)
            assert answer.status_code == 401, path

    def test_without_an_edge_token_an_empty_one_opens_nothing(self, node: Node) -> None:
        with worker(node, edge_token=None) as client:
            for given in ("Bearer ", "Bearer None", basic("", "")):
                assert client.post(PATH, json={"cursor": 0}, headers={"Authorization": given}).status_code == 401
        with worker(node, auth="open") as client:
            assert client.post(PATH, json={"cursor": 0}).status_code == 200

    def test_a_bad_name(self, node: Node) -> None:
        for name in ("-", ".one", "a b", "x" * 65, "%00", "ü", "a%0ab"):
            answer = node.client.post(f"/api/v1/edges/{name}", json={"cursor": 0}, headers=EDGE)
            assert (answer.status_code, answer.get_json()["error"]) == (400, "bad_edge"), name

    def test_a_bad_body(self, node: Node) -> None:
        for body in (b"", b"{", b"\xff", b"[" * 4000):
            answer = node.client.post(PATH, data=body, headers=EDGE)
            assert (answer.status_code, answer.get_json()["error"]) == (400, "bad_body"), body
        wrong: list[object] = [{"cursor": cursor} for cursor in (-1, True, 1.0, "1", None)]
        for told in (*wrong, {}, [], 7, None):
            answer = node.client.post(PATH, data=json.dumps(told), headers=EDGE)
            assert (answer.status_code, answer.get_json()["error"]) == (422, "unprocessable"), told

    def test_a_cursor_that_nobody_gave_is_none(self, node: Node, edge: Edge) -> None:
        """An agent with a damaged state begins anew; the others notice nothing of it."""
        for cursor in (2**52, 2**52 + 1, 10**4000):
            answer = node.client.post("/api/v1/edges/other", json={"cursor": cursor}, headers=EDGE)
            assert (answer.status_code, answer.get_json()["everything"]) == (200, True)
            assert answer.get_json()["cursor"] == edge.cursor
        assert not edge.apply()["everything"]

    def test_no_more_edges_than_may_be(self, node: Node, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_edges, "MOST", 1)
        answer = node.client.post("/api/v1/edges/two", json={"cursor": 0}, headers=EDGE)
        assert (answer.status_code, answer.get_json()["error"]) == (503, "unavailable")
        assert not edge.apply()["everything"]

    def test_other_methods_and_long_bodies(self, node: Node) -> None:
        assert node.client.post(PATH, data=b" " * 5000, headers=EDGE).status_code == 413
        answer = node.client.get(PATH, headers=EDGE)
        assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, {"POST", "OPTIONS"})

    def test_while_redis_is_down(self, node: Node) -> None:
        with worker(node, redis_url=NOBODY["redis_url"]) as client:
            answer = client.post(PATH, json={"cursor": 0}, headers=EDGE)
            assert (answer.status_code, answer.get_json()["error"]) == (503, "store_unavailable")
            assert int(answer.headers["Retry-After"]) >= 1


class TestFlush:
    def test_no_edge_is_not_waited_for(self, node: Node) -> None:
        told, seconds = flush(node)
        assert set(told) == {"remote", "flushed"}
        assert seconds < LEASE

    def test_what_was_ended_has_an_older_stamp_than_the_news(
        self, node: Node, edge: Edge, upstream: Upstream
    ) -> None:
        warm(node, upstream)
        edge.apply()
        before = stamp(node)
        assert before == edge.cursor
        with edge.polling():
            told, seconds = flush(node)
        assert "warning" not in told
        assert seconds < LEASE
        assert edge.cursor > before
        warm(node, upstream)
        assert stamp(node) >= edge.cursor

    def test_an_edge_that_does_not_apply_is_told_of(self, node: Node, edge: Edge) -> None:
        with edge.polling(applying=False):
            told, seconds = flush(node)
        assert told["warning"] == maintenance.UNSETTLED
        assert LEASE < seconds < LEASE + 3

    def test_a_dead_edges_lease_is_waited_for(self, node: Node, edge: Edge) -> None:
        edge.apply()
        told, seconds = flush(node)
        assert "warning" not in told
        assert LEASE - 0.5 < seconds < LEASE + 3
        assert flush(node)[1] < LEASE - 0.5, "its lease is over"

    def test_the_slowest_edge_counts(self, node: Node, edge: Edge) -> None:
        other = Edge(node.app.test_client(), "two")
        other.apply()
        with edge.polling():
            assert flush(node)[1] > LEASE - 0.5, "the other's lease"
            with other.polling():
                assert flush(node)[1] < LEASE - 0.5

    def test_a_lost_stamp_is_no_reason_not_to_wait(self, node: Node, edge: Edge) -> None:
        memory: Any = node.app.extensions["artifactapi"].memory
        with edge.polling():
            memory._client.delete(STAMP)
            before = edge.cursor
            assert "warning" not in flush(node)[0]
        assert edge.cursor > before

    def test_a_node_without_redis_is_heard_all_the_same(self, node: Node, edge: Edge) -> None:
        """It raises the epoch in Postgres alone; a node that is polled finds it there."""
        settle(node)
        edge.apply()
        with worker(node, redis_url=NOBODY["redis_url"]) as cut_off, edge.polling():
            before = edge.cursor
            flush(node, cut_off)
            assert edge.cursor > before


def test_redis_stops_and_comes_back_empty(
    remotes: dict[str, Any], tmp_path: Path, database_url: str, own_valkey: Valkey, upstream: Upstream
) -> None:
    """A flush promises that no edge has a lease any more; the next poll, that everything is dropped."""
    with Node(tmp_path, database_url, own_valkey.url, remotes, EDGE_TOKEN=EDGE_TOKEN).running() as node:
        edge = Edge(node.app.test_client())
        edge.apply()
        warm(node, upstream)
        own_valkey.stop()
        told, seconds = flush(node)
        assert "warning" not in told
        assert seconds > LEASE
        assert edge.client.post(PATH, json={"cursor": edge.cursor}, headers=EDGE).status_code == 503
        own_valkey.start()
        own_valkey.await_ready(10)
        deadline = time.monotonic() + 10
        while node.get("/health/ready").status_code != 200 or node.get("/metrics?format=json").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        before = edge.cursor
        assert edge.apply()["everything"]
        assert edge.cursor > before
