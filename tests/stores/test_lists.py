"""The contract of every Index: what lists say of keys, and what they evict."""

from __future__ import annotations

import itertools
import threading
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import pytest

from app.resource import Digest
from app.stores.base import Index, Listed
from tests.stores.conftest import Make
from tests.stores.values import at_once, digest, entry


def sha256(text: str) -> Digest:
    return Digest("sha256", digest(text))


def record(
    index: Index, rows: Iterable[tuple[str, Digest]], fence: int = 1, listing: str = "primary", epoch: int = 0
) -> Sequence[str]:
    return index.record_list("fedora", listing, "repodata/repomd.xml", rows, fence, epoch)


def says(index: Index, key: str) -> Digest | None:
    listed = index.listed("fedora", key)
    return listed.digest if listed else None


def commit(index: Index, key: str, text: str, repository: str = "fedora") -> None:
    assert index.commit(repository, key, key, entry(text), 0, lambda: True)


class TestRecord:
    def test_what_a_list_says(self, index: Index) -> None:
        rows = [
            ("a.rpm", sha256("a")),
            ("x" * 10_000, Digest("sha512", "ab" * 64)),
            ("ü\t\\N\n", Digest("sha1", "0a")),
        ]
        assert index.listed("fedora", "a.rpm") is None
        assert list(record(index, iter(rows))) == []
        for key, expected in rows:
            assert index.listed("fedora", key) == Listed(expected, "repodata/repomd.xml")
        assert index.listed("another", "a.rpm") is None
        assert index.listed("fedora", "b.rpm") is None

    def test_the_next_one_replaces_all_of_it(self, index: Index) -> None:
        record(index, [("stays", sha256("1")), ("changes", sha256("1")), ("goes", sha256("1"))], fence=1)
        record(index, [("stays", sha256("1")), ("changes", sha256("2")), ("comes", sha256("1"))], fence=2)
        assert [says(index, key) for key in ("stays", "changes", "goes", "comes")] == [
            sha256("1"),
            sha256("2"),
            None,
            sha256("1"),
        ]
        index.record_list("fedora", "primary", "another/root", [("stays", Digest("md5", "1"))], 3, 0)
        assert index.listed("fedora", "stays") == Listed(Digest("md5", "1"), "another/root")
        record(index, [], fence=4)
        assert says(index, "stays") is None

    def test_an_older_one_changes_nothing_and_the_same_again_is_no_error(self, index: Index) -> None:
        record(index, [("a", sha256("new"))], fence=8)
        commit(index, "a", "new")
        assert list(record(index, [("a", sha256("old")), ("b", sha256("old"))], fence=7)) == []
        assert (says(index, "a"), says(index, "b")) == (sha256("new"), None)
        assert index.find("fedora", "a")[1] == entry("new")
        record(index, [("a", sha256("again"))], fence=8)
        assert says(index, "a") == sha256("again")

    def test_the_newest_list_that_names_a_key_counts(self, index: Index) -> None:
        record(index, [("a", sha256("1"))], fence=5, listing="one")
        record(index, [("a", sha256("2"))], fence=4, listing="two")
        assert says(index, "a") == sha256("1")
        record(index, [("a", sha256("3"))], fence=6, listing="two")
        assert says(index, "a") == sha256("3")
        record(index, [], fence=7, listing="two")
        assert says(index, "a") == sha256("1")

    def test_of_a_key_named_twice_the_last_counts(self, index: Index) -> None:
        commit(index, "a", "2")
        assert list(record(index, [("a", sha256("1")), ("b", sha256("b")), ("a", sha256("2"))])) == []
        assert says(index, "a") == sha256("2")

    def test_rows_that_raise_change_nothing(self, index: Index) -> None:
        def broken() -> Iterator[tuple[str, Digest]]:
            for number in range(20_000):
                yield str(number), sha256("new")
            raise ValueError("not XML")

        commit(index, "a", "a")
        record(index, [("a", sha256("a"))], fence=1)
        with pytest.raises(ValueError, match="not XML"):
            record(index, itertools.chain([("a", sha256("new"))], broken()), fence=2)
        assert (says(index, "a"), says(index, "1")) == (sha256("a"), None)
        assert index.find("fedora", "a")[1] == entry("a")
        record(index, [("a", sha256("b"))], fence=2)


class TestEviction:
    def test_of_what_the_list_contradicts_by_sha256(self, index: Index) -> None:
        for key in ("same", "other", "unlisted", "by sha1"):
            commit(index, key, "old")
        commit(index, "other", "old", repository="another")
        rows = [
            ("same", sha256("old")),
            ("other", sha256("new")),
            ("by sha1", Digest("sha1", "0a")),
            ("x", sha256("x")),
        ]
        assert list(record(index, rows)) == ["other"]
        assert set(index.find_all("fedora", ["same", "other", "unlisted", "by sha1"])) == {
            "same",
            "unlisted",
            "by sha1",
        }
        assert index.find("another", "other")[1] is not None
        assert list(record(index, rows, fence=2)) == []


class TestDrop:
    def test_lists_of_one_root_but_for_those_kept(self, index: Index) -> None:
        for listing in ("one", "two", "three"):
            record(index, [(listing, sha256("a"))], listing=listing)
        index.record_list("fedora", "else", "another/root", [("else", sha256("a"))], 1, 0)
        index.record_list("another", "one", "repodata/repomd.xml", [("one", sha256("a"))], 1, 0)
        index.drop_lists("fedora", "repodata/repomd.xml", ["two", "unheard of"])
        assert [says(index, key) is None for key in ("one", "two", "three", "else")] == [True, False, True, False]
        assert index.listed("another", "one") is not None
        index.drop_lists("fedora", "repodata/repomd.xml", [])
        assert says(index, "two") is None

    def test_a_dropped_one_may_come_back_under_any_fence(self, index: Index) -> None:
        record(index, [("a", sha256("1"))], fence=9)
        index.drop_lists("fedora", "repodata/repomd.xml", [])
        record(index, [("a", sha256("2"))], fence=8)
        assert says(index, "a") == sha256("2")

    def test_repositories_that_are_not_known_any_more(self, index: Index) -> None:
        record(index, [("a", sha256("a"))])
        index.record_list("gone", "one", "root", [("a", sha256("a"))], 1, 0)
        index.drop_unknown(frozenset({"fedora"}))
        assert says(index, "a") is not None
        assert index.listed("gone", "a") is None


class TestFlush:
    def test_by_the_beginning_of_the_root(self, index: Index) -> None:
        for root in ("x_1/root", "x%1/root", "y/root"):
            index.record_list("fedora", root, root, [(root, sha256("a"))], 1, 0)
        index.flush("fedora", "x_")
        assert says(index, "x_1/root") is None
        assert says(index, "x%1/root") is not None
        index.flush("fedora", expire=True)
        assert says(index, "y/root") is not None
        index.flush("fedora")
        assert says(index, "y/root") is None

    def test_a_list_begun_before_a_deleting_one_does_not_come_back(self, index: Index) -> None:
        index.flush("fedora", expire=True)
        record(index, [("a", sha256("a"))], epoch=0)
        assert says(index, "a") == sha256("a")
        index.flush("fedora")
        commit_epoch = index.find("fedora", "a")[0]
        assert index.commit("fedora", "a", "a", entry("a"), commit_epoch, lambda: True)
        assert list(record(index, [("a", sha256("b"))], fence=2, epoch=1)) == []
        assert says(index, "a") is None
        assert index.find("fedora", "a")[1] == entry("a")
        record(index, [("a", sha256("a"))], fence=2, epoch=2)
        assert says(index, "a") is not None

    def test_one_that_comes_while_the_rows_are_copied(self, make: Make) -> None:
        one, other = make(), make()

        def rows() -> Iterator[tuple[str, Digest]]:
            yield "a", sha256("a")
            other.flush("fedora")
            yield "b", sha256("b")

        record(one, rows())
        assert says(one, "a") is None


class TestAtOnce:
    def test_of_many_of_one_list_the_newest_stays_whole(self, make: Make) -> None:
        indexes = [make() for _ in range(3)]

        def rows(fence: int) -> Iterator[tuple[str, Digest]]:
            return ((str(number), sha256(str(fence))) for number in range(fence % 3, 300))

        for start in range(1, 25, 6):
            at_once(partial(record, indexes[fence % 3], rows(fence), fence) for fence in range(start, start + 6))
        assert [says(indexes[0], str(number)) for number in range(300)] == [sha256("24")] * 300

    def test_lists_switches_and_drops_of_one_repository(self, make: Make) -> None:
        """None waits for another in a circle: a deadlock would be a StoreDown."""
        indexes = [make() for _ in range(4)]
        keys = [str(number) for number in range(50)]

        def lists(index: Index, order: Sequence[str], listing: str) -> None:
            for turn in range(6):
                record(index, [(key, sha256(f"{listing} {turn}")) for key in order], index.next_fence(), listing)

        def commits() -> None:
            for turn in range(6):
                for key in keys[::5]:
                    indexes[2].commit("fedora", key, key, entry(str(turn), 2**40), 0, lambda: True)

        def drops() -> None:
            for _ in range(12):
                indexes[3].drop_lists("fedora", "repodata/repomd.xml", ["one"])

        at_once(
            [partial(lists, indexes[0], keys, "one"), partial(lists, indexes[1], keys[::-1], "two"), commits, drops]
        )

    def test_commits_go_on_while_rows_are_copied(self, make: Make) -> None:
        index, other = make(), make()
        copying, committed = threading.Event(), threading.Event()

        def rows() -> Iterator[tuple[str, Digest]]:
            yield "a", sha256("new")
            copying.set()
            assert committed.wait(20)
            yield "b", sha256("new")

        def commits() -> None:
            assert copying.wait(20)
            for each in (index, other):
                commit(each, "a", "old")
            committed.set()

        evicted: list[str] = []
        at_once([lambda: evicted.extend(record(index, rows())), commits])
        assert evicted == ["a"]


def test_a_hundred_thousand_rows_in_bounded_memory(make: Make) -> None:
    index, other = make(), make()
    values = [digest(str(number)) for number in range(100)]

    def rows(edition: int) -> Iterator[tuple[str, Digest]]:
        for number in range(100_000):
            yield f"pool/{number}.rpm", Digest("sha256", values[(number + (number < edition)) % 100])

    def commits() -> None:
        while not done.is_set():
            commit(other, "elsewhere", "a")
            time.sleep(0.01)

    def both() -> None:
        try:
            assert list(record(index, rows(0), fence=1)) == []
            assert list(record(index, rows(500), fence=2)) == ["pool/499.rpm"]
        finally:
            done.set()

    commit(index, "pool/499.rpm", "99")
    commit(index, "pool/500.rpm", "0")
    done = threading.Event()
    tracemalloc.start()
    at_once([both, commits])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
    assert says(index, "pool/499.rpm") == sha256("0")
    assert says(index, "pool/99999.rpm") == sha256("99")
    assert index.find("fedora", "pool/500.rpm")[1] == entry("0")
    index.flush("fedora")
    assert says(index, "pool/99999.rpm") is None
