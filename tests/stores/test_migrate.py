"""Migrations: by several at once, again, by a version that is behind, and from wherever the package lies."""

from __future__ import annotations

import importlib
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

import app
from app.errors import StoreDown
from app.resource import Entry
from app.stores.postgres import PostgresIndex, migrate
from tests.stores.values import entry

MIGRATE = "import sys; from app.stores.postgres import migrate; migrate(sys.argv[1])"
FIRST = """
    INSERT INTO entries (repository, key_hash, key, path, digest, size, content_type, etag, last_modified,
        fetched, checked, fence, retry_at, failures, gone)
    VALUES ('alpine', sha256('{path}'), '{path}', '{path}', 'd', 1, 'x', NULL, NULL, 2, 3, 4, 0, 0, 0)
    """  # as the version of 0001 writes
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
