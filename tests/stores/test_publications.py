"""The contract of Publications: files published and withdrawn together, and what their indexes say of them."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from app.errors import StoreDown
from app.stores.base import Flushed, Index, Stored
from app.stores.publications import Changed, Description, Indexed, Publication, Publications
from tests.stores.conftest import Make
from tests.stores.values import at_once, digest, entry, publish, unnoted, withdraw

NOW, LATER = 1000.0, 4600.0  # unix seconds: a switch, and from when what it superseded may go


@pytest.fixture
def hosted(index: Index) -> Publications:
    return index.hosted


def described(scope: str, about: str = "", *also: str) -> Description:
    return Description(scope, about, also)


def put(hosted: Publications, path: str, scope: str = "s", *also: str, text: str = "") -> bool:
    """Publish a file that stands in the index of `scope`."""
    return publish(hosted, "team", path, entry(text or path), description=described(scope, f"about {path}", *also))


def built(path: str, text: str = "", lasting: bool = False) -> Indexed:
    return Indexed(path, entry(text or path), lasting)


def switch(
    hosted: Publications, count: int, *files: Indexed, scope: str = "s", present: bool = True, now: float = NOW
) -> set[str] | None:
    found = hosted.switch("team", scope, count, files, now + LATER - NOW, now, lambda _: present)
    return None if found is None else set(found)


def paths(index: Index) -> list[str]:
    return [stored.path for stored in index.listing("team")]


def items(hosted: Publications, scope: str = "s") -> tuple[int, list[str]]:
    with hosted.items("team", scope) as (count, found):
        return count, [each.path for each in found]


class TestOneFile:
    def test_it_is_published_once(self, index: Index) -> None:
        assert publish(index.hosted, "team", "a", entry("first"), False)
        assert not publish(index.hosted, "team", "a", entry("second"), False)
        assert index.find("team", "a")[1] == entry("first", fence=1)

    def test_or_again_where_that_is_allowed_and_the_last_one_stands(self, index: Index) -> None:
        assert publish(index.hosted, "team", "a", entry("first", fence=9))
        assert publish(index.hosted, "team", "a", entry("second", fence=8))
        assert index.find("team", "a")[1] == entry("second", fence=2)

    def test_of_many_at_once_one_is_published(self, hosted: Publications) -> None:
        results: list[bool] = []

        def work(text: str) -> None:
            results.append(publish(hosted, "team", "a", entry(text), False))

        at_once(partial(work, str(number)) for number in range(8))
        assert sorted(results) == [False] * 7 + [True]

    def test_without_its_bytes_it_is_not(self, index: Index) -> None:
        assert not publish(index.hosted, "team", "a", present=False)
        assert index.find("team", "a") == (0, None)

    def test_the_journal_is_told_before_anybody_sees_it(self, make: Make) -> None:
        index, other = make(), make()
        told: list[tuple[int, object]] = []

        def note(fences: Mapping[str, int]) -> None:
            told.append((fences["a"], other.find("team", "a")[1]))

        assert publish(index.hosted, "team", "a", entry("first"), journal=note)
        assert withdraw(index.hosted, "team", "a", note)
        assert not withdraw(index.hosted, "team", "a", note)
        assert told == [(1, None), (2, entry("first", fence=1))]
        assert other.find("team", "a")[1] is None

    def test_what_the_journal_does_not_take_did_not_happen(self, index: Index) -> None:
        def full(_: Mapping[str, int]) -> None:
            raise StoreDown("journal")

        with pytest.raises(StoreDown, match="journal"):
            publish(index.hosted, "team", "a", description=described("s"), journal=full)
        assert index.find("team", "a") == (0, None)
        assert index.hosted.scope("team", "s") == (0, 0)
        assert publish(index.hosted, "team", "a", entry("first"))
        with pytest.raises(StoreDown, match="journal"):
            publish(index.hosted, "team", "a", entry("second"), journal=full)
        with pytest.raises(StoreDown, match="journal"):
            withdraw(index.hosted, "team", "a", full)
        assert index.find("team", "a")[1] == entry("first", fence=2)

    def test_of_many_changes_at_once_the_journal_ends_as_the_index_does(self, make: Make) -> None:
        indexes = [make() for _ in range(2)]
        told: dict[int, str] = {}

        def change(number: int) -> None:
            hosted, text = indexes[number % 2].hosted, str(number)
            if number % 3:
                publish(hosted, "team", "a", entry(text), journal=lambda fences: told.update({fences["a"]: text}))
            else:
                withdraw(hosted, "team", "a", lambda fences: told.update({fences["a"]: ""}))

        for turn in range(6):
            told.clear()
            at_once(partial(change, 6 * turn + number) for number in range(6))
            found = indexes[0].find("team", "a")[1]
            last = told[max(told)]
            assert (found.digest if found else "") == (digest(last) if last else "")

    def test_flush_of_another_repository_leaves_it(self, index: Index) -> None:
        put(index.hosted, "a")
        assert index.flush("alpine") == Flushed(0, 0)
        assert items(index.hosted) == (1, ["a"])


class TestTogether:
    def test_new_and_gone_in_one_change(self, index: Index) -> None:
        put(index.hosted, "old")
        fences: dict[str, int] = {}
        new = [Publication(path, entry(path), False, described("s")) for path in ("b", "a")]
        changed = index.hosted.change("team", new, ["old"], lambda _: True, fences.update)
        assert changed == Changed(scopes={"s": 2})
        assert paths(index) == ["a", "b"]
        assert sorted(fences) == ["a", "b", "old"]
        assert items(index.hosted) == (2, ["a", "b"])

    @pytest.mark.parametrize(("new", "gone", "standing"), [
        (["fresh", "stands"], [], "stands"),
        (["fresh"], ["absent"], "absent"),
        (["fresh", "index"], [], "index"),
        (["fresh"], ["index"], "index"),
        (["fresh"], ["stands", "absent"], "absent"),
    ])  # fmt: skip
    def test_one_that_stands_in_the_way_rolls_all_back(
        self, index: Index, new: list[str], gone: list[str], standing: str
    ) -> None:
        put(index.hosted, "stands")
        switch(index.hosted, 1, built("index"))
        before = (index.listing("team"), items(index.hosted), index.hosted.scope("team", "s"))
        files = [Publication(path, entry("other"), path == "index", described("s")) for path in new]
        told: list[Mapping[str, int]] = []
        changed = index.hosted.change("team", files, gone, lambda _: True, told.append)
        assert changed == Changed(standing, generated=standing == "index")
        assert (index.listing("team"), items(index.hosted), index.hosted.scope("team", "s")) == before
        assert told == []

    def test_missing_bytes_of_one_roll_all_back(self, index: Index) -> None:
        new = [Publication(path, entry(path)) for path in ("a", "b")]
        assert index.hosted.change("team", new, [], lambda it: it != digest("b"), unnoted) == Changed("b")
        assert paths(index) == []

    def test_changes_of_the_same_files_wait_for_each_other_and_never_in_a_circle(self, make: Make) -> None:
        indexes = [make() for _ in range(3)]

        def work(number: int) -> None:
            names = ["a", "b", "c"][:: 1 if number % 2 else -1]
            new = [Publication(path, entry(str(number)), True, described(path, "", "all")) for path in names]
            assert indexes[number % 3].hosted.change("team", new, [], lambda _: True, unnoted).standing is None

        at_once(partial(work, number) for number in range(9))
        found = indexes[0].listing("team")
        assert len({stored.entry.digest for stored in found}) == 1
        assert indexes[0].hosted.scope("team", "all") == (9, 0)


class TestScopes:
    def test_every_change_counts_its_scopes_up(self, hosted: Publications) -> None:
        assert hosted.scope("team", "s") == (0, 0)
        put(hosted, "a", "s", "also")
        put(hosted, "b", "s")
        withdraw(hosted, "team", "a")
        assert hosted.scope("team", "s") == (3, 0)
        assert hosted.scope("team", "also") == (2, 0)
        assert set(hosted.unbuilt()) == {("team", "s", 3), ("team", "also", 2)}

    def test_a_file_that_moves_changes_both(self, hosted: Publications) -> None:
        put(hosted, "a", "one")
        put(hosted, "a", "two")
        assert (hosted.scope("team", "one"), hosted.scope("team", "two")) == ((2, 0), (1, 0))
        assert hosted.scopes("team") == ["two"]
        assert (items(hosted, "one")[1], items(hosted, "two")[1]) == ([], ["a"])

    def test_only_those_with_files_are_listed_in_the_order_of_bytes(self, hosted: Publications) -> None:
        names = sorted(["", "a", "B", "ä", "x" * 300, "x" * 301], key=str.encode)
        for name in names:
            put(hosted, f"in {name}", name, "empty")
        seen = [""]
        while page := hosted.scopes("team", seen[-1], 2):
            seen += page
        assert seen == names
        assert hosted.scopes("other") == []

    def test_some_change_only_when_a_file_goes(self, hosted: Publications) -> None:
        said = Description("s", "", when_gone=("all",))
        assert publish(hosted, "team", "a", entry("a"), description=said)
        assert hosted.scope("team", "all") == (0, 0)
        assert hosted.change("team", [], ["a"], lambda _: True, lambda _: None).scopes == {"all": 1, "s": 2}

    def test_a_file_in_no_index_counts_nothing(self, hosted: Publications) -> None:
        assert publish(hosted, "team", "a")
        assert hosted.unbuilt() == []
        assert hosted.scopes("team") == []

    def test_touch_has_all_built_again(self, hosted: Publications) -> None:
        put(hosted, "a", "one")
        put(hosted, "b", "two")
        for scope in ("one", "two"):
            switch(hosted, 1, scope=scope)
        assert hosted.unbuilt() == []
        assert hosted.touch("team") == 2
        assert len(hosted.unbuilt()) == 2
        assert hosted.touch("other") == 0


class TestSuperseded:
    def test_files_go_also_where_nothing_follows_them(self, index: Index) -> None:
        """The last package of a repository was withdrawn: its index names what is private, say, for ever."""
        hosted = index.hosted
        put(hosted, "a")
        assert switch(hosted, 1, built("first", lasting=True), built("index")) == {"first", "index"}
        withdraw(hosted, "team", "a")
        assert switch(hosted, 2, built("index", "empty")) == {"index"}
        assert (hosted.expiring(LATER - 1), paths(index)) == ([], ["first", "index"])
        assert hosted.expiring(LATER) == [("team", "s")]
        assert (hosted.expire("team", "s", LATER), paths(index)) == (["first"], ["index"])
        assert (hosted.expiring(LATER), hosted.expire("team", "s", LATER)) == ([], [])
        assert hosted.unused(10) == frozenset()

    def test_scopes_that_nothing_is_in_are_forgotten(self, index: Index) -> None:
        hosted = index.hosted
        for path in ("gone", "back", "stays", "unbuilt"):
            put(hosted, path, path)
            if path != "stays":
                withdraw(hosted, "team", path)
            if path != "unbuilt":
                switch(hosted, hosted.scope("team", path)[0], scope=path)
        unused = hosted.unused(10)
        assert sorted(unused) == [("team", "back", 2), ("team", "gone", 2)]
        put(hosted, "back", "back")
        assert (hosted.forget_unused(unused), hosted.forget_unused([])) == (1, 0)
        known = {path: hosted.scope("team", path) for path in ("gone", "back", "stays", "unbuilt")}
        assert known == {"gone": (0, 0), "back": (3, 2), "stays": (1, 1), "unbuilt": (2, 0)}
        assert len(hosted.unused(1)) == 0


class TestItems:
    def test_in_the_order_of_paths_with_what_was_said_of_them(self, hosted: Publications) -> None:
        for path in ("b", "a", "Z"):
            put(hosted, path)
        with hosted.items("team", "s") as (count, found):
            assert count == 3
            rows = list(found)
        assert [row.path for row in rows] == ["Z", "a", "b"]
        what = entry("a")
        assert (rows[1].size, rows[1].digest, rows[1].published) == (what.size, what.digest, what.fetched)
        assert rows[1].about == "about a"

    def test_are_those_of_one_moment(self, make: Make) -> None:
        hosted, other = make().hosted, make().hosted
        for number in range(1200):
            put(hosted, f"{number:04d}") if number < 3 else None
        with hosted.items("team", "s") as (count, found):
            put(other, "0000a")
            withdraw(other, "team", "0001")
            assert (count, [each.path for each in found]) == (3, ["0000", "0001", "0002"])
        assert items(hosted) == (5, ["0000", "0000a", "0002"])

    def test_reading_them_holds_nobody_up(self, make: Make) -> None:
        hosted, other = make().hosted, make().hosted
        put(hosted, "a")
        with hosted.items("team", "s"):
            assert put(other, "b")
            assert switch(other, 2, built("index")) == {"index"}

    def test_are_read_in_little_memory_however_much_is_said_of_them(self, hosted: Publications) -> None:
        """What one publisher says of a file is megabytes, and anybody may ask for a list of them."""
        for number in range(48):
            publish(hosted, "team", f"{number:02d}", description=described("s", f"{number:02d}" * 500_000))
        tracemalloc.start()
        with hosted.items("team", "s") as (_, found):
            read = [(each.path, each.about[:2], len(each.about)) for each in found]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read == [(f"{number:02d}", f"{number:02d}", 1_000_000) for number in range(48)]
        assert peak < 8_000_000

    def test_can_be_read_from_any_path_on(self, hosted: Publications) -> None:
        for path in ("b", "a", "Z"):
            put(hosted, path)
        with hosted.items("team", "s", "Z") as (count, found):
            assert (count, [each.path for each in found]) == (3, ["a", "b"])

    def test_one_is_found_by_its_path(self, hosted: Publications) -> None:
        assert put(hosted, "a")
        found = hosted.described("team", "a")
        assert found is not None
        assert (found.path, found.about) == ("a", "about a")
        assert publish(hosted, "team", "b", entry("b"))
        assert [hosted.described("team", each) for each in ("b", "c")] == [None, None]

    def test_an_unknown_scope_is_empty(self, hosted: Publications) -> None:
        assert items(hosted, "never") == (0, [])


class TestDescribe:
    def test_says_it_of_what_is_published_already(self, index: Index) -> None:
        publish(index.hosted, "team", "a")
        [(path, found)] = index.hosted.undescribed("team")
        assert (path, found) == ("a", entry("a", fence=1))
        assert index.hosted.describe("team", "a", 1, described("s", "said", "also"))
        assert items(index.hosted) == (1, ["a"])
        assert index.hosted.scope("team", "also") == (1, 0)
        assert index.hosted.undescribed("team") == []

    def test_but_not_of_another_edition(self, index: Index) -> None:
        publish(index.hosted, "team", "a")
        publish(index.hosted, "team", "a", entry("next"))
        assert not index.hosted.describe("team", "a", 1, described("s"))
        assert not index.hosted.describe("team", "absent", 1, described("s"))
        assert items(index.hosted) == (0, [])

    def test_nor_twice_of_one(self, hosted: Publications) -> None:
        put(hosted, "a", "one")
        assert hosted.describe("team", "a", 1, described("two"))
        assert (hosted.scopes("team"), hosted.scope("team", "one")) == (["two"], (2, 0))
        assert hosted.describe("team", "a", 1, None)
        assert hosted.scopes("team") == []

    def test_index_files_need_none(self, hosted: Publications) -> None:
        put(hosted, "a")
        switch(hosted, 1, built("index"))
        assert hosted.undescribed("team") == []
        assert [hosted.generated("team", path) for path in ("index", "a", "none")] == [True, False, False]

    def test_in_pages(self, hosted: Publications) -> None:
        for path in ("c", "a", "b", "x" * 300):
            publish(hosted, "team", path)
        seen = [path for path, _ in hosted.undescribed("team", "", 2)]
        seen += [path for path, _ in hosted.undescribed("team", seen[-1], 9)]
        assert seen == ["a", "b", "c", "x" * 300]


class TestSwitch:
    def test_records_the_files_as_a_whole(self, index: Index) -> None:
        put(index.hosted, "a")
        assert switch(index.hosted, 1, built("meta"), built("top")) == {"meta", "top"}
        assert paths(index) == ["a", "meta", "top"]
        assert index.hosted.scope("team", "s") == (1, 1)
        assert index.hosted.unbuilt() == []

    def test_an_overtaken_one_changes_nothing(self, index: Index) -> None:
        put(index.hosted, "a")
        put(index.hosted, "b")
        assert switch(index.hosted, 2, built("top", "newer")) == {"top"}
        assert switch(index.hosted, 1, built("top", "older"), built("other")) is None
        assert switch(index.hosted, 2, built("top", "again")) is None
        found = index.find("team", "top")[1]
        assert found is not None
        assert found.digest == digest("newer")
        assert paths(index) == ["a", "b", "top"]

    def test_of_two_at_once_one_is_recorded(self, make: Make) -> None:
        hosted, other = make().hosted, make().hosted
        put(hosted, "a")
        results: list[set[str] | None] = []

        def work(one: Publications, text: str) -> None:
            results.append(switch(one, 1, built("top", text), built(text)))

        at_once([partial(work, hosted, "x"), partial(work, other, "y")])
        assert sorted(results, key=bool)[0] is None
        assert len([path for path in paths(make()) if path in ("x", "y")]) == 1

    def test_a_change_between_snapshot_and_switch_stays_to_be_built(self, make: Make) -> None:
        index, other = make(), make()
        put(index.hosted, "a")
        with index.hosted.items("team", "s") as (count, _):
            put(other.hosted, "b")
        assert switch(index.hosted, count, built("top")) == {"top"}
        assert index.hosted.unbuilt() == [("team", "s", 2)]
        assert index.hosted.scope("team", "s") == (2, 1)

    def test_nothing_happens_where_bytes_are_gone(self, index: Index) -> None:
        put(index.hosted, "a")
        assert switch(index.hosted, 1, built("top"), present=False) is None
        assert (paths(index), index.hosted.scope("team", "s")) == (["a"], (1, 0))

    def test_what_it_no_longer_names_goes_lasting_files_later(self, index: Index) -> None:
        for number in range(3):
            put(index.hosted, str(number))
        switch(index.hosted, 1, built("top", "1"), built("plain"), built("sum-1", lasting=True))
        changed = switch(index.hosted, 2, built("top", "2"), built("sum-2", lasting=True))
        assert changed == {"top", "sum-2", "plain"}
        assert paths(index) == ["0", "1", "2", "sum-1", "sum-2", "top"]
        assert switch(index.hosted, 3, built("top", "3"), now=LATER + 1) == {"top", "sum-1"}
        assert paths(index) == ["0", "1", "2", "sum-2", "top"]

    def test_a_superseded_file_that_is_named_again_stays(self, index: Index) -> None:
        for number in range(4):
            put(index.hosted, str(number))
        switch(index.hosted, 1, built("sum", lasting=True))
        switch(index.hosted, 2)
        switch(index.hosted, 3, built("sum", lasting=True))
        switch(index.hosted, 4, built("sum", lasting=True), now=LATER + 1)
        assert "sum" in paths(index)

    def test_another_scope_is_left_alone(self, index: Index) -> None:
        put(index.hosted, "a", "one")
        put(index.hosted, "b", "two")
        switch(index.hosted, 1, built("in one"), scope="one")
        switch(index.hosted, 1, built("in two"), scope="two")
        withdraw(index.hosted, "team", "a")
        assert switch(index.hosted, 2, scope="one") == {"in one"}
        assert paths(index) == ["b", "in two"]

    def test_readers_see_the_old_one_or_the_new(self, make: Make) -> None:
        index, other = make(), make()
        for number in range(8):
            put(index.hosted, str(number))
        ended = threading.Event()

        def read() -> None:
            while not ended.is_set():
                found = other.find_all("team", ["top", "meta"])
                assert len({each.digest for each in found.values()}) <= 1

        def write() -> None:
            try:
                for number in range(1, 9):
                    switch(index.hosted, number, built("top", str(number)), built("meta", str(number)))
            finally:
                ended.set()

        at_once([read, write])

    def test_its_files_have_a_fence(self, index: Index) -> None:
        put(index.hosted, "a")
        switch(index.hosted, 1, built("top"))
        found = index.find("team", "top")[1]
        assert found == replace(entry("top"), fence=2)


class TestMany:
    def test_few_locks_are_taken_for_many_files(self, hosted: Publications, database_url: str) -> None:
        """The server has room for some thousands, of everybody's."""
        held: list[int] = []

        def journal(fences: Mapping[str, int]) -> None:
            assert len(set(fences.values())) == len(fences)
            with psycopg.connect(database_url) as connection:
                found = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
                held.append(found[0] if found else 0)

        new = [Publication(f"{number:04d}", entry("a"), False, None) for number in range(501)]
        for count in (500, 501):
            hosted.change("team", new[:count], [], lambda _: True, journal)
            hosted.change("team", [], [each.path for each in new[:count]], lambda _: True, journal)
        assert held[0] >= 500
        assert max(held[2:]) < 300

    def test_they_wait_for_who_changes_one(self, hosted: Publications) -> None:
        begun, changed = threading.Event(), threading.Event()

        def slowly(fences: Mapping[str, int]) -> None:
            begun.set()
            assert not changed.wait(0.3)

        def one() -> None:
            hosted.change("team", [Publication("0000", entry("a"))], [], lambda _: True, slowly)

        def many() -> None:
            assert begun.wait(10)
            new = [Publication(f"{number:04d}", entry("b"), True) for number in range(501)]
            hosted.change("team", new, [], lambda _: True, lambda _: changed.set())

        at_once([one, many])
        assert changed.is_set()


class TestUnknown:
    def test_drops_what_was_said_of_it_too(self, index: Index) -> None:
        put(index.hosted, "a")
        switch(index.hosted, 1, built("top"))
        assert index.drop_unknown(frozenset({"team"})) == {}
        assert index.drop_unknown(frozenset(), dry_run=True) == {"team": 2}
        assert items(index.hosted) == (1, ["a"])
        assert index.drop_unknown(frozenset()) == {"team": 2}
        assert items(index.hosted) == (0, [])
        assert index.hosted.scopes("team") == []
        assert index.hosted.unbuilt() == []
        assert publish(index.hosted, "team", "top", overwrite=False), "no index file any more"
        assert put(index.hosted, "a")
        assert index.hosted.scope("team", "s") == (1, 0)

    def test_also_of_a_repository_without_any_entry(self, index: Index) -> None:
        put(index.hosted, "a")
        withdraw(index.hosted, "team", "a")
        index.drop_unknown(frozenset())
        assert index.hosted.unbuilt() == []


class TestRestored:
    def test_have_to_be_described(self, index: Index) -> None:
        assert index.restore([Stored("team", "a", entry("a", fence=7))]) == 1
        assert [path for path, _ in index.hosted.undescribed("team")] == ["a"]
        assert index.hosted.describe("team", "a", 7, described("s"))

    def test_over_an_older_edition_it_is_described_anew(self, index: Index) -> None:
        """What was said of the edition of before is not true of the one from the journal."""
        put(index.hosted, "a")
        index.restore([Stored("team", "a", entry("newer", fence=9))])
        assert [path for path, _ in index.hosted.undescribed("team")] == ["a"]

    def test_a_withdrawal_takes_it_out_of_its_index(self, index: Index) -> None:
        put(index.hosted, "a")
        assert not index.hosted.forget("team", "a", 0)
        assert index.hosted.forget("team", "a", 1)
        assert not index.hosted.forget("team", "a", 1)
        assert items(index.hosted)[1] == []
        assert index.hosted.unbuilt() == [("team", "s", 2)]
        assert index.hosted.scopes("team") == []
