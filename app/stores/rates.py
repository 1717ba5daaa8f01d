"""How often something was done lately, counted in a moving window: in Redis for the fleet, or in this process.

artifactapi:rate:LIMITER/<whose>/<number>/<...>    list: the times, in unix seconds, of the window; expires with it
"""

from __future__ import annotations

import threading
import time

import redis
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from app.errors import StoreDown
from app.stores.breaker import Breaker
from app.stores.redis import FAIL_FAST, client_of

__all__ = ["Alone", "Shared", "parse"]


class Shared:
    """Counted together with every other process. Nothing connects before the first call; safe for threads."""

    def __init__(self, redis_url: str) -> None:
        self._client = client_of(redis_url, lambda connection: connection.on_connect())
        pool = self._client.connection_pool
        self._window = MovingWindowRateLimiter(RedisStorage("redis://", pool, key_prefix="artifactapi:rate"))
        self._breaker = Breaker("Redis", FAIL_FAST)

    def hit(self, rate: RateLimitItem, whose: str) -> float:
        """0 where it is within the rate, and then it is counted: one round trip. Else the seconds until it would be.
        Raises StoreDown."""
        self._breaker.check(probing=True)
        try:
            wait = _hit(self._window, rate, whose)
        except (redis.RedisError, OSError) as error:
            self._breaker.trip(error)
            raise StoreDown(f"Redis: {error}", retry_after=FAIL_FAST) from error
        self._breaker.mend()
        return wait

    def close(self) -> None:
        self._client.close()


class Alone:
    """Counted in this process alone; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window: MovingWindowRateLimiter | None = None

    def hit(self, rate: RateLimitItem, whose: str) -> float:
        """As Shared.hit; it fails never."""
        with self._lock:  # its storage starts a thread: not before it is needed, which is after the fork
            self._window = self._window or MovingWindowRateLimiter(MemoryStorage())
        return _hit(self._window, rate, whose)


def _hit(window: MovingWindowRateLimiter, rate: RateLimitItem, whose: str) -> float:
    if window.hit(rate, whose):
        return 0.0
    return max(window.get_window_stats(rate, whose).reset_time - time.time(), 1.0)
