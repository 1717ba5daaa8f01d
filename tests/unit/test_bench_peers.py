"""The comparison's pure parts: rounds, ratios, what is wanted, what got worse, the picture."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.figures import A_SECOND, SECONDS, Figure, as_json, from_json, matrix, ratios
from bench.peers.product import ALONE, EDGE, NGINX, ORDER, REGISTRY, descendants, proportional
from bench.peers.rounds import Row, Turn, Work, interleaved, rotated
from bench.peers.small import BY_DIGEST, ONE_KEY
from bench.peers.wanted import WISHES, verdicts
from bench.picture import COLOURS, drawn, grouped
from bench.quick import ALLOWED, changes, table


def cell(work: str, product: str, *samples: float, unit: str = "/s") -> Figure:
    return Figure(work, f"{samples[0]:.0f} {unit}", samples=samples, unit=unit, product=product)


RUN = [
    cell(ONE_KEY, NGINX, 1000, 2000, 3000),
    cell(ONE_KEY, EDGE, 900, 1900, 2400),
    cell(ONE_KEY, ALONE, 100, 200, 300),
    cell(BY_DIGEST, REGISTRY, 100, 110, 120),
    cell(BY_DIGEST, EDGE, 800, 800, 800),
    Figure("a line", "0.80x", ">= 0.50x", True, (0.8,), "x"),
]


def turn(name: str, seen: list[str], values: Sequence[float]) -> Turn:
    left = iter(values)

    def measure() -> Sequence[float]:
        seen.append(name)
        return (next(left),)

    return Turn(name, measure)


def broken(after: int) -> Callable[[], Sequence[float]]:
    left = iter(range(after))

    def measure() -> Sequence[float]:
        if next(left, None) is None:
            raise OSError("connection refused")
        return (1.0,)

    return measure


def test_every_round_begins_with_another_product() -> None:
    seen: list[str] = []
    work = Work((Row("w", A_SECOND),), tuple(turn(name, seen, [1, 2, 3]) for name in "abc"))
    found = list(interleaved([work], 3))
    assert "".join(seen) == "abcbcacab"
    assert [(each.product, each.samples) for each in found] == [(name, (1, 2, 3)) for name in "abc"]


def test_an_order_of_none_is_rotated_too() -> None:
    assert rotated([], 3) == []


def test_one_that_breaks_off_says_so_and_the_others_go_on() -> None:
    seen: list[str] = []
    work = Work((Row("w", A_SECOND),), (Turn("bad", broken(1)), turn("good", seen, [5, 6])))
    bad, good = interleaved([work], 2)
    assert (bad.product, bad.good, bad.verdict) == ("", False, "FALLS SHORT")
    assert "connection refused" in bad.measured
    assert (good.product, good.samples) == ("good", (5, 6))


def test_a_row_without_a_value_is_left_out() -> None:
    rows = (Row("w", A_SECOND), Row("p99", SECONDS))
    (found,) = interleaved([Work(rows, (Turn("a", lambda: (1.0, math.nan)),))], 1)
    assert found.work == "w"


def test_ratios_are_of_one_round_each() -> None:
    assert ratios(RUN[1], RUN[0]) == [0.9, 0.95, 0.8]
    assert ratios(RUN[1], cell(ONE_KEY, NGINX, 0)) == []


def test_the_matrix_has_a_row_for_a_work_and_a_column_for_a_product() -> None:
    heading, _, first, second = matrix(RUN, ORDER).splitlines()
    assert heading.split("  ")[0] == "work"
    assert [name for name in ORDER if name in heading] == [NGINX, REGISTRY, ALONE, EDGE]
    assert "(0.90x)" in first
    assert "(0.10x)" in first
    assert second.startswith(BY_DIGEST)
    assert "(7.27x)" in second
    assert re.search(r" - ", second)
    assert matrix([RUN[-1]], ORDER) == ""


def test_figures_come_back_from_json() -> None:
    assert from_json(as_json(RUN)) == RUN
    assert from_json('[{"work": "w", "measured": "1", "samples": [1.0], "verdict": "-", "later": 1}]') == [
        Figure("w", "1", samples=(1.0,))
    ]


def test_each_wish_is_a_line_with_its_verdict() -> None:
    found = {each.work: each for each in verdicts(RUN)}
    assert len(found) >= len(WISHES)
    assert found[f"{ONE_KEY}: {EDGE} against {NGINX}"].good
    assert found[f"{BY_DIGEST}: {EDGE} against {REGISTRY}"].good
    absent = found[f"HIT 64 MiB: {EDGE} against {NGINX}"]
    assert (absent.measured, absent.good) == ("not measured", False)


def test_what_got_worse_is_told_as_a_ratio_of_ratios() -> None:
    slower = [
        cell(each.work, each.product, *(one / 10 for one in each.samples)) if each.product else each for each in RUN
    ]
    assert all(abs(change.worse) < 1e-9 for change in changes(RUN, slower))
    worse = [each if each.product != ALONE else cell(ONE_KEY, ALONE, 80, 160, 240) for each in RUN]
    (change,) = [each for each in changes(RUN, worse) if each.worse > ALLOWED]
    assert change.name == f"{ONE_KEY}: {ALONE} against {NGINX}"
    assert change.worse == pytest.approx(0.25)
    assert table(list(changes(RUN, worse))).splitlines()[2].endswith("FALLS SHORT")


def test_of_times_less_is_better_and_peers_are_not_compared() -> None:
    then = [cell("t", NGINX, 1, unit="s"), cell("t", EDGE, 1, unit="s"), cell("t", REGISTRY, 1, unit="s")]
    now = [cell("t", NGINX, 1, unit="s"), cell("t", EDGE, 2, unit="s"), cell("t", REGISTRY, 9, unit="s")]
    (change,) = changes(then, now)
    assert change.worse == pytest.approx(1.0)


def test_a_line_in_x_is_compared_in_its_direction() -> None:
    then = [Figure("a", "", ">= 1", True, (1.0,), "x"), Figure("b", "", "<= 1", True, (1.0,), "x")]
    now = [Figure("a", "", ">= 1", True, (2.0,), "x"), Figure("b", "", "<= 1", False, (2.0,), "x")]
    assert [each.worse for each in changes(then, now)] == [-0.5, 1.0]


def test_the_picture_is_whole_in_both_modes_and_without_colours() -> None:
    text = drawn(RUN)
    root = ElementTree.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    bars = [each for each in root.iter() if each.tag.endswith("rect") and float(each.attrib["x"]) > 200]
    assert len([bar for bar in bars if bar.attrib["fill"] == COLOURS[EDGE]]) >= 2
    written = "".join(root.itertext())
    for told in ("0.90x", "7.27x", ONE_KEY, EDGE):
        assert told in written
    widths = [float(each.attrib["width"]) for each in bars]
    assert max(widths) < float(root.attrib["width"])


def test_manifests_are_drawn_against_docker_registry() -> None:
    assert [(group.work, group.base) for group in grouped(RUN)] == [(ONE_KEY, NGINX), (BY_DIGEST, REGISTRY)]
    assert drawn([RUN[-1]]) == ""


def test_memory_is_of_a_process_and_all_below_it() -> None:
    me = int(Path("/proc/self").readlink().name)
    assert descendants(me)[0] == me
    assert proportional([me]) > 1 << 20
    assert proportional([2**22 + 1]) == 0
