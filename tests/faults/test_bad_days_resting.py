"""How long a failing upstream is left alone, told by a clock that only moves when it is told to."""

from __future__ import annotations

from tests.http.conftest import node, remotes
from tests.http.node import Node, body
from tests.upstreams import Upstream

__all__ = ["node", "remotes"]  # fixtures by import

A = "/repository/up/dir/a.txt"
TTL = 100.0  # seconds, of the node of the HTTP tests


def stale_at(node: Node, seconds: float) -> str:
    """X-Cache so many seconds later."""
    node.clock.forward(seconds)
    response = node.get(A)
    assert (response.status_code, body(response)) == (200, b"old")
    return response.headers["X-Cache"]


def warmed(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", b"old")
    assert body(node.get(A)) == b"old"
    node.idle()
    node.clock.forward(TTL + 1)
    upstream.reset()


def test_a_retry_after_is_honoured(node: Node, upstream: Upstream) -> None:
    warmed(node, upstream)
    upstream.status(429, "/dir/a.txt", headers={"Retry-After": "200"})
    assert [stale_at(node, seconds) for seconds in (0, 100, 99)] == ["STALE"] * 3
    assert upstream.count() == 1
    upstream.clear()
    assert stale_at(node, 2) == "REVALIDATED"
    assert upstream.count() == 2


def test_without_one_the_pause_doubles_up_to_the_ttl(node: Node, upstream: Upstream) -> None:
    warmed(node, upstream)
    upstream.status(500, "/dir/a.txt")
    for tries, pause in enumerate((30, 60, TTL, TTL), 1):
        assert stale_at(node, 0) == "STALE"
        assert stale_at(node, pause - 1) == "STALE"
        assert upstream.count() == tries, "resting"
        node.clock.forward(2)
    upstream.clear()
    assert stale_at(node, 0) == "REVALIDATED"
    node.clock.forward(TTL + 1)
    upstream.status(500, "/dir/a.txt")
    assert stale_at(node, 0) == "STALE"
    upstream.clear()
    assert stale_at(node, 31) == "REVALIDATED", "after a success the pauses begin anew"


def test_an_upstream_that_was_down_is_asked_anew_at_once_where_nothing_is_stored(
    node: Node, upstream: Upstream
) -> None:
    upstream.put("/dir/a.txt", b"old")
    upstream.stop()
    failed = node.get(A)
    assert (failed.status_code, failed.get_json()["error"]) == (502, "upstream_unreachable")
    upstream.start()
    assert body(node.get(A)) == b"old"
