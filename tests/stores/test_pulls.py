"""The contract of the record of pulls, and what it may cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from app.errors import StoreDown
from app.pruning import Pruning
from app.stores.base import Index
from app.stores.catalog import Catalog
from app.stores.postgres import PostgresIndex, migrate
from app.stores.pulled import FEW
from app.stores.pulls import MINUTE, Cursor, Pull, Pulls, Sought, address
from app.stores.redis import RedisMemory
from tests.stores.conftest import Make
from tests.stores.test_migrate import _as_of as schema_of
from tests.stores.test_migrate import _statements_of as statements_of
from tests.stores.values import at_once, digest, entry

NOON = 1795262400  # 2026-11-21T12:00:00Z
BAD = Pull("alpine", "v3/x86_64/bad-1.0.apk", digest("bad"), "10.0.0.5", NOON, 1, 100)


def pulled(index: Index, *pulls: Pull) -> Pulls:
    index.pulls.record(pulls)
    return index.pulls


def found(pulls: Pulls, **wanted: object) -> list[Pull]:
    return list(pulls.find(Sought(**wanted)).pulls)  # type: ignore[arg-type]


def counts(database_url: str, table: str = "pulls") -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


class TestRecord:
    def test_what_is_the_same_adds_up(self, make: Make) -> None:
        one, other = make(), make()
        assert found(one.pulls) == []
        one.pulls.record([])
        pulled(one, BAD, replace(BAD, client="10.0.0.6"), BAD)
        pulled(other, replace(BAD, requests=3, bytes=50))
        assert found(one.pulls, client="10.0.0.5") == [replace(BAD, requests=5, bytes=250)]
        assert found(one.pulls, client="10.0.0.6") == [replace(BAD, client="10.0.0.6")]

    def test_what_differs_in_anything_is_another(self, index: Index) -> None:
        others = [
            BAD,
            replace(BAD, repository="edge"),
            replace(BAD, path="v3/x86_64/good-1.0.apk"),
            replace(BAD, digest=digest("replaced")),
            replace(BAD, digest=""),
            replace(BAD, client="2001:db8::5"),
            replace(BAD, minute=NOON + MINUTE),
        ]
        assert sorted(found(pulled(index, *others)), key=others.index) == others

    def test_two_writers_of_the_same_rows_end(self, make: Make) -> None:
        rows = [replace(BAD, path=str(number)) for number in range(400)]
        one, other = make(), make()
        write = [partial(each.pulls.record, order) for each, order in ((one, rows), (other, rows[::-1])) * 4]
        at_once(write)
        assert {(pull.path, pull.requests) for pull in found(one.pulls, limit=1000)} == {
            (str(number), 8) for number in range(400)
        }

    def test_counts_do_not_overflow(self, index: Index) -> None:
        for _ in range(3):
            pulled(index, replace(BAD, requests=10**9, bytes=2**50))
        assert found(index.pulls) == [replace(BAD, requests=2**31 - 1, bytes=3 * 2**50)]
        pulled(index, replace(BAD, bytes=2**63 - 2), replace(BAD, bytes=2**63 - 1))
        pulled(index, BAD)
        assert found(index.pulls) == [replace(BAD, requests=2**31 - 1, bytes=2**63 - 1)]

    def test_what_can_never_be_written_is_left_out(self, index: Index) -> None:
        """One row of a batch, not the batch for ever."""
        rows = [replace(BAD, path=str(number)) for number in range(9)]
        bad = [replace(BAD, path="NUL \0", requests=3), replace(BAD, bytes=2**63), replace(BAD, path="half \ud800")]
        assert index.pulls.record([*bad[:1], *rows, *bad[1:]]) == 5
        assert {(pull.path, pull.requests) for pull in found(index.pulls)} == {(str(n), 1) for n in range(9)}
        assert index.pulls.record(rows) == 0

    def test_an_outage_leaves_nothing_out(self) -> None:
        index = PostgresIndex("postgresql://x@/x?host=/nonexistent")
        with pytest.raises(StoreDown):
            index.pulls.record([BAD, replace(BAD, path="NUL \0")])
        index.close()

    def test_the_oldest(self, index: Index) -> None:
        assert index.pulls.oldest() is None
        pulled(index, replace(BAD, minute=NOON + MINUTE), BAD)
        assert index.pulls.oldest() == NOON

    def test_an_artifact_that_is_pulled_all_day_is_written_once(self, index: Index, database_url: str) -> None:
        def version() -> object:
            with psycopg.connect(database_url) as connection:
                return connection.execute("SELECT xmin, ctid, seen FROM pulled").fetchall()

        pulled(index, BAD)
        before = version()
        pulled(index, replace(BAD, client="10.0.0.6"), replace(BAD, minute=NOON - 3600))
        assert version() == before
        pulled(index, replace(BAD, minute=NOON + 86400))
        assert version() != before

    def test_a_row_that_is_counted_again_is_a_hot_update(self, index: Index, database_url: str) -> None:
        pulled(index, *(replace(BAD, path=str(number)) for number in range(300)))
        pulled(index, *(replace(BAD, path=str(number)) for number in range(0, 300, 20)))
        statement = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'pulls'"
        assert isinstance(index, PostgresIndex)
        index.close()  # the server counts when a session ends
        with psycopg.connect(database_url, autocommit=True) as connection:
            deadline = time.monotonic() + 10
            while (told := connection.execute(statement).fetchone() or (0, 0))[0] < 15:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert told[1] >= 12, "but for what found its page full"


class TestFind:
    @pytest.fixture
    def pulls(self, index: Index) -> Pulls:
        return pulled(
            index,
            BAD,
            replace(BAD, client="10.0.1.7", minute=NOON + MINUTE),
            replace(BAD, client="2001:db8::5", minute=NOON + 2 * MINUTE),
            Pull("alpine", "v3/x86_64/bad-1.0.apk", digest("good"), "10.0.0.5", NOON - 86400, 1, 1),
            Pull("edge", "v3/x86_64/bad-1.0.apk", "", "10.0.0.5", NOON, 1, 1),
            Pull("alpine", "v3/100%_x", digest("odd"), "10.0.0.9", NOON, 1, 1),
        )

    def test_the_newest_come_first(self, pulls: Pulls) -> None:
        minutes = [pull.minute - NOON for pull in found(pulls)]
        assert minutes == [120, 60, 0, 0, 0, -86400]

    def test_by_path_digest_and_repository(self, pulls: Pulls) -> None:
        bad = found(pulls, repository="alpine", path="v3/x86_64/bad-1.0", digest=digest("bad"))
        assert [pull.client for pull in bad] == ["2001:db8::5", "10.0.1.7", "10.0.0.5"]
        assert len(found(pulls, path="v3/x86_64/bad")) == 5
        assert len(found(pulls, digest=digest("bad"))) == 3
        assert [pull.repository for pull in found(pulls, repository="edge")] == ["edge"]
        assert found(pulls, repository="alpine", path="bad") == []
        assert found(pulls, digest=digest("nothing")) == []

    def test_a_prefix_is_literal_and_of_any_length(self, index: Index, pulls: Pulls) -> None:
        assert [pull.path for pull in found(pulls, path="v3/100%")] == ["v3/100%_x"]
        assert found(pulls, path="v3/1__%") == []
        long = f"{'d' * 300}/{'e' * 3000}"
        pulled(index, replace(BAD, path=long), replace(BAD, path=long[:-1] + "f"))
        assert {pull.path for pull in found(pulls, path=long[:3300])} == {long, long[:-1] + "f"}
        assert [pull.path for pull in found(pulls, path=long)] == [long]

    def test_by_address_and_network(self, pulls: Pulls) -> None:
        assert len(found(pulls, client="10.0.0.5")) == 3
        assert {pull.client for pull in found(pulls, client="10.0.0.0/24")} == {"10.0.0.5", "10.0.0.9"}
        assert [pull.client for pull in found(pulls, client="2001:db8::/32")] == ["2001:db8::5"]
        assert found(pulls, client="192.0.2.1") == []

    def test_a_minute_that_has_a_part_in_the_time_is_meant(self, pulls: Pulls) -> None:
        assert len(found(pulls, since=NOON + MINUTE)) == 2
        assert len(found(pulls, since=NOON + MINUTE - 0.5)) == 5
        assert len(found(pulls, until=NOON)) == 1
        assert len(found(pulls, until=NOON + 0.5)) == 4

    @pytest.mark.parametrize("wanted", [{}, {"repository": "alpine"}, {"client": "10.0.0.0/8"}, {"path": "v3/"}])
    def test_pages_are_the_whole_in_order(self, pulls: Pulls, wanted: dict[str, str]) -> None:
        whole = found(pulls, **wanted)
        after: Cursor | None = None
        for pull in whole:
            page = pulls.find(Sought(limit=1, after=after, **wanted))  # type: ignore[arg-type]
            assert page.pulls == [pull]
            after = page.after
        assert after is None

    def test_a_prefix_of_very_many_artifacts(self, index: Index) -> None:
        """They are not looked up one by one."""
        many = [replace(BAD, path=f"v3/{number}", digest="", minute=NOON + number) for number in range(FEW + 20)]
        pulls = pulled(index, *many, BAD)
        page = pulls.find(Sought(path="v3/", limit=30))
        assert [pull.minute for pull in page.pulls] == sorted((p.minute // 60 * 60 for p in many), reverse=True)[:30]
        assert len(found(pulls, path="v3/", client="10.0.0.5", limit=1000)) == 1000

    def test_knows(self, pulls: Pulls) -> None:
        assert pulls.knows("edge")
        assert not pulls.knows("egde")


def test_named(index: Index) -> None:
    for key in ("a#1", "a#2"):
        index.commit("alpine", key, "a", entry(key), 0, lambda: True)
    named = index.pulls.named([("alpine", "a#1"), ("alpine", "a#3"), ("edge", "a#1")])
    assert {key: (each.path, each.digest, each.fetched) for key, each in named.items()} == {
        ("alpine", "a#1"): ("a", digest("a#1"), entry().fetched)
    }
    assert index.pulls.named([]) == {}


class TestPruning:
    @pytest.fixture
    def catalog(self, database_url: str, redis_url: str) -> Iterator[Catalog]:
        made = Catalog(PostgresIndex(database_url), RedisMemory(redis_url))
        yield made
        made.index.close()
        made.memory.close()

    def test_what_is_older_than_it_is_kept_goes(
        self, catalog: Catalog, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.pruning.BATCH", 4)
        monkeypatch.setattr("app.pruning.PAUSE", 0.0)
        old = [replace(BAD, path=str(number), minute=NOON - 10 * 86400) for number in range(10)]
        pulls = pulled(catalog.index, *old, BAD, replace(BAD, path="3"))
        pruning = Pruning(catalog, 7 * 86400, lambda: NOON + 30.0)
        assert pruning.round() == 10
        assert {pull.path for pull in found(pulls)} == {BAD.path, "3"}
        assert counts(database_url, "pulled") == 2
        assert pruning.round() == 0

    def test_nothing_is_kept_where_nothing_is_recorded(self, catalog: Catalog) -> None:
        pulls = pulled(catalog.index, BAD)
        assert Pruning(catalog, 0, lambda: NOON + 120.0).round() == 1
        assert found(pulls) == []

    def test_one_node_at_a_time(self, catalog: Catalog) -> None:
        pulled(catalog.index, BAD)
        pruning = Pruning(catalog, 60, lambda: NOON + 86400.0)
        held = catalog.memory.lock("pruning")
        assert held is not None
        assert pruning.round() == 0
        held.release()
        assert pruning.round() == 1

    def test_without_redis(self, database_url: str) -> None:
        catalog = Catalog(PostgresIndex(database_url), RedisMemory("unix:///nonexistent"))
        pulled(catalog.index, BAD)
        assert Pruning(catalog, 60, lambda: NOON + 86400.0).round() == 1
        catalog.index.close()

    def test_an_artifact_of_today_keeps_its_name(self, index: Index, database_url: str) -> None:
        pulls = pulled(index, BAD, replace(BAD, path="old", minute=NOON - 3 * 86400))
        assert pulls.tidy(NOON, 100) == 1
        assert [pull.path for pull in found(pulls)] == [BAD.path]


def test_an_upgrade_waits_for_nobody_and_nobody_for_it(empty_database_url: str) -> None:
    """Before it only the record fails; its step leaves the table alone that the version before reads all the time."""
    schema_of(empty_database_url, "0001_index", "0002_lists", "0003_used", "0004_notes")
    index = PostgresIndex(empty_database_url)
    with pytest.raises(StoreDown):
        index.pulls.record([BAD])
    assert index.next_fence() == 1
    with psycopg.connect(empty_database_url) as other:
        other.execute("LOCK TABLE entries, repositories IN ACCESS EXCLUSIVE MODE")
        with psycopg.connect(empty_database_url) as step:
            step.execute("SET lock_timeout = '1s'")
            for statement in statements_of("0005_pulls"):
                step.execute(statement)
            step.execute("UPDATE alembic_version SET version_num = '0005'")
    migrate(empty_database_url)  # later steps do alter it: tests/stores/test_migrate.py
    assert found(pulled(index, BAD)) == [BAD]
    index.close()


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("2001:DB8:0::5", "2001:db8::5"),
        ("fe80::1%eth0", "fe80::1"),
        ("-", "::"),
        ("", "::"),
        ("unix:", "::"),
    ],
)
def test_addresses(given: str, recorded: str) -> None:
    assert address(given) == recorded
