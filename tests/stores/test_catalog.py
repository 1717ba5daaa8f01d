"""The catalog on real stores: what a find costs, and that the copies never say what the index does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from app.resource import Digest
from app.stores.base import Change, Flushed
from app.stores.catalog import Catalog, Known
from app.stores.connections import Connections, Patient
from app.stores.postgres import PostgresIndex
from app.stores.redis import RedisMemory
from tests.stores.values import digest, entry, publish, withdraw


def here() -> bool:
    return True


@dataclass
class Node:
    """One process of the fleet, with a clock to turn."""

    database_url: str
    redis_url: str
    now: float = 1795230000.0
    index: PostgresIndex = field(init=False)
    memory: RedisMemory = field(init=False)
    catalog: Catalog = field(init=False)

    def __post_init__(self) -> None:
        self.index = PostgresIndex(self.database_url)
        self.memory = RedisMemory(self.redis_url)
        self.catalog = Catalog(self.index, self.memory, lambda: self.now)

    def commit(self, key: str, fence: int = 1) -> bool:
        epoch = self.catalog.look_again("alpine", key).epoch
        return self.catalog.commit("alpine", key, key, entry(key, fence), epoch, here)

    def find(self, key: str) -> Known:
        return self.catalog.find("alpine", key)


@pytest.fixture
def nodes(database_url: str, redis_url: str) -> Iterator[list[Node]]:
    made = [Node(database_url, redis_url) for _ in range(2)]
    yield made
    for node in made:
        node.index.close()
        node.memory.close()


@pytest.fixture
def node(nodes: list[Node]) -> Node:
    return nodes[0]


class Meter:
    """Counts what Redis was asked, as it counts it itself."""

    def __init__(self, redis_url: str) -> None:
        self._client = redis.Redis.from_url(redis_url)

    def commands(self) -> dict[str, int]:
        """Commands by name, without our own and what a new connection says of itself."""
        stats: dict[str, Any] = self._client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        return {name: n for name, n in calls.items() if name.split("|")[0] not in ("info", "config", "client")}

    def close(self) -> None:
        self._client.close()


class Counted(Connections):
    """Knows how often a connection was lent: no statement goes any other way."""

    lent = 0

    @contextmanager
    def lend(self, patience: float = 3.0, writes: bool = True) -> Iterator[Patient]:
        self.lent += 1
        with super().lend(patience, writes) as connection:
            yield connection


def counting(database_url: str) -> tuple[PostgresIndex, Counted]:
    index, connections = PostgresIndex(database_url), Counted(database_url)
    index._connections = connections
    return index, connections


class TestCost:
    def test_a_warm_find_is_one_command_and_no_statement(
        self, nodes: list[Node], database_url: str, redis_url: str
    ) -> None:
        index, connections = counting(database_url)
        catalog = Catalog(index, nodes[0].memory, lambda: nodes[0].now)
        nodes[1].commit("a")
        catalog.find("alpine", "a")
        meter, lent = Meter(redis_url), connections.lent
        before = meter.commands()
        for _ in range(10):
            assert catalog.find("alpine", "a") == Known(0, entry("a"))
        after = meter.commands()
        assert {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)} == {
            "mget": 10
        }
        assert connections.lent == lent
        index.close()
        meter.close()

    def test_a_remembered_miss_costs_no_statement(self, nodes: list[Node], database_url: str) -> None:
        index, connections = counting(database_url)
        catalog = Catalog(index, nodes[0].memory)
        known = catalog.find("alpine", "a")
        catalog.remember_missing("alpine", "a", known.epoch, 404, 60)
        catalog.find("alpine", "a")  # a connection of its own may have been new, and told the epochs again
        lent = connections.lent
        assert catalog.find("alpine", "a") == Known(0, None, negative=404)
        assert connections.lent == lent
        index.close()


class TestCopies:
    def test_one_node_sees_what_another_committed(self, nodes: list[Node]) -> None:
        assert nodes[0].find("a") == nodes[1].find("a") == Known(0, None)
        assert nodes[0].commit("a")
        assert nodes[1].find("a") == Known(0, entry("a"))

    def test_an_empty_redis_is_filled_from_the_index(self, node: Node, redis_url: str) -> None:
        node.commit("a")
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
            assert node.find("a") == Known(0, entry("a"))
            assert client.dbsize() == 2

    def test_a_copy_is_read_again_after_300_seconds(self, node: Node) -> None:
        node.commit("a", fence=1)
        node.index.commit("alpine", "a", "a", entry("behind", fence=2), 0, here)  # Redis missed it
        node.now += 299
        assert node.find("a").entry == entry("a", fence=1)
        node.now += 2
        assert node.find("a").entry == entry("behind", fence=2)
        node.now += 299
        assert node.find("a").entry == entry("behind", fence=2)

    def test_a_copy_from_a_clock_far_ahead_is_not_trusted(self, node: Node) -> None:
        node.now += 10_000
        node.commit("a", fence=1)
        node.index.commit("alpine", "a", "a", entry("behind", fence=2), 0, here)
        node.now -= 10_000
        assert node.find("a").entry == entry("behind", fence=2)

    def test_a_copy_that_outlived_its_entry_goes(self, node: Node) -> None:
        node.commit("a")
        node.index.forget("alpine", "a")
        node.now += 301
        assert node.find("a") == Known(0, None)
        assert node.memory.recall("alpine", "a").entry is None

    def test_a_commit_ends_a_remembered_miss(self, node: Node) -> None:
        epoch = node.find("a").epoch
        node.catalog.remember_missing("alpine", "a", epoch, 404, 60)
        assert node.find("a").negative == 404
        node.commit("a")
        assert node.find("a") == Known(0, entry("a"))

    def test_a_refused_commit_changes_no_copy(self, node: Node) -> None:
        node.commit("a", fence=5)
        assert not node.commit("a", fence=4)
        assert node.find("a").entry == entry("a", fence=5)


class TestHosted:
    def test_published_replaced_and_withdrawn_are_seen_at_once(self, nodes: list[Node]) -> None:
        one, other = nodes
        for turn in range(3):
            assert publish(one.catalog, "alpine", "a", entry(str(turn)))
            assert other.find("a").entry == one.find("a").entry == entry(str(turn), fence=turn + 1)
        assert withdraw(one.catalog, "alpine", "a")
        assert other.find("a").entry is None
        assert not withdraw(one.catalog, "alpine", "a")
        assert publish(one.catalog, "alpine", "a", entry("again"), False)
        assert (found := other.find("a").entry) is not None
        assert found.digest == digest("again")
        assert not publish(one.catalog, "alpine", "a", entry("not"), False)

    def test_a_reader_of_before_does_not_bring_it_back(self, nodes: list[Node]) -> None:
        one, other = nodes
        publish(one.catalog, "alpine", "a", overwrite=False)
        epoch, seen = other.index.find("alpine", "a")
        withdraw(one.catalog, "alpine", "a")
        assert seen is not None
        other.memory.remember("alpine", "a", epoch, seen, other.now)
        assert other.find("a").entry is None


class TestFlush:
    @pytest.mark.parametrize("expire", [False, True])
    def test_no_node_trusts_a_copy_of_before(self, nodes: list[Node], expire: bool) -> None:
        one, other = nodes
        one.commit("a")
        one.commit("b")
        other.find("a")
        flushed, removed = one.catalog.flush("alpine", "a", expire)
        assert flushed == Flushed(1, 0 if expire else 1)
        assert removed == 2  # every copy is of an epoch that is over
        expired = replace(entry("a"), checked=0.0, retry_at=0.0) if expire else None
        assert other.find("a") == Known(1, expired)
        assert other.find("b") == Known(1, entry("b"))

    def test_a_fill_of_before_is_not_recorded_and_not_copied(self, nodes: list[Node]) -> None:
        one, other = nodes
        epoch = one.find("a").epoch
        other.catalog.flush("alpine", "", False)
        assert not one.catalog.commit("alpine", "a", "a", entry("a"), epoch, here)
        assert one.find("a") == other.find("a") == Known(1, None)

    def test_a_reader_of_before_leaves_no_copy(self, nodes: list[Node]) -> None:
        one, other = nodes
        one.commit("a")
        epoch, seen = other.index.find("alpine", "a")
        one.catalog.flush("alpine", "", False)
        assert seen is not None
        other.memory.remember("alpine", "a", epoch, seen, other.now)
        assert other.find("a") == Known(1, None)


class TestSets:
    def test_every_node_sees_the_whole_set_at_once(self, nodes: list[Node]) -> None:
        one, other = nodes
        for key in ("root", "member", "old"):
            one.commit(key)
            assert other.find(key).entry == entry(key)
        changes = [Change(key, key, entry("new", fence=5)) for key in ("member", "root")]
        assert one.catalog.switch("alpine", changes, ["old"], 0, lambda digest: True)
        assert other.find("root").entry == other.find("member").entry == entry("new", fence=5)
        assert other.find("old") == Known(0, None)
        for key in ("root", "member", "old"):
            assert other.memory.recall("alpine", key).entry is None, "copies taken one by one would not be one set"

    def test_one_that_is_refused_changes_nothing(self, node: Node) -> None:
        for key in ("root", "old"):
            node.commit(key, fence=5)
        assert not node.catalog.switch("alpine", [Change("root", "root", entry("x", 4))], ["old"], 0, lambda _: True)
        assert node.find("root").entry == entry("root", fence=5)
        assert node.find("old").entry == entry("old", fence=5)

    def test_a_reader_of_before_does_not_bring_back_what_was_dropped(self, nodes: list[Node]) -> None:
        one, other = nodes
        one.commit("old")
        epoch, seen = other.index.find("alpine", "old")
        one.catalog.switch("alpine", [], ["old"], 0, lambda digest: True)
        assert seen is not None
        other.memory.remember("alpine", "old", epoch, seen, other.now)
        assert other.find("old").entry is None

    def test_what_a_list_evicts_no_node_serves(self, nodes: list[Node]) -> None:
        one, other = nodes
        for key in ("a", "b"):
            one.commit(key)
        rows = [(key, Digest("sha256", digest("a"))) for key in ("a", "b")]
        assert list(one.catalog.record_list("alpine", "list", "root", rows, 1, 0)) == ["b"]
        assert other.find("a").entry == entry("a")
        assert other.find("b").entry is None
