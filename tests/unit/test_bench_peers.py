"""The comparison's pure parts: rounds, ratios, what is wanted, what got worse, the picture."""

from __future__ import annotations

import http.server
import math
import re
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from bench.__main__ import ITEMS, REPEATED, selected
from bench.client import WrongAnswer
from bench.figures import A_SECOND, SECONDS, Figure, as_json, from_json, matrix, ratios
from bench.peers import asking, install
from bench.peers.cold import FIRST
from bench.peers.product import ALONE, EDGE, NGINX, ORDER, REGISTRY, S3_EDGE, TUNED, descendants, proportional
from bench.peers.rounds import Row, Turn, Work, interleaved, rotated
from bench.peers.small import BY_DIGEST, ONE_KEY
from bench.peers.wanted import WISHES, verdicts
from bench.picture import COLOURS, drawn, grouped
from bench.quick import ALLOWED, COMMITTED, changes, gone, judged, table
from tests.conftest import require


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


def test_a_work_may_take_more_rounds_than_others() -> None:
    seen: list[str] = []
    works = [Work((Row("w", A_SECOND),), (turn(name, seen, [1] * 4),), more) for name, more in (("a", 0), ("b", 2))]
    assert [len(each.samples) for each in interleaved(works, 2)] == [2, 4]
    assert "".join(seen) == "ababbb"


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


def test_on_s3_the_edge_is_wanted_as_quick_and_nginx_with_our_settings_judges_nothing() -> None:
    run = [*RUN, cell(ONE_KEY, S3_EDGE, 860, 1700, 2600), cell(ONE_KEY, TUNED, 1000, 2000, 2400)]
    found = {each.work: each for each in verdicts(run)}
    assert found[f"{ONE_KEY}: {S3_EDGE} against {NGINX}"].good
    told = found[f"{ONE_KEY}: {EDGE} against {TUNED}"]
    assert (told.measured[:5], told.good) == ("0.95x", None)
    assert TUNED not in drawn(run)


def test_kept_figures_hold_every_wish() -> None:
    kept = from_json(COMMITTED.read_text(encoding="utf-8")) if COMMITTED.exists() else []
    if not any(each.product for each in kept):
        pytest.skip("no comparison is committed yet")
    cells = {(each.work, each.product) for each in kept if each.product}
    wanted = {(wish.work, name) for wish in WISHES for name in (wish.product, wish.other)}
    assert wanted <= cells
    assert COMMITTED.with_suffix(".svg").exists()


def test_the_default_leaves_out_what_other_items_repeat() -> None:
    assert set(ITEMS) - set(selected([], every=False)) == set(REPEATED)
    assert selected([], every=True) == list(ITEMS)
    assert selected(["herd", "peers"], every=False) == ["peers", "herd"]


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


def test_a_regression_is_worse_in_its_best_round_too() -> None:
    chance = [each if each.product != EDGE else cell(each.work, EDGE, 500, 1000, 2750) for each in RUN[:3]]
    (change,) = [each for each in changes(RUN[:3], chance) if each.worse > ALLOWED]
    assert not change.regressed
    lasting = [each if each.product != EDGE else cell(each.work, EDGE, 500, 1000, 2600) for each in RUN[:3]]
    assert [each.name for each in changes(RUN[:3], lasting) if each.regressed] == [
        f"{ONE_KEY}: {EDGE} against {NGINX}"
    ]
    assert (judged(RUN[:3], chance), judged(RUN[:3], lasting)) == (0, 1)


def test_p99_and_a_ratio_to_nothing_are_not_compared() -> None:
    works = (f"{ONE_KEY}, p99", FIRST)
    run = [cell(work, product, 1, unit="ms") for work in works for product in (NGINX, EDGE)]
    run.append(Figure("  its p99 against the bare view's", "1.00x", "<= 1.50x", True, (1.0,), "x"))
    assert list(changes(run, run)) == []
    assert gone(run, []) == []


def test_what_broke_off_or_is_missing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert gone(RUN, RUN) == []
    without = [each for each in RUN if each.product != ALONE]
    broken = [*without, Figure(f"{ONE_KEY}: {ALONE}", "broke off: 503", "an answer", good=False)]
    assert gone(RUN, without) == [f"{ONE_KEY}: {ALONE} against {NGINX}: not measured"]
    assert gone(RUN, broken)[0] == f"{ONE_KEY}: {ALONE}: broke off: 503"
    assert (judged(RUN, RUN), judged(RUN, without), judged([], broken)) == (0, 1, 1)
    assert "broke off: 503" in capsys.readouterr().err
    others = [cell("9 of 10 are hits", NGINX, 1), cell("9 of 10 are hits", EDGE, 1), cell(ONE_KEY, S3_EDGE, 1)]
    assert gone([*RUN, *others], RUN) == []  # of other works and products than the quick ones


def test_what_a_package_enabled_is_disabled_and_what_was_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An apt-get of our own, which enables two services as packages do; neither is told to start."""
    wants, level = tmp_path / "systemd/system/multi-user.target.wants", tmp_path / "rc3.d"
    for directory in (wants, level, tmp_path / "bin"):
        directory.mkdir(parents=True)
    for link in (wants / "old.service", level / "S01old"):
        link.symlink_to("/nowhere")
    script = f"ln -s /nowhere {wants}/new.service; ln -s /nowhere {level}/S02new; echo $SYSTEMD_OFFLINE$RUNLEVEL $*"
    (tmp_path / "bin/apt-get").write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    (tmp_path / "bin/apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    monkeypatch.setattr(install, "ETC", tmp_path)
    install.bring(["peer", "another"])
    assert [each.name for each in wants.iterdir()] == ["old.service"]
    assert sorted(each.name for each in level.iterdir()) == ["K01new", "S01old"]
    told = capfd.readouterr().err
    assert "apt-get install --yes --no-install-recommends peer another" in told
    assert "11 install --yes" in told


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


class Numbered(http.server.BaseHTTPRequestHandler):
    """Answers 200 with three bytes, but for /missing/..., and remembers what it was asked for."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(404 if "missing/3" in self.path else 200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"abc")

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_every_address_is_asked_once_before_many_are_measured() -> None:
    """And no longer than that takes: wrk would go on for as long as it was told to."""
    require("curl")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Numbered) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            base = f"http://127.0.0.1:{server.server_port}"
            asking.passed(f"{base}/key-%d.deb", 3, 30)
            assert sorted(Numbered.asked) == sorted(f"/key-{number}.deb" for number in range(1, 31))
            with pytest.raises(WrongAnswer):
                asking.passed(f"{base}/missing/%d", 3, 5)
        finally:
            server.shutdown()
            thread.join()


def test_memory_is_of_a_process_and_all_below_it() -> None:
    me = int(Path("/proc/self").readlink().name)
    assert descendants(me)[0] == me
    assert proportional([me]) > 1 << 20
    assert proportional([2**22 + 1]) == 0
