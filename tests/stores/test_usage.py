"""The contract of every Index: what eviction goes by, and what is restored from a journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from app.resource import Entry
from app.stores.base import Footprint, Index, Stored
from app.stores.catalog import Catalog, Known
from app.stores.postgres import PostgresIndex
from app.stores.redis import RedisMemory
from tests.stores.conftest import Make
from tests.stores.values import at_once, digest, entry, publish


def record(
    index: Index, key: str, repository: str = "alpine", text: str = "", fence: int = 1, gone: int = 0
) -> Entry:
    what = replace(entry(text or key, fence), gone=gone)
    assert index.commit(repository, key, key.partition("#")[0], what, 0, lambda: True)
    return what


def cold(index: Index, *repositories: str, gone: bool = False, limit: int = 10) -> list[str]:
    return [stored.key for stored in index.coldest(repositories or ("alpine",), gone, limit)]


@pytest.fixture
def later() -> float:
    return time.time() + 10_000


class TestUsed:
    def test_what_was_served_last_goes_last(self, index: Index, later: float) -> None:
        for key in ("a", "b#1", "b#2", "c"):
            record(index, key)
        index.used(
            dict.fromkeys([("alpine", "a"), ("alpine", "c"), ("alpine", "missing"), ("debian", "b#1")], later), 60
        )
        index.used({("alpine", "c"): later + 61}, 60)
        assert cold(index)[-2:] == ["a", "c"]
        assert sorted(cold(index, limit=2)) == ["b#1", "b#2"]
        index.used({}, 60)

    def test_a_young_note_is_left_as_it_is(self, index: Index, later: float) -> None:
        for key in ("a", "b"):
            record(index, key)
            index.used({("alpine", key): later}, 60)
            later += 1
        index.used({("alpine", "a"): later + 50}, 60)
        assert cold(index) == ["a", "b"]

    def test_each_is_of_its_own_time(self, index: Index, later: float) -> None:
        for key in ("a", "b", "c"):
            record(index, key)
        index.used({("alpine", "c"): later, ("alpine", "a"): later + 2, ("alpine", "b"): later + 1}, 0)
        assert cold(index) == ["c", "b", "a"]
        index.used({("alpine", "b"): later - 5, ("alpine", "c"): later + 1.5}, 0)
        assert cold(index) == ["b", "c", "a"], "what comes late takes nothing back"

    def test_a_commit_does_not_touch_it(self, index: Index, later: float) -> None:
        record(index, "a")
        index.used({("alpine", "a"): later}, 60)
        record(index, "b")
        record(index, "a", fence=2)
        assert cold(index) == ["b", "a"]

    def test_what_is_new_is_not_cold(self, index: Index, later: float) -> None:
        record(index, "old")
        index.used({("alpine", "old"): later - 20_000}, -(10**9))
        record(index, "new")
        assert cold(index) == ["old", "new"]

    def test_beside_commits_flushes_and_each_other(self, make: Make) -> None:
        """However they meet, nobody ends in a deadlock, and nobody waits for a batch that waits."""
        one, other = make(), make()
        keys = [str(number) for number in range(300)]
        for key in keys:
            record(one, key)
        ended = threading.Event()

        def note(index: Index, order: list[str], step: float) -> None:
            for turn in range(8):
                index.used({("alpine", key): time.time() + 100 * turn + step for key in order}, 1)

        def commit() -> None:
            for fence in range(2, 20):
                record(one, str(fence), fence=fence)
                other.listing("alpine", limit=10)

        def flush() -> None:
            while not ended.wait(0.02):
                other.flush("alpine", "1", True)

        flusher = threading.Thread(target=flush)
        flusher.start()
        try:
            at_once([partial(note, one, keys, 0.0), partial(note, other, keys[::-1], 50.0), commit])
        finally:
            ended.set()
            flusher.join()

    def test_a_row_that_is_being_written_is_passed_over(self, make: Make, database_url: str, later: float) -> None:
        index = make()
        for key in ("a", "b"):
            record(index, key)
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE entries SET failures = 9 WHERE path = 'a'")
            index.used({("alpine", "a"): later, ("alpine", "b"): later}, 60)  # does not wait for the transaction
        assert cold(index) == ["a", "b"]


class TestFootprint:
    def test_each_digest_counts_once(self, index: Index) -> None:
        assert index.footprint() == Footprint(0, 0, 0)
        for repository in ("alpine", "debian"):
            record(index, "a", repository, text="same")
        record(index, "b", text="another")
        assert index.footprint() == Footprint(2, entry("same").size + entry("another").size, 3)


class TestColdest:
    def test_only_of_those_repositories(self, index: Index) -> None:
        record(index, "a")
        record(index, "b", "debian")
        publish(index.hosted, "team", "c")
        assert cold(index) == ["a"]
        assert cold(index, "alpine", "debian") == ["a", "b"]
        assert index.coldest((), False, 10) == []

    def test_gone_or_not(self, index: Index) -> None:
        record(index, "here")
        record(index, "gone", gone=404)
        assert cold(index) == ["here"]
        assert cold(index, gone=True) == ["gone"]

    def test_a_row_is_whole(self, index: Index) -> None:
        what = record(index, "a#variant")
        assert index.coldest(["alpine"], False, 1) == [Stored("alpine", "a", what, "a#variant")]


def test_referring(index: Index) -> None:
    one = record(index, "a#1", text="same")
    other = record(index, "a", "debian", text="same")
    record(index, "b")
    found = sorted(index.referring(digest("same")), key=lambda stored: stored.repository)
    assert found == [Stored("alpine", "a", one, "a#1"), Stored("debian", "a", other, "a")]
    assert index.referring(digest("nothing")) == []


def test_named(index: Index) -> None:
    """Of what is everywhere only so many, and only where it was asked for."""
    for path in ("v2/a/blobs/x", "v2/b/blobs/x", "v2/b/manifests/x", "v2/b/blobs/yx"):
        record(index, path, text="same")
    record(index, "v2/a/blobs/x", "debian", text="same")
    same = digest("same")
    assert {each.repository for each in index.named(same, ["alpine", "debian"])} == {"alpine", "debian"}
    assert {each.path for each in index.named(same, ["alpine"], ending="/blobs/x")} == {
        "v2/a/blobs/x",
        "v2/b/blobs/x",
    }
    assert {each.path for each in index.named(same, ["alpine"], "v2/b/", "/x")} == {
        "v2/b/blobs/x",
        "v2/b/manifests/x",
    }
    assert len(index.named(same, ["alpine"], limit=2)) == 2
    assert index.named(same, []) == index.named(same, ["alpine"], "v2/_/") == []


class TestRestore:
    def files(self, count: int, fence: int = 10) -> list[Stored]:
        return [Stored("team", f"f/{number}", entry(str(number), fence + number)) for number in range(count)]

    def test_into_an_empty_index(self, index: Index) -> None:
        files = self.files(1201)
        assert index.restore(iter(files)) == 1201
        assert [stored.entry for stored in index.listing("team", limit=2000)] == sorted(
            (stored.entry for stored in files), key=lambda what: f"f/{what.fence - 10}"
        )
        assert index.restore(files) == 0

    def test_what_is_not_older_stays(self, index: Index) -> None:
        record(index, "f/0", "team", "newer", fence=11)
        record(index, "f/1", "team", "same fence", fence=11)
        record(index, "f/2", "team", "older", fence=3)
        assert index.restore(self.files(3)) == 1
        texts = [index.find("team", f"f/{number}")[1] for number in range(3)]
        assert [what and what.digest for what in texts] == [digest("newer"), digest("same fence"), digest("2")]

    def test_no_fence_is_given_twice(self, index: Index) -> None:
        milliseconds = int(time.time() * 1000)
        index.restore(self.files(1))
        first = index.next_fence()
        assert first > milliseconds
        index.restore(self.files(1, fence=first + 10**12))
        assert index.next_fence() > first + 10**12
        assert index.next_fence() < 2**53, "Redis compares them in Lua"

    def test_only_the_journal_draws_its_numbers_and_none_twice(self, make: Make) -> None:
        one, other = make(), make()
        assert one.last_note() == 0
        assert [one.next_note(), other.next_note(), one.next_fence(), one.last_note()] == [1, 2, 1, 2]
        one.restore(self.files(1, fence=10**14))
        assert other.last_note() > 10**14
        assert other.next_note() == one.last_note()

    def test_epochs_are_beyond_all_before(self, index: Index) -> None:
        seconds = int(time.time())
        record(index, "a", "debian")
        index.raise_epoch("alpine")
        index.restore(self.files(1), ["fedora"])
        first = index.epochs()
        assert set(first) == {"alpine", "debian", "fedora", "team"}
        assert min(first.values()) >= seconds
        index.restore([])
        assert all(epoch > first[name] for name, epoch in index.epochs().items())


class TestCatalogRestore:
    @pytest.fixture
    def catalogs(self, database_url: str, redis_url: str) -> Iterator[list[Catalog]]:
        made = [Catalog(PostgresIndex(database_url), RedisMemory(redis_url)) for _ in range(2)]
        yield made
        for catalog in made:
            catalog.index.close()
            catalog.memory.close()

    def test_no_node_trusts_what_redis_kept_of_the_lost_database(self, catalogs: list[Catalog]) -> None:
        one, other = catalogs
        for name in ("alpine", "team"):
            for _ in range(3):
                one.flush(name)
            assert one.commit(name, "a", "a", entry("lost"), 3, lambda: True)
            assert other.find(name, "a") == Known(3, entry("lost"))
        assert isinstance(one.index, PostgresIndex)
        with psycopg.connect(one.index._connections.url) as connection:  # the database is a new one
            connection.execute("TRUNCATE entries, repositories")
        assert one.restore([Stored("team", "a", entry("kept", 7))], ["alpine"]) == (1, True)
        assert other.find("team", "a").entry == entry("kept", 7)
        assert other.find("alpine", "a").entry is None
        epoch = other.find("alpine", "b").epoch
        assert other.commit("alpine", "b", "b", entry("again"), epoch, lambda: True)
        assert other.memory.recall("alpine", "b").entry == entry("again"), "copies are taken again"
