"""`artifactapi gc` beside whoever stores just then; and the notes of use that eviction goes by."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from app import journal, maintenance
from app.errors import ArtifactError, StoreDown
from app.stores.filesystem import FilesystemBlobs
from app.stores.postgres import PostgresIndex
from app.web import usage
from app.web.usage import Usage
from tests.stores.values import entry, publish


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def index(database_url: str) -> Iterator[PostgresIndex]:
    index = PostgresIndex(database_url, connections=4)
    yield index
    index.close()


@pytest.fixture
def adopt(tmp_path: Path, blobs: FilesystemBlobs) -> Callable[[bytes, float], str]:
    """Store a body as it was adopted so many seconds ago; its digest."""

    def make(body: bytes, age: float = 0.0) -> str:
        file = tmp_path / "spooled"
        file.write_bytes(body)
        blobs.adopt(file, digest_of(body))
        at = time.time() - age
        os.utime(blobs.path(digest_of(body)), times=(at, at))
        return digest_of(body)

    return make


def test_only_what_is_old_and_nobodys_goes(
    index: PostgresIndex, blobs: FilesystemBlobs, adopt: Callable[[bytes, float], str]
) -> None:
    old, young, kept = adopt(b"old", 7200), adopt(b"young", 60), adopt(b"a", 7200)
    assert index.commit("up", "k", "k", entry("a"), 0, lambda: True)
    assert maintenance.collect(index, blobs) == maintenance.Collection(3, 1, 0)
    assert [blobs.exists(each) for each in (old, young, kept)] == [False, True, True]


def test_bytes_that_are_adopted_again_while_they_are_looked_at_stay(
    database_url: str, blobs: FilesystemBlobs, adopt: Callable[[bytes, float], str]
) -> None:
    """An upload of bytes that are here already makes them young, and is recorded a moment later."""
    digest = adopt(b"old", 7200)

    class Overtaken(PostgresIndex):
        def drop_blob(self, digest: str, remove: Callable[[], None]) -> bool:
            adopt(b"old", 0)
            return super().drop_blob(digest, remove)

    index = Overtaken(database_url)
    assert maintenance.collect(index, blobs).removed == 0
    assert blobs.exists(digest)
    index.close()


def test_it_runs_beside_commits_and_loses_none(index: PostgresIndex, blobs: FilesystemBlobs, tmp_path: Path) -> None:
    """Without any grace at all: what is recorded has its bytes."""
    recorded: list[str] = []
    ended = threading.Event()

    def store() -> None:
        for number in range(60):
            body = b"%d" % (number % 20)
            file = tmp_path / f"spooled{number}"
            file.write_bytes(body)
            digest = digest_of(body)
            blobs.adopt(file, digest)
            value = entry(body.decode(), number + 1)
            if index.commit("up", f"k{number}", "k", value, 0, lambda digest=digest: blobs.exists(digest)):  # type: ignore[misc]
                recorded.append(digest)
            if number % 3 == 0:
                index.forget("up", f"k{number}")
        ended.set()

    thread = threading.Thread(target=store)
    thread.start()
    while not ended.is_set():
        maintenance.collect(index, blobs, grace=0)
    thread.join()
    assert recorded
    for stored in index.listing("up"):
        assert blobs.exists(stored.entry.digest)


def test_the_journal_of_a_database_that_was_lost_forbids_it(
    index: PostgresIndex, blobs: FilesystemBlobs, adopt: Callable[[bytes, float], str]
) -> None:
    digest = adopt(b"old", 7200)
    blobs.note(f"{1000:020d}-ab", b"{}")
    with pytest.raises(ArtifactError, match="restore --from-store"):
        maintenance.collect(index, blobs)
    index.restore([])
    assert maintenance.collect(index, blobs).removed == 1
    assert not blobs.exists(digest)


def test_no_restore_brings_back_what_was_dropped_as_unknown(index: PostgresIndex, blobs: FilesystemBlobs) -> None:
    """Its name may be another team's by then."""
    assert publish(index.hosted, "gone", "a", entry("a"))
    journal.published(blobs, index.next_note(), "gone", "a", entry("a", fence=1))
    assert index.drop_unknown(frozenset(), dry_run=True) == {"gone": 1}
    with journal.replayed(blobs, print) as replay:
        assert len(list(replay.published())) == 1
    assert maintenance.collect(index, blobs, known=frozenset()).dropped == 1
    with journal.replayed(blobs, print) as replay:
        assert list(replay.published()) == []
    assert publish(index.hosted, "gone", "a", entry("b"))
    found = index.find("gone", "a")[1]
    assert found is not None
    journal.published(blobs, index.next_note(), "gone", "a", found)
    with journal.replayed(blobs, print) as replay:
        assert [each.entry.digest for each in replay.published()] == [entry("b").digest], "what came later stays"


class Noting(PostgresIndex):
    """Counts the statements that note uses; down while `down` is set."""

    statements = 0
    down = False

    def used(self, last: Mapping[tuple[str, str], float], coarse: float) -> None:
        if self.down:
            raise StoreDown("not now")
        self.statements += 1
        super().used(last, coarse)


@pytest.fixture
def noting(database_url: str) -> Iterator[Noting]:
    index = Noting(database_url)
    for name in ("a", "b"):
        assert index.commit("up", name, name, entry(name), 0, lambda: True)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE entries SET used = 1000")
    yield index
    index.close()


def lately(database_url: str) -> list[str]:
    """The entries that were used since 1970, sorted."""
    with psycopg.connect(database_url) as connection:
        return [path for (path,) in connection.execute("SELECT path FROM entries WHERE used > 1000 ORDER BY path")]


def test_uses_are_one_statement_a_batch_and_each_of_its_own_time(noting: Noting) -> None:
    notes = Usage(noting)
    for served in ("ab", "bbba", "ab", ""):
        for key in served * 50:
            notes.add("up", key)
        notes.flush()
        if served:
            assert [each.path for each in noting.coldest(["up"], True, 2)] == [*sorted("ab", key=served.rindex)]
    assert noting.statements == 3
    notes.close()


def test_of_a_crowd_a_second_use_is_not_noted_at_once(noting: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "FEW", 1)
    now = time.monotonic()
    monkeypatch.setattr(usage, "time", SimpleNamespace(time=time.time, monotonic=lambda: now))
    notes = Usage(noting)
    for _ in range(3):
        for _ in range(100):
            notes.add("up", "a")
            notes.add("up", "b")
        notes.flush()
    assert noting.statements == 1
    now += usage.COARSE
    notes.flush()  # nothing new has come since, and yet that is forgotten
    notes.add("up", "a")
    notes.close()
    assert noting.statements == 2


def test_what_cannot_be_noted_now_is_noted_later(noting: Noting, database_url: str) -> None:
    notes = Usage(noting)
    noting.down = True
    notes.add("up", "a")
    notes.flush()
    noting.down = False
    notes.close()
    assert lately(database_url) == ["a"]


def test_a_full_batch_does_not_wait(noting: Noting, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST", 2)
    notes = Usage(noting)
    for key in ("a", "x", "b"):
        notes.add("up", key)
    deadline = time.monotonic() + 4  # NOTED is 5
    while noting.statements == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    notes.add("up", "b")
    notes.close()
    assert lately(database_url) == ["a", "b"]
