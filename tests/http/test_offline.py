"""`offline: true` of a remote and OFFLINE of the server: what is stored is served, and no socket is ever opened."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.node import Node, body
from tests.upstreams import Upstream

STORED = ("/repository/up/a.txt", "/repository/up/b.rpm", "/v2/hub/team/app/tags/list")


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    quick = remotes["remotes"]["up"]["upstream"]
    hub = {"package": "docker", "base_url": upstream.url, "cache": {"mutable_ttl": 100}, "upstream": quick}
    listed = {"package": "rpm", "metalink": f"{upstream.url}/metalink", "upstream": quick}
    remotes["remotes"] |= {"hub": hub, "listed": listed, "off": remotes["remotes"]["up"] | {"offline": True}}
    return remotes


@pytest.fixture
def filled(node: Node, upstream: Upstream) -> Node:
    """Something is stored of every sort, all of it has expired, and now the server goes offline."""
    upstream.put("/a.txt", b"text")
    upstream.put("/b.rpm", b"package")
    upstream.put("/v2/team/app/tags/list", b'{"name": "team/app", "tags": ["1"]}', Content_Type="application/json")
    for path in STORED:
        assert node.get(path).status_code == 200
    node.idle()
    node.clock.forward(101)
    node.upstreams.offline = True
    upstream.stop()  # connections that are kept end
    upstream.start()
    return node


def test_offline_serves_what_is_stored_however_old(filled: Node, upstream: Upstream) -> None:
    before = upstream.connections
    states = []
    for path in STORED:
        for answer in (filled.get(path), filled.head(path)):
            assert answer.status_code == 200, path
        states.append(answer.headers["X-Cache"])
    assert states == ["STALE", "HIT", "STALE"]
    assert body(filled.get("/repository/up/a.txt")) == b"text"
    assert upstream.connections == before


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_offline_refuses_what_is_not_stored(filled: Node, upstream: Upstream, method: str) -> None:
    before = upstream.connections
    for path in (
        "/repository/up/other.txt",
        "/repository/rpm/repodata/repomd.xml",
        "/repository/listed/repodata/repomd.xml",
        "/repository/listed/x.rpm",
        "/v2/hub/team/app/manifests/1",
        f"/v2/hub/team/app/blobs/sha256:{'0' * 64}",
    ):
        answer = filled.ask(method, path)
        assert answer.status_code == 503, path
        assert int(answer.headers["Retry-After"]) > 0, path
        if method == "GET" and not path.startswith("/v2"):
            assert answer.get_json()["error"] == "offline"
    assert upstream.connections == before
    assert filled.get("/health").status_code == 200


def test_one_remote_offline_leaves_the_others(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.txt", b"text")
    for answer in (node.get("/repository/off/a.txt"), node.head("/repository/off/a.txt")):
        assert answer.status_code == 503
    assert upstream.connections == 0
    assert body(node.get("/repository/up/a.txt")) == b"text"
    assert "off" not in node.get("/health").get_json()["upstreams"]
