"""When a store that failed is asked again."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from app.errors import StoreDown
from app.stores.breaker import LONGEST, Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("Store", 0.5, clock)


def pause(breaker: Breaker) -> float:
    with pytest.raises(StoreDown, match="a moment ago") as caught:
        breaker.check()
    return caught.value.retry_after


def failed(breaker: Breaker, clock: Clock) -> float:
    """The next probe fails; the pause after it."""
    breaker.check(probing=True)
    breaker.trip(OSError("gone"))
    rest = pause(breaker)
    clock.now += rest
    return rest


def test_pauses_double_up_to_a_longest_and_begin_again_after_a_success(breaker: Breaker, clock: Clock) -> None:
    assert [failed(breaker, clock) for _ in range(6)] == [0.5, 1.0, 2.0, LONGEST, LONGEST, LONGEST]
    breaker.check(probing=True)
    breaker.mend()
    assert not breaker.failing
    breaker.check()
    assert failed(breaker, clock) == 0.5


def test_one_probe_at_a_time(breaker: Breaker, clock: Clock) -> None:
    failed(breaker, clock)
    breaker.check(probing=True)
    assert pause(breaker) == 0.5
    breaker.mend()
    breaker.check(probing=True)
    breaker.check(probing=True)  # while it works, everybody may


def test_a_probe_that_tells_nothing_is_followed_by_another(breaker: Breaker, clock: Clock) -> None:
    failed(breaker, clock)
    breaker.check(probing=True)
    clock.now += 0.5
    breaker.check(probing=True)


def test_failures_of_what_began_together_are_one(breaker: Breaker, clock: Clock) -> None:
    for _ in range(8):
        breaker.trip(OSError("gone"))
    assert pause(breaker) == 0.5


def test_who_never_mends_begins_again_after_a_quiet_while(breaker: Breaker, clock: Clock) -> None:
    for expected in (0.5, 1.0):
        breaker.trip(OSError("gone"))
        assert pause(breaker) == expected
        clock.now += expected
    clock.now += LONGEST
    breaker.check()
    breaker.trip(OSError("gone"))
    assert pause(breaker) == 0.5


def test_every_failure_is_counted(breaker: Breaker) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("artifactapi_store_failures_total", {"store": "store"}) or 0.0

    before = counted()
    for _ in range(3):
        breaker.trip(OSError("gone"))
    assert counted() == before + 3
