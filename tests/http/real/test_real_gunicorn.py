"""What only the real thing shows: four workers and a fills process that count together, and one line a request."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.http.byteranges import parts
from tests.http.raw import Reply, ask, request
from tests.http.real.asking import ADMIN, BIG, GOOD, HANDED, TOKEN
from tests.stack import Stack, eventually
from tests.upstreams import Upstream

pytestmark = pytest.mark.usefixtures("unharmed")
TIMES = 120
CACHED = {"HIT", "STALE", "REVALIDATED", "UPDATING"}

Series = tuple[str, str, str, str]  # repository, method, status, X-Cache


def get(stack: Stack, target: str, *lines: str, method: str = "GET") -> Reply:
    return ask(stack.port, request(method, target, *lines))


def warm(stack: Stack) -> None:
    for target in (GOOD, HANDED):
        eventually(lambda target=target: get(stack, target).headers["x-cache"] == "HIT", target)  # type: ignore[misc]


def requests_counted(stack: Stack) -> dict[Series, float]:
    text = get(stack, "/metrics").body.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        (each.labels["repository"], each.labels["method"], each.labels["status"], each.labels["cache"]): each.value
        for each in samples
        if each.name == "artifactapi_requests_total"
    }


def test_metrics_are_of_all_workers_together(stack: Stack) -> None:
    warm(stack)
    before = quiet(stack)
    asked = [(GOOD, 200), (HANDED, 200), ("/repository/team/none", 404), ("/nothing", 404)]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: get(stack, asked[number % 4][0]).status, range(4 * TIMES)))
    assert done == [status for _, status in asked] * TIMES
    for series, number in (
        (("up", "GET", "200", "HIT"), 2 * TIMES),  # half by the workers, half by the fills process
        (("team", "GET", "404", ""), TIMES),
    ):
        eventually(lambda: _added(stack, before, series) >= number, str(series))  # noqa: B023  a log line comes last
        assert _added(stack, before, series) == number
    pages = [requests_counted(stack)["up", "GET", "200", "HIT"] for _ in range(8)]
    assert len(set(pages)) == 1, "whichever worker answers"


def quiet(stack: Stack) -> dict[Series, float]:
    """What is counted once nothing more of earlier requests is: a count comes after its answer."""
    before: dict[Series, float] = {}
    while (now := {series: number for series, number in requests_counted(stack).items() if series[0]}) != before:
        before = now
        time.sleep(0.2)
    return now


def _added(stack: Stack, before: dict[Series, float], series: Series) -> float:
    return requests_counted(stack)[series] - before.get(series, 0)


def test_json_metrics_tell_the_same(stack: Stack) -> None:
    warm(stack)
    before = requests_counted(stack)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: get(stack, (GOOD, HANDED)[number % 2]), range(2 * TIMES)))
    eventually(lambda: _added(stack, before, ("up", "GET", "200", "HIT")) == 2 * TIMES, "counted as text")
    eventually(lambda: _json(stack)["hits"] >= 2 * TIMES, "each process sends its counts every second")
    eventually(lambda: _json(stack)["hits"] == _hits(stack), "and misses none")
    told = _json(stack)
    assert told["hits"] > told["misses"] > 0
    assert told["bytes"] >= TIMES * (len(b"hello") + len(BIG))
    assert told["ratio"] == round(told["hits"] / (told["hits"] + told["misses"]), 4)


def _json(stack: Stack) -> dict[str, float]:
    """The remote's part of the JSON form; zeros until something was counted."""
    told = get(stack, "/metrics?format=json").json["repositories"]
    return dict(told.get("up", {"hits": 0}))


def _hits(stack: Stack) -> float:
    series = requests_counted(stack).items()
    return sum(number for (name, _, _, cache), number in series if name == "up" and cache in CACHED)


def test_every_request_is_one_line(stack: Stack) -> None:
    warm(stack)
    secret = "Authorization: Basic czNjcmV0OnMzY3JldA=="
    asked: list[tuple[str, str, tuple[str, ...], dict[str, object]]] = [
        ("GET", GOOD, (), {"status": 200, "bytes": 5, "repository": "up", "cache": "HIT"}),
        ("GET", GOOD, ("Range: bytes=0-1",), {"status": 206, "bytes": 2, "cache": "HIT"}),
        ("HEAD", GOOD, (), {"status": 200, "bytes": 0, "cache": "HIT"}),
        ("GET", HANDED, (secret,), {"status": 200, "bytes": len(BIG), "repository": "up", "cache": "HIT"}),
        ("GET", "/repository/up/none", (secret,), {"status": 404, "repository": "up", "cache": "NEGATIVE"}),
        ("GET", "/repository/nope/x", (), {"status": 404, "repository": "", "cache": ""}),
        ("GET", "/repository/up/a/../b", (), {"status": 400}),
        ("PUT", "/repository/team/x", (secret,), {"status": 401}),
        ("GET", "/nothing?token=a-s3cret-in-a-query", (), {"status": 404}),
        ("GET", "/health/live", (), {"status": 200}),
    ]
    for number, (method, target, lines, _) in enumerate(asked):
        reply = ask(stack.port, request(method, target, f"X-Request-Id: line-{number}", *lines))
        assert reply.headers["x-request-id"] == f"line-{number}"
        assert reply.headers["connection"] == "close"
        assert reply.headers["date"]
    eventually(lambda: len(_lines(stack)) >= len(asked), "logged")
    lines_of = {line["request_id"]: line for line in _lines(stack)}
    assert len(_lines(stack)) == len(lines_of) == len(asked), "one line each"
    for number, (method, target, _, expected) in enumerate(asked):
        line = lines_of[f"line-{number}"]
        assert expected.items() <= line.items(), line
        assert (line["method"], line["path"], line["client"]) == (method, target.partition("?")[0], "127.0.0.1")
        assert line["duration_ms"] >= 0
    for word in (TOKEN, "s3cret", "czNjcmV0"):
        assert word not in stack.log()


def _lines(stack: Stack) -> list[dict[str, Any]]:
    return [line for line in stack.lines("request") if str(line["request_id"]).startswith("line-")]


def test_errors_of_both_processes_read_alike(stack: Stack, origin: Upstream) -> None:
    origin.status(403, "/denied")
    for target, lines, status, code in (
        ("/repository/up/none-at-all", (), 404, "not_found"),
        ("/repository/up/none-at-all", (), 404, "not_found"),
        ("/repository/up/denied", (), 502, "upstream_denied"),
        ("/repository/nope/a", (), 404, "unknown_repository"),
        (GOOD, ("Range: bytes=99-",), 416, "range_not_satisfiable"),
        (HANDED, ("Range: bytes=999999999-",), 416, "range_not_satisfiable"),
    ):
        reply = get(stack, target, *lines)
        assert (reply.status, reply.json["error"]) == (status, code)
        assert reply.headers["content-type"] == "application/json"
        assert reply.json["request_id"] == reply.headers["x-request-id"]
        assert int(reply.headers["content-length"]) == len(reply.body)
        if status != 416:
            head = get(stack, target, *lines, method="HEAD")
            assert (head.status, head.body) == (status, b"")


def test_what_the_workers_and_the_fills_process_send_is_framed_alike(stack: Stack) -> None:
    warm(stack)
    for target, content in ((GOOD, b"hello"), (HANDED, BIG)):
        size = len(content)
        whole = get(stack, target)
        assert (whole.body, whole.headers["content-length"]) == (content, str(size))
        head = get(stack, target, method="HEAD")
        common = {"date", "x-request-id", "server"}
        assert {k: v for k, v in head.headers.items() if k not in common} == {
            k: v for k, v in whole.headers.items() if k not in common
        }
        assert get(stack, target, f"If-None-Match: {whole.headers['etag']}").status == 304
        assert get(stack, target, "Range: bytes=1-3").body == content[1:4]
        several = get(stack, target, "Range: bytes=0-0,2-2,-1")
        found = parts({"Content-Type": several.headers["content-type"]}, several.body, size)
        assert found == [(0, content[:1]), (2, content[2:3]), (size - 1, content[-1:])]
        assert "transfer-encoding" not in several.headers


def test_256_ranges_of_a_body_that_is_handed_over(stack: Stack) -> None:
    warm(stack)
    spans = [(at * 1500, at * 1500 + 1400) for at in range(256)]
    reply = get(stack, HANDED, "Range: bytes=" + ",".join(f"{first}-{stop - 1}" for first, stop in spans))
    assert reply.status == 206
    assert int(reply.headers["content-length"]) == len(reply.body) > 256 * 1024, "more than a worker sends itself"
    found = parts({"Content-Type": reply.headers["content-type"]}, reply.body, len(BIG))
    assert found == [(first, BIG[first:stop]) for first, stop in spans]


def test_a_flush_reaches_every_worker(stack: Stack, origin: Upstream) -> None:
    def read(_: int = 0) -> Reply:
        return get(stack, "/repository/up/changing")

    origin.put("/changing", b"old")
    eventually(lambda: read().headers["x-cache"] == "HIT", "stored")
    with ThreadPoolExecutor(8) as pool:
        assert {reply.body for reply in pool.map(read, range(40))} == {b"old"}
        origin.put("/changing", b"new")
        flushed = get(stack, "/cache/flush?remote=up&path=changing", ADMIN, "Content-Length: 0", method="PUT")
        assert (flushed.status, flushed.json["flushed"]["s3_objects"]) == (200, 1)
        assert {reply.body for reply in pool.map(read, range(40))} == {b"new"}
