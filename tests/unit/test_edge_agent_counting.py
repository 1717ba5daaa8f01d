"""What the edge agent counts, without an nginx: lines, the log, hits and their reports, the state."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.edge import state
from app.edge.hits import MOST, Hits, Report
from app.edge.lines import Name, counted
from app.edge.log import Log, Position, _punch
from app.edge.node import Counted
from app.edge.problems import UnableError
from app.edge.purges import Row
from app.edge.state import State
from tests.conftest import require

LINE = b"HIT\t1763729123.123\t10.0.0.1\tGET\t200\t100\t7 alma a%20b\t-some.id\n"


def test_lines_add_up_by_minute_and_bad_ones_are_counted() -> None:
    later = LINE.replace(b"1763729123", b"1763729180")
    other = LINE.replace(b"HIT", b"MISS", 1)
    bad = b"\n\xff\t\nHIT\tx\tc\tGET\t200\t1\t7 alma a\tk\n" + LINE.replace(b"\t100\t", b"\t\t") + LINE[9:]
    head = LINE.replace(b"GET", b"HEAD", 1).replace(b"\t100\t", b"\t0\t")
    empty = LINE.replace(b"\t100\t", b"\t0\t")
    unchanged = empty.replace(b"\t200\t", b"\t304\t")
    bad += LINE.replace(b"GET", b"PUT", 1) + LINE.replace(b"\t200\t", b"\t20\t")
    found = counted(LINE + LINE + head + empty + unchanged + later + other + bad + LINE.replace(b"7 alma", b"7alma"))
    minute = 1763729123 // 60 * 60
    assert found.rows == {
        (b"alma a%20b", b"10.0.0.1", minute, b"GET", b"200"): [3, 200],
        (b"alma a%20b", b"10.0.0.1", minute + 60, b"GET", b"200"): [1, 100],
        (b"alma a%20b", b"10.0.0.1", minute, b"HEAD", b"200"): [1, 0],
        (b"alma a%20b", b"10.0.0.1", minute, b"GET", b"304"): [1, 0],
    }
    assert found.unreadable == 8


def test_what_was_served_before_and_after_a_change_is_told_apart() -> None:
    """Also within a minute, in which the index would know what it has now."""
    old, new = "0a" * 32, "0b" * 32
    told = [LINE.replace(b"a%20b", f"a%20b {digest}".encode()) for digest in (old, new, new)]
    hits = Hits()
    hits.add(counted(b"".join([LINE, *told])).rows.items())
    assert hits.cut()
    documents = [hits.reports[0].document()["hits"][number] for number in range(3)]
    assert [(each["key"], each.get("digest"), each["requests"]) for each in documents] == [
        ("a b", None, 1),
        ("a b", old, 1),
        ("a b", new, 2),
    ]


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


def test_a_log_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    """A program that runs: like a volume that is mounted for reading, not even root may write to it."""
    file = tmp_path / "edge.log"
    shutil.copy(require("sleep"), file)
    with subprocess.Popen([str(file), "20"]) as running:
        log = Log(file)
        log.follow()
        assert list(log.chunks()) == []
        log.give_back()
        log.close()
        running.kill()
    with file.open("rb") as read:
        assert not _punch(read.fileno(), 4096)


def _rows(number: int, minute: int = 0) -> list[tuple[Name, list[int]]]:
    return [((b"alma %d" % key, b"10.0.0.1", minute, b"GET", b"200"), [1, 10]) for key in range(number)]


def test_reports_are_bounded_and_stay_as_they_are_until_an_answer() -> None:
    hits = Hits()
    hits.add(_rows(1200))
    assert hits.cut()
    sent: list[dict[str, Any]] = []
    verdicts = iter([Counted.YES, Counted.LATER, Counted.YES, Counted.LATER, Counted.YES])

    def send(report: dict[str, Any]) -> Counted:
        hits.add(_rows(1))  # what comes meanwhile is for later ones
        assert not hits.cut()
        sent.append(report)
        return next(verdicts)

    for _ in range(5):
        hits.send(send)
    assert [len(each["hits"]) for each in sent] == [500, 500, 500, 200, 200]
    assert sent[1] == sent[2]
    assert sent[3] == sent[4]
    assert len({each["report"] for each in sent}) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", each["report"]) for each in sent)
    assert list(hits.rows()) == [(_rows(1)[0][0], [5, 50])]
    assert max(len(json.dumps(each)) for each in sent) < 90_000
    taken = [each["key"] for number in (0, 2, 4) for each in sent[number]["hits"]]
    assert sorted(taken) == sorted(str(key) for key in range(1200))


def test_a_row_that_no_node_takes_is_lost_alone() -> None:
    hits = Hits()
    hits.add(_rows(500))
    hits.cut()
    taken: list[str] = []
    numbers: list[str] = []

    def send(report: dict[str, Any]) -> Counted:
        keys = [each["key"] for each in report["hits"]]
        numbers.append(report["report"])
        if "77" in keys:
            return Counted.NEVER
        taken.extend(keys)
        return Counted.YES

    while len(hits):
        hits.send(send)
    assert len(numbers) == len(set(numbers)) > 2
    assert sorted(taken) == sorted(str(key) for key in range(500) if key != 77)


def test_long_keys_make_smaller_reports() -> None:
    hits = Hits()
    long = b"alma " + b"%C3%A4" * 500
    hits.add([((long + b"%d" % key, b"::1", 0, b"GET", b"200"), [1, 1]) for key in range(100)])
    hits.cut()
    sent = [len(json.dumps(each.document())) for each in hits.reports]
    assert len(sent) > 1
    assert max(sent) < 90_000


def test_the_oldest_minutes_go_where_there_is_no_room(caplog: pytest.LogCaptureFixture) -> None:
    hits = Hits()
    hits.add(_rows(MOST // 2, 60))
    hits.add(_rows(MOST // 2 + 1, 0))
    assert len(hits) == MOST * 0.9
    assert sum(name[2] == 60 for name, _ in hits.rows()) == MOST // 2
    (record,) = caplog.records
    assert (record.getMessage(), record.fields["requests"]) == ("hits_lost", MOST // 10 + 1)  # type: ignore[attr-defined]
    hits.cut()
    hits.add(_rows(MOST // 10 + 1))
    assert len(hits) == MOST * 0.9 + 1 - 500  # whole reports
    assert list(hits.rows()) == _rows(MOST // 10 + 1)


def test_the_state_comes_back_and_none_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.json"
    assert state.load(file) == State()
    odd = ((b"alma \xff", b"::1", 60, b"HEAD", b"304"), [1, 0])
    known = State(7, [Row("alma", None, 7, 1.0)], [Position(1, 2)], [*_rows(2), odd], [Report("ab", _rows(3))])
    state.save(file, known, ended=False)
    found = state.load(file)
    assert (found.cursor, found.log, found.hits, found.reports) == (7, known.log, known.hits, known.reports)
    assert [(each.repository, each.number) for each in found.purges] == [("alma", 7)]
    monkeypatch.setattr("app.edge.state._boot", lambda: "another")
    crashed = State(log=known.log, hits=known.hits, reports=known.reports)
    assert state.load(file) == crashed  # the cursor is not believed
    state.save(file, known, ended=True)
    monkeypatch.undo()
    assert state.load(file).cursor == 7
    for text in ("", "{", "[]", "null", '{"version": 1}', '{"version": 2, "cursor": "x"}'):
        file.write_text(text)
        assert state.load(file) == State()
    with pytest.raises(UnableError, match="state file"):
        state.save(tmp_path / "no" / "state.json", known, ended=False)
