"""The hits that edges report: counted like a node's own, once, and as pulls in the record."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable

import pytest

from app import metrics
from app.stores.pulls import Named
from app.web.pulls import BODY, HITS, Hits, _artifact
from app.web.usage import Artifact
from tests.http.node import ADMIN, Node, body
from tests.http.recording import NOW, pulls, report, row, sent, written
from tests.http.variant import NOBODY, worker
from tests.upstreams import Upstream

UP = "/repository/up"


def test_hits_of_an_edge_count_like_our_own(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.rpm", b"a")
    body(node.get(f"{UP}/a.rpm"))
    written(node)
    before = _counted()
    assert sent(node, report(row("up", "a.rpm"), row("gone", "a.rpm"), row("up", "evicted.rpm"))).status_code == 204
    assert [now - then for now, then in zip(_counted(), before, strict=True)] == [4, 40, 4, 0]
    written(node)
    told = node.admin("GET", "/metrics?format=json").get_json()["repositories"]
    assert set(told) == {"up"}
    assert (told["up"]["hits"], told["up"]["bytes"]) == (4, 41)
    edge = [each for each in pulls(node) if each["client"] == "10.0.0.9"]
    assert sorted((each["path"], each["requests"], each["bytes"]) for each in edge) == [
        ("a.rpm", 2, 20),
        ("evicted.rpm", 2, 20),
    ]


@pytest.mark.parametrize(
    ("given", "pulled"),
    [
        ({"bytes": 0}, True),  # an empty file
        ({"status": 206}, True),
        ({"status": 304, "bytes": 0}, False),
        ({"method": "HEAD", "bytes": 0}, False),
        ({"status": 416, "bytes": 7}, False),
    ],
    ids=str,
)
def test_what_is_a_pull_of_an_edges_hits(node: Node, given: dict[str, object], pulled: bool) -> None:
    node.admin("PUT", "/repository/team/t.bin", b"t")
    labels = ("team", str(given.get("method", "GET")), str(given.get("status", 200)), "HIT")
    before = metrics.REQUESTS.labels(*labels)._value.get()
    assert sent(node, report(row("team", "t.bin", **given))).status_code == 204
    assert metrics.REQUESTS.labels(*labels)._value.get() - before == 2
    assert [each["requests"] for each in pulls(node)] == [2] * pulled


def test_a_report_that_comes_again_is_not_counted_again(node: Node) -> None:
    """Its answer did not arrive."""
    node.admin("PUT", "/repository/team/t.bin", b"t")
    one, other = report(row("team", "t.bin")), report(row("team", "t.bin"))
    for each in (one, one, other, one):
        assert sent(node, each).status_code == 204
    assert [each["requests"] for each in pulls(node)] == [4]


def test_without_redis_a_report_waits(node: Node) -> None:
    """Nobody knows whether it was counted: it is sent again, and counted then."""
    node.admin("PUT", "/repository/team/t.bin", b"t")
    with worker(node, redis_url=NOBODY["redis_url"]) as client:
        given = report(row("team", "t.bin"))
        answer = client.post("/api/v1/edges/e1/hits", headers=ADMIN, json=given)
        assert (answer.status_code, answer.get_json()["error"]) == (503, "store_unavailable")
    assert pulls(node) == []
    assert sent(node, given).status_code == 204
    assert [each["requests"] for each in pulls(node)] == [2]


def test_a_report_that_is_being_counted_waits(node: Node) -> None:
    given = report(row("team", "t.bin"))
    assert node.app.extensions["artifactapi"].memory.edges.claim(given["report"])
    answer = sent(node, given)
    assert (answer.status_code, answer.get_json()["error"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def _counted() -> list[float]:
    labels = ("up", "GET", "200", "HIT")
    timed = next(each for each in metrics.SECONDS.labels("up")._child_samples() if each.name == "_count")
    return [
        metrics.REQUESTS.labels(*labels)._value.get(),
        metrics.BYTES.labels("up", "HIT")._value.get(),
        metrics.EDGE.labels("up")._value.get(),
        timed.value,
    ]


def test_an_edge_that_keeps_an_entry_in_use_keeps_it_from_eviction(node: Node, upstream: Upstream) -> None:
    for name in ("hot", "cold"):
        upstream.put(f"/{name}.rpm", b"a")
        body(node.get(f"{UP}/{name}.rpm"))
    written(node)
    index = node.carrier.engine.shelf.catalog.index
    assert sent(node, report(row("up", "hot.rpm"))).status_code == 204
    node.app.extensions["artifactapi"].finish.usage.flush()
    assert [each.path for each in index.coldest(["up"], False, 2)] == ["cold.rpm", "hot.rpm"]


def test_minutes_of_another_clock(node: Node) -> None:
    node.admin("PUT", "/repository/team/t.bin", b"t")
    future, past = int(NOW) + 86400, int(NOW) - 31 * 86400
    for minute in (future, past, int(NOW) - 3600 + 17):
        assert sent(node, report(row("team", "t.bin", minute=minute))).status_code == 204
    moments = [each["at"] for each in pulls(node)]
    assert len(moments) == 2
    assert moments[0] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert moments[1] == time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(NOW - 3600))


@pytest.mark.parametrize(("age", "known"), [(3600, True), (5, True), (1, False), (-30, False)])
def test_a_digest_is_only_of_what_was_certainly_served(age: int, known: bool) -> None:
    """An edge tells the entry's name; the index what it has now."""
    fetched = NOW - age
    hits = Hits("up", "a#1", "10.0.0.9", int(NOW) + 20, 1, 1)
    assert _artifact(hits, Named("a", "ab", fetched)) == Artifact("a#1", "a", "ab" if known else "")
    assert _artifact(hits, None) == Artifact("a#1", "a#1")


def test_the_digest_that_an_edge_tells_is_what_it_served(node: Node, upstream: Upstream) -> None:
    """Also where the entry has another by now, or is gone."""
    upstream.put("/a.rpm", b"new")
    body(node.get(f"{UP}/a.rpm"))
    digest = "0a" * 32
    given = report(row("up", "a.rpm", digest=digest), row("up", "gone.rpm", digest=digest))
    assert sent(node, given).status_code == 204
    assert sorted(each["path"] for each in pulls(node, digest=digest)) == ["a.rpm", "gone.rpm"]
    assert sent(node, report(row("up", "a.rpm", digest="0A"))).status_code == 422


def test_who_may_report(node: Node) -> None:
    assert node.client.post("/api/v1/edges/e1/hits", json=report()).status_code == 401
    with worker(node, edge_token="a-token-of-the-edge") as client:
        headers = {"Authorization": "Bearer a-token-of-the-edge"}
        assert client.post("/api/v1/edges/e1/hits", headers=headers, json=report()).status_code == 204
        assert client.get("/api/v1/pulls", headers=headers).status_code == 401


BAD: dict[str, Callable[[dict[str, object]], object]] = {
    "a list": lambda good: [good],
    "no rows": lambda good: {"report": "0" * 32},
    "no number": lambda good: {"hits": [good]},
    "a number of another form": lambda good: report(good) | {"report": "0" * 31 + "G"},
    "a number": lambda good: 5,
    "more": lambda good: report(good) | {"more": 1},
    "too many": lambda good: report(*itertools.repeat(good, HITS + 1)),
    "a row of text": lambda good: report() | {"hits": ["x"]},
    **{
        f"no {name}": lambda good, name=name: report({k: v for k, v in good.items() if k != name})  # type: ignore[misc]
        for name in ("repository", "key", "client", "minute", "requests", "bytes")
    },
    "nothing asked": lambda good: report(good | {"requests": 0}),
    "negative": lambda good: report(good | {"bytes": -1}),
    "huge": lambda good: report(good | {"bytes": 10**30}),
    "a float": lambda good: report(good | {"minute": 1.5}),
    "a NUL": lambda good: report(good | {"key": "a\0b"}),
    "a surrogate": lambda good: report(good | {"key": "a\ud800"}),
    "no key": lambda good: report(good | {"key": ""}),
    "unknown field": lambda good: report(good | {"hits": 1}),
    "another method": lambda good: report(good | {"method": "POST"}),
    "no status": lambda good: report(good | {"status": 99}),
    "a status of text": lambda good: report(good | {"status": "200"}),
}


def test_a_report_is_checked_whole(node: Node) -> None:
    good = row("team", "t.bin")
    for case, broken in BAD.items():
        answer = sent(node, broken(good))
        assert (answer.status_code, answer.get_json()["error"]) == (422, "unprocessable"), case
    assert pulls(node) == []


def test_a_report_that_is_no_json(node: Node) -> None:
    for text in (b"", b"{", b"[" * 50_000, b'{"hits": [' + b"9" * 5000 + b"]}", b"\xff"):
        answer = node.admin("POST", "/api/v1/edges/e1/hits", text)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "bad_body")


def test_a_report_that_is_too_long(node: Node) -> None:
    rows = report(*itertools.repeat(row("team", "k" * 200), HITS))
    assert len(json.dumps(rows)) > BODY
    assert sent(node, rows).status_code == 413
