"""What is directly in a directory, page by page, against a plain reading of all its paths."""

from __future__ import annotations

import random
from dataclasses import fields

import psycopg
import pytest

from app.resource import Entry
from app.stores.base import Index, Stored
from app.stores.publications import Child
from tests.stack import eventually
from tests.stores.conftest import Make
from tests.stores.values import entry

LONG = "d" * 300
PATHS = (
    *("a", "a/b", "a/b/c", "a/b/d", "a-b", "a0", "a/", "z/y/x/w", "ä/ö", "b", "b.txt", "日本/x", "%/a", "_/a", "\\"),
    *(f"{LONG}/{name}" for name in ("1", "2/3", "2/4", "5")),
)


def record(index: Index, *paths: str) -> None:
    index.restore(Stored("team", path, entry(path, fence=1)) for path in paths if not path.endswith("/"))


def model(paths: tuple[str, ...], directory: str) -> list[str]:
    """The names, in the order of their bytes."""
    found = set()
    for path in paths:
        if path.startswith(directory) and not path.endswith("/"):
            first, slash, _ = path.removeprefix(directory).partition("/")
            found.add(first + slash)
    return sorted(found, key=str.encode)


def pages(index: Index, directory: str, limit: int) -> list[Child]:
    found: list[Child] = []
    while page := index.hosted.children("team", directory, found[-1].name if found else "", limit):
        assert len(page) <= limit
        found += page
    return found


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_are_what_is_there(index: Index, limit: int) -> None:
    record(index, *PATHS)
    for directory in ("", "a/", "a/b/", "z/", "z/y/", "ä/", "%/", f"{LONG}/", f"{LONG}/2/", "never/"):
        found = pages(index, directory, limit)
        assert [child.name for child in found] == model(PATHS, directory)
        for child in found:
            assert (child.entry is None) == child.name.endswith("/")
            assert child.entry is None or child.entry == entry(directory + child.name, fence=1)
    assert index.hosted.children("other", "") == []


def test_random_trees(index: Index) -> None:
    rng = random.Random(6)
    paths = tuple({"/".join(rng.choice("ab-.0ü~") for _ in range(rng.randint(1, 4))) for _ in range(300)})
    record(index, *paths)
    for directory in ("", "a/", "a/b/", "-/", "ü/0/"):
        assert [child.name for child in pages(index, directory, 5)] == model(paths, directory)


def test_a_page_is_a_page_of_looks_however_much_is_below(make: Make, database_url: str) -> None:
    """Rows that were read, not a clock: a hundred thousand files in one directory, a hundred thousand directories."""
    index = make()
    record(index, "model")
    with psycopg.connect(database_url, autocommit=True) as connection:
        columns = ", ".join(f"e.{field.name}" for field in fields(Entry))
        for pattern in ("'many/' || n", "'wide/' || n || '/file'"):
            connection.execute(
                f"INSERT INTO entries SELECT repository, sha256(convert_to(p, 'UTF8')), p, p, {columns} "
                f"FROM entries e, LATERAL (SELECT {pattern} AS p FROM generate_series(1, 100000) AS n) AS s "
                "WHERE e.path = 'model'"
            )
        connection.execute("ANALYZE entries")
        connection.execute("SELECT pg_stat_reset()")
        assert [child.name for child in index.hosted.children("team", "", limit=10)] == ["many/", "model", "wide/"]
        assert len(index.hosted.children("team", "many/", "5", 10)) == 10
        assert len(index.hosted.children("team", "wide/", "5/", 10)) == 10
        index.close()  # a server process tells what it has read at its end
        eventually(lambda: _read(connection), "the numbers are known")
        assert _read(connection) < 1000


def _read(connection: psycopg.Connection[tuple[int]]) -> int:
    """Rows of entries that were read, by indexes or not."""
    found = connection.execute(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'entries'"
    ).fetchone()
    assert found is not None
    return found[0]
