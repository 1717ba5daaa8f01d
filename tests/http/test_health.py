"""What /health and /health/ready tell of upstreams, of the fills process and of stores that hang, and how quickly."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.errors import StoreDown
from app.upstream.breaker import FAILURES, FIRST
from app.web import health
from app.web.health import LIMIT, Questions
from tests.http.node import Node, body
from tests.http.variant import NOBODY, without_storage, worker
from tests.upstreams import Upstream

SLACK = 1.5  # seconds, on a busy machine


@contextmanager
def silent() -> Iterator[int]:
    """The port of somebody who takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def dead(node: Node, upstream: Upstream) -> None:
    upstream.stop()
    with ThreadPoolExecutor(FAILURES) as threads:
        answers = threads.map(lambda number: node.get(f"/repository/up/missing{number}"), range(FAILURES))
        assert {answer.status_code for answer in answers} == {502}


def upstreams(node: Node) -> dict[str, Any]:
    answer = node.get("/health")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.get_json()["upstreams"]
    return found


def test_an_upstream_that_was_asked_is_listed(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"text")
    assert upstreams(node) == {}
    assert body(node.get("/repository/up/a.txt")) == b"text"
    node.idle()
    well = {"url": upstream.url, "state": "closed", "failures": 0, "retry_in": 0.0, "problem": ""}
    assert upstreams(node) == {"up": {"state": "closed", "urls": [well]}}


def test_an_open_breaker_is_stale_or_503_and_leaves_the_node_healthy(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"text")
    assert body(node.get("/repository/up/a.txt")) == b"text"
    node.idle()
    dead(node, upstream)
    told = upstreams(node)["up"]
    refused = f"upstream 127.0.0.1:{upstream.port}: cannot connect (Connection refused)"
    unwell = {"url": upstream.url, "state": "open", "failures": FAILURES, "retry_in": FIRST, "problem": refused}
    assert told == {"state": "open", "urls": [unwell]}
    assert node.get("/health/ready").status_code == 200
    assert f'artifactapi_upstream_breaker_open{{repository="up",upstream="{upstream.url}"}} 1.0' in metrics(node)

    upstream.start()
    missing = node.get("/repository/up/other.txt")
    assert (missing.status_code, missing.get_json()["error"]) == (503, "upstream_breaker_open")
    assert missing.headers["Retry-After"] == str(int(FIRST))
    node.clock.forward(FIRST)
    assert body(node.get("/repository/up/a.txt")) == b"text"
    assert upstreams(node)["up"]["state"] == "half-open", "a hit asks nobody"
    node.clock.forward(100)
    assert node.get("/repository/up/a.txt").headers["X-Cache"] == "REVALIDATED"
    assert upstreams(node)["up"]["state"] == "closed"
    assert f'artifactapi_upstream_breaker_open{{repository="up",upstream="{upstream.url}"}} 0.0' in metrics(node)


def test_an_open_breaker_serves_what_is_stored(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"text")
    assert body(node.get("/repository/up/a.txt")) == b"text"
    node.idle()
    node.clock.forward(101 - (FIRST - 1))  # it expires while the breaker is open
    dead(node, upstream)
    upstream.start()
    before = upstream.connections
    node.clock.forward(FIRST - 1)
    stale = node.get("/repository/up/a.txt")
    assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", b"text")
    assert node.head("/repository/up/other.txt").status_code == 503
    assert upstream.connections == before


def metrics(node: Node) -> str:
    return node.get("/metrics").get_data(as_text=True)


def test_without_the_fills_process_a_node_is_healthy_and_not_ready(node: Node, upstream: Upstream) -> None:
    with worker(node, fills_socket=node.root / "nobody.sock") as client:
        answer = client.get("/health")
        assert (answer.status_code, answer.get_json()["upstreams"]) == (200, {})
        assert client.get("/health/ready").status_code == 503


def test_a_fills_process_that_hangs_does_not_hang_health(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LIMIT", 0.5)
    path = node.root / "h.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(8)
        with worker(node, fills_socket=path) as client:
            for _ in range(2):
                begun = time.monotonic()
                answer = client.get("/health")
                assert (answer.status_code, answer.get_json()["upstreams"]) == (200, {})
                assert time.monotonic() - begun < 0.5 + SLACK
            assert client.get("/health/ready").status_code == 503


def test_stores_that_hang_do_not_add_up(node: Node) -> None:
    with silent() as port:
        urls = {
            "redis_url": f"redis://127.0.0.1:{port}/0",
            "database_url": f"postgresql://nobody@127.0.0.1:{port}/none",
        }
        with worker(node, **urls) as client:
            begun = time.monotonic()
            answer = client.get("/health")
            assert time.monotonic() - begun < LIMIT + SLACK
            checks = answer.get_json()["checks"]
            assert answer.status_code == 503
            assert checks == {"api": "healthy", "database": "unhealthy", "redis": "unhealthy", "storage": "healthy"}
            assert client.get("/health/ready").status_code == 503


def test_what_hangs_is_not_asked_twice() -> None:
    released, asked = threading.Event(), []

    def hang() -> str:
        asked.append(1)
        released.wait(10)
        return "at last"

    questions = Questions()
    for _ in range(3):
        told = questions.ask({"slow": hang, "quick": lambda: 1}, 0.05)
        assert told["quick"].result() == 1 and not told["slow"].done()
    assert len(asked) == 1
    released.set()
    assert told["slow"].result(5) == "at last"
    assert questions.ask({"slow": hang}, 5)["slow"].result() == "at last" and len(asked) == 2


def test_a_good_answer_stands_for_a_moment_and_a_bad_one_does_not() -> None:
    now, asked = [0.0], []

    def ask() -> None:
        asked.append(now[0])
        if now[0] < 1:
            raise StoreDown("away")

    questions = Questions(lambda: now[0])
    for now[0] in (0.0, 0.1, 1.0, 1.9, 2.0, 2.9):
        questions.ask({"store": ask}, 5, 1.0)
    assert asked == [0.0, 0.1, 1.0, 2.0]
    questions.ask({"store": ask}, 5)
    assert asked[4:] == [2.9], "unless it has to be new"


def test_who_asks_often_is_told_what_was_known_a_moment_ago(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KEPT", 60.0)
    paths = ("/health", "/health/ready")
    assert [node.get(path).status_code for path in paths] == [200, 200]
    with without_storage(node):
        assert [node.get(path).status_code for path in paths] == [200, 200]
        monkeypatch.setattr(health, "KEPT", 0.0)
        assert [node.get(path).status_code for path in paths] == [503, 503]
        monkeypatch.setattr(health, "KEPT", 60.0)
    assert [node.get(path).status_code for path in paths] == [200, 200], "what is back is seen at once"


def test_a_database_that_takes_no_writes_is_ready_alone(node: Node, database_url: str) -> None:
    assert node.admin("PUT", "/repository/team/x", b"mine").status_code == 201
    mark = "&" if "?" in database_url else "?"
    reading = f"{database_url}{mark}options=-cdefault_transaction_read_only%3Don"
    with worker(node, database_url=reading, redis_url=NOBODY["redis_url"]) as client:
        hit = client.get("/repository/team/x")
        assert (hit.status_code, hit.headers["X-Cache"], hit.get_data()) == (200, "HIT", b"mine")
        checks = client.get("/health").get_json()["checks"]
        assert (checks["database"], checks["storage"]) == ("unhealthy", "healthy")
        assert client.get("/health/ready").status_code == 200


def test_a_remote_that_is_no_longer_configured_is_not_listed(
    node: Node, upstream: Upstream, remotes: dict[str, Any], tmp_path: Path
) -> None:
    dead(node, upstream)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"remotes": {"drop": remotes["remotes"]["drop"]}}))
    with worker(node, config_path=other) as client:
        assert client.get("/health").get_json()["upstreams"] == {}
