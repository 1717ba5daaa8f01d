"""What nginx alone served is reported once, whatever happens to the log, the agent and the node."""

from __future__ import annotations

import os
import signal
from collections import Counter

from app.edge import state
from tests.edge.conftest import Edge
from tests.edge.node import Node
from tests.stack import eventually

OLD = "edge.log.1"


def _stored(edge: Edge) -> None:
    edge.ask("/alma/a%20b")
    eventually(edge.files, "nginx has stored it", 5)


def _hits(edge: Edge, number: int, file: str = "edge.log") -> None:
    """That many, until nginx has written their lines."""
    log = edge.work / file
    before = log.read_bytes().count(b"\nHIT\t")
    for _ in range(number):
        assert edge.ask("/alma/a%20b").cache == "HIT"
    eventually(lambda: (b"\n" + log.read_bytes()).count(b"\nHIT\t") >= before + number, "nginx has written", 5)


def _reported(edge: Edge, node: Node, number: int) -> None:
    """An agent that ends has reported all."""
    assert edge.end() == 0
    assert node.known.counted() == {("alma", "a b"): number}


def _reopened(edge: Edge) -> None:
    assert edge.nginx
    edge.nginx.send_signal(signal.SIGUSR1)
    eventually(edge.log.exists, "nginx has begun a new one", 5)


def test_hits_are_reported_while_it_runs_with_who_and_when(edge: Edge, node: Node) -> None:
    edge.start_leased()
    _stored(edge)
    _hits(edge, 5)
    eventually(lambda: node.known.counted()["alma", "a b"] == 5, "five hits are reported", 15)
    assert {(each["client"], each["minute"] % 60) for each in node.known.hits} == {("127.0.0.1", 0)}
    assert sum(each["bytes"] for each in node.known.hits) == 5000
    _reported(edge, node, 5)


def test_a_head_and_a_304_are_reported_as_what_they_are(edge: Edge, node: Node) -> None:
    edge.start_leased()
    _stored(edge)
    edge.kept("/alma/a%20b", "HEAD")
    edge.ask("/alma/a%20b")
    edge.ask("/alma/a%20b", **{"If-None-Match": '"1"'})
    edge.ask("/alma/a%20b", **{"If-None-Match": '"1"'})
    eventually(lambda: edge.log.read_bytes().count(b"\t304\t") == 2, "nginx has written", 5)
    assert edge.end() == 0
    requests: Counter[tuple[str, int, bool]] = Counter()
    for each in node.known.hits:
        requests[each["method"], each["status"], bool(each["bytes"])] += each["requests"]
    assert requests == {("HEAD", 200, False): 1, ("GET", 200, True): 1, ("GET", 304, False): 2}


def test_a_report_whose_answer_was_lost_is_counted_once(edge: Edge, node: Node) -> None:
    """It comes again under its number, and an agent that was killed in between has it from its state."""
    node.known.hits_status, node.known.lost = 504, True
    edge.start_leased()
    _stored(edge)
    _hits(edge, 3)
    eventually(lambda: node.known.reports, "it is sent", 15)
    edge.kill()
    edge.start_leased()
    _hits(edge, 2)
    node.known.hits_status = 204
    _reported(edge, node, 5)
    first, *again, last = node.known.reports
    assert again
    assert all(each == first for each in again)
    assert last["report"] != first["report"]


def test_a_log_that_is_renamed_or_emptied_is_followed(edge: Edge, node: Node) -> None:
    edge.start_leased()
    _stored(edge)
    _hits(edge, 3)
    edge.log.rename(edge.work / OLD)
    _hits(edge, 3, OLD)
    assert edge.leased
    _reopened(edge)
    _hits(edge, 3)
    eventually(lambda: node.known.counted()["alma", "a b"] == 9, "nine hits are reported", 15)
    os.truncate(edge.log, 0)
    _hits(edge, 2)
    assert edge.leased
    _reported(edge, node, 11)


def test_a_node_that_does_not_count_is_told_again(edge: Edge, node: Node) -> None:
    node.known.hits_status = 503
    edge.start_leased()
    _stored(edge)
    _hits(edge, 4)
    assert edge.end() == 0  # the state keeps them
    assert node.known.hits == []
    edge.start_leased()
    _hits(edge, 2)
    node.known.hits_status = 204
    _reported(edge, node, 6)


def test_a_killed_agent_goes_on_where_it_was(edge: Edge, node: Node) -> None:
    """Its state is older than its death: what it had not reported is read again."""
    edge.start_leased()
    _stored(edge)
    node.known.hits_status = 503
    _hits(edge, 3)
    eventually(lambda: state.load(edge.state).cursor, "the state knows what was applied", 5)
    edge.kill()
    node.known.hits_status = 204
    edge.log.rename(edge.work / OLD)
    _reopened(edge)
    with edge.log.open("a") as log:
        log.write("not a line of nginx\nHIT\tx\ty\n")
    edge.start_leased()
    _hits(edge, 2)
    _reported(edge, node, 5)
    assert '"lines": 2' in edge.told() or "lines=2" in edge.told()
