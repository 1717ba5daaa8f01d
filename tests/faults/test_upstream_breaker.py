"""Upstreams that stay dead, hang, flap or ask for a rest: what they cost, who tries, where requests go meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from app.errors import ArtifactError, Unavailable, UpstreamTimeout, UpstreamUnreachable
from app.resource import Repository
from app.upstream.breaker import FAILURES, FIRST, LONGEST, Health
from app.upstream.breakers import Breakers
from tests.faults.visits import Visitor
from tests.upstreams import Upstream

BODY = bytes(range(256)) * 100
THREADS = 20


class Clocked(Visitor):
    """A visitor whose breakers go by the test's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.upstreams.breakers = Breakers(lambda: self.now)

    def outcome(self, base: str | tuple[str, ...], path: str = "f", **settings: Any) -> int | str:
        """The status, or the code of the error."""
        try:
            return self.get(base, path, **settings).status
        except ArtifactError as error:
            return error.code

    def remote(self, base: str | tuple[str, ...]) -> Repository:
        return self.resource(base).repository

    @property
    def health(self) -> list[Health]:
        return list(self.upstreams.health()["remote"])

    @property
    def states(self) -> list[str]:
        return [each.state for each in self.health]


@pytest.fixture
def visitor() -> Iterator[Clocked]:
    one = Clocked()
    yield one
    one.upstreams.close()


@pytest.fixture
def there(upstream: Upstream) -> Upstream:
    upstream.put("/f", BODY)
    return upstream


@pytest.fixture
def second() -> Iterator[Upstream]:
    server = Upstream()
    server.put("/f", BODY)
    yield server
    server.stop()


def dead(visitor: Clocked, upstream: Upstream, base: str | tuple[str, ...]) -> None:
    """Upstream stops, and everybody notices."""
    upstream.stop()
    with ThreadPoolExecutor(FAILURES) as threads:
        list(threads.map(lambda _: visitor.outcome(base), range(FAILURES)))


def test_a_dead_upstream_is_left_alone_and_tried_again(visitor: Clocked, there: Upstream) -> None:
    dead(visitor, there, there.url)
    assert visitor.states == ["open"]
    there.start()  # which nobody notices before the rest is over
    before = there.connections
    with pytest.raises(Unavailable) as caught:
        visitor.get(there.url, "another")
    assert (caught.value.status, caught.value.code) == (503, "upstream_breaker_open")
    assert caught.value.retry_after == FIRST and there.connections == before
    visitor.now += FIRST
    assert visitor.get(there.url).body == BODY
    assert visitor.states == ["closed"] and visitor.health[0].failures == 0


def test_an_upstream_that_hangs_costs_its_time_limit_five_times(visitor: Clocked, there: Upstream) -> None:
    there.hang()
    codes = [visitor.outcome(there.url, first_byte_timeout=0.1) for _ in range(FAILURES + 3)]
    assert codes == ["upstream_timeout"] * FAILURES + ["upstream_breaker_open"] * 3
    assert there.count() == FAILURES


def test_bodies_that_break_count_and_only_a_whole_one_is_well(visitor: Clocked, there: Upstream) -> None:
    for number in range(FAILURES):
        there.put(f"/{number}", BODY)
    there.cut(100)
    codes = [visitor.outcome(there.url, str(number)) for number in range(FAILURES)]
    assert codes == ["upstream_unreachable"] * FAILURES
    there.clear()
    assert visitor.outcome(there.url) == "upstream_breaker_open"
    visitor.now += FIRST
    assert visitor.get(there.url).body == BODY and visitor.states == ["closed"]


def test_a_client_that_closes_early_is_no_failure(visitor: Clocked, there: Upstream) -> None:
    there.stall(10)
    for _ in range(FAILURES + 1):
        download = visitor.upstreams.open(visitor.resource(there.url, stall_timeout=30))
        assert download.read(1 << 20) == BODY[:10]
        timer = threading.Timer(0.05, download.close)  # while another thread reads
        timer.start()
        with pytest.raises(UpstreamUnreachable):
            download.read(1 << 20)
        timer.join()
    assert visitor.health[0].failures == 0 and visitor.states == ["closed"]


def test_busy_connections_are_no_failure(visitor: Clocked, there: Upstream) -> None:
    there.stall(10)
    held = visitor.upstreams.open(visitor.resource(there.url, max_connections=1, first_byte_timeout=0.05))
    for _ in range(FAILURES + 1):
        assert visitor.outcome(there.url, max_connections=1, first_byte_timeout=0.05) == "upstream_busy"
    held.close()
    assert visitor.health[0].failures == 0


def test_a_flapping_upstream_stays_closed(visitor: Clocked, there: Upstream) -> None:
    for _ in range(2):
        there.status(503, times=3 * (FAILURES - 1))  # each is retried twice
        assert [visitor.outcome(there.url) for _ in range(FAILURES)] == [503] * (FAILURES - 1) + [200]
    assert visitor.states == ["closed"]


def test_exactly_one_of_twenty_tries(visitor: Clocked, there: Upstream) -> None:
    dead(visitor, there, there.url)
    visitor.now += FIRST
    there.start()
    there.latency(0.2)
    before = there.count()
    start = threading.Barrier(THREADS)

    def ask(_: int) -> int | str:
        start.wait()
        return visitor.outcome(there.url)

    with ThreadPoolExecutor(THREADS) as threads:
        outcomes = list(threads.map(ask, range(THREADS)))
    assert sorted(outcomes, key=str) == [200] + ["upstream_breaker_open"] * (THREADS - 1)
    assert there.count() - before == 1
    assert visitor.get(there.url).body == BODY


def test_retry_after_rests_the_base_url(visitor: Clocked, there: Upstream) -> None:
    there.status(503, headers={"Retry-After": "37"})
    assert [visitor.outcome(there.url, path) for path in ("f", "f", "g")] == [503] * 3
    with pytest.raises(Unavailable) as caught:
        visitor.get(there.url, "another")
    assert caught.value.retry_after == 37
    assert there.count() == 3 * 3
    there.clear()
    visitor.now += 37
    assert visitor.get(there.url).body == BODY


def test_a_remote_rests_on_its_own(visitor: Clocked, there: Upstream) -> None:
    dead(visitor, there, there.url)
    there.start()
    resource = visitor.resource(there.url)
    other = replace(resource, repository=replace(resource.repository, name="other"))
    with visitor.upstreams.open(other) as download:
        assert download.status == 200
    assert {name: each[0].state for name, each in visitor.upstreams.health().items()} == {
        "remote": "open",
        "other": "closed",
    }


# fail-over --------------------------------------------------------------------------------------------------


def test_a_dead_first_is_passed_over_until_its_rest_is_over(
    visitor: Clocked, there: Upstream, second: Upstream
) -> None:
    both = (there.url, second.url)
    dead(visitor, there, both)
    assert visitor.states == ["open", "closed"]
    there.start()
    for _ in range(3):
        assert visitor.get(both).body == BODY
    assert there.connections == 0 and second.count() == FAILURES + 3
    visitor.now += FIRST
    assert visitor.get(both).url.startswith(there.url), "fail-back"
    assert visitor.states == ["closed", "closed"]


def test_one_tries_the_first_while_the_others_go_to_the_second(
    visitor: Clocked, there: Upstream, second: Upstream
) -> None:
    both = (there.url, second.url)
    dead(visitor, there, both)
    there.start()
    there.hang()
    visitor.now += FIRST
    before = second.count()
    with ThreadPoolExecutor(THREADS) as threads:
        assert all(threads.map(lambda _: visitor.get(both).body == BODY, range(THREADS)))
    assert there.count() == 1 and second.count() - before == THREADS
    assert visitor.health[0].retry_in == 2 * FIRST


def test_where_all_rest_the_shortest_counts(visitor: Clocked, there: Upstream, second: Upstream) -> None:
    both = (there.url, second.url)
    dead(visitor, there, there.url)
    visitor.now += FIRST / 2
    dead(visitor, second, second.url)
    with pytest.raises(Unavailable) as caught:
        visitor.get(both)
    assert caught.value.retry_after == FIRST / 2


def test_a_busy_remote_does_not_wait_at_each_base_url(visitor: Clocked, there: Upstream, second: Upstream) -> None:
    both = (there.url, second.url)
    held = visitor.upstreams.open(visitor.resource(both, max_connections=1))
    with pytest.raises(UpstreamTimeout, match="busy"):
        visitor.get(both, max_connections=1)
    held.close()
    assert second.connections == 0


# what is remembered -----------------------------------------------------------------------------------------


def test_a_reload_keeps_what_is_still_configured(visitor: Clocked, there: Upstream, second: Upstream) -> None:
    both = (there.url, second.url)
    dead(visitor, there, both)
    visitor.upstreams.keep([visitor.remote(both)])
    assert visitor.states == ["open", "closed"]
    visitor.upstreams.keep([visitor.remote(second.url)])
    assert [each.url for each in visitor.health] == [second.url]
    visitor.upstreams.keep([])
    assert visitor.upstreams.health() == {}


def test_another_way_to_upstream_is_tried_at_once(visitor: Clocked, there: Upstream) -> None:
    dead(visitor, there, there.url)
    there.start()
    assert visitor.get(there.url, connect_timeout=1.5).body == BODY


def test_offline_asks_for_no_way_at_all(visitor: Clocked, there: Upstream) -> None:
    visitor.upstreams.offline = True
    for method in ("GET", "HEAD"):
        assert visitor.outcome(there.url, method=method) == "offline"
    listed = replace(visitor.remote(()), metalink=f"{there.url}/metalink")
    assert visitor.upstreams.pins(replace(visitor.resource(()), repository=listed, path="repodata/repomd.xml")) == ()
    assert there.connections == 0 and visitor.upstreams.health() == {}


def test_the_longest_rest_is_a_matter_of_minutes() -> None:
    assert FIRST == 10 and LONGEST == 300
