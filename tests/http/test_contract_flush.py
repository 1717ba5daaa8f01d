"""API.md, PUT /cache/flush, line by line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.supervisor.embedded import Valkey
from tests.http.node import ADMIN, Node, body
from tests.http.variant import NOBODY, worker
from tests.upstreams import Upstream

UP, RPM = "/repository/up", "/repository/rpm"


def warm(node: Node, upstream: Upstream, *paths: str) -> None:
    """Store what upstream has under these client paths; each body is the path unless it is there already."""
    for path in paths:
        within = "/" + path.split("/", 3)[3]
        upstream.put(within, path.encode())
        assert node.get(path).status_code == 200
        node.idle()
        assert node.get(path).headers["X-Cache"] == "HIT"


def state(node: Node, path: str) -> str:
    """X-Cache of a GET, once it has ended."""
    answer = node.get(path)
    node.idle()
    return answer.headers["X-Cache"]


def flush(node: Node, query: str = "") -> Any:
    answer = node.admin("PUT", f"/cache/flush{query}")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def test_one_remote(node: Node, upstream: Upstream) -> None:
    warm(node, upstream, f"{UP}/a", f"{UP}/b", f"{RPM}/c.repo")
    assert flush(node, "?remote=up") == {"remote": "up", "flushed": {"redis_keys": 2, "s3_objects": 2}}
    assert [state(node, path) for path in (f"{UP}/a", f"{UP}/b", f"{RPM}/c.repo")] == ["MISS", "MISS", "HIT"]


def test_every_remote_and_no_local(node: Node, upstream: Upstream) -> None:
    warm(node, upstream, f"{UP}/a", f"{RPM}/c.repo")
    node.admin("PUT", "/repository/team/mine", b"mine")
    node.get("/repository/team/mine")
    assert flush(node) == {"remote": None, "flushed": {"redis_keys": 2, "s3_objects": 2}}
    assert [state(node, path) for path in (f"{UP}/a", f"{RPM}/c.repo")] == ["MISS", "MISS"]
    assert (state(node, "/repository/team/mine"), body(node.get("/repository/team/mine"))) == ("HIT", b"mine")


def test_unknown_names_are_not_found(node: Node) -> None:
    for name in ("nope", "team", "", "UP", "up/", "%00"):
        answer = node.admin("PUT", f"/cache/flush?remote={name}")
        assert (answer.status_code, answer.get_json()["error"]) == (404, "unknown_remote"), name


def test_a_prefix(node: Node, upstream: Upstream) -> None:
    paths = [f"{UP}/{path}" for path in ("dir/a", "dir/b", "dirt", "di/c", "100%25/x", "1000/x", "a_b", "axb")]
    warm(node, upstream, *paths)
    for query, gone in (
        ("?remote=up&path=dir/", {f"{UP}/dir/a", f"{UP}/dir/b"}),
        ("?remote=up&path=/dir", {f"{UP}/dir/a", f"{UP}/dir/b", f"{UP}/dirt"}),
        ("?path=100%25", {f"{UP}/100%25/x"}),
        ("?remote=up&path=a_", {f"{UP}/a_b"}),
        ("?remote=rpm&path=dir", set()),
        ("?remote=up&path=nothing", set()),
    ):
        assert flush(node, query)["flushed"]["s3_objects"] == len(gone), query
        assert {path for path in paths if state(node, path) != "HIT"} == gone, query


def test_a_prefix_is_checked_like_any_path(node: Node) -> None:
    for path in ("..", "a/../b", "a%00", "a%5cb", "a//b", "http://x/", "%2e%2e/x", "x" * 5000):
        answer = node.admin("PUT", f"/cache/flush?path={path}")
        assert (answer.status_code, answer.get_json()["error"]) == (400, "bad_path"), path


def test_expire_keeps_the_bytes(node: Node, upstream: Upstream) -> None:
    warm(node, upstream, f"{UP}/a.rpm", f"{UP}/b.txt")
    blobs, sent = node.blobs(), upstream.sent
    assert flush(node, "?remote=up&mode=expire")["flushed"]["s3_objects"] == 0
    assert node.blobs() == blobs
    assert [state(node, f"{UP}/{name}") for name in ("a.rpm", "b.txt")] == ["REVALIDATED", "REVALIDATED"]
    assert upstream.sent == sent
    flush(node, "?remote=up&mode=expire")
    upstream.stop()
    assert [state(node, f"{UP}/{name}") for name in ("a.rpm", "b.txt")] == ["STALE", "STALE"]


def test_delete_is_the_default_here_and_other_modes_are_refused(node: Node, upstream: Upstream) -> None:
    warm(node, upstream, f"{UP}/a")
    flush(node, "?mode=delete")
    assert state(node, f"{UP}/a") == "MISS"
    for mode in ("", "DELETE", "purge"):
        answer = node.admin("PUT", f"/cache/flush?mode={mode}")
        assert (answer.status_code, answer.get_json()["error"]) == (400, "bad_mode")
    assert state(node, f"{UP}/a") == "HIT"


def test_a_remembered_404_is_forgotten(node: Node, upstream: Upstream) -> None:
    assert node.get(f"{UP}/new").status_code == 404
    upstream.put("/new", b"new")
    assert node.get(f"{UP}/new").status_code == 404
    assert flush(node, "?remote=up")["flushed"] == {"redis_keys": 1, "s3_objects": 0}
    assert body(node.get(f"{UP}/new")) == b"new"


def test_the_counts(node: Node, upstream: Upstream) -> None:
    """`redis_keys` are copies removed, `s3_objects` blobs that nothing refers to any more."""
    for path, content in (("/a", b"same"), ("/b", b"same"), ("/c", b"mine too"), ("/d", b"other")):
        upstream.put(path, content)
        body(node.get(UP + path))
        node.idle()
    node.admin("PUT", "/repository/team/mine", b"mine too")
    assert len(node.blobs()) == 3
    assert flush(node, "?remote=up")["flushed"] == {"redis_keys": 4, "s3_objects": 2}
    assert flush(node, "?remote=up")["flushed"] == {"redis_keys": 0, "s3_objects": 0}
    assert len(node.blobs()) == 3, "gc removes them"


def test_what_was_flushed_is_seen_by_every_worker(node: Node, upstream: Upstream) -> None:
    warm(node, upstream, f"{UP}/a")
    with worker(node) as other:
        assert other.get(f"{UP}/a").headers["X-Cache"] == "HIT"
        upstream.put("/a", b"new")
        flush(node)
        assert other.get(f"{UP}/a").get_data() == b"new"


def test_without_the_index_there_is_no_flush(node: Node) -> None:
    with worker(node, database_url=NOBODY["database_url"]) as client:
        answer = client.put("/cache/flush", headers=ADMIN)
        assert (answer.status_code, answer.get_json()["error"]) == (503, "store_unavailable")


# -- Redis is down ---------------------------------------------------------------------------------------------


@pytest.fixture
def frail(remotes: dict[str, Any], tmp_path: Path, database_url: str, own_valkey: Valkey) -> Iterator[Node]:
    """A node on a Redis of its own."""
    with Node(tmp_path, database_url, own_valkey.url, remotes).running() as node:
        yield node


def test_a_flush_while_redis_is_stopped(frail: Node, upstream: Upstream, own_valkey: Valkey) -> None:
    warm(frail, upstream, f"{UP}/a")
    own_valkey.stop()
    assert flush(frail, "?remote=up") == {"remote": "up", "flushed": {"redis_keys": 0, "s3_objects": 1}}
    upstream.put("/a", b"new")
    assert body(frail.get(f"{UP}/a")) == b"new"
    own_valkey.start()
    own_valkey.await_ready(10)
    assert body(frail.get(f"{UP}/a")) == b"new"


def test_a_flush_while_redis_hangs_is_not_undone_by_its_old_copies(
    frail: Node, upstream: Upstream, own_valkey: Valkey
) -> None:
    warm(frail, upstream, f"{UP}/a")
    os.kill(own_valkey.process.pid, signal.SIGSTOP)
    try:
        assert flush(frail, "?remote=up")["flushed"] == {"redis_keys": 0, "s3_objects": 1}
        upstream.put("/a", b"new")
    finally:
        os.kill(own_valkey.process.pid, signal.SIGCONT)
    for _ in range(2):
        assert body(frail.get(f"{UP}/a")) == b"new"
        frail.idle()
