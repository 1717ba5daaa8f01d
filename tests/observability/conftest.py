"""Two nodes with traffic of every kind, each of two workers and a fills process."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.layout import Layout
from app.stores.redis import RedisMemory
from app.supervisor.embedded import Valkey
from tests.http.raw import ask, request
from tests.observability.page import METRICS_TOKEN
from tests.stack import READY, Stack, StackFactory, eventually
from tests.upstreams import Upstream

SMALL, BIG = b"small", bytes(300_000)
HITS = 20


@pytest.fixture(scope="package")
def origin() -> Iterator[Upstream]:
    server = Upstream()
    for path in ("/a.bin", "/b.bin", "/locked.bin", "/old.txt"):
        server.put(path, SMALL)
    server.put("/big.bin", BIG)
    server.headers("/b.bin", RateLimit_Limit="100;w=21600", RateLimit_Remaining="76;w=21600")
    server.status(799, "/odd.bin")
    server.status(500, "/broken.bin")
    yield server
    server.stop()


@pytest.fixture(scope="package")
def nodes(stack_factory: StackFactory, origin: Upstream) -> Iterator[list[Stack]]:
    """They share nothing: what one counts, the other does not."""
    up = {"base_url": origin.url, "immutable_patterns": [r".*\.bin$"], "mutable_patterns": [r".*\.txt$"]}
    dead = {"base_url": "http://127.0.0.1:9/none"}
    document = {"remotes": {"up": up | {"cache": {"mutable_ttl": 0}}, "dead": dead}, "locals": {"team": {}}}
    made = [stack_factory(document, name, METRICS_TOKEN=METRICS_TOKEN, WORKERS="2") for name in ("first", "second")]
    for each in made:
        each.launch()
    for each in made:
        eventually(lambda each=each: READY in each.log(), "ready", 90)  # type: ignore[misc]
        eventually(lambda each=each: len(each.workers()) == 2, "two workers")  # type: ignore[misc]
        _visit(each, origin)
    yield made
    for each in made:
        each.close()


def _visit(stack: Stack, origin: Upstream) -> None:
    """Every cache state, both processes, refusals, a failing upstream and one that answers nonsense."""
    for name in ("a.bin", "b.bin", "big.bin", "old.txt"):
        assert say(stack, "GET", f"/repository/up/{name}") == 200
    for name in ("a.bin", "big.bin"):
        for _ in range(HITS):
            assert say(stack, "GET", f"/repository/up/{name}") == 200
    assert say(stack, "GET", "/repository/up/old.txt") == 200  # REVALIDATED
    origin.status(503, "/old.txt")
    # Who comes while the question before is still being put away shares its answer, so this asks until it is STALE.
    eventually(lambda: cache_state(stack, "/repository/up/old.txt") == "STALE", "a stale answer")
    origin.clear("/old.txt")
    for name, status in (("none.bin", 404), ("odd.bin", 502), ("broken.bin", 502), ("page.html", 403)):
        assert say(stack, "GET", f"/repository/up/{name}") == status
    assert say(stack, "GET", "/repository/dead/a.bin") in (502, 503)
    with _locked(stack, "up@0/locked.bin"):  # as another node holds it
        connection = unread(stack, "/repository/up/locked.bin")
        time.sleep(0.3)
    with connection:
        assert connection.recv(12) == b"HTTP/1.1 200"
    token = f"Authorization: Bearer {stack.token}"
    assert say(stack, "PUT", "/repository/team/x.bin", token, "Content-Length: 0") == 201


@contextmanager
def _locked(stack: Stack, name: str) -> Iterator[None]:
    layout = Layout(stack.data_dir)
    memory = RedisMemory(Valkey(layout.valkey, layout.socket("valkey.sock")).url)
    held = memory.lock(name)
    assert held is not None
    yield
    held.release()
    memory.close()


def unread(stack: Stack, target: str) -> socket.socket:
    """The connection of a client that asked and has read nothing."""
    connection = socket.create_connection(("127.0.0.1", stack.port), timeout=10)
    connection.sendall(request("GET", target))
    return connection


def say(stack: Stack, method: str, target: str, *lines: str) -> int:
    """The status of a request whose response came whole."""
    return ask(stack.port, request(method, target, *lines)).status


def cache_state(stack: Stack, target: str) -> str:
    """The X-Cache of a GET that is answered 200."""
    reply = ask(stack.port, request("GET", target))
    assert reply.status == 200
    return reply.headers["x-cache"]
