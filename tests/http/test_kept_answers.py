"""A node's answers to a cache in front, from the request to the log line."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from app.stores.edges import Edges
from app.web.node import EXTENSION
from tests.http.node import Node, body
from tests.http.recording import pulls
from tests.upstreams import Upstream

UP = "/repository/up"
DAY = 86400


def edges(node: Node) -> Edges:
    return node.app.extensions[EXTENSION].memory.edges  # type: ignore[no-any-return]


def expires(headers: Any) -> int:
    return int(headers["X-Accel-Expires"].removeprefix("@"))


@pytest.fixture
def clock() -> int:
    return int(time.time())


@pytest.fixture
def asked(clock: int) -> dict[str, str]:
    return {"X_Edge": f"{clock}.250"}


def stored(node: Node, upstream: Upstream, path: str, content: bytes = b"small") -> str:
    upstream.put(path, content)
    body(node.get(f"{UP}{path}"))
    node.idle()
    return node.get(f"{UP}{path}").headers["ETag"]


def test_what_never_changes_is_kept_long_while_an_edge_asks_for_news(
    node: Node, upstream: Upstream, asked: dict[str, str], clock: int
) -> None:
    stored(node, upstream, "/a-1.rpm")
    assert expires(node.get(f"{UP}/a-1.rpm", **asked).headers) == clock, "nobody could tell an edge of changes"
    news = edges(node).poll("edge", 0)
    told = node.get(f"{UP}/a-1.rpm", **asked).headers
    assert expires(told) == clock + DAY
    digest = told["X-Checksum-Sha256"]
    assert told["X-Edge-Entry"] == f"{news.cursor} up a-1.rpm {digest}"
    assert told["X-Cache"] == "HIT"


def test_a_flush_makes_a_later_stamp(node: Node, upstream: Upstream, asked: dict[str, str]) -> None:
    stored(node, upstream, "/a-1.rpm")
    before = edges(node).poll("edge", 0).cursor
    node.admin("PUT", "/cache/flush?remote=up")
    body(node.get(f"{UP}/a-1.rpm"))
    node.idle()
    after = int(node.get(f"{UP}/a-1.rpm", **asked).headers["X-Edge-Entry"].partition(" ")[0])
    assert [each.repository for each in edges(node).poll("edge", before).purges] == ["up"]
    assert after > before


@pytest.mark.parametrize("path", ["/new.rpm", "/gone.txt"], ids=["miss", "not found"])
def test_what_was_just_fetched_and_what_is_not_there_is_not_kept(
    node: Node, upstream: Upstream, asked: dict[str, str], path: str
) -> None:
    upstream.put("/new.rpm", b"new")
    told = node.get(f"{UP}{path}", **asked)
    assert "X-Accel-Expires" not in told.headers and "X-Edge-Entry" not in told.headers


def test_hosted_files_are_not_kept(node: Node, asked: dict[str, str]) -> None:
    node.admin("PUT", "/repository/team/t.bin", b"hosted")
    assert "X-Accel-Expires" not in node.get("/repository/team/t.bin", **asked).headers


def test_what_nginx_sends_from_the_disk_is_not_kept(node: Node, upstream: Upstream, asked: dict[str, str]) -> None:
    stored(node, upstream, "/large.rpm", b"x" * 70_000)
    assert "X-Accel-Expires" not in node.get(f"{UP}/large.rpm", **asked).headers
    told = node.head(f"{UP}/large.rpm", **asked).headers
    assert told["Content-Length"] == "70000" and "X-Accel-Expires" in told


def test_a_condition_is_left_to_the_edge_and_is_told_as_what_it_makes_of_it(
    node: Node, upstream: Upstream, asked: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    etag = stored(node, upstream, "/l.txt")
    before = sum(each["requests"] for each in pulls(node))
    caplog.set_level(logging.INFO, "artifactapi.request")
    told = node.get(f"{UP}/l.txt", If_None_Match=etag, **asked)
    assert (told.status_code, body(told)) == (200, b"small")
    assert "X-Accel-Expires" in told.headers
    fields = caplog.records[-1].__dict__["fields"]
    assert (fields["status"], fields["bytes"], fields["cache"]) == (304, 0, "HIT")
    assert sum(each["requests"] for each in pulls(node)) == before, "a 304 is no pull"
    assert node.get(f"{UP}/l.txt", If_None_Match='"other"', **asked).status_code == 200
    assert sum(each["requests"] for each in pulls(node)) == before + 1


def test_damaged_bytes_are_news_for_whoever_may_have_them(node: Node, upstream: Upstream) -> None:
    stored(node, upstream, "/a-1.rpm", b"the same bytes")
    before = edges(node).poll("edge", 0).cursor
    known = node.carrier.engine.shelf.catalog
    entry = known.index.find("up", "a-1.rpm")[1]
    assert entry is not None
    known.damaged(entry.digest)
    assert [each.repository for each in edges(node).poll("edge", before).purges] == ["up"]
