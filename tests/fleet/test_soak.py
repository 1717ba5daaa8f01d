"""A short soak run: two minutes and a seed of its own where CI is set, else just long enough to see that it runs.

SEED and SOAK_SECONDS in the environment change what it does; the seed is printed before it and with the report.
"""

from __future__ import annotations

import os
import random
from itertools import islice

import pytest

from soak import bodies
from soak.chaos import LEAST, LONG, MOST, STORES, plans
from soak.client import Answer
from soak.judge import DEFECT, LOST, OLD, WRONG, judged, judged_head, judged_hosted, judged_range
from soak.run import run

SEED = os.environ.get("SEED") or (str(random.SystemRandom().randrange(10**6)) if os.environ.get("CI") else "4")
SECONDS = float(os.environ.get("SOAK_SECONDS", "120" if os.environ.get("CI") else "12"))


@pytest.mark.timeout(SECONDS + 180)
def test_nothing_is_wrong_or_lost() -> None:
    report = run(SECONDS, SEED, 2, 6, print)
    print(report.table())
    assert report.good, report.table()


def test_the_same_seed_is_the_same_order() -> None:
    assert list(islice(plans("a", 2), 50)) == list(islice(plans("a", 2), 50)) != list(islice(plans("b", 2), 50))


def test_a_long_run_has_long_faults_of_stores() -> None:
    short, long = (list(islice(plans("a", 2, long=each), 300)) for each in (False, True))
    assert all(LEAST <= plan.lasts <= MOST for plan in short)
    kinds = {(plan.target, plan.how) for plan in long if plan.lasts > MOST}
    assert kinds == {(store, how) for store in STORES for how in ("frozen-long", "killed-long")}
    assert all(LONG[0] <= plan.lasts <= LONG[1] for plan in long if plan.lasts > MOST)


FIXED, LIVE, HOSTED = "/fixed/1", "/live/1", "/hosted/1"
THEN = 1000 * bodies.PERIOD  # live paths have version 1000
WHOLE = bodies.body(FIXED)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(200, {"x-cache": "HIT"}, digest=bodies.digest(FIXED)), "HIT"),
        (Answer(200, {}, digest="of something else"), WRONG),
        (Answer(200, {}, digest="of a part", problem="cut"), "cut"),
        (Answer(503), "503"),
        (Answer(500), DEFECT),
        (Answer(404), DEFECT),
        (Answer(problem="refused"), "refused"),
    ],
)
def test_an_answer_is_judged(answer: Answer, outcome: str) -> None:
    assert judged(FIXED, answer, 0.0) == outcome


@pytest.mark.parametrize(
    ("version", "outcome"), [(1000, "200"), (998, "200"), (997, OLD), (990, WRONG), (1001, WRONG)]
)
def test_a_version_is_right_from_its_time_until_a_flush(version: int, outcome: str) -> None:
    answer = Answer(200, {}, digest=bodies.digest(LIVE, version), begun=THEN)
    assert judged(LIVE, answer, THEN - 5 * bodies.PERIOD, floor=998) == outcome


def test_ranges_heads_and_hosted_files_are_judged() -> None:
    span = {"content-range": f"bytes 2-5/{len(WHOLE)}"}
    assert judged_range(FIXED, Answer(206, span, body=WHOLE[2:6]), 0.0, 2, 5) == "206"
    assert judged_range(FIXED, Answer(206, span, body=WHOLE[3:7]), 0.0, 2, 5) == WRONG
    assert judged_range(FIXED, Answer(206, {}, body=WHOLE[2:6]), 0.0, 2, 5) == WRONG
    assert judged_head(FIXED, Answer(200, {"content-length": "1"})) == WRONG
    assert judged_hosted(HOSTED, Answer(404)) == LOST
    assert judged_hosted(HOSTED, Answer(200, {}, digest=bodies.digest(FIXED))) == WRONG
