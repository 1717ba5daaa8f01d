"""Copies of what accounts say, in Redis.

artifactapi:accounts:
  count               <Accounts.changes()>           kept (volatile-lru spares it)
  <kind>:<hash>       <count> <JSON>                 60 s
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import redis
from redis.exceptions import ResponseError

from app.errors import StoreDown
from app.stores.breaker import Breaker
from app.stores.redis import FAIL_FAST, client_of, hash_of
from app.stores.redis_apart import Apart

KEPT = 60  # seconds
PREFIX = "artifactapi:accounts:"
COUNT = f"{PREFIX}count"

_RAISE = """
local known = tonumber(redis.call('GET', KEYS[1]) or '-1')
if tonumber(ARGV[1]) > known then redis.call('SET', KEYS[1], ARGV[1]) end
"""


class RedisAccounts:
    """See AccountsMemory. Nothing connects before the first call; safe for threads.

    After any failure and on every new connection (that server may have missed changes, or be an old copy of itself)
    nothing is believed until outdate() has worked.
    """

    def __init__(self, redis_url: str) -> None:
        self._distrusted = True
        self._client = client_of(redis_url, self._connected)
        self._apart = Apart(self._client.connection_pool)
        self._breaker = Breaker("Redis", FAIL_FAST)

    def recall(self, kind: str, key: str) -> tuple[Mapping[str, Any] | None, int | None]:
        with self._asked():
            count, copy = self._apart.ask("MGET", COUNT, _name(kind, key))
        if self._distrusted or count is None:
            return None, None
        return _believed(copy, int(count)), int(count)

    def remember(self, kind: str, key: str, value: Mapping[str, Any], count: int) -> None:
        with self._asked():
            text = f"{count} {json.dumps(value, separators=(',', ':'))}"
            self._apart.ask("SET", _name(kind, key), text, "EX", str(KEPT))

    def outdate(self, count: int) -> None:
        with self._asked():
            self._apart.ask("EVAL", _RAISE, "1", COUNT, str(count))
            self._distrusted = False

    def close(self) -> None:
        self._apart.close()
        self._client.close()

    def _connected(self, connection: Any) -> None:
        self._distrusted = True
        connection.on_connect()

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        self._breaker.check(probing=True)
        try:
            yield
        except (redis.RedisError, OSError) as error:
            self._distrusted = True
            if not isinstance(error, ResponseError):  # it answers, and does not do this: it has no room
                self._breaker.trip(error)
            raise StoreDown(f"Redis: {error}", retry_after=FAIL_FAST) from error
        self._breaker.mend()


def _name(kind: str, key: str) -> str:
    return f"{PREFIX}{kind}:{hash_of(key)}"


def _believed(copy: bytes | None, count: int) -> Mapping[str, Any] | None:
    """What was read under the present count."""
    known, _, text = (copy or b"").partition(b" ")
    if known != str(count).encode():
        return None
    value = json.loads(text)
    return value if isinstance(value, dict) else None
