"""The contract of Edges, and what only Redis can get wrong: gaps, lost stamps, other servers, other versions."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from app.errors import StoreDown, Unavailable
from app.stores import redis_edges
from app.stores.edges import LEASE, News, Purge
from app.stores.redis import FAIL_FAST, RedisMemory
from app.stores.redis_scripts import EDGES, REPORT, STAMP
from app.supervisor.embedded import Valkey
from tests.stores.values import at_once, entry

_, NEWS, TOLD, POLLS = EDGES
LONG = "k" * 4000


@pytest.fixture
def memory(redis_url: str) -> Iterator[RedisMemory]:
    memory = RedisMemory(redis_url)
    memory.ping()  # connects, and is distrusted
    memory.recall("alpine", "a")
    memory.raise_epochs({"alpine": 1, "debian": 1})
    yield memory
    memory.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def started(memory: RedisMemory, name: str = "one") -> int:
    """The cursor of an edge that has dropped everything, and said so; every epoch has been told."""
    first = memory.edges.poll(name, 0)
    assert first.everything
    memory.raise_epochs({"alpine": 1, "debian": 1})
    assert memory.edges.poll(name, first.cursor) == News(first.cursor)
    return first.cursor


def stamp(memory: RedisMemory) -> int:
    return memory.recall("alpine", "a").stamp


class TestNews:
    def test_nothing_is_kept_where_no_edge_asks(self, memory: RedisMemory, client: redis.Redis) -> None:
        memory.forget("alpine", "a")
        memory.raise_epochs({"alpine": 2})
        memory.remember("alpine", "b", 3, entry(), 1.0)
        assert (memory.edges.purge(["alpine"]), memory.edges.latest(), stamp(memory)) == (0, 0, 0)
        assert memory.edges.settled(0)
        assert not memory.edges.around
        assert client.exists(*EDGES) == 0

    def test_who_knows_nothing_drops_everything_once(self, memory: RedisMemory) -> None:
        first = memory.edges.poll("one", 0)
        assert first == News(first.cursor, (), everything=True)
        assert abs(first.cursor / 1e6 - time.time()) < 60
        assert memory.edges.poll("one", first.cursor) == News(first.cursor)
        assert memory.edges.latest() == stamp(memory) == first.cursor
        assert memory.edges.around

    def test_an_epoch_is_news_exactly_where_it_was_raised(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        memory.raise_epochs({"alpine": 2, "debian": 1})
        memory.raise_epochs({"alpine": 1, "debian": 1})
        memory.raise_epochs({})
        memory.raise_epochs({"fedora": 1, "debian": 2, "alpine": 2})
        told = [Purge(cursor + 1, "alpine"), Purge(cursor + 2, "fedora"), Purge(cursor + 3, "debian")]
        assert memory.edges.poll("one", cursor) == News(cursor + 3, tuple(told))
        assert stamp(memory) == memory.edges.latest() == cursor + 3

    @pytest.mark.parametrize("key", ["a", "", "two words", "ü *?[x]\\", "NUL\0 \n", "\udcff"])
    def test_a_forgotten_key(self, memory: RedisMemory, key: str) -> None:
        cursor = started(memory)
        memory.forget("alpine", key)
        assert memory.edges.poll("one", cursor).purges == (Purge(cursor + 1, "alpine", key),)

    def test_a_key_too_long_to_keep_is_its_whole_repository(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        memory.forget("alpine", LONG)
        assert memory.edges.poll("one", cursor).purges == (Purge(cursor + 1, "alpine"),)

    def test_a_copy_of_a_newer_epoch_raises_it(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        memory.remember("alpine", "a", 2, entry(), 1.0)
        assert memory.edges.poll("one", cursor).purges == (Purge(cursor + 1, "alpine"),)

    def test_another_body_is_news_and_the_same_is_none(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        memory.remember("alpine", "a", 1, entry("a", 1), 1.0)
        memory.remember("alpine", "a", 1, replace(entry("a", 2), size=7), 2.0)
        memory.remember("alpine", "a", 1, entry("b", 1), 3.0)  # too late
        assert memory.edges.poll("one", cursor).purges == ()
        memory.remember("alpine", "a", 1, entry("b", 3), 4.0)
        assert memory.edges.poll("one", cursor).purges == (Purge(cursor + 1, "alpine", "a"),)

    def test_purged_by_name(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        assert memory.edges.purge(["alpine", "gone"]) == cursor + 2
        told = (Purge(cursor + 1, "alpine"), Purge(cursor + 2, "gone"))
        assert memory.edges.poll("one", cursor).purges == told

    def test_at_most_so_many_at_once_and_from_any_cursor(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        for number in range(5):
            memory.forget("alpine", str(number))
        first = memory.edges.poll("one", cursor, most=2)
        assert (first.cursor, [each.key for each in first.purges]) == (cursor + 2, ["0", "1"])
        rest = memory.edges.poll("one", first.cursor)
        assert (rest.cursor, [each.key for each in rest.purges]) == (cursor + 5, ["2", "3", "4"])
        again = memory.edges.poll("one", cursor + 1, most=1)  # an answer that did not arrive
        assert again == News(cursor + 2, (Purge(cursor + 2, "alpine", "1"),))

    def test_two_edges_each_hear_all(self, memory: RedisMemory) -> None:
        one, two = started(memory, "one"), started(memory, "two")
        memory.forget("alpine", "a")
        assert memory.edges.poll("one", one) == memory.edges.poll("two", two) != News(one)


class TestOrder:
    """A response stamped n has seen what the news up to n are about."""

    def test_an_epoch_and_its_stamp_are_read_together(self, memory: RedisMemory, redis_url: str) -> None:
        base, ended = started(memory) - 1, threading.Event()

        def read() -> None:
            mine = RedisMemory(redis_url)
            mine.recall("alpine", "a")
            mine.raise_epochs({})
            seen = 0
            while not ended.is_set():
                found = mine.recall("alpine", "a")
                seen += found.stamp > 0
                assert found.stamp in (0, base + (found.epoch or 0))
            assert seen
            mine.close()

        def write() -> None:
            for epoch in range(2, 400):
                memory.raise_epochs({"alpine": epoch})
            ended.set()

        at_once([write, read, read, read])

    def test_a_key_is_gone_for_whoever_has_its_stamp(self, memory: RedisMemory, redis_url: str) -> None:
        keys = [str(number) for number in range(300)]
        for key in keys:
            memory.remember("alpine", key, 1, entry(), 1.0)
        base, ended = started(memory), threading.Event()

        def read() -> None:
            mine = RedisMemory(redis_url)
            mine.recall("alpine", "a")
            mine.raise_epochs({})
            while not ended.is_set():
                for number in range(0, 300, 7):
                    found = mine.recall("alpine", str(number))
                    assert (found.entry is None) == (found.stamp > base + number)
            mine.close()

        def write() -> None:
            for key in keys:
                memory.forget("alpine", key)
            ended.set()

        at_once([write, read, read])

    def test_a_memory_that_is_distrusted_gives_no_stamp(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor = started(memory)
        assert stamp(memory) == cursor
        client.client_kill_filter(_type="normal", skipme=True)
        assert stamp(memory) == 0  # a new connection: who knows to what
        memory.raise_epochs({"alpine": 1})
        assert stamp(memory) == cursor


class TestGaps:
    def test_news_that_are_no_longer_kept(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor = started(memory)
        for number in range(5):
            memory.forget("alpine", str(number))
        memory.edges.poll("one", cursor)
        client.ltrim(NEWS, -3, -1)
        assert len(memory.edges.poll("one", cursor + 2).purges) == 3
        assert memory.edges.poll("one", cursor + 1) == News(cursor + 5, everything=True)

    def test_so_many_are_kept(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor = started(memory)
        for _ in range(50):
            memory.edges.purge(["alpine"] * 1000)
        assert memory.edges.purge(["debian"] * 3) == cursor + 50_003
        assert client.llen(NEWS) == 50_000
        memory.edges.poll("one", cursor)
        assert memory.edges.poll("one", cursor + 3, most=1).purges == (Purge(cursor + 4, "alpine"),)
        assert memory.edges.poll("one", cursor + 2, most=1).everything

    def test_evicted_news(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor = started(memory)
        memory.forget("alpine", "a")
        client.delete(NEWS)
        memory.forget("alpine", "b")
        assert memory.edges.poll("one", cursor) == News(cursor + 2, everything=True)
        memory.forget("alpine", "c")
        assert memory.edges.poll("one", cursor + 2).purges == (Purge(cursor + 3, "alpine", "c"),)

    def test_an_evicted_stamp(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor = started(memory)
        memory.forget("alpine", "a")
        client.delete(STAMP)
        memory.forget("alpine", "b")
        memory.raise_epochs({"alpine": 2})
        assert stamp(memory) == 0
        found = memory.edges.poll("one", cursor)
        assert found.everything
        assert found.cursor > cursor + 1
        assert memory.edges.poll("one", found.cursor) == News(found.cursor)

    def test_an_evicted_stamp_is_made_anew_for_who_waits(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor = started(memory)
        client.delete(STAMP)
        number = memory.edges.latest()
        assert number > cursor
        assert not memory.edges.settled(number)
        assert memory.edges.poll("one", cursor).everything
        assert not memory.edges.settled(number)
        memory.edges.poll("one", number)
        assert memory.edges.settled(number)

    def test_an_edge_that_nobody_knows(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        assert memory.edges.poll("other", cursor) == News(cursor, everything=True)
        assert memory.edges.poll("other", cursor) == News(cursor)

    def test_a_cursor_that_was_never_given(self, memory: RedisMemory) -> None:
        """As after a Redis of yesterday took over: what it calls by these numbers is something else."""
        one, two = started(memory, "one"), started(memory, "two")
        ahead = one + 3600 * 10**6
        found = memory.edges.poll("one", ahead)
        assert found.everything
        assert found.cursor > ahead
        other = memory.edges.poll("two", two)
        assert other == News(found.cursor, everything=True)

    def test_a_cursor_that_no_redis_can_have_given(self, memory: RedisMemory, client: redis.Redis) -> None:
        one = started(memory, "one")
        assert memory.edges.poll("damaged", 2**52) == News(one, everything=True)
        assert memory.edges.poll("one", one) == News(one)
        client.delete(*EDGES)
        found = memory.edges.poll("one", 2**52)
        assert found.everything
        assert abs(found.cursor / 1e6 - time.time()) < 60
        client.set(STAMP, 2**52)  # a clock that was wrong: what was given then goes on
        client.hset(POLLS, "one", f"{2**52} {2**52} 1")
        assert memory.edges.poll("one", 2**52) == News(2**52)

    def test_a_redis_that_is_an_old_copy_of_itself(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor = started(memory)
        with redis.Redis.from_url(redis_url_of(client)) as raw:
            kept = {key: raw.dump(key) for key in raw.scan_iter()}
            for number in range(5):
                memory.forget("alpine", str(number))
            ahead = memory.edges.poll("one", cursor).cursor
            raw.flushall()
            for key, value in kept.items():
                raw.restore(key, 0, value)
            raw.expire(STAMP, 3600)
        for number in range(9):  # other news, by now under the same numbers
            memory.forget("debian", str(number))
        assert stamp(memory) > ahead
        found = memory.edges.poll("one", ahead)
        assert found.everything
        assert found.cursor > cursor + 9

    def test_a_node_of_a_version_without_edges(self, memory: RedisMemory, client: redis.Redis) -> None:
        """It raises an epoch and says nothing; whoever tells the epochs next does."""
        cursor = started(memory)
        client.set("artifactapi:epoch:alpine", 7)
        assert memory.edges.poll("one", cursor) == News(cursor)
        memory.raise_epochs({"alpine": 7, "debian": 1})
        assert memory.edges.poll("one", cursor).purges == (Purge(cursor + 1, "alpine"),)

    def test_after_an_hour_without_edges_nothing_is_kept(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor = started(memory)
        memory.forget("alpine", "a")
        memory.raise_epochs({"alpine": 2})
        assert all(3500 < client.ttl(key) <= 3600 for key in (STAMP, NEWS, TOLD))
        client.expire(STAMP, 10)
        memory.edges.poll("one", cursor)
        assert client.ttl(STAMP) > 3500
        client.hset(POLLS, "old", "1 1 1")
        memory.edges.poll("one", cursor)
        assert client.hkeys(POLLS) == ["one"]

    def test_a_restart_of_redis(self, own_valkey: Valkey) -> None:
        memory = RedisMemory(own_valkey.url)
        memory.raise_epochs({"alpine": 1, "debian": 1})
        cursor = started(memory)
        own_valkey.stop()
        own_valkey.start()
        own_valkey.await_ready(10)
        with contextlib.suppress(StoreDown):  # its connection is found broken
            memory.ping()
        time.sleep(FAIL_FAST + 0.1)
        found = memory.edges.poll("one", cursor)
        assert found.everything
        assert found.cursor > cursor
        memory.close()


class TestMost:
    """The registry is bounded; who has a lease is never forgotten, for a flush waits for it."""

    @pytest.fixture(autouse=True)
    def two(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_edges, "MOST", 2)

    def test_the_one_whose_lease_ended_first_makes_room(self, memory: RedisMemory, client: redis.Redis) -> None:
        cursor, now = started(memory), int(time.time())
        client.hdel(POLLS, "one")
        client.hset(POLLS, mapping={name: f"1 1 {now - ago}000000" for name, ago in (("old", 90), ("new", 60))})
        memory.edges.poll("one", cursor)
        assert set(client.hkeys(POLLS)) == {"one", "new"}

    def test_while_all_have_a_lease(self, memory: RedisMemory, client: redis.Redis) -> None:
        one, two = started(memory, "one"), started(memory, "two")
        with pytest.raises(Unavailable, match="2 other edges"):
            memory.edges.poll("three", 0)
        assert set(client.hkeys(POLLS)) == {"one", "two"}
        assert not memory.edges.poll("one", one).everything
        client.hset(POLLS, "two", f"{two} {two} {int((time.time() - 1) * 1e6)}")
        assert memory.edges.poll("three", 0).everything
        assert set(client.hkeys(POLLS)) == {"one", "three"}


class TestReports:
    def test_each_is_counted_once(self, memory: RedisMemory, client: redis.Redis) -> None:
        assert memory.edges.claim("a")
        with pytest.raises(Unavailable):
            memory.edges.claim("a")
        memory.edges.counted("a")
        assert not memory.edges.claim("a")
        assert memory.edges.claim("b")
        assert 3500 < client.ttl(REPORT + "a") <= 3600

    def test_a_claim_ends_where_nobody_counted(self, memory: RedisMemory, client: redis.Redis) -> None:
        memory.edges.claim("a")
        assert 0 < client.pttl(REPORT + "a") <= 20_000
        client.delete(REPORT + "a")
        assert memory.edges.claim("a")


class TestSettled:
    def test_once_every_edge_has_said_so(self, memory: RedisMemory) -> None:
        one, two = started(memory, "one"), started(memory, "two")
        memory.forget("alpine", "a")
        number = memory.edges.latest()
        assert memory.edges.settled(number - 1)
        assert memory.edges.poll("one", one).cursor == number
        memory.edges.poll("two", two)
        assert not memory.edges.settled(number)  # they have been told
        memory.edges.poll("one", number)
        assert not memory.edges.settled(number)
        memory.edges.poll("two", number)
        assert memory.edges.settled(number)

    def test_an_edge_that_asks_no_more_loses_its_lease(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        begun = time.monotonic()
        memory.forget("alpine", "a")
        while not memory.edges.settled(cursor + 1):
            assert time.monotonic() - begun < LEASE + 5
            time.sleep(0.02)
        assert time.monotonic() - begun > LEASE - 0.1

    def test_an_edge_that_begins_anew_has_dropped_nothing(self, memory: RedisMemory) -> None:
        cursor = started(memory)
        memory.edges.poll("one", 0)
        assert not memory.edges.settled(cursor)


def redis_url_of(client: redis.Redis) -> str:
    kwargs = client.connection_pool.connection_kwargs
    return f"unix://{kwargs['path']}?db={kwargs.get('db', 0)}"
