"""What only Postgres can get wrong: size, plans, connections."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import psycopg
import pytest

from app.resource import Digest
from app.stores.base import Flushed, Listed
from app.stores.lists import LISTED
from app.stores.postgres import PostgresIndex
from app.stores.statements import EXPIRE, LISTING, where, within
from tests.stores.values import at_once, entry


@pytest.fixture
def index(database_url: str) -> Iterator[PostgresIndex]:
    index = PostgresIndex(database_url)
    yield index
    index.close()


def _fill(database_url: str, rows: int) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO entries SELECT 'big', sha256(n::text::bytea), 'p/' || n, 'p/' || n,
                encode(sha256(n::text::bytea), 'hex'), 1, 'x', NULL, NULL, 1, 1, 1, 0, 0, 0
            FROM generate_series(1, %s) AS n
            """,
            [rows],
        )
        connection.execute("ANALYZE entries")


def test_a_large_flush(database_url: str, index: PostgresIndex) -> None:
    _fill(database_url, 100_000)
    assert index.flush("big", "p/1").entries == 11_112
    assert index.flush("big") == Flushed(88_888, 88_888)


@pytest.mark.parametrize("end", ["", "x" * 300])
def test_a_prefix_is_found_by_the_index(database_url: str, end: str) -> None:
    _fill(database_url, 10_000)
    values = within("big", "p/12" + end) | {"after": "p/123", "limit": 10}
    with psycopg.connect(database_url) as connection:
        for statement in (EXPIRE, LISTING):
            plan = connection.execute("EXPLAIN " + statement.as_string(connection), values).fetchall()
            assert "entries_path" in str(plan)


def test_a_key_is_found_among_many_lists_by_the_index(database_url: str, index: PostgresIndex) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """
            INSERT INTO lists (repository, listing_hash, listing, root, fence)
            SELECT 'big', sha256(n::text::bytea), n, 'root', n FROM generate_series(1, 200) AS n
            """
        )
        connection.execute(
            """
            INSERT INTO listed SELECT 'big', sha256(n::text::bytea), lists.id, 'sha256', 'x'
            FROM generate_series(1, 500) AS n, lists WHERE (n + lists.id) % 20 = 0
            """
        )
        values = where("big", "40")
        plan = connection.execute("EXPLAIN " + LISTED, values).fetchall()  # before anybody counted the rows
        assert "listed_pkey" in str(plan)
    assert index.listed("big", "40") == Listed(Digest("sha256", "x"), "root")


def test_names_among_many_entries(database_url: str, index: PostgresIndex) -> None:
    _fill(database_url, 100_000)
    assert index.names(["big"], "^p/(.)", ("big", "3"), 3) == [("big", "4"), ("big", "5"), ("big", "6")]


def test_more_callers_than_connections(index: PostgresIndex) -> None:
    at_once(partial(index.commit, "alpine", str(n), str(n), entry(), 0, lambda: True) for n in range(16))
    assert len(index.listing("alpine")) == 16


def test_a_database_with_another_isolation_by_default(database_url: str, index: PostgresIndex) -> None:
    """Under a snapshot taken before the wait for a lock, a commit would not see the epoch that a flush raised."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        [name] = connection.execute("SELECT current_database()").fetchone() or [""]
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    seen: list[str] = []

    def present() -> bool:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE repositories SET epoch = 7, forgotten = 7 WHERE name = 'alpine'")
        seen.append("epoch raised in mid-commit")
        return True

    index.raise_epoch("alpine")
    assert not index.commit("alpine", "a", "a", entry(), 1, present)
    assert seen


def test_nothing_connects_before_the_first_question() -> None:
    PostgresIndex("postgresql:///nowhere?host=/nonexistent").close()
