"""API.md, the remote form where upstream fails or a copy has expired, line by line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.conftest import QUICK
from tests.http.node import Node, body
from tests.upstreams import Upstream

API, URL = "/api/v1/remote", "/repository"


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    common = {"package": "generic", "upstream": QUICK, "cache": {"mutable_ttl": 100}}
    remotes["remotes"] |= {
        "fetching": common | {"base_url": upstream.url, "check_mutable_updates": False},
        "offline": common | {"base_url": upstream.url, "offline": True},
        "two": common | {"base_urls": ["http://127.0.0.1:1/", upstream.url]},
    }
    return remotes


# -- upstream's bad days, with nothing stored --------------------------------------------------------------------


def test_nothing_stored_and_upstream_says_no(node: Node, upstream: Upstream) -> None:
    expected = {404: 404, 410: 404, 401: 502, 403: 502, 400: 502, 500: 502, 503: 502, 429: 502, 204: 502, 206: 502}
    for theirs, ours in expected.items():
        upstream.clear()
        upstream.status(theirs, headers={"Retry-After": "7"} if theirs in (429, 503) else None)
        for form in (API, URL):
            node.clock.forward(8)  # past its Retry-After
            answer = node.get(f"{form}/up/status-{theirs}{form.replace('/', '-')}")
            assert answer.status_code == ours, theirs
            assert answer.headers.get("X-Upstream-Status", str(theirs)) == str(theirs)
            assert answer.get_json()["request_id"] == answer.headers["X-Request-Id"]
            if theirs in (429, 503):
                assert answer.headers["Retry-After"] == "7"
    assert node.blobs() == []


def test_nothing_stored_and_no_answer_in_time(node: Node, upstream: Upstream) -> None:
    upstream.hang()
    answer = node.get(f"{API}/up/a")
    assert (answer.status_code, answer.get_json()["error"]) == (504, "upstream_timeout")


def test_nothing_stored_and_nobody_there(node: Node, upstream: Upstream) -> None:
    upstream.stop()
    answer = node.get(f"{API}/up/a")
    assert (answer.status_code, answer.get_json()["error"]) == (502, "upstream_unreachable")
    upstream.start()
    upstream.put("/a", b"body")
    assert body(node.get(f"{API}/up/a")) == b"body"


def test_an_offline_remote_never_dials(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"body")
    answer = node.get(f"{API}/offline/a")
    assert (answer.status_code, answer.get_json()["error"], upstream.connections) == (503, "offline", 0)


def test_a_second_base_url_answers_where_the_first_does_not(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"body")
    assert body(node.get(f"{API}/two/a")) == b"body"


# -- expired ------------------------------------------------------------------------------------------------------


def test_an_expired_copy_unchanged_upstream_costs_no_download(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"body")
    body(node.get(f"{API}/up/a"))
    node.idle()
    blobs, sent = node.blobs(), upstream.sent
    node.clock.forward(101)
    again = node.get(f"{API}/up/a")
    assert (again.status_code, again.headers["X-Cache"], body(again)) == (200, "REVALIDATED", b"body")
    node.idle()
    assert (upstream.sent, node.blobs()) == (sent, blobs)
    assert {"if-none-match", "if-modified-since"} <= set(upstream.requests[-1].headers)
    node.clock.forward(99)
    assert node.get(f"{API}/up/a").headers["X-Cache"] == "HIT", "its TTL began again"


def test_without_checks_an_expired_copy_is_fetched_unconditionally(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"body")
    body(node.get(f"{API}/fetching/a"))
    node.idle()
    node.clock.forward(101)
    assert body(node.get(f"{API}/fetching/a")) == b"body"
    node.idle()
    assert upstream.count() == 2
    assert not {"if-none-match", "if-modified-since"} & set(upstream.requests[-1].headers)


def test_a_changed_copy_whose_fetch_fails_is_not_lost(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"old" * 1000)
    body(node.get(f"{API}/up/a"))
    node.idle()
    upstream.put("/a", b"new" * 1000)
    node.clock.forward(101)
    upstream.cut(100, "/a")
    stale = node.get(f"{API}/up/a")
    assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", b"old" * 1000)
    node.idle()
    upstream.clear()
    node.clock.forward(31)
    assert body(node.get(f"{API}/up/a")) == b"new" * 1000


def test_stale_says_why(node: Node, upstream: Upstream) -> None:
    for status in (401, 403, 404, 410):
        path = f"/gone-{status}"
        upstream.put(path, b"body")
        for form in (API, URL):
            body(node.get(f"{form}/up{path}"))
        node.idle()
        node.clock.forward(101)
        upstream.status(status, path)
        for form in (API, URL, API):
            stale = node.get(f"{form}/up{path}")
            assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", b"body"), status
            assert (stale.headers["X-Upstream-Status"], stale.headers["Warning"][:4]) == (str(status), "110 ")
            assert stale.headers["X-Artifact-Source"] == "cache"


def test_dropped_is_upstreams_status(node: Node, upstream: Upstream) -> None:
    for theirs, ours in ((404, 404), (410, 410), (401, 502), (403, 502)):
        path = f"/gone-{theirs}"
        upstream.put(path, b"body")
        body(node.get(f"{API}/drop{path}"))
        node.idle()
        upstream.status(theirs, path)
        node.clock.forward(101)
        assert node.get(f"{API}/drop{path}").status_code == ours
        upstream.clear(path)
        upstream.remove(path)
