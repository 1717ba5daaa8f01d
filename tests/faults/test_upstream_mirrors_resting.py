"""What is told of a list's mirrors, and what they cost once they are known to be dead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import Unavailable, UpstreamError, UpstreamUnreachable
from app.upstream.breaker import FAILURES, FIRST
from app.upstream.breakers import MOST, Breakers
from app.upstream.mirrors import REST
from tests.faults.test_upstream_mirrors import Clock, Fleet, Remote, clock, fleet, offer, remote
from tests.faults.visits import Visitor, visitor
from tests.upstreams import Upstream

__all__ = ["clock", "fleet", "visitor"]


@pytest.fixture
def slow_clock(visitor: Visitor, clock: Clock) -> Clock:
    """The breakers' clock too."""
    visitor.upstreams.breakers = Breakers(clock)
    return clock


def states(remote: Remote) -> dict[str, tuple[str, float]]:
    told = remote.visitor.upstreams.health()["mirrored"]
    return {each.url.rpartition(":")[2]: (each.state, each.retry_in) for each in told}


def test_a_mirror_that_rests_is_told_of(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, slow_clock: Clock
) -> None:
    first, second = fleet(2)
    offer(upstream, first, second)
    listed = remote(visitor, upstream)
    first.status(500)
    assert listed.get()[0] == 200
    slow_clock.now += 60
    assert states(listed) == {f"{first.port}/m": ("open", REST - 60), f"{second.port}/m": ("closed", 0)}
    slow_clock.now += REST
    assert set(states(listed).values()) == {("closed", 0)}


def test_dead_mirrors_cost_nothing_once_they_are_known(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, slow_clock: Clock
) -> None:
    first, second = fleet(2)
    offer(upstream, first, second)
    listed = remote(visitor, upstream)
    assert listed.get()[0] == 200
    for each in (first, second):
        each.status(502)
    for number in range(FAILURES):
        with pytest.raises(UpstreamError, match="502"):
            listed.get(f"f{number}")
    asked = first.count() + second.count()
    with pytest.raises(Unavailable) as caught:
        listed.get("another")
    assert (caught.value.code, caught.value.retry_after) == ("upstream_breaker_open", FIRST)
    assert first.count() + second.count() == asked
    second.clear()
    slow_clock.now += FIRST
    assert listed.get()[0] == 200
    assert states(listed)[f"{second.port}/m"] == ("open", REST - FIRST), "asked last: it failed a moment ago"


@pytest.mark.parametrize(("epoch", "asked"), [(6, False), (7, False), (8, True)])
def test_a_flush_ends_what_failed_before(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, slow_clock: Clock, epoch: int, asked: bool
) -> None:
    first, second = fleet(2)
    offer(upstream, first, second)
    listed = remote(visitor, upstream)
    visitor.upstreams.flushed(listed.repository, 7)
    for each in (first, second):
        each.status(502)
    for number in range(FAILURES):
        with pytest.raises(UpstreamError, match="502"):
            listed.get(f"f{number}")
    before = first.count() + second.count()
    visitor.upstreams.flushed(listed.repository, epoch)
    with pytest.raises(UpstreamError if asked else Unavailable):
        listed.get("another")
    assert (first.count() + second.count() > before) == asked
    for each in (first, second):
        each.clear()
    visitor.upstreams.flushed(listed.repository, 9)
    assert listed.get()[0] == 200
    assert {state for state, _ in states(listed).values()} == {"closed"}, "nor is any of them asked last"


def test_a_list_that_cannot_be_had_is_told_of(visitor: Visitor, upstream: Upstream, slow_clock: Clock) -> None:
    listed = remote(visitor, upstream)
    upstream.stop()
    for _ in range(FAILURES):
        with pytest.raises(UpstreamUnreachable, match="refused"):
            listed.get()
        slow_clock.now += 10.5
    assert states(listed) == {str(upstream.port): ("half-open", 0)}


def test_a_long_list_has_few_breakers(visitor: Visitor) -> None:
    breakers, repository = Breakers(), visitor.resource(()).repository
    for number in range(2 * MOST):
        breakers.of(repository, f"http://127.0.0.1:{number + 1}/m")
    assert len(breakers.health()["remote"]) == MOST


def test_hosts_that_an_index_names_push_out_no_breaker_of_the_remotes_own(visitor: Visitor) -> None:
    breakers, repository = Breakers(), replace(visitor.resource(()).repository, base_urls=("http://127.0.0.1:1/own",))
    own = breakers.of(repository, *repository.base_urls)
    for number in range(2 * MOST):
        breakers.of(repository, f"http://127.0.0.1:{number + 2}")
    assert breakers.of(repository, *repository.base_urls) is own
    assert len(breakers.health()["remote"]) == MOST


def test_what_ended_and_what_is_gone_is_not_kept(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, slow_clock: Clock
) -> None:
    first, second = fleet(2)
    offer(upstream, first, second)
    listed, lists = remote(visitor, upstream), visitor.upstreams.mirrors._lists
    assert listed.get()[0] == 200
    for bad in (first, second):
        listed.demote(f"{bad.url}/m/f")
        assert list(lists["mirrored"].resting) == [f"{bad.url}/m"]
        slow_clock.now += REST + 1
    visitor.upstreams.keep([listed.repository])
    assert list(lists) == ["mirrored"]
    visitor.upstreams.keep([replace(listed.repository, mirrorlist=f"{upstream.url}/other", metalink=None)])
    assert not visitor.upstreams.mirrors._lists
