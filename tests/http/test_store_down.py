"""The blob store is gone: a remote passes through, unrecorded; what only the store has is a clear 503."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.resource import Digest
from tests.faults.test_upstream_mirrors import hashed, metalink
from tests.http.node import Node, body
from tests.upstreams import Upstream

UP = "/repository/up"
LARGE = bytes(range(256)) * 4096  # 1 MiB
REPOMD = b'<?xml version="1.0"?><repomd xmlns="http://linux.duke.edu/metadata/repo"></repomd>'
PINNED = Digest("sha256", hashlib.sha256(REPOMD).hexdigest())


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    linked = {name: value for name, value in remotes["remotes"]["rpm"].items() if name != "base_url"}
    remotes["remotes"]["linked"] = linked | {"metalink": f"{upstream.url}/list"}
    return remotes


@contextmanager
def unmounted(node: Node) -> Iterator[None]:
    """The directory of the blobs is not there, as where a disk was not mounted."""
    place = node.settings.layout.blobs / "sha256"
    away = place.with_name("away")
    place.rename(away)
    try:
        yield
    finally:
        away.rename(place)


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_a_stored_file_is_passed_through_from_upstream(node: Node, upstream: Upstream, content: bytes) -> None:
    upstream.put("/a.rpm", content)
    body(node.get(f"{UP}/a.rpm"))
    node.idle()
    with unmounted(node):
        answer = node.get(f"{UP}/a.rpm")
        assert (answer.status_code, answer.headers["X-Cache"], body(answer)) == (200, "MISS", content)
        node.idle()
        assert node.spools() == []
    answer = node.get(f"{UP}/a.rpm")
    assert (answer.headers["X-Cache"], body(answer)) == ("HIT", content)


def test_a_new_file_is_passed_through_and_not_recorded(node: Node, upstream: Upstream) -> None:
    upstream.put("/new.rpm", LARGE)
    with unmounted(node):
        for _ in range(2):
            answer = node.get(f"{UP}/new.rpm")
            assert (answer.headers["X-Cache"], body(answer)) == ("MISS", LARGE)
            node.idle()
    assert node.get(f"{UP}/new.rpm").headers["X-Cache"] == "MISS"


def test_an_expired_file_is_passed_through(node: Node, upstream: Upstream) -> None:
    upstream.put("/index.txt", b"one")
    body(node.get(f"{UP}/index.txt"))
    node.idle()
    node.clock.forward(101)
    upstream.put("/index.txt", b"two")
    with unmounted(node):
        answer = node.get(f"{UP}/index.txt")
        assert (answer.headers["X-Cache"], body(answer)) == ("MISS", b"two")
        assert node.head(f"{UP}/index.txt").status_code == 200


def test_without_upstream_too_it_is_the_store_that_is_named(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.rpm", LARGE)
    body(node.get(f"{UP}/a.rpm"))
    node.idle()
    upstream.stop()
    with unmounted(node):
        for answer in (node.get(f"{UP}/a.rpm"), node.head(f"{UP}/a.rpm")):
            assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
        assert node.get(f"{UP}/a.rpm").get_json()["error"] == "store_unavailable"
        assert node.get(f"{UP}/never.rpm").status_code == 502
    assert node.get(f"{UP}/a.rpm").headers["X-Cache"] == "HIT"


def test_a_pinned_index_is_passed_through_too(node: Node, upstream: Upstream, remotes: dict[str, Any]) -> None:
    """What a metalink pins is received unseen, which needs the store; without one its readers follow it."""
    upstream.put("/list", metalink(f"{upstream.url}/repodata/repomd.xml", hashes=hashed(PINNED)))
    upstream.put("/repodata/repomd.xml", REPOMD)
    with unmounted(node):
        for _ in range(2):
            answer = node.get("/repository/linked/repodata/repomd.xml")
            assert (answer.status_code, body(answer)) == (200, REPOMD)
            node.idle()
    assert body(node.get("/repository/linked/repodata/repomd.xml")) == REPOMD


def test_a_hosted_file_waits_for_its_store(node: Node) -> None:
    assert node.admin("PUT", "/repository/team/x", b"mine").status_code == 201
    with unmounted(node):
        answer = node.get("/repository/team/x")
        assert (answer.status_code, answer.get_json()["error"]) == (503, "store_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        refused = node.admin("PUT", "/repository/team/y", b"more")
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
    assert body(node.get("/repository/team/x")) == b"mine"
    assert node.get("/repository/team/y").status_code == 404
    assert node.admin("PUT", "/repository/team/y", b"more").status_code == 201


def test_health_says_so(node: Node) -> None:
    with unmounted(node):
        answer = node.get("/health")
        assert (answer.status_code, answer.get_json()["checks"]["storage"]) == (503, "unhealthy")
        assert node.get("/health/ready").status_code == 503
        assert node.get("/health/live").status_code == 200
    assert (node.get("/health").status_code, node.get("/health/ready").status_code) == (200, 200)
