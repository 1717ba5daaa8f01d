"""What nginx keeps ends with the news about it, and nothing else does."""

from __future__ import annotations

import threading
import time

from tests.edge.conftest import Edge
from tests.edge.node import Node
from tests.stack import eventually

SECOND = 1.0


def _ended(edge: Edge, path: str, version: int, method: str = "GET") -> bool:
    answer = edge.ask(path, method)
    return answer.body.split()[1:2] == [str(version).encode()] if method == "GET" else answer.cache == "MISS"


def test_only_what_the_news_name_is_dropped(edge: Edge, node: Node) -> None:
    edge.start_leased()
    paths = ("/alma/a.rpm", "/alma/b%20b.rpm", "/alma/a.rpm?x=1", "/other/a.rpm")
    for path in paths:
        edge.kept(path)
    edge.kept("/alma/a.rpm", "HEAD")
    number = node.purge("alma", "a.rpm")
    eventually(lambda: node.acknowledged(number), "one key is dropped", SECOND)
    assert edge.ask("/alma/a.rpm").cache == "MISS"
    assert edge.ask("/alma/a.rpm?x=1").cache == "MISS"  # the same entry under another URL
    assert edge.ask("/alma/a.rpm", "HEAD").cache == "MISS"
    assert edge.ask("/alma/b%20b.rpm").cache == edge.ask("/other/a.rpm").cache == "HIT"
    number = node.purge("alma", "b b.rpm")
    eventually(lambda: node.acknowledged(number), "one with a quoted key is dropped", SECOND)
    assert edge.ask("/alma/b%20b.rpm").cache == "MISS"
    number = node.purge("alma")
    eventually(lambda: node.acknowledged(number), "a repository is dropped", SECOND)
    assert {edge.ask(path).cache for path in paths[:3]} == {"MISS"}
    assert edge.ask("/other/a.rpm").cache == "HIT"
    assert edge.leased
    node.known.oldest = node.purge("nobody")
    node.known.cursors.clear()
    eventually(lambda: edge.ask("/other/a.rpm").cache == "MISS", "everything is dropped", 2)


def test_a_response_that_overtook_the_news_is_gone_within_a_second(edge: Edge, node: Node) -> None:
    edge.start_leased()
    edge.kept("/alma/before")
    node.known.late["/alma/slow"] = threading.Event()
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(edge.ask("/alma/slow").body))
    reader.start()
    eventually(lambda: node.known.asked["GET /alma/slow"] == 1, "the node has looked it up")
    number = node.purge("alma")
    eventually(lambda: node.acknowledged(number), "the news are applied", SECOND)
    node.known.late.pop("/alma/slow").set()
    reader.join(5)
    assert got[0].split()[1] == b"1"  # it was under way
    time.sleep(0.6)
    assert edge.ask("/alma/slow").body.split()[1] == b"2"
    edge.kept("/alma/slow")  # and the new one stays
    time.sleep(0.6)
    assert edge.ask("/alma/slow").cache == "HIT"


def test_ranges_and_conditions_are_answered_from_what_is_kept(edge: Edge, node: Node) -> None:
    edge.start_leased()
    edge.kept("/alma/a")
    assert edge.ask("/alma/a", Range="bytes=0-6").body == b"/alma/a"
    assert edge.ask("/alma/a", **{"If-None-Match": '"1"'}).status == 304
    node.purge("alma", "a")
    eventually(lambda: edge.ask("/alma/a", Range="bytes=8-8").body == b"2", "the new one", SECOND)


def test_a_filled_cache_survives_a_restart_of_the_agent(edge: Edge, node: Node) -> None:
    edge.start_leased()
    for path in ("/alma/a", "/alma/b", "/other/a"):
        edge.kept(path)
    assert edge.end() == 0
    assert not edge.leased
    assert edge.ask("/alma/a").cache != "HIT"  # another key without the lease
    node.purge("alma", "a")
    edge.start_leased()
    assert edge.ask("/alma/a").cache == "MISS"
    assert edge.ask("/alma/b").cache == edge.ask("/other/a").cache == "HIT"


def test_what_arrives_while_the_agent_is_dead_is_judged_too(edge: Edge, node: Node) -> None:
    edge.start_leased()
    node.known.late["/alma/slow"] = threading.Event()
    reader = threading.Thread(target=lambda: edge.ask("/alma/slow"))
    reader.start()
    eventually(lambda: node.known.asked["GET /alma/slow"] == 1, "the node has looked it up")
    number = node.purge("alma")
    eventually(lambda: node.acknowledged(number), "the news are applied", SECOND)
    assert edge.end() == 0  # the state knows that number
    node.known.late.pop("/alma/slow").set()
    reader.join(5)
    assert len(edge.files()) == 1
    edge.start_leased()
    assert edge.ask("/alma/slow").body.split()[1] == b"2"


def test_an_agent_that_knows_nothing_begins_with_an_empty_cache(edge: Edge, node: Node) -> None:
    edge.start_leased()
    edge.kept("/alma/a")
    edge.kill()
    edge.state.unlink()
    (edge.cache / "0" / "00").mkdir(parents=True, exist_ok=True)
    (edge.cache / "0" / "00" / ("ab" * 14 + "0000")).write_bytes(b"not nginx's")
    edge.start_leased()
    assert edge.files() == []
