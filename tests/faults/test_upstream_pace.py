"""`max_rate`: requests a second as upstream counts them, retries and redirects included."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.errors import UpstreamTimeout
from tests.faults.visits import Visitor, visitor
from tests.upstreams import Upstream

__all__ = ["visitor"]

RATE = 20


def seconds(visitor: Visitor, upstream: Upstream, requests: int, **settings: Any) -> float:
    begun = time.monotonic()
    options: dict[str, Any] = {"max_rate": RATE, "first_byte_timeout": 30, **settings}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: visitor.get(upstream.url, **options), range(requests)))
    return time.monotonic() - begun


def test_a_burst_of_one_second_and_then_the_rate(visitor: Visitor, upstream: Upstream) -> None:
    upstream.put("/f", b"body")
    assert seconds(visitor, upstream, 2 * RATE) >= 0.9
    assert upstream.count() == 2 * RATE


def test_retries_and_redirects_take_their_turns(visitor: Visitor, upstream: Upstream) -> None:
    upstream.put("/g", b"body")
    upstream.redirect("/g", "/f")
    upstream.status(503, "/g", times=RATE // 2)
    assert seconds(visitor, upstream, RATE // 2) >= (upstream.count() - RATE) / RATE - 0.1
    assert upstream.count() == 3 * RATE // 2


def test_without_a_rate_nobody_waits(visitor: Visitor, upstream: Upstream) -> None:
    upstream.put("/f", b"body")
    seconds(visitor, upstream, 3 * RATE, max_rate=None)
    assert upstream.count() == 3 * RATE


def test_who_would_wait_too_long_is_told_so(visitor: Visitor, upstream: Upstream) -> None:
    upstream.put("/f", b"body")
    visitor.get(upstream.url, max_rate=0.5)
    for _ in range(3):  # and does not make the others wait longer
        with pytest.raises(UpstreamTimeout, match=r"0\.5 a second") as caught:
            visitor.get(upstream.url, max_rate=0.5)
        assert (caught.value.status, caught.value.code) == (504, "upstream_busy")
    assert upstream.count() == 1
    assert visitor.upstreams.health()["remote"][0].failures == 0
