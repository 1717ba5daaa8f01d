"""The benchmark's pure parts: medians, verdicts, the table, bodies that show every wrong byte."""

from __future__ import annotations

import gzip
import io
import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from app.formats.rpm import RPM
from app.resource import Ask, Kind, Repository
from bench.bodies import BLOCK, Body, Comparison, Expected, Text
from bench.figures import MILLISECONDS, TIMES, Figure, as_json, at_least, at_most, percentile, shown, table
from bench.load import Load, from_wrk
from bench.memory import Peaks, status
from bench.packages import Packages

BODY = Body(serial=7, size=2 * BLOCK + 100)


def content(body: Body) -> bytearray:
    return bytearray(b"".join(bytes(block) for block in body.blocks()))


def compared(body: Expected, data: bytes | bytearray, step: int = 100_000) -> Comparison:
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


def test_a_body_knows_its_checksum() -> None:
    assert BODY.sha256() == sha256(content(BODY)).hexdigest()


@pytest.mark.parametrize("size", [1, 100, BLOCK, 2 * BLOCK + 7])
def test_a_text_is_compared_byte_by_byte(size: int) -> None:
    text = Text(bytes(content(Body(3, 3 * BLOCK))[:size]))
    assert compared(text, text.data).whole
    assert not compared(text, text.data[:-1]).whole
    assert not compared(text, text.data + b"x").whole
    assert not compared(text, text.data[:-1] + bytes([text.data[-1] ^ 1])).whole


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


def test_an_edition_is_one_whole_set_and_differs_a_little_from_the_last(tmp_path: Path) -> None:
    packages = Packages(tmp_path, count=250)
    editions = [packages.publish() for _ in range(2)]
    folder = tmp_path / "repodata"
    assert (folder / "repomd.xml").read_bytes() == editions[1] != editions[0]
    for name in packages.members:
        assert sha256((folder / name).read_bytes()).hexdigest() == name.partition("-")[0]
        assert name.encode() in editions[1]
    old, new = (_packages(folder, repomd) for repomd in editions)
    assert (len(old), len(new), len(old - new)) == (250, 250, 3)  # 2, 102 and 202


def _packages(folder: Path, repomd: bytes) -> set[tuple[str, str]]:
    """(href, checksum) of each, as the server under test reads them."""
    (name,) = re.findall(rb"[0-9a-f]{64}-primary.xml.gz", repomd)
    resource = RPM.resolve(
        Repository("packages", Kind.REMOTE, "rpm"), Ask("GET", "packages", f"repodata/{name.decode()}")
    )
    text = gzip.decompress((folder / name.decode()).read_bytes())
    assert text.count(b"<package ") == 250
    links = RPM.read(resource, io.BytesIO(gzip.compress(text))).links
    return {(link.path, str(link.digest)) for link in links}
