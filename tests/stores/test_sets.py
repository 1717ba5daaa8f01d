"""The contract of every Index: several entries at once (find_all, switch), and the names among them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from app.errors import StoreDown
from app.stores.base import Change, Index
from tests.stores.conftest import Make
from tests.stores.values import at_once, digest, entry

MANIFESTS = "^v2/(.+)/manifests/[^/]+$"


def here(_: str) -> bool:
    return True


def change(key: str, text: str, fence: int) -> Change:
    return Change(key, key, entry(text, fence))


def switch(
    index: Index,
    changes: Sequence[Change],
    dropped: Sequence[str] = (),
    epoch: int = 0,
    present: Callable[[str], bool] = here,
) -> bool:
    return index.switch("fedora", changes, dropped, epoch, present)


def commit(index: Index, key: str, fence: int = 1, repository: str = "fedora") -> bool:
    return index.commit(repository, key, key, entry(key, fence), 0, lambda: True)


def digests(index: Index, *keys: str) -> dict[str, str]:
    return {key: found.digest for key, found in index.find_all("fedora", keys).items()}


class TestFindAll:
    def test_those_that_are_there(self, index: Index) -> None:
        keys = [f"d/{number}" for number in range(500)] + ["ü", "x" * 10_000]
        for key in keys[::3]:
            commit(index, key)
        commit(index, keys[1], repository="another")
        assert index.find_all("fedora", keys) == {key: entry(key) for key in keys[::3]}
        assert index.find_all("fedora", []) == {}
        assert index.find_all("fedora", ["NUL\0", "\udcff"]) == {}


class TestSwitch:
    def test_records_and_forgets_as_one(self, index: Index) -> None:
        for key in ("root", "old", "stays"):
            commit(index, key)
        commit(index, "root", repository="another")
        changes = [change("new", "n", 5), Change("root", "a/path", entry("r", 5))]
        assert switch(index, changes, ["old", "never there"])
        assert index.find_all("fedora", ["root", "old", "new", "stays"]) == {
            "root": entry("r", 5),
            "new": entry("n", 5),
            "stays": entry("stays"),
        }
        assert [stored.path for stored in index.listing("fedora")] == ["a/path", "new", "stays"]
        assert index.find("another", "root")[1] == entry("root")

    def test_nothing_is_a_switch_too(self, index: Index) -> None:
        commit(index, "old", fence=9)
        assert switch(index, [])
        assert switch(index, [], ["old"])
        assert digests(index, "old") == {}

    @pytest.mark.parametrize("newer", ["a", "root", "old"])
    def test_does_nothing_where_any_key_is_newer(self, index: Index, newer: str) -> None:
        for key in ("a", "root", "old"):
            commit(index, key, fence=9 if key == newer else 1)
        before = index.find_all("fedora", ["a", "root", "old"])
        assert not switch(index, [change("b", "b", 8), change("a", "a2", 8), change("root", "r2", 8)], ["old"])
        assert index.find_all("fedora", ["a", "b", "root", "old"]) == before
        assert switch(index, [change("b", "b", 9), change("a", "a2", 9), change("root", "r2", 9)], ["old"])
        assert digests(index, "a", "b", "root", "old") == {"a": digest("a2"), "b": digest("b"), "root": digest("r2")}

    @pytest.mark.parametrize("expire", [False, True])
    def test_does_nothing_after_a_flush(self, index: Index, expire: bool) -> None:
        commit(index, "old")
        index.flush("fedora", "something else", expire)
        assert not switch(index, [change("a", "a", 5)], ["old"])
        assert digests(index, "a", "old") == {"old": digest("old")}
        assert switch(index, [change("a", "a", 5)], ["old"], epoch=1)

    def test_does_nothing_without_all_bytes(self, index: Index) -> None:
        asked: list[str] = []

        def present(of: str) -> bool:
            asked.append(of)
            return of != digest("gone")

        changes = [change(text, text, 5) for text in ("here", "gone")]
        assert not switch(index, changes, present=present)
        assert digests(index, "here", "gone") == {}
        assert digest("gone") in asked

    def test_a_failure_while_asking_for_bytes_leaves_nothing(self, index: Index) -> None:
        def broken(_: str) -> bool:
            raise StoreDown("disk")

        commit(index, "old")
        with pytest.raises(StoreDown, match="disk"):
            switch(index, [change("a", "a", 5)], ["old"], present=broken)
        assert digests(index, "a", "old") == {"old": digest("old")}

    def test_a_failure_in_the_last_change_leaves_nothing(self, index: Index) -> None:
        commit(index, "old")
        with pytest.raises(StoreDown):
            switch(index, [change("a", "a", 5), change("NUL\0", "b", 5)], ["old"])
        assert digests(index, "a", "old") == {"old": digest("old")}

    def test_waits_for_a_removal_and_then_misses_the_bytes(self, make: Make) -> None:
        collector, filler = make(), make()
        kept, removing, results = {digest("a"), digest("b")}, threading.Event(), []

        def remove() -> None:
            removing.set()
            time.sleep(0.3)  # a switch that did not wait would see the bytes and record them
            kept.discard(digest("b"))

        def record() -> None:
            removing.wait(10)
            changes = [change(text, text, 5) for text in "ab"]
            results.append(switch(filler, changes, present=kept.__contains__))

        at_once([record, lambda: results.append(collector.drop_blob(digest("b"), remove))])
        assert sorted(results) == [False, True]
        assert digests(filler, "a", "b") == {}

    def test_readers_never_see_half_of_one_while_many_switch_and_commit(self, make: Make) -> None:
        keys = [f"member {number}" for number in range(20)]
        indexes = [make() for _ in range(3)]
        done = threading.Event()
        halves: list[object] = []

        def edition(number: int) -> None:
            fence = indexes[number % 2].next_fence()
            order = keys if number % 2 else keys[::-1]
            switch(indexes[number % 2], [change(key, f"edition {fence}", fence) for key in order], ["single"])
            commit(indexes[number % 2], "single", fence)

        def read() -> None:
            while not done.is_set():
                found = set(digests(indexes[2], *keys).values())
                if len(found) > 1:
                    halves.append(found)

        def write() -> None:
            try:
                for turn in range(5):
                    at_once([partial(edition, 4 * turn + number) for number in range(4)])
            finally:
                done.set()

        at_once([write, read])
        assert halves == []
        assert len(set(digests(indexes[2], *keys).values())) == 1

    def test_a_flush_among_switches_leaves_nothing_of_before(self, make: Make) -> None:
        one, other = make(), make()
        for _ in range(8):
            epoch = one.find("fedora", "root")[0]
            works = [
                partial(switch, one, [change(f"{number} {part}", "x", 5) for part in "abc"], (), epoch)
                for number in range(3)
            ]
            at_once([*works[:1], partial(other.flush, "fedora"), *works[1:]])
            assert one.listing("fedora") == []


class TestNames:
    def test_distinct_in_order_of_bytes_and_paged(self, index: Index) -> None:
        for repository in ("hub", "hub-b", "other"):
            for name in ("b", "a/b", "a-b", "Z", "a"):
                for tag in ("1", "2"):
                    commit(index, f"v2/{name}/manifests/{tag}", repository=repository)
                commit(index, f"v2/{name}x/blobs/sha256:{name}", repository=repository)
        expected = [(repository, name) for repository in ("hub", "hub-b") for name in ("Z", "a", "a-b", "a/b", "b")]
        seen: list[tuple[str, str]] = []
        while page := index.names(["hub-b", "hub"], MANIFESTS, seen[-1] if seen else ("", ""), 3):
            assert len(page) == 3 or len(seen) == 9
            seen += page
        assert seen == expected

    def test_nothing(self, index: Index) -> None:
        assert list(index.names([], MANIFESTS, ("", ""), 10)) == []
        commit(index, "v2/a/manifests/1")
        assert list(index.names(["fedora"], MANIFESTS, ("", ""), 0)) == []
        assert list(index.names(["fedora"], "^v2/(nothing)/", ("", ""), 10)) == []

    def test_after_what_no_name_can_be(self, index: Index) -> None:
        for name in ("a", "ab"):
            commit(index, f"v2/{name}/manifests/1")
        assert list(index.names(["fedora"], MANIFESTS, ("fedora", "a\0zzz"), 10)) == [("fedora", "ab")]

    def test_a_wrong_pattern_is_an_error_and_no_outage(self, index: Index) -> None:
        commit(index, "a")
        with pytest.raises(StoreDown):
            index.names(["fedora"], "(", ("", ""), 10)
        assert index.find("fedora", "a")[1] == entry("a")
