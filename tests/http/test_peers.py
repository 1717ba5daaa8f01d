"""/api/v1/fills: a download is read only by who knows the token of its lock; everything else is no download."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from werkzeug.test import TestResponse

from app.errors import UpstreamUnreachable
from app.fills.fill import Fill
from app.fills.spool import Head, Spool
from app.upstream.peers import PATH, packed, proof, proven, unpacked
from tests.http.node import Node, body
from tests.stack import eventually
from tests.upstreams import Upstream

CONTENT = b"seen while it arrives " * 50_000


def follow(node: Node, name: str, shown: str) -> TestResponse:
    return node.get(PATH, X_Fill=packed(name.encode()), Authorization=shown)


@contextmanager
def downloading(node: Node, upstream: Upstream) -> Iterator[Fill]:
    """A fill that has its head, and its body in slow motion."""
    upstream.put("/a.rpm", CONTENT)
    upstream.rate(len(CONTENT))
    reader = threading.Thread(target=lambda: body(node.get("/repository/up/a.rpm")))
    reader.start()
    name = "up@0/a.rpm"
    eventually(lambda: (found := node.carrier.engine.flights.find(name)) and found.head, "its head")
    found = node.carrier.engine.flights.find(name)
    assert found is not None
    try:
        yield found
    finally:
        upstream.rate(None)
        reader.join()


def test_the_proof_opens_it(node: Node, upstream: Upstream) -> None:
    with downloading(node, upstream) as fill:
        got: list[TestResponse] = []
        shown = f"Fill {proof(fill.token, fill.name)}"
        reader = threading.Thread(target=lambda: got.append(follow(node, fill.name, shown)))
        reader.start()
        upstream.rate(None)
        reader.join()
    answer = got[0]
    head = Head.from_line(answer.headers["X-Fill-Head"])
    assert (answer.status_code, head.length) == (200, len(CONTENT))
    assert "Server" not in answer.headers


def test_a_proxy_of_http_1_0_sees_the_end_or_nothing(node: Node) -> None:
    """A body of unknown length has no other end there than the connection's, so it waits for the verdict."""
    fill = Fill("up@0/x")
    fill.token = "token"
    spool = Spool(node.settings.layout.spool, fill.name, 5)
    fill.arrive(Head("text/plain", None), spool)
    spool.write(b"x" * 200_000)
    fill.progress(spool.size)
    flights = node.carrier.engine.flights
    flights._running[fill.name] = fill
    breaks = threading.Timer(0.5, lambda: fill.fail(UpstreamUnreachable("it broke off")))
    breaks.start()
    try:
        shown = {"X-Fill": packed(fill.name.encode()), "Authorization": f"Fill {proof('token', fill.name)}"}
        old = {"SERVER_PROTOCOL": "HTTP/1.0"}
        assert node.client.get(PATH, headers=shown, environ_overrides=old).status_code == 502
    finally:
        breaks.join()
        del flights._running[fill.name]
        spool.close()


def test_nothing_else_does(node: Node, upstream: Upstream) -> None:
    with downloading(node, upstream) as fill:
        other = proof(fill.token, "up@0/b.rpm")
        for shown in (
            "",
            "Fill ",
            "Fill 00",
            "Bearer an-admin-token-of-the-tests",
            "wrong",
            "Fill é",
            f"Fill {other}",
        ):
            answer = follow(node, fill.name, shown)
            assert (answer.status_code, answer.get_json()["error"]) == (404, "unknown_fill")


def test_what_does_not_run_is_told_the_same(node: Node) -> None:
    answer = follow(node, "up@0/none", f"Fill {proof('', 'up@0/none')}")
    assert (answer.status_code, answer.get_json()["error"]) == (404, "unknown_fill")


@pytest.mark.parametrize("name", ["é", "not base64!", "a"])
def test_a_name_that_is_none_is_refused(node: Node, name: str) -> None:
    assert node.get(PATH, X_Fill=name).status_code == 400


def test_without_a_lock_nothing_is_proven() -> None:
    assert not proven("", "x", f"Fill {proof('', 'x')}")
    name = "x\ud800"
    assert proven("t", name, f"Fill {proof('t', name)}")


def test_names_survive() -> None:
    assert unpacked(packed(b"\xff\x00 any")) == b"\xff\x00 any"
