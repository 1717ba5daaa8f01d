"""The contract of every Memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis

from app.stores.memory import Holder, Memory, Recollection, Sighting
from app.stores.redis import RedisMemory
from tests.stores.values import at_once, entry

Make = Callable[[float], Memory]

LONG = "k" * 10_000


@pytest.fixture(params=["redis"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Another client of the same empty memory, as another process would have one, and its locks' seconds."""
    made: list[Memory] = []

    def in_redis(lock_timeout: float = 10.0) -> Memory:
        made.append(RedisMemory(request.getfixturevalue("redis_url_once"), lock_timeout))
        return made[-1]

    yield {"redis": in_redis}[request.param]
    for memory in made:
        memory.close()


@pytest.fixture
def redis_url_once(redis_url: str) -> str:
    """Emptied once a test, however often it is asked for."""
    return redis_url


@pytest.fixture
def memory(make: Make) -> Memory:
    return make(10.0)


class TestCopies:
    def test_nothing_is_known_at_first(self, memory: Memory) -> None:
        memory.ping()
        assert memory.recall("alpine", "a") == Recollection()
        assert memory.flush("alpine") == 0
        assert memory.counts() == {}
        memory.forget("alpine", "a")

    @pytest.mark.parametrize("key", ["a", "", "ü *?[x]\\", "NUL\0", "\udcff", LONG])
    def test_a_copy_comes_back_exactly(self, memory: Memory, key: str) -> None:
        memory.remember("alpine", key, 3, entry(), 1795230000.25)
        assert memory.recall("alpine", key) == Recollection(3, entry(), 3, 1795230000.25)
        assert memory.recall("alpine", key + "b") == Recollection(3)
        assert memory.recall("debian", key) == Recollection()

    @pytest.mark.parametrize(
        ("epoch", "fence", "taken"),
        [(3, 9, True), (3, 8, True), (3, 7, False), (2, 9, False), (4, 7, True), (4, 9, True)],
    )
    def test_the_newer_copy_stays(self, memory: Memory, epoch: int, fence: int, taken: bool) -> None:
        memory.remember("alpine", "a", 3, entry("old", 8), 1.0)
        memory.remember("alpine", "a", epoch, entry("new", fence), 2.0)
        recalled = memory.recall("alpine", "a")
        expected = (entry("new", fence), epoch, 2.0) if taken else (entry("old", 8), 3, 1.0)
        assert (recalled.entry, recalled.entry_epoch, recalled.copied) == expected

    def test_of_many_at_once_the_newest_stays(self, memory: Memory) -> None:
        at_once(partial(memory.remember, "alpine", "a", 1, entry("x", fence), 1.0) for fence in range(40))
        recalled = memory.recall("alpine", "a")
        assert recalled.entry is not None
        assert recalled.entry.fence == 39

    def test_a_fence_beyond_32_bits(self, memory: Memory) -> None:
        memory.remember("alpine", "a", 1, entry("old", 2**52), 1.0)
        memory.remember("alpine", "a", 1, entry("new", 2**52 + 1), 1.0)
        memory.remember("alpine", "a", 1, entry("old", 2**52), 1.0)
        assert memory.recall("alpine", "a").entry == entry("new", 2**52 + 1)

    def test_forgotten_and_no_copy_for_a_moment(self, memory: Memory) -> None:
        memory.remember("alpine", "a", 1, entry(fence=8), 1.0)
        memory.forget("alpine", "a")
        assert memory.recall("alpine", "a") == Recollection(1)
        memory.remember("alpine", "a", 1, entry(fence=8), 1.0)  # by one who read the index before
        assert memory.recall("alpine", "a") == Recollection(1)
        memory.remember("alpine", "b", 1, entry(fence=8), 1.0)
        assert memory.recall("alpine", "b").entry is not None


class TestEpochs:
    def test_published_and_never_lowered(self, memory: Memory) -> None:
        memory.raise_epochs({"alpine": 5, "debian": 1})
        memory.raise_epochs({"alpine": 4, "debian": 2})
        memory.raise_epochs({})
        assert [memory.recall(name, "a").epoch for name in ("alpine", "debian", "fedora")] == [5, 2, None]

    def test_a_copy_of_an_older_epoch_is_not_taken(self, memory: Memory) -> None:
        memory.raise_epochs({"alpine": 5})
        memory.remember("alpine", "a", 4, entry(), 1.0)
        assert memory.recall("alpine", "a") == Recollection(5)

    def test_a_copy_shows_its_own_epoch(self, memory: Memory) -> None:
        memory.remember("alpine", "a", 4, entry(), 1.0)
        memory.raise_epochs({"alpine": 5})
        recalled = memory.recall("alpine", "a")
        assert (recalled.epoch, recalled.entry_epoch) == (5, 4)

    def test_a_stranger_is_distrusted_until_it_is_told_the_epochs(self, memory: Memory) -> None:
        assert memory.distrusted
        memory.raise_epochs({})
        memory.recall("alpine", "a")  # connects: that may be another server than before
        memory.raise_epochs({})
        memory.recall("alpine", "a")
        assert not memory.distrusted


class TestMissing:
    def test_remembered_for_a_while_and_one_epoch(self, memory: Memory) -> None:
        memory.raise_epochs({"alpine": 1})
        memory.remember_missing("alpine", "a", 1, 404, 60)
        assert memory.recall("alpine", "a") == Recollection(1, negative=404)
        memory.raise_epochs({"alpine": 2})
        assert memory.recall("alpine", "a") == Recollection(2)
        memory.remember_missing("alpine", "a", 2, 410, 0.05)
        time.sleep(0.1)
        assert memory.recall("alpine", "a") == Recollection(2)

    def test_over_when_the_thing_is_there_or_forgotten(self, memory: Memory) -> None:
        memory.raise_epochs({"alpine": 1})
        memory.remember_missing("alpine", "a", 1, 404, 60)
        memory.remember("alpine", "a", 1, entry(), 1.0)
        assert memory.recall("alpine", "a").negative == 0
        memory.remember_missing("alpine", "a", 1, 404, 60)
        memory.forget("alpine", "a")
        assert memory.recall("alpine", "a").negative == 0


class TestFlush:
    @pytest.mark.parametrize("name", ["alpine", "al*", "[a]", "a\\", "a:b"])
    def test_removes_one_repositorys_copies_and_nothing_else(self, memory: Memory, name: str) -> None:
        others = ("alpine2", "al", "a", "alp", "a:b2")
        for number in range(10):
            memory.remember(name, str(number), 1, entry(), 1.0)
            memory.remember_missing(name, f"missing {number}", 1, 404, 60)
        for other in others:
            memory.remember(other, "a", 1, entry(), 1.0)
        held = memory.lock("a lock")
        assert held is not None
        memory.count(name, "HIT", 1, 1)
        assert memory.flush(name) == 20
        assert memory.recall(name, "1") == Recollection(1)
        assert all(memory.recall(other, "a").entry for other in others)
        assert memory.lock("a lock") is None
        assert memory.counts() == {name: {"HIT": (1, 1)}}
        held.release()

    def test_of_more_than_a_batch(self, memory: Memory, redis_url_once: str) -> None:
        with redis.Redis.from_url(redis_url_once) as client:
            client.mset({f"artifactapi:copy:alpine:{number}": "x" for number in range(5000)})
        assert memory.flush("alpine") == 5000


class TestLocks:
    def test_one_holder_at_a_time(self, make: Make) -> None:
        one, other = make(10.0), make(10.0)
        held = one.lock(LONG)
        assert held is not None
        assert other.lock(LONG) is None
        assert one.lock(LONG) is None
        another = other.lock("another")
        assert another is not None
        held.release()
        held.release()  # again is no error
        taken = other.lock(LONG)
        assert taken is not None
        held.release()  # and frees nobody else's
        assert one.lock(LONG) is None
        taken.release()
        another.release()

    def test_of_many_at_once_one_gets_it(self, memory: Memory) -> None:
        results: list[object] = []
        at_once(lambda: results.append(memory.lock("a")) for _ in range(20))
        [held] = [result for result in results if result is not None]
        held.release()  # type: ignore[attr-defined]

    def test_a_held_lock_outlives_its_timeout(self, make: Make) -> None:
        one, other = make(0.3), make(0.3)
        held, second = one.lock("a"), one.lock("b")
        assert held is not None
        assert second is not None
        for _ in range(12):
            time.sleep(0.1)
            assert other.lock("a") is None
        second.release()
        held.release()
        taken = other.lock("a")
        assert taken is not None
        taken.release()

    def test_it_may_be_released_by_another_thread(self, memory: Memory) -> None:
        held = memory.lock("a")
        assert held is not None
        at_once([held.release])
        again = memory.lock("a")
        assert again is not None
        again.release()

    def test_a_dead_holders_lock_is_broken_by_who_knows_its_token(self, make: Make) -> None:
        one, other = make(10.0), make(10.0)
        held = one.lock("a")
        assert held is not None
        other.break_lock("a", "somebody else's")
        other.break_lock("nothing", held.token)
        assert other.lock("a") is None
        other.break_lock("a", held.token)
        taken = other.lock("a")
        assert taken is not None
        held.release()
        assert one.lock("a") is None
        taken.release()


class TestHolders:
    def test_every_node_knows_who_holds_a_lock_and_where(self, redis_url_once: str) -> None:
        one, other, alone = (
            RedisMemory(redis_url_once, address=address)
            for address in ("http://127.0.0.1:8081", "https://node@x.example.org/a@b", "")
        )
        assert one.holder(LONG) is None
        for memory, address in (
            (one, "http://127.0.0.1:8081"),
            (other, "https://node@x.example.org/a@b"),
            (alone, ""),
        ):
            held = memory.lock(LONG)
            assert held is not None
            assert one.holder(LONG) == other.holder(LONG) == alone.holder(LONG) == Holder(address, held.token)
            held.release()
        assert one.holder(LONG) is None
        for memory in (one, other, alone):
            memory.close()

    def test_the_next_holder_is_another_one(self, make: Make) -> None:
        one, other = make(10.0), make(10.0)
        for memory in (one, other):
            held = memory.lock("a")
            assert held is not None
            found = other.holder("a")
            assert found is not None
            assert found.token == held.token
            one.break_lock("a", found.token)
        assert one.holder("a") is None


class TestHolds:
    def test_told_to_every_node_until_it_is_over(self, make: Make) -> None:
        one, other = make(10.0), make(10.0)
        assert not other.held(LONG)
        one.hold(LONG, 60)
        assert other.held(LONG)
        assert other.lock(LONG) is not None, "it is no lock"
        one.hold(LONG, 0)
        assert not other.held(LONG)
        one.hold(LONG, 0.05)
        time.sleep(0.1)
        assert not other.held(LONG)


class TestSightings:
    def test_the_last_one_is_known_to_every_node(self, make: Make) -> None:
        one, other = make(10.0), make(10.0)
        assert one.sighted("alpine", LONG) is None
        for seen in (Sighting(1.5), Sighting(2.25, 503), Sighting(1.0, 0, "not résolved \udcff")):
            one.sight("alpine", LONG, seen)
            assert other.sighted("alpine", LONG) == seen
        assert other.sighted("debian", LONG) is None

    def test_a_flush_keeps_them(self, memory: Memory) -> None:
        memory.sight("alpine", "a", Sighting(1.0, 200))
        memory.flush("alpine")
        assert memory.sighted("alpine", "a") == Sighting(1.0, 200)


class TestCounters:
    def test_add_up_over_the_fleet(self, make: Make) -> None:
        one, other = make(10.0), make(10.0)
        one.count("alpine", "HIT", 2, 2**40)
        at_once(partial(memory.count, "alpine", "HIT", 1, 10) for memory in (one, other) for _ in range(4))
        other.count("team python", "MISS", 1, 0)
        expected = {"alpine": {"HIT": (10, 2**40 + 80)}, "team python": {"MISS": (1, 0)}}
        assert one.counts() == other.counts() == expected


class TestTokens:
    def test_kept_for_the_fleet_and_for_as_long_as_said(self, make: Make) -> None:
        one, other = make(10.0), make(10.0)
        assert one.token(LONG) is None
        one.keep_token(LONG, "sëcret", 60)
        one.keep_token("short", "secret", 0.05)
        assert other.token(LONG) == "sëcret"
        time.sleep(0.1)
        assert other.token("short") is None

    @pytest.mark.parametrize(("token", "seconds"), [("", 60), ("late", 0), ("late", -5)])
    def test_an_empty_or_expired_one_drops_what_is_kept(self, memory: Memory, token: str, seconds: float) -> None:
        memory.keep_token("a", "secret", 60)
        memory.keep_token("a", token, seconds)
        assert memory.token("a") is None

    def test_a_flush_keeps_them(self, memory: Memory) -> None:
        memory.keep_token("alpine", "secret", 60)
        memory.flush("alpine")
        assert memory.token("alpine") == "secret"
