"""The contract of every Index."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from app.errors import StoreDown
from app.resource import Entry
from app.stores.base import Flushed, Index
from tests.stores.conftest import Make
from tests.stores.values import at_once, digest, entry

LONG = "d/" + "x" * 10_000


def here() -> bool:
    return True


def record(index: Index, path: str, what: Entry | None = None, repository: str = "alpine") -> bool:
    epoch, _ = index.find(repository, path)
    return index.commit(repository, path, path, what or entry(path), epoch, here)


class TestEntries:
    def test_nothing_is_known_at_first(self, index: Index) -> None:
        index.ping()
        assert index.find("alpine", "a") == (0, None)
        assert index.epochs() == {}
        assert index.listing("alpine") == []
        assert not index.forget("alpine", "a")

    @pytest.mark.parametrize("key", ["a", "", "ü/%2F/\\'\"", "NUL\0", "\udcff", LONG])
    def test_what_is_committed_is_found_to_the_microsecond(self, index: Index, key: str) -> None:
        if "\0" in key or "\udcff" in key:
            assert index.find("alpine", key) == (0, None)
            with pytest.raises(StoreDown):  # no text of Postgres's; such paths are refused at the door
                index.commit("alpine", key, key, entry(), 0, here)
            assert index.commit("alpine", "next", "next", entry(), 0, here)
            return
        assert index.commit("alpine", key, key, entry(), 0, here)
        assert index.find("alpine", key) == (0, entry())
        assert index.find("debian", key) == (0, None)

    def test_absent_validators_stay_absent(self, index: Index) -> None:
        plain = Entry(digest("plain"), 0)
        assert record(index, "a", plain)
        assert index.find("alpine", "a") == (0, plain)

    def test_keys_that_share_a_path_are_variants(self, index: Index) -> None:
        assert index.commit("npm", "x full", "x", entry("full"), 0, here)
        assert index.commit("npm", "x short", "x", entry("short"), 0, here)
        assert index.find("npm", "x full")[1] == entry("full")
        assert [stored.path for stored in index.listing("npm", limit=1)] == ["x", "x"]

    def test_long_paths_that_differ_at_their_end_only(self, index: Index) -> None:
        for end in "abc":
            assert record(index, LONG + end)
        assert [stored.path[-1] for stored in index.listing("alpine", LONG)] == ["a", "b", "c"]
        assert index.flush("alpine", LONG + "b").entries == 1
        assert index.find("alpine", LONG + "a")[1] is not None


class TestFences:
    def test_every_fence_is_larger_than_the_one_before_on_any_client(self, make: Make) -> None:
        one, other = make(), make()
        fences = [index.next_fence() for index in (one, other, one, other)]
        assert fences == sorted(set(fences))

    def test_an_older_commit_changes_nothing(self, index: Index) -> None:
        assert record(index, "a", entry("new", fence=8))
        assert not record(index, "a", entry("old", fence=7))
        assert index.find("alpine", "a")[1] == entry("new", fence=8)

    def test_the_same_commit_again_is_the_recorded_one(self, index: Index) -> None:
        assert record(index, "a", entry(fence=8))
        assert record(index, "a", entry(fence=8))

    def test_of_many_commits_at_once_the_newest_wins(self, make: Make) -> None:
        indexes = [make() for _ in range(3)]
        fences = list(range(1, 61))
        random.Random(2).shuffle(fences)
        works = [partial(record, indexes[fence % 3], "a", entry(str(fence), fence)) for fence in fences]
        for start in range(0, 60, 12):
            at_once(works[start : start + 12])
        assert indexes[0].find("alpine", "a")[1] == entry("60", 60)

    def test_forgetting_spares_what_is_newer(self, index: Index) -> None:
        record(index, "a", entry(fence=8))
        assert not index.forget("alpine", "a", fence=7)
        assert index.forget("alpine", "a", fence=8)
        assert index.find("alpine", "a") == (0, None)
        record(index, "a")
        assert index.forget("alpine", "a")


class TestBytes:
    def test_nothing_is_recorded_without_its_bytes(self, index: Index) -> None:
        assert not index.commit("alpine", "a", "a", entry(), 0, lambda: False)
        assert index.find("alpine", "a") == (0, None)

    def test_a_failure_while_asking_for_the_bytes_leaves_nothing(self, index: Index) -> None:
        def broken() -> bool:
            raise StoreDown("disk")

        with pytest.raises(StoreDown, match="disk"):
            index.commit("alpine", "a", "a", entry(), 0, broken)
        assert record(index, "a")

    def test_only_a_blob_without_references_is_dropped(self, index: Index) -> None:
        record(index, "a", entry("same"))
        record(index, "b", entry("same"), repository="debian")
        removed: list[str] = []
        drop = partial(index.drop_blob, digest("same"), lambda: removed.append("same"))
        assert not drop()
        index.forget("alpine", "a")
        assert not drop()
        index.forget("debian", "b")
        assert drop()
        assert removed == ["same"]

    def test_a_commit_waits_for_a_removal_and_then_misses_the_bytes(self, make: Make) -> None:
        collector, filler = make(), make()
        bytes_here, removing, results = threading.Event(), threading.Event(), []
        bytes_here.set()

        def remove() -> None:
            removing.set()
            time.sleep(0.3)  # a commit that did not wait would see the bytes and record them
            bytes_here.clear()

        def commit() -> None:
            removing.wait(10)
            results.append(filler.commit("alpine", "a", "a", entry(), 0, bytes_here.is_set))

        at_once([commit, lambda: results.append(collector.drop_blob(digest("a"), remove))])
        assert sorted(results) == [False, True]
        assert filler.find("alpine", "a") == (0, None)

    def test_commits_and_removals_of_one_digest_at_once(self, make: Make) -> None:
        """However they meet: an entry that was recorded has its bytes."""
        one, other = make(), make()
        store = {digest("a")}

        def commit(number: int) -> None:
            store.add(digest("a"))
            recorded = one.commit("alpine", str(number), str(number), entry(), 0, lambda: digest("a") in store)
            assert not recorded or digest("a") in store
            one.forget("alpine", str(number))

        def collect() -> None:
            other.drop_blob(digest("a"), lambda: store.discard(digest("a")))

        for number in range(20):
            at_once([partial(commit, number), collect, partial(commit, number + 100)])


class TestFlush:
    def test_forgets_everything_of_one_repository(self, index: Index) -> None:
        for path in ("a", "b/c"):
            record(index, path)
            record(index, path, repository="debian")
        assert index.flush("alpine") == Flushed(2, 0)  # debian still refers to both blobs
        assert index.find("alpine", "a") == (1, None)
        assert index.find("debian", "a") == (0, entry("a"))
        assert index.flush("debian") == Flushed(2, 2)
        assert index.epochs() == {"alpine": 1, "debian": 1}

    def test_counts_blobs_that_no_entry_refers_to_any_more(self, index: Index) -> None:
        record(index, "x/1", entry("shared"))
        record(index, "x/2", entry("shared"))
        record(index, "y/1", entry("shared"))
        record(index, "x/3", entry("own"))
        assert index.flush("alpine", "x/") == Flushed(3, 1)
        assert index.flush("alpine") == Flushed(1, 1)

    def test_a_prefix_is_literal(self, index: Index) -> None:
        for path in ("50%/a", "50x/a", "a_b", "axb", "a\\b", "A_b"):
            record(index, path)
        assert index.flush("alpine", "50%").entries == 1
        assert index.flush("alpine", "a_").entries == 1
        assert index.flush("alpine", "a\\").entries == 1
        assert [stored.path for stored in index.listing("alpine")] == ["50x/a", "A_b", "axb"]

    def test_expiring_keeps_the_entry_and_asks_upstream_again(self, index: Index) -> None:
        record(index, "a")
        assert index.flush("alpine", expire=True) == Flushed(1, 0)
        assert index.find("alpine", "a") == (1, replace(entry("a"), checked=0.0, retry_at=0.0))

    def test_a_fill_begun_before_is_not_recorded(self, index: Index) -> None:
        epoch, _ = index.find("alpine", "a")
        index.flush("alpine", "something else")
        assert not index.commit("alpine", "a", "a", entry(), epoch, here)
        assert index.commit("alpine", "a", "a", entry(), epoch + 1, here)

    def test_commits_of_the_old_epoch_never_outlive_a_flush_among_them(self, make: Make) -> None:
        one, other = make(), make()
        for turn in range(10):
            epoch, _ = one.find("alpine", "a")
            works = [
                partial(one.commit, "alpine", f"{turn} {n}", f"{turn} {n}", entry(str(n)), epoch, here)
                for n in range(4)
            ]
            at_once([*works[:2], partial(other.flush, "alpine"), *works[2:]])
            assert one.listing("alpine") == []

    def test_a_commit_begun_before_an_expiring_flush_is_kept_and_asked_about(self, index: Index) -> None:
        epoch, _ = index.find("alpine", "a")
        index.flush("alpine", expire=True)
        assert index.commit("alpine", "a", "a", entry(), epoch, here)
        assert index.find("alpine", "a")[1] == replace(entry(), checked=0)
        index.flush("alpine")
        assert not index.commit("alpine", "a", "a", entry(), epoch, here)
        assert not index.commit("alpine", "a", "a", entry(), epoch + 1, here)
        assert index.commit("alpine", "a", "a", entry(), epoch + 2, here)

    def test_raising_an_epoch(self, index: Index) -> None:
        assert [index.raise_epoch("alpine"), index.raise_epoch("alpine")] == [1, 2]
        assert index.epochs() == {"alpine": 2}

    def test_repositories_that_are_not_known_any_more(self, index: Index) -> None:
        for name in ("alpine", "debian", "fedora"):
            record(index, "a", repository=name)
            record(index, "b", repository=name)
        for dry_run in (True, False):
            assert index.drop_unknown(frozenset({"alpine"}), dry_run) == {"debian": 2, "fedora": 2}
        assert index.drop_unknown(frozenset({"alpine"})) == {}
        assert len(index.listing("alpine")) == 2
        assert index.epochs() == {"debian": 1, "fedora": 1}


class TestListing:
    def test_pages_in_order_of_bytes(self, index: Index) -> None:
        paths = sorted(["a", "a/b", "A", "ä", "a b", "b", "a-b", LONG, LONG + "1"], key=str.encode)
        for path in reversed(paths):
            record(index, path)
        seen: list[str] = []
        while page := index.listing("alpine", after=seen[-1] if seen else "", limit=2):
            assert len(page) == 2 or len(seen) == len(paths) - 1
            seen += [stored.path for stored in page]
        assert seen == paths

    def test_only_a_prefix(self, index: Index) -> None:
        for path in ("a/1", "a/2", "b/1", "a%1"):
            record(index, path)
        [stored] = index.listing("alpine", "a%")
        assert (stored.repository, stored.path, stored.entry) == ("alpine", "a%1", entry("a%1"))
