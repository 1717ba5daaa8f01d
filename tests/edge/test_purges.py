"""What nginx keeps ends with the news about it, and nothing else does."""

from __future__ import annotations

import signal
import threading
import time

from app.edge.cursor import SETTLING
from tests.edge.conftest import Edge, running
from tests.edge.node import Node
from tests.stack import eventually

SOON = 4.0  # seconds; usually one


def _purged(node: Node, repository: str, key: str | None = None) -> None:
    """It is news, and each edge has acknowledged it."""
    number = node.purge(repository, key)
    eventually(lambda: node.acknowledged(number), f"{key or repository} is dropped", SOON)


def test_only_what_the_news_name_is_dropped(edge: Edge, node: Node) -> None:
    edge.start_leased()
    paths = ("/alma/a.rpm", "/alma/b%20b.rpm", "/alma/a.rpm?x=1", "/other/a.rpm")
    for path in paths:
        edge.kept(path)
    edge.kept("/alma/a.rpm", "HEAD")
    _purged(node, "alma", "a.rpm")
    assert edge.ask("/alma/a.rpm").cache == "MISS"
    assert edge.ask("/alma/a.rpm?x=1").cache == "MISS"  # the same entry under another URL
    assert edge.ask("/alma/a.rpm", "HEAD").cache == "MISS"
    assert edge.ask("/alma/b%20b.rpm").cache == edge.ask("/other/a.rpm").cache == "HIT"
    _purged(node, "alma", "b b.rpm")
    assert edge.ask("/alma/b%20b.rpm").cache == "MISS"
    _purged(node, "alma")
    assert {edge.ask(path).cache for path in paths[:3]} == {"MISS"}
    assert edge.ask("/other/a.rpm").cache == "HIT"
    assert edge.leased
    node.known.oldest = node.purge("nobody")
    eventually(lambda: edge.version("/other/a.rpm") == node.known.version, "everything is dropped", SOON)
    edge.kept("/other/a.rpm")  # with a new lease


class UnderWay:
    """An answer that the node has looked up, and that nginx has when arrive() is called."""

    def __init__(self, edge: Edge, node: Node, path: str) -> None:
        self._held = node.known.late[path] = threading.Event()
        self._versions: list[int] = []
        self._reader = threading.Thread(target=lambda: self._versions.append(edge.version(path)))
        self._reader.start()
        eventually(lambda: node.known.asked[f"GET {path}"] == 1, "the node has looked it up")
        del node.known.late[path]

    def arrive(self) -> int:
        """Its version."""
        self._held.set()
        self._reader.join(5)
        return self._versions[0]


def test_an_answer_that_was_under_way_is_gone_before_the_news_are_acknowledged(edge: Edge, node: Node) -> None:
    """It comes 0.3 s after the agent was told of them."""
    edge.start_leased()
    edge.kept("/alma/before")
    late = UnderWay(edge, node, "/alma/slow")
    number, polls = node.purge("alma"), node.known.told["one"]
    eventually(lambda: node.known.told["one"] > polls, "the agent is told", SOON)
    time.sleep(0.3)
    assert not node.acknowledged(number)
    assert late.arrive() == 1
    eventually(lambda: node.acknowledged(number), "they are acknowledged", SOON)
    assert edge.leased  # all the time
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert edge.version("/alma/slow") == 2
    edge.kept("/alma/slow")  # the new one stays


def test_an_answer_that_took_longer_is_gone_within_a_second(edge: Edge, node: Node) -> None:
    edge.start_leased()
    late = UnderWay(edge, node, "/alma/slow")
    _purged(node, "alma")
    assert late.arrive() == 1
    time.sleep(0.6)
    assert edge.version("/alma/slow") == 2
    edge.kept("/alma/slow")


def test_a_variant_is_dropped_like_the_first(edge: Edge, node: Node) -> None:
    """It lies under a name of its own."""
    edge.start_leased()
    for accept in ("a/a", "b/b"):
        eventually(lambda kind=accept: edge.ask("/alma/a", Accept=kind).cache == "HIT", accept, 5)  # type: ignore[misc]
    assert edge.ask("/alma/a", Accept="a/a").cache == "HIT"
    assert len(edge.files()) == 2
    _purged(node, "alma", "a")
    assert edge.files() == []
    for accept in ("a/a", "b/b"):
        assert edge.ask("/alma/a", Accept=accept).body.split()[1:3] == [b"2", accept.encode()]


def test_two_edges_are_both_waited_for(edge: Edge, node: Node) -> None:
    with running(node, "two") as other:
        edge.start()
        other.start_leased()
        eventually(lambda: edge.leased, "both have a lease")
        edge.kept("/alma/a")
        other.kept("/alma/a")
        other.signal(signal.SIGSTOP)
        number = node.purge("alma")
        eventually(lambda: node.known.cursors["one"] >= number, "one has dropped it", SOON)
        assert edge.version("/alma/a") == 2
        assert not node.acknowledged(number)
        other.signal(signal.SIGCONT)
        eventually(lambda: node.acknowledged(number), "the other one too", SOON)
        assert other.version("/alma/a") == 2


def test_a_restart_of_nginx_with_a_filled_cache(edge: Edge, node: Node) -> None:
    edge.start_leased()
    for path in ("/alma/a", "/other/a"):
        edge.kept(path)
    edge.stop_nginx()
    _purged(node, "alma")
    edge.begin()
    assert edge.version("/alma/a") == 2
    assert edge.ask("/other/a").cache == "HIT"
    _purged(node, "other")  # found before nginx itself has read its directory
    assert edge.version("/other/a") == 3


def test_nginx_drops_files_beside_the_agent(node: Node) -> None:
    """It has room for some names, and unlinks the oldest by itself: also some that the agent has unlinked."""
    paths = [f"/alma/{number}" for number in range(400)]
    with running(node, zone="32k") as edge:
        edge.start_leased()
        for path in paths:
            edge.ask(path)
        assert 0 < len(edge.files()) < len(paths) - 50
        _purged(node, "alma")
        assert edge.files() == []
        for path in paths:
            assert edge.version(path) == 2
        edge.kept(paths[-1])
        assert edge.leased


def test_a_number_that_no_node_takes_is_forgotten_with_everything(edge: Edge, node: Node) -> None:
    edge.start_leased()
    edge.kept("/alma/a")
    assert edge.end() == 0
    node.known.version += 1
    node.known.oldest, node.known.highest = node.known.number + 1, node.known.number - 1  # below the one in its state
    edge.start()
    eventually(lambda: "does not take this cursor" in edge.told(), "it is refused", 15)
    eventually(lambda: edge.files() == [], "everything is dropped", 5)


def test_ranges_and_conditions_are_answered_from_what_is_kept(edge: Edge, node: Node) -> None:
    edge.start_leased()
    edge.kept("/alma/a")
    assert edge.ask("/alma/a", Range="bytes=0-6").body == b"/alma/a"
    assert edge.ask("/alma/a", **{"If-None-Match": '"1"'}).status == 304
    node.purge("alma", "a")
    eventually(lambda: edge.ask("/alma/a", Range="bytes=8-8").body == b"2", "the new one", SOON)


def test_a_filled_cache_survives_a_restart_of_the_agent(edge: Edge, node: Node) -> None:
    edge.start_leased()
    for path in ("/alma/a", "/alma/b", "/other/a"):
        edge.kept(path)
    assert edge.end() == 0
    assert not edge.leased
    assert edge.ask("/alma/a").cache == ""  # without a lease nginx does not even look
    node.purge("alma", "a")
    edge.start_leased()
    assert edge.ask("/alma/a").cache == "MISS"
    assert edge.ask("/alma/b").cache == edge.ask("/other/a").cache == "HIT"


def test_what_arrives_while_the_agent_is_dead_is_judged_too(edge: Edge, node: Node) -> None:
    edge.start_leased()
    late = UnderWay(edge, node, "/alma/slow")
    _purged(node, "alma")
    assert edge.end() == 0  # the state knows that number
    assert late.arrive() == 1
    eventually(lambda: len(edge.files()) == 1, "nginx has kept it", 5)
    edge.start_leased()
    assert edge.version("/alma/slow") == 2


def test_a_lease_begins_when_what_an_earlier_one_asked_for_has_had_time_to_come(edge: Edge, node: Node) -> None:
    edge.start_leased()
    late = UnderWay(edge, node, "/alma/slow")
    edge.kill()
    node.purge("alma")
    begun = time.monotonic()
    edge.start()
    time.sleep(SETTLING / 2)
    assert late.arrive() == 1
    eventually(lambda: edge.told().count(" leased ") == 2, "leased again", 15)
    assert time.monotonic() - begun > SETTLING
    assert edge.version("/alma/slow") == 2


def test_an_agent_that_knows_nothing_begins_with_an_empty_cache(edge: Edge, node: Node) -> None:
    edge.start_leased()
    edge.kept("/alma/a")
    edge.kill()
    edge.state.unlink()
    (edge.cache / "0" / "00").mkdir(parents=True, exist_ok=True)
    (edge.cache / "0" / "00" / ("ab" * 14 + "0000")).write_bytes(b"not nginx's")
    edge.start_leased()
    assert edge.files() == []
