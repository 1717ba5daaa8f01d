"""The edge agent's rules without an nginx: the lease under any clock, purges, lines, the log, hits, the state."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.edge import state
from app.edge.entry import Entry, hashed, of_file, parse
from app.edge.files import Files
from app.edge.hits import MOST, Hits
from app.edge.index import Index
from app.edge.lease import Lease, Moment
from app.edge.lines import Name, counted
from app.edge.log import Log, Position
from app.edge.node import Counted
from app.edge.problems import UnableError
from app.edge.purges import MOST as MOST_KEYS
from app.edge.purges import Purges, Row
from app.edge.state import State
from app.stores.edges import Purge


class Clock:
    """Both clocks; `move` sets the wall clock alone."""

    def __init__(self) -> None:
        self.wall, self.steady = 1000.5, 50.0

    def __call__(self) -> Moment:
        return Moment(self.wall, self.steady)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def move(self, seconds: float) -> None:
        self.wall += seconds


def _seconds(lease: Path) -> list[int]:
    return sorted(int(each.name) for each in lease.iterdir())


def test_a_lease_is_of_whole_seconds_within_what_was_granted(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "999").touch()
    lease = Lease(tmp_path, clock)
    assert _seconds(tmp_path) == []  # an earlier agent's
    begun = lease.begin()
    assert lease.extend(begun, 2.0)
    assert _seconds(tmp_path) == [1000, 1001]
    clock.wait(1.4)
    assert lease.extend(lease.begin(), 2.0)
    assert _seconds(tmp_path) == [1001, 1002]
    clock.wait(1.5)
    assert not lease.extend(begun, 2.0)  # an answer that took too long
    assert _seconds(tmp_path) == []


@pytest.mark.parametrize("seconds", [-3600, -1, -0.2, 0.2, 1, 3600])
def test_a_clock_that_is_set_ends_the_lease(tmp_path: Path, seconds: float) -> None:
    clock = Clock()
    lease = Lease(tmp_path, clock)
    assert lease.extend(lease.begin(), 2.0)
    begun = lease.begin()
    clock.move(seconds)
    clock.wait(0.1)
    assert not lease.extend(begun, 2.0)  # nor may that poll extend it
    assert _seconds(tmp_path) == []
    assert lease.extend(lease.begin(), 2.0)


def test_no_directory_no_lease(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnableError, match="lease directory"):
        Lease(tmp_path / "file" / "leases")


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (b"12 alma 9/x86_64/a.rpm", Entry(12, "alma", hashed("9/x86_64/a.rpm"))),
        (b"12 alma a%20b%C3%A4", Entry(12, "alma", hashed("a b\u00e4"))),
        (b"12 alma ", Entry(12, "alma", hashed(""))),
        (b"-1 alma a", None),
        (b"12 alma", None),
        (b"12 alma a b", None),
        (b"", None),
    ],
)
def test_entries(text: bytes, entry: Entry | None) -> None:
    assert parse(text) == entry


def test_the_entry_of_a_file_is_the_node_s_alone() -> None:
    head = b"\x05\0\0\nKEY: leased|GET|http|h|/a?X-Edge-Entry: 99 no no|\nHTTP/1.1 200 OK\r\nx-edge-entry: 7 r k\r\n"
    assert of_file(head + b"A: b\r\n\r\nbody\r\nX-Edge-Entry: 8 r k\r\n\r\n") == parse(b"7 r k")
    assert of_file(head) is None  # cut
    assert of_file(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\nX-Edge-Entry: 8 r k\r\n\r\n") is None


def test_purges_of_late_end_what_is_older_and_nothing_else() -> None:
    purges = Purges()
    assert not purges
    purges.add(Purge(10, "alma", "a"), 1.0)
    purges.add(Purge(20, "debian", None), 2.0)
    ended = [Entry(9, "alma", hashed("a")), Entry(19, "debian", 5)]
    kept = [Entry(10, "alma", hashed("a")), Entry(9, "alma", hashed("b")), Entry(20, "debian", 5), Entry(0, "x", 5)]
    again = Purges(purges.rows())
    for each in (purges, again):
        assert [each.ended(entry) for entry in ended + kept] == [True, True, False, False, False, False]
    purges.forget(1.5)
    assert [purges.ended(entry) for entry in ended] == [False, True]
    purges.everything(30, 3.0)
    assert purges.ended(Entry(29, "anything", 1))
    assert not purges.ended(Entry(30, "anything", 1))
    purges.forget(4.0)
    assert not purges


def test_very_many_purged_keys_become_their_repository() -> None:
    purges = Purges()
    for number in range(MOST_KEYS + 1):
        purges.add(Purge(number + 1, "alma", str(number)), 1.0)
    assert list(purges.rows()) == [Row("alma", None, MOST_KEYS + 1, 1.0)]


LINE = b"HIT\t1763729123.123\t10.0.0.1\tGET\t200\t100\t7 alma a%20b\tleased|GET|http|h|/a?b=\\t|\n"


def test_lines_add_up_by_minute_and_bad_ones_are_counted() -> None:
    later = LINE.replace(b"1763729123", b"1763729180")
    other = LINE.replace(b"HIT", b"MISS", 1)
    bad = b"\n\xff\t\nHIT\tx\tc\tGET\t200\t1\t7 alma a\tk\n" + LINE.replace(b"\t100\t", b"\t\t") + LINE[9:]
    head = LINE.replace(b"GET", b"HEAD", 1).replace(b"\t100\t", b"\t0\t")
    found = counted(LINE + LINE + head + later + other + bad + LINE.replace(b"7 alma", b"7alma"))
    minute = 1763729123 // 60 * 60
    assert found.rows == {
        (b"alma a%20b", b"10.0.0.1", minute, False): [2, 200],
        (b"alma a%20b", b"10.0.0.1", minute + 60, False): [1, 100],
        (b"alma a%20b", b"10.0.0.1", minute, True): [1, 0],
    }
    assert found.unreadable == 6


def test_the_log_from_its_end_then_on_in_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "edge.log"
    with pytest.raises(UnableError, match=r"edge\.log"):
        Log(file).follow()
    file.write_bytes(b"before\n")
    log = Log(file)
    log.follow()
    with file.open("ab", buffering=0) as written:
        written.write(b"one\ntw")
        assert list(log.chunks()) == [b"one\n"]
        written.write(b"o\n")
        assert list(log.chunks()) == [b"two\n"]
    (position,) = log.positions
    file.rename(tmp_path / "edge.log.1")
    with (tmp_path / "edge.log.1").open("ab") as written:
        written.write(b"three\n")
    log.follow()  # renamed and not made anew
    file.write_bytes(b"four\n")
    log.follow()
    assert list(log.chunks()) == [b"three\n", b"four\n"]
    log.close()
    again = Log(file, [position])
    again.follow()
    assert list(again.chunks()) == [b"three\n", b"four\n"]
    file.write_bytes(b"5\n")  # copytruncate
    assert list(again.chunks()) == [b"5\n"]
    again.close()


def test_what_was_read_takes_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.edge.log.HOLE", 1 << 20)
    file = tmp_path / "edge.log"
    file.touch()
    log = Log(file, [Position(file.stat().st_ino, 0)])
    log.follow()
    with file.open("ab") as written:
        written.write(b"x" * 99 + b"\n")
        written.write((b"y" * 99 + b"\n") * (4 << 20 >> 6))
    before, size = file.stat().st_blocks, file.stat().st_size
    lines = sum(chunk.count(b"\n") for chunk in log.chunks())
    assert lines == size // 100
    log.give_back()
    log.close()
    assert file.stat().st_size == size
    assert file.stat().st_blocks < before / 10


def _rows(number: int, minute: int = 0) -> list[tuple[Name, list[int]]]:
    return [((b"alma %d" % key, b"10.0.0.1", minute, False), [1, 10]) for key in range(number)]


def test_reports_are_bounded_and_only_what_was_refused_is_sent_again() -> None:
    hits = Hits()
    hits.add(_rows(1200))
    sent: list[list[dict[str, Any]]] = []
    verdicts = iter([Counted.YES, Counted.LATER, Counted.YES, Counted.UNKNOWN, Counted.YES])

    def send(batch: list[dict[str, Any]]) -> Counted:
        sent.append(batch)
        return next(verdicts)

    assert [hits.report(send) for _ in range(5)] == [True, False, True, False, True]
    assert [len(each) for each in sent] == [500, 500, 500, 200, 200]
    assert len(hits) == 0
    assert max(len(json.dumps({"hits": each})) for each in sent) < 90_000
    taken = [each["key"] for number in (0, 2, 4) for each in sent[number]]
    assert sorted(taken) == sorted(str(key) for key in range(1200))


def test_a_row_that_no_node_takes_is_lost_alone() -> None:
    hits = Hits()
    hits.add(_rows(500))
    taken: list[str] = []

    def send(batch: list[dict[str, Any]]) -> Counted:
        keys = [each["key"] for each in batch]
        if "77" in keys:
            return Counted.NEVER
        taken.extend(keys)
        return Counted.YES

    assert hits.report(send)
    assert len(hits) == 0
    assert sorted(taken) == sorted(str(key) for key in range(500) if key != 77)


def test_long_keys_make_smaller_reports() -> None:
    hits = Hits()
    hits.add([((b"alma " + b"%C3%A4" * 500 + b"%d" % key, b"::1", 0, False), [1, 1]) for key in range(100)])
    sent: list[int] = []
    while len(hits):
        hits.report(lambda batch: sent.append(len(json.dumps({"hits": batch}))) or Counted.YES)  # type: ignore[func-returns-value]
    assert len(sent) > 1
    assert max(sent) < 90_000


def test_the_oldest_minutes_go_where_there_is_no_room(caplog: pytest.LogCaptureFixture) -> None:
    hits = Hits()
    hits.add(_rows(MOST // 2, 60))
    hits.add(_rows(MOST // 2 + 1, 0))
    assert len(hits) == MOST * 0.9
    assert sum(minute == 60 for (_, _, minute, _), _ in hits.rows()) == MOST // 2
    (record,) = caplog.records
    assert (record.getMessage(), record.fields["requests"]) == ("hits_lost", MOST // 10 + 1)  # type: ignore[attr-defined]


def test_the_state_comes_back_and_none_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.json"
    assert state.load(file) == State()
    known = State(7, [Row("alma", None, 7, 1.0)], [Position(1, 2)], _rows(2))
    state.save(file, known, ended=False)
    found = state.load(file)
    assert (found.cursor, found.log, found.hits) == (7, known.log, known.hits)
    assert [(each.repository, each.number) for each in found.purges] == [("alma", 7)]
    monkeypatch.setattr("app.edge.state._boot", lambda: "another")
    assert state.load(file) == State(
        log=known.log, hits=known.hits
    )  # the machine crashed: the cursor is not believed
    state.save(file, known, ended=True)
    monkeypatch.undo()
    assert state.load(file).cursor == 7
    for text in ("", "{", "[]", "null", '{"version": 2}', '{"version": 1, "cursor": "x"}'):
        file.write_text(text)
        assert state.load(file) == State()
    with pytest.raises(UnableError, match="state file"):
        state.save(tmp_path / "no" / "state.json", known, ended=False)


def _never(entry: Entry) -> bool:
    return False


def test_files_that_are_replaced_or_gone_are_noticed(tmp_path: Path) -> None:
    directory = tmp_path / "f" / "0e"
    directory.mkdir(parents=True)
    name = "0" * 29 + "0ef"
    head = "\nKEY: k\nHTTP/1.1 200 OK\r\nX-Edge-Entry: {} alma a\r\n\r\n"
    (directory / name).write_text(head.format(5))
    (directory / f"{name}.0000000001").write_text("being written")
    files = Files(tmp_path, Index())
    list(files.look(_never))
    assert len(files.index) == 1
    (directory / "new").write_text(head.format(9))
    (directory / "new").rename(directory / name)
    list(files.look(_never))
    list(files.drop([Purge(8, "alma", "a")]))
    assert (directory / name).exists()  # it is of a later stamp
    list(files.drop([Purge(10, "alma", "b"), Purge(10, "other", None)]))
    assert (directory / name).exists()
    list(files.drop([Purge(10, "alma", "a")]))
    assert not (directory / name).exists()
    (directory / name).write_text(head.format(5))
    list(files.look(_never))
    (directory / name).unlink()
    list(files.look(_never))
    assert len(files.index) == 0
    (directory / name).write_text(head.format(5))
    list(files.look(lambda entry: entry.stamp < 6))
    assert not (directory / name).exists()
    assert (directory / f"{name}.0000000001").exists()


def test_a_cache_or_log_of_somebody_else_is_told(tmp_path: Path) -> None:
    """In a child process that is nobody's."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "edge.log").touch(mode=0o600)
    child = os.fork()
    if not child:
        told = 0
        os.setuid(65534)
        for act in (lambda: list(Files(tmp_path / "cache", Index()).look(_never)), Log(tmp_path / "edge.log").follow):
            try:
                act()
            except UnableError:
                told += 1
        os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
