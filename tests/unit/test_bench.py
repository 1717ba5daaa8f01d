"""The benchmark's pure parts: medians, verdicts, the table, bodies that show every wrong byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.bodies import BLOCK, Body, Comparison
from bench.figures import MILLISECONDS, TIMES, Figure, as_json, at_least, at_most, percentile, shown, table
from bench.load import Load, from_wrk
from bench.memory import Peaks, status

BODY = Body(serial=7, size=2 * BLOCK + 100)


def content(body: Body) -> bytearray:
    return bytearray(b"".join(bytes(block) for block in body.blocks()))


def compared(body: Body, data: bytes | bytearray, step: int = 100_000) -> Comparison:
    comparison = Comparison(body)
    for start in range(0, len(data), step):
        comparison.take(bytes(data[start : start + step]))
    return comparison


@pytest.mark.parametrize("step", [100, 65_536, BLOCK, 3 * BLOCK])
def test_a_right_body_is_whole_however_it_arrives(step: int) -> None:
    assert compared(BODY, content(BODY), step).whole


@pytest.mark.parametrize("place", [0, 8, 16, BLOCK - 1, BLOCK, 2 * BLOCK + 99])
def test_one_wrong_byte_anywhere_shows(place: int) -> None:
    data = content(BODY)
    data[place] ^= 1
    assert not compared(BODY, data).whole


def test_cut_swapped_longer_and_other_bodies_are_not_whole() -> None:
    data = content(BODY)
    first, second, rest = data[:BLOCK], data[BLOCK : 2 * BLOCK], data[2 * BLOCK :]
    assert not compared(BODY, data[:-1]).whole
    assert not compared(BODY, first + first + rest).whole
    assert not compared(BODY, second + first + rest).whole
    assert not compared(BODY, data + b"x").whole
    assert not compared(BODY, content(Body(8, BODY.size))).whole


def test_room_never_reaches_beyond_the_body() -> None:
    comparison = Comparison(Body(1, 100))
    assert len(comparison.room()) == 100
    comparison.took(100)
    assert len(comparison.room()) == 0


def test_a_file_is_stamped_in_place(tmp_path: Path) -> None:
    file = tmp_path / "file"
    BODY.write(file)
    again = Body(9, BODY.size).write(file)
    assert file.read_bytes() == content(again)


@pytest.mark.parametrize(
    ("samples", "good"), [((1.0, 1.1, 9.0), True), ((1.0, 1.2, 1.2), False), ((1.1, 1.1, 1.1), True)]
)
def test_at_most_judges_the_median(samples: tuple[float, ...], good: bool) -> None:
    assert at_most("work", samples, 1.1, TIMES).good is good


def test_at_least_judges_the_median() -> None:
    assert at_least("work", [0.1, 0.5, 0.4], 0.4, TIMES).good
    assert not at_least("work", [0.5, 0.1, 0.3], 0.4, TIMES).good


def test_a_figure_says_what_was_wanted_and_falls_short_plainly() -> None:
    late = at_most("first byte", [0.0301], 0.02, MILLISECONDS, "of 1")
    assert (late.measured, late.wanted, late.verdict) == ("30.1 ms (of 1)", "<= 20.0 ms", "FALLS SHORT")
    assert shown("rate", [2.0], TIMES).verdict == "-"


@pytest.mark.parametrize(("share", "found"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_percentile_is_the_nearest_rank(share: float, found: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == found


def test_table_aligns_its_columns() -> None:
    lines = table([Figure("a", "1", "2", True), Figure("longer", "1234567890", good=False)]).splitlines()
    assert [line.find("verdict") for line in lines[:1]] == [lines[2].find("ok")] == [lines[3].find("FALLS SHORT")]
    assert len(lines) == 4


def test_json_keeps_verdicts_and_samples() -> None:
    told = json.loads(as_json([at_most("work", [1.0, 2.0], 1.0, TIMES)]))
    assert told[0]["verdict"] == "FALLS SHORT"
    assert told[0]["samples"] == [1.0, 2.0]


def test_wrk_is_read_from_its_last_line() -> None:
    printed = 'Running\n  99%  1ms\n{"requests": 100, "seconds": 2.0, "p99": 0.012, "errors": 3}\n'
    assert from_wrk(printed) == Load(rate=50.0, p99=0.012, errors=3)


def test_peaks_keep_the_highest() -> None:
    peaks = Peaks()
    for anonymous in (5, 9, 2):
        peaks.see(
            1, status(f"Name:\tx\nVmHWM:\t   20 kB\nRssAnon:\t {anonymous} kB\nRssShmem:\t 1 kB\nThreads:\t3\n")
        )
    assert (peaks.resident[1], peaks.own[1]) == (20 * 1024, 10 * 1024)
