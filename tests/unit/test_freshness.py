"""When a copy may be served as it is, and how long a failing upstream rests: tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.freshness import Freshness, dated_after, forgettable, judge, renewed, rested
from app.resource import Entry

NOW = 1_000_000.0
ENTRY = Entry("0" * 64, 1, etag='"e"', fetched=NOW - 500, checked=NOW - 50, fence=3)
FRESH, RESTING, EXPIRED = Freshness.FRESH, Freshness.RESTING, Freshness.EXPIRED


@pytest.mark.parametrize(
    ("changed", "ttl", "verdict"),
    [
        ({}, 51.0, FRESH),
        ({}, 50.0, EXPIRED),
        ({}, 0.0, EXPIRED),
        ({}, None, FRESH),
        ({"checked": 1.0}, None, FRESH),
        ({"checked": 0.0}, None, EXPIRED),  # a flush that expires
        ({"checked": NOW}, 0.0, EXPIRED),
        ({"checked": NOW + 1}, 100.0, EXPIRED),  # a clock that was wrong
        ({"retry_at": NOW + 1}, 10.0, RESTING),
        ({"retry_at": NOW}, 10.0, EXPIRED),
        ({"retry_at": NOW + 1, "checked": 0.0, "gone": 404}, 10.0, RESTING),
        ({"retry_at": NOW - 1, "gone": 404}, None, EXPIRED),  # it may be back
    ],
)
def test_judge(changed: dict[str, float], ttl: float | None, verdict: Freshness) -> None:
    assert judge(replace(ENTRY, **changed), ttl, NOW) is verdict  # type: ignore[arg-type]


def test_a_304_renews_the_check_alone() -> None:
    tired = replace(ENTRY, retry_at=NOW - 1, failures=4, gone=404)
    assert renewed(tired, NOW, 9) == replace(ENTRY, checked=NOW, fence=9)


@pytest.mark.parametrize(
    ("failures", "ttl", "retry_after", "pause"),
    [
        (0, None, 0.0, 30.0),
        (1, None, 0.0, 60.0),
        (3, None, 0.0, 240.0),
        (4, None, 0.0, 300.0),
        (4000, None, 0.0, 300.0),
        (3, 100.0, 0.0, 100.0),
        (0, 10.0, 0.0, 10.0),
        (0, 0.0, 0.0, 1.0),  # even what is always revalidated rests a moment
        (0, 10.0, 7.0, 10.0),
        (0, 10.0, 90.0, 90.0),
        (9, None, 3600.0, 3600.0),
    ],
)
def test_rested(failures: int, ttl: float | None, retry_after: float, pause: float) -> None:
    entry = rested(replace(ENTRY, failures=failures), ttl, NOW, 9, retry_after=retry_after)
    assert entry == replace(ENTRY, fence=9, retry_at=NOW + pause, failures=failures + 1)


def test_rested_remembers_that_it_is_gone_and_forgets_that_it_was() -> None:
    gone = rested(ENTRY, 10.0, NOW, 9, gone=410)
    assert gone.gone == 410
    assert rested(gone, 10.0, NOW, 10).gone == 0


@pytest.mark.parametrize(("ttl", "seconds"), [(None, 30.0), (100.0, 30.0), (5.0, 5.0), (0.0, 0.0)])
def test_forgettable(ttl: float | None, seconds: float) -> None:
    assert forgettable(ttl) == seconds


def test_every_edition_has_another_second() -> None:
    before = replace(ENTRY, last_modified="Mon, 12 Jan 1970 13:46:40 GMT")  # NOW
    assert dated_after(None, "1" * 64, NOW) == dated_after(ENTRY, "1" * 64, NOW) == NOW
    assert dated_after(before, before.digest, NOW + 9) == NOW
    assert [dated_after(before, "1" * 64, NOW + late) for late in (-9, 0, 0.5, 9)] == [NOW + 1] * 3 + [NOW + 9]
