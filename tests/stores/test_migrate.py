"""Migrations: by several at once, again, by a version that is behind, and from wherever the package lies."""

from __future__ import annotations

import importlib
import logging
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

import app
from app.errors import StoreDown
from app.resource import Entry
from app.stores.postgres import PostgresIndex, migrate
from app.stores.statements import hashed
from tests.stores.values import entry

MIGRATE = "import sys; from app.stores.postgres import migrate; migrate(sys.argv[1])"
FIRST = """
    INSERT INTO entries (repository, key_hash, key, path, digest, size, content_type, etag, last_modified,
        fetched, checked, fence, retry_at, failures, gone)
    VALUES ('alpine', sha256('{path}'), '{path}', '{path}', 'd', 1, 'x', NULL, NULL, 2, 3, 4, 0, 0, 0)
    """  # as the version of 0001 writes
# What the version of 0002 asks, as its app/stores/statements.py had it.
_ENTRY = """digest, size, content_type, etag, last_modified, fetched, checked, fence, retry_at, failures, gone, until,
    kept"""
SECOND = (
    f"""
    INSERT INTO entries (repository, key_hash, key, path, {_ENTRY})
    SELECT %(repository)s, %(key_hash)s, %(key)s, %(path)s, %(digest)s, %(size)s, %(content_type)s, %(etag)s,
        %(last_modified)s, %(fetched)s,
        CASE WHEN %(epoch)s >= coalesce(epoch, 0) THEN %(checked)s::double precision ELSE 0 END,
        %(fence)s, %(retry_at)s, %(failures)s, %(gone)s, %(until)s, %(kept)s
    FROM (VALUES (1)) AS one LEFT JOIN repositories ON name = %(repository)s
    WHERE %(epoch)s >= coalesce(forgotten, 0) AND (%(replaces)s::bigint IS NULL OR EXISTS (
        SELECT FROM entries WHERE repository = %(repository)s AND key_hash = %(key_hash)s AND fence = %(replaces)s
    ))
    ON CONFLICT (repository, key_hash) DO UPDATE SET path = excluded.path, digest = excluded.digest,
        size = excluded.size, content_type = excluded.content_type, etag = excluded.etag,
        last_modified = excluded.last_modified, fetched = excluded.fetched, checked = excluded.checked,
        fence = excluded.fence, retry_at = excluded.retry_at, failures = excluded.failures, gone = excluded.gone,
        until = excluded.until, kept = excluded.kept
    WHERE entries.fence <= excluded.fence AND (%(replaces)s::bigint IS NULL OR entries.fence = %(replaces)s)
    """,
    f"""
    SELECT coalesce((SELECT epoch FROM repositories WHERE name = %(repository)s), 0), {_ENTRY}
    FROM (VALUES (1)) AS one
    LEFT JOIN entries ON repository = %(repository)s AND key_hash = %(key_hash)s
    """,
    f"""
    SELECT path, {_ENTRY} FROM entries
    WHERE repository = %(repository)s AND left(path, 256) LIKE %(like)s AND starts_with(path, %(prefix)s)
    AND (left(path, 256), path) > (left(%(after)s, 256), %(after)s)
    ORDER BY left(path, 256), path FETCH FIRST %(limit)s ROWS WITH TIES
    """,
)
PROJECT = Path(app.__file__).parent.parent


def _works(database_url: str) -> bool:
    index = PostgresIndex(database_url)
    recorded = index.commit("alpine", "a", "a", entry(fence=index.next_fence()), 0, lambda: True)
    index.close()
    return recorded


def test_by_four_processes_at_once(empty_database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_database_url]
    processes = [subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE) for _ in range(4)]
    results = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert results == [(b"", 0)] * 4
    assert _works(empty_database_url)


def test_again_keeps_everything(empty_database_url: str) -> None:
    migrate(empty_database_url)
    assert _works(empty_database_url)
    migrate(empty_database_url)
    index = PostgresIndex(empty_database_url)
    assert index.find("alpine", "a")[1] is not None
    index.close()


def test_the_first_schema_with_rows_and_its_version_still_running(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        for statement in _statements_of("0001_index"):
            connection.execute(statement)
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        connection.execute(FIRST.format(path="before"))
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(FIRST.format(path="after"))
    index = PostgresIndex(empty_database_url)
    for path in ("before", "after"):
        expected = Entry("d", 1, "x", None, None, 2.0, 3.0, 4, 0.0, 0, 0, until=0.0, kept="")
        assert index.find("alpine", path) == (0, expected)
    assert index.commit("alpine", "before", "before", entry(fence=5), 0, lambda: True)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(FIRST.format(path="before") + "ON CONFLICT (repository, key_hash) DO UPDATE SET fence = 6")
    assert index.find("alpine", "before")[1] == entry(fence=6)
    assert index.record_list("alpine", "list", "root", [], 1, 0) == []
    index.close()


def _as_of(database_url: str, *steps: str) -> None:
    """The schema of an earlier version, as alembic would have left it."""
    with psycopg.connect(database_url) as connection:
        for step in steps:
            for statement in _statements_of(step):
                connection.execute(statement)
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES (%s)", [steps[-1][:4]])


def _second(path: str) -> dict[str, object]:
    """The values of SECOND's statements."""
    values = {"repository": "alpine", "key_hash": hashed(path), "key": path, "path": path, "epoch": 0}
    return values | asdict(entry()) | {"replaces": None, "like": path, "prefix": path, "after": "", "limit": 9}


class Serving:
    """A node of the version of 0002 that commits and finds, again and again, on a connection it keeps."""

    def __init__(self, database_url: str) -> None:
        self.turns, self.slowest, self._ended = 0, 0.0, threading.Event()
        self._url = database_url
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Serving:
        self._thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        assert self._failure is None

    def goes_on(self) -> None:
        """Return when it has done some more turns."""
        before, deadline = self.turns, time.monotonic() + 20
        while self.turns < before + 20:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _serve(self) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while not self._ended.is_set():
                    self._turn(connection, str(self.turns % 50))
                    self.turns += 1
        except BaseException as failure:
            self._failure = failure

    def _turn(self, connection: psycopg.Connection[tuple[object, ...]], path: str) -> None:
        begun = time.monotonic()
        for statement in SECOND:
            found = connection.execute(statement, _second(path), prepare=True)
            assert found.rowcount == 1
        self.slowest = max(self.slowest, time.monotonic() - begun)


@pytest.mark.parametrize("kind", ["ACCESS SHARE", "ROW EXCLUSIVE"])
def test_the_version_before_goes_on_serving_while_a_table_is_in_use_and_after(
    empty_database_url: str, kind: str
) -> None:
    """Its statements, and a back-up or a long transaction that keeps the table from being altered."""
    _as_of(empty_database_url, "0001_index", "0002_lists")
    with Serving(empty_database_url) as serving:
        migration = threading.Thread(target=migrate, args=(empty_database_url,))
        with psycopg.connect(empty_database_url) as other:
            other.execute(f"LOCK TABLE entries IN {kind} MODE")
            migration.start()
            for _ in range(3):
                serving.goes_on()
            time.sleep(1.5)
            assert migration.is_alive()
            serving.goes_on()
        migration.join(60)
        assert not migration.is_alive()
        serving.goes_on()
        index = PostgresIndex(empty_database_url)
        index.used({("alpine", "1"): time.time() + 100}, 1)
        [*_, last] = index.coldest(["alpine"], True, 100)
        assert last.path == "1"
        assert index.find("alpine", "1") == (0, entry())
        index.close()
        serving.goes_on()
    assert serving.slowest < 3.0  # the patience of a find


def test_rows_of_before_are_not_written_anew(empty_database_url: str) -> None:
    """A default that is not the same for every row would rewrite the table while nobody can read it."""
    _as_of(empty_database_url, "0001_index", "0002_lists")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(FIRST.format(path="before"))
    file = "SELECT pg_relation_filenode('entries')"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        before = connection.execute(file).fetchone()
        migrate(empty_database_url)
        assert connection.execute(file).fetchone() == before


@pytest.mark.parametrize("fences", [0, 7])
def test_numbers_of_records_go_on_where_fences_were_and_a_new_database_knows_none(
    empty_database_url: str, fences: int
) -> None:
    _as_of(empty_database_url, "0001_index", "0002_lists", "0003_used")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("SELECT nextval('fences') FROM generate_series(1, %s)", [fences])
    migrate(empty_database_url)
    index = PostgresIndex(empty_database_url)
    assert (index.last_note(), index.next_note(), index.next_fence()) == (fences, fences + 1, fences + 1)
    index.close()


def test_a_note_of_use_is_a_hot_update(database_url: str) -> None:
    index = PostgresIndex(database_url)
    for number in range(200):
        index.commit("alpine", str(number), str(number), entry(), 0, lambda: True)
    index.used({("alpine", str(number)): time.time() + 100 for number in range(0, 200, 10)}, 1)
    index.close()
    counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'entries'"
    with psycopg.connect(database_url, autocommit=True) as connection:
        deadline = time.monotonic() + 10
        while (found := connection.execute(counts).fetchone() or (0, 0))[0] < 20:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert found[1] >= 15, "but for what found its page full"


def _statements_of(step: str) -> list[str]:
    """The SQL of one step as it is, whatever steps came after it."""
    statements: list[str] = []
    module = importlib.import_module(f"app.stores.migrations.versions.{step}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "op", SimpleNamespace(execute=statements.append))
        module.upgrade()
    return statements


def test_a_schema_that_is_ahead_is_left_to_the_newer_version(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of tomorrow'")
        connection.execute("ALTER TABLE entries ADD COLUMN tomorrow text")
    migrate(database_url)
    assert _works(database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("of tomorrow",)


def test_logging_is_left_alone(empty_database_url: str) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("app").disabled)
    migrate(empty_database_url)
    assert (root.level, list(root.handlers), logging.getLogger("app").disabled) == before


def test_no_database_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(StoreDown, match="not migrated"):
        migrate(f"postgresql:///x?host={tmp_path}")


def test_a_server_does_not_load_the_migrations_libraries() -> None:
    code = "import sys, app.stores.postgres; sys.exit('sqlalchemy' in sys.modules or 'alembic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, timeout=60)


def test_from_a_directory_with_an_odd_name(empty_database_url: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "100% ours, here"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "app", elsewhere / "app", ignore=ignored)
    subprocess.run([sys.executable, "-c", MIGRATE, empty_database_url], cwd=elsewhere, check=True, timeout=60)
    assert _works(empty_database_url)
