"""When a base URL is left alone, whom that keeps away, and who tries next: the rules, on a clock of the test's."""

from __future__ import annotations

import pytest

from app.errors import UpstreamDenied, UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.upstream.breaker import FAILURES, FIRST, LONGEST, MOMENT, Breaker, Resting
from app.upstream.dial import Exhausted, Unconnected

HOST = "u.example:81"
URL = f"http://me:hidden@{HOST}/r?key=hidden"


class Refused(UpstreamUnreachable, Unconnected):
    """As dial.py says it."""

    host = HOST


class Upstream:
    """One breaker, the clock it goes by, and what its metric was told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[bool] = []
        self.breaker = Breaker(URL, lambda: self.now, self.told.append)

    def status(self, status: int, path: str = "p", wait: float = 0) -> None:
        with self.breaker.attempt(path) as attempt:
            attempt.answer(status, wait, HOST)

    def error(self, error: BaseException, path: str = "p") -> None:
        with pytest.raises(type(error)), self.breaker.attempt(path):
            raise error

    def body(self, error: UpstreamError | None, path: str = "p") -> None:
        with self.breaker.attempt(path) as attempt:
            attempt.answer(200, 0, HOST)
        attempt.end(error)

    def dead(self, times: int = FAILURES, path: str = "p") -> None:
        for _ in range(times):
            self.error(Refused("refused"), path)

    def asks(self, path: str = "p") -> bool:
        return not self.breaker.wait(path)

    @property
    def state(self) -> str:
        return self.breaker.health.state


@pytest.fixture
def up() -> Upstream:
    return Upstream()


def broken(path: str = "") -> UpstreamError:
    return UpstreamUnreachable(f"the body broke {path}")


# what counts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [Refused("x"), UpstreamTimeout("x"), UpstreamUnreachable("x"), UpstreamLied("x")], ids=repr
)
def test_five_failures_in_a_row_open_it(up: Upstream, error: UpstreamError) -> None:
    for _ in range(FAILURES):
        assert up.state == "closed"
        up.error(error)
    assert up.state == "open" and up.told == [True]
    with pytest.raises(Resting) as caught:
        up.breaker.attempt("p")
    assert (caught.value.status, caught.value.code) == (503, "upstream_breaker_open")
    assert caught.value.retry_after == FIRST


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_status_of_a_dead_upstream_counts(up: Upstream, status: int) -> None:
    for _ in range(FAILURES):
        up.status(status)
    assert up.state == "open"
    assert up.breaker.health.problem == f"upstream {HOST}: answered {status}"


@pytest.mark.parametrize("status", [200, 206, 304, 400, 401, 403, 404, 410, 429, 500, 501])
def test_every_other_status_shows_that_it_lives(up: Upstream, status: int) -> None:
    up.dead(FAILURES - 1)
    up.status(status)
    assert up.breaker.health.failures == 0
    up.dead(FAILURES - 1)
    assert up.state == "closed"


@pytest.mark.parametrize(
    "error",
    [UpstreamTimeout("x", code="upstream_busy"), Exhausted("x"), KeyboardInterrupt(), UpstreamDenied("a redirect")],
    ids=repr,
)
def test_what_is_not_upstreams_says_nothing(up: Upstream, error: BaseException) -> None:
    for _ in range(2 * FAILURES):
        up.error(error)
    assert up.breaker.health.failures == 0
    up.dead(FAILURES - 1)
    up.error(error)
    assert up.breaker.health.failures == FAILURES - 1


def test_a_refused_login_is_an_answer(up: Upstream) -> None:
    up.dead(FAILURES - 1)
    up.error(UpstreamDenied("the token endpoint answered 401", upstream_status=401))
    assert up.breaker.health.failures == 0


def test_broken_bodies_are_a_row_that_only_a_whole_one_ends(up: Upstream) -> None:
    for number in range(FAILURES):
        up.status(304)
        up.body(broken(), f"p{number}")
    assert up.state == "open"
    up.now += FIRST
    up.body(broken())  # its headers closed it, its body opens it for twice as long
    assert up.state == "open" and up.breaker.wait("p") == 2 * FIRST
    up.now += 2 * FIRST
    up.body(None)
    assert up.state == "closed" and up.breaker.health.failures == 0
    assert up.told == [True, False, True, False]


# whom it keeps away ---------------------------------------------------------------------------------------


def test_one_bad_path_keeps_nobody_else_away(up: Upstream) -> None:
    for _ in range(FAILURES):
        up.status(504, "bad")
    assert up.state == "open" and not up.asks("bad") and up.asks("good")
    up.status(200, "good")
    assert up.state == "closed" and up.asks("bad")


def test_five_bad_paths_keep_everybody_away(up: Upstream) -> None:
    for number in range(FAILURES - 1):
        up.status(503, f"p{number}")
    up.status(503, "p0")
    assert not up.asks("p3") and up.asks("p4")
    up.status(503, "p4")
    assert not up.asks("good")


def test_no_connection_keeps_everybody_away(up: Upstream) -> None:
    up.dead()
    assert not up.asks("another")


def test_a_dead_host_behind_a_redirect_is_not_the_base_urls(up: Upstream) -> None:
    error = Refused("refused")
    error.host = "cdn.example"
    for _ in range(FAILURES):
        up.error(error, "a blob")
    assert not up.asks("a blob") and up.asks("a manifest")


# how long, and who tries ----------------------------------------------------------------------------------


def test_the_rest_doubles_up_to_five_minutes_and_begins_anew(up: Upstream) -> None:
    up.dead()
    rests = []
    for _ in range(7):
        rests.append(up.breaker.wait("p"))
        up.now += rests[-1]
        assert up.state == "half-open"
        up.dead(1)
    assert rests == [10, 20, 40, 80, 160, LONGEST, LONGEST]
    up.now += LONGEST
    up.status(200)
    assert up.state == "closed"
    up.dead()
    assert up.breaker.wait("p") == FIRST


def test_exactly_one_tries_while_others_are_refused(up: Upstream) -> None:
    up.dead()
    up.now += FIRST
    tries = up.breaker.attempt("p")
    for path in ("p", "q"):
        with pytest.raises(Resting) as caught:
            up.breaker.attempt(path)
        assert caught.value.retry_after == MOMENT
    with tries:
        tries.answer(404, 0, HOST)
    assert up.state == "closed" and up.asks("q")


def test_a_try_that_ends_without_a_word_leaves_it_to_the_next(up: Upstream) -> None:
    up.dead()
    up.now += FIRST
    up.error(UpstreamTimeout("x", code="upstream_busy"))
    assert up.state == "half-open"
    up.status(200)
    assert up.state == "closed"


def test_those_who_fail_after_it_opened_do_not_prolong_it(up: Upstream) -> None:
    late = [up.breaker.attempt(f"p{number}") for number in range(10)]
    up.dead()
    for attempt in late:
        with pytest.raises(UpstreamTimeout), attempt:
            raise UpstreamTimeout("x")
    assert up.breaker.wait("p") == FIRST


def test_retry_after_is_a_rest_for_everybody(up: Upstream) -> None:
    status = 503
    early = up.breaker.attempt("early")
    for path in ("p", "p", "q"):
        assert up.asks(path) and up.asks("other"), "one path's word is not the base URL's"
        up.status(status, path, wait=42)
    assert up.breaker.wait("other") == 42
    with early:  # it was asked before that
        early.answer(200, 0, HOST)
    assert up.breaker.wait("other") == 42
    up.now += 42
    up.status(200)
    assert up.state == "closed"
    up.status(status, wait=42)
    up.status(200)
    up.status(status, "q", wait=42)
    assert up.state == "closed", "one in a row"


def test_a_429_is_about_its_path_alone(up: Upstream) -> None:
    for path in ("p", "q", "r") * 3:
        assert up.asks(path)
        up.status(429, path, wait=42)
    assert up.state == "closed" and up.asks("p")


def test_retry_after_counts_where_it_is_longer_and_not_for_ever(up: Upstream) -> None:
    up.dead(FAILURES - 1)
    up.status(503, wait=FIRST - 1)
    assert up.breaker.wait("p") == FIRST
    up.now += FIRST
    up.status(503, wait=3600)
    assert up.breaker.wait("p") == LONGEST
    up.now += LONGEST
    up.status(502, wait=3600)  # which nobody gave that meaning
    assert up.breaker.wait("p") < LONGEST


def test_health_shows_no_secret(up: Upstream) -> None:
    up.dead()
    up.now += 4
    told = up.breaker.health
    assert (told.url, told.state, told.failures, told.retry_in) == (f"http://{HOST}/r", "open", 5, FIRST - 4)
    assert told.problem == "refused"
    up.breaker.retire()
    assert up.told == [True, False]
