"""Bytes on their way: what lies on the disk, when, and what is cleared after a writer that died."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from app.errors import StoreDown
from app.fills.spool import Head, Orphan, Spool, noted, reap
from app.fills.spool import full as full_disk

HEAD = Head("text/plain", 11, '"e"')


def test_what_lies_on_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "up@0/a", 7)
    assert [path.name for path in tmp_path.iterdir()] == [spool.path.name] and spool.path.suffix == ".7"
    spool.describe(HEAD)
    told = json.loads(spool.sidecar.read_text())
    expected = {"content_type": "text/plain", "length": 11, "etag": '"e"', "last_modified": None, "kept": ""}
    assert told["head"] == expected
    spool.write(b"hello ")
    spool.write(b"world")
    spool.sync()
    assert (spool.path.read_bytes(), spool.size) == (b"hello world", 11)
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_adopted_bytes_stay_where_they_went(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", 1)
    spool.describe(HEAD)
    spool.write(b"kept")
    kept = spool.path.rename(tmp_path / "kept")
    spool.close()
    assert list(tmp_path.iterdir()) == [kept] and kept.read_bytes() == b"kept"


def test_unfenced_spools_of_one_name_do_not_meet(tmp_path: Path) -> None:
    one, other = Spool(tmp_path, "a", 0), Spool(tmp_path, "a", 0)
    assert one.path != other.path
    one.close()
    other.close()


def test_a_disk_that_fails_is_store_down(tmp_path: Path) -> None:
    with pytest.raises(StoreDown, match="cannot be written"):
        Spool(tmp_path / "missing", "a", 1)
    spool = Spool(tmp_path, "a", 1)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, spool.fd)
    os.close(full)
    with pytest.raises(StoreDown) as caught:
        spool.write(b"x")
    assert caught.value.code == "storage_full"
    assert full_disk.is_set()
    full_disk.clear()  # it is the whole process's
    spool.close()


def _die_in_the_middle(directory: Path, named: Connection) -> None:
    with noted(directory, "up@0/a", "token"):
        spool = Spool(directory, "up@0/a", 7)
        spool.describe(HEAD)
        spool.write(b"half a bo")
        named.send(spool.path.name)
        signal.pause()


def test_a_dead_writers_remains_are_cleared_and_a_live_ones_are_not(tmp_path: Path) -> None:
    with noted(tmp_path, "b", "another"):
        alive = Spool(tmp_path, "b", 8)
        alive.describe(HEAD)
        ours, before = set(tmp_path.iterdir()), _killed_in_the_middle(tmp_path)
        assert len(ours) == 3 and len(before - ours) == 3
        assert reap(tmp_path) == [Orphan("up@0/a", "token")]
        assert set(tmp_path.iterdir()) == ours
        alive.close()
    assert list(tmp_path.iterdir()) == []


def _killed_in_the_middle(directory: Path) -> set[Path]:
    """What lay there while the writer still lived, which nobody reaped."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    writer = spawn.Process(target=_die_in_the_middle, args=(directory, theirs))
    writer.start()
    with ours, theirs:
        assert ours.poll(20)
        before = set(directory.iterdir())
        assert reap(directory) == [] and set(directory.iterdir()) == before
        writer.kill()
        writer.join(20)
    return before


def test_what_was_written_a_moment_ago_may_have_a_writer_yet(tmp_path: Path) -> None:
    """Between the making of the file and its lock."""
    for name in ("0123.4", "token.lock", "4567.8.json"):
        (tmp_path / name).write_text("")
    os.utime(tmp_path / "token.lock", times=(0, 0))
    assert reap(tmp_path, 60.0) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0123.4", "4567.8.json"]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"lock": "a"}'])
def test_remains_that_say_nothing_are_cleared_too(tmp_path: Path, note: str) -> None:
    (tmp_path / "0123.4").write_bytes(b"half")
    (tmp_path / "0123.4.json").write_text("{}")
    (tmp_path / "4567.8.json").write_text("{}")
    (tmp_path / "4567.8.new").write_text("{")
    (tmp_path / "token.lock").write_text(note)
    assert reap(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_no_lock_leaves_no_note_and_a_broken_disk_is_not_told_here(tmp_path: Path) -> None:
    with noted(tmp_path, "a", ""), noted(tmp_path / "missing", "a", "token"):
        assert list(tmp_path.iterdir()) == []
