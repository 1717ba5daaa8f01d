"""The memory in Redis (or Valkey): what may be lost at any time, in the commands of Redis 6.2.

    artifactapi:
      epoch:<repository>              <epoch>                          kept (volatile-lru spares it)
      copy:<repository>:<hash>        <epoch> <fence> [copied, ...]    a day; the fields of Entry in order
                                      forgotten                        10 s; no copy is taken meanwhile
      negative:<repository>:<hash>    <epoch> <status>                 as long as the caller says
      lock:<hash>                     <token>[@<address of its node>]  10 s, renewed by a heartbeat
      token:<hash>                    <token>                          as long as the caller says
      hold:<hash>                     1                                as long as the caller says
      sighting:<repository>:<hash>    [at, status, problem]            a day
      counters                        hash: "<repository> <state> requests|bytes" -> number
      edges:...                       redis_scripts.py

<hash> is a 128-bit hash of the key (or of the lock's or token's name), so keys of any length cost the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from typing import Any
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.exceptions import LockError, MaxConnectionsError, ReadOnlyError, ResponseError
from redis.lock import Lock
from redis.retry import Retry

from app import metrics
from app.errors import StoreDown
from app.resource import Entry
from app.stores.breaker import Breaker
from app.stores.edges import Edges
from app.stores.heartbeat import Heartbeat, HeldLock
from app.stores.memory import Holder, Recollection, Sighting
from app.stores.redis_apart import Apart
from app.stores.redis_copies import recollection
from app.stores.redis_edges import RedisEdges, line
from app.stores.redis_scripts import EDGES, FORGET, PREFIX, RAISE, REMEMBER, STAMP

ANSWER = 0.3  # seconds for a connection or an answer
FAIL_FAST = 0.5  # seconds a server that failed is not asked again
COPY, FORGOTTEN = 86400, 10  # seconds
BATCH = 1000  # keys of one SCAN and UNLINK
TOO_HIGH = re.compile("would overflow|out of range")  # more than Redis's 64 bits hold
TOLD_AGAIN = 30.0  # seconds between two lines about what is refused

log = logging.getLogger(__name__)


class RedisMemory:
    """The memory of a fleet. Nothing connects before the first call; safe for threads.

    `distrusted` is True after any failure and on every new connection (that server may have missed epochs,
    or be an old copy of itself) until raise_epochs() has worked.
    """

    def __init__(self, redis_url: str, lock_timeout: float = 10.0, address: str = "") -> None:
        """`address` is where other nodes read what this one downloads; it stands in the locks that it holds."""
        self.distrusted = True
        self._address = f"@{address}" if address else ""
        self._client = client_of(redis_url, self._connected)
        self._apart = Apart(self._client.connection_pool)
        self._remember, self._forget = map(self._client.register_script, (REMEMBER, FORGET))
        self._edges = RedisEdges(self._client, self._asked)
        self.edges: Edges = self._edges
        self._breaker = Breaker("Redis", FAIL_FAST)
        self._tells = 0.0  # when the next refusal is logged
        self._lock_timeout = lock_timeout
        self._heartbeat = Heartbeat(lock_timeout * 0.3)

    def ping(self) -> None:
        with self._asked() as client:
            client.ping()

    def recall(self, repository: str, key: str) -> Recollection:
        return self.recall_all(((repository, key),))[0]

    def recall_all(self, keys: Sequence[tuple[str, str]]) -> list[Recollection]:
        with self._asked():
            named = [each for repository, key in keys for each in _keys(repository, key)]
            *values, found = self._apart.ask("MGET", *named, STAMP)
        stamp = int(found or 0)
        self._edges.look(stamp)
        stamp = 0 if self.distrusted else stamp
        return [recollection(*each, stamp) for each in zip(values[::3], values[1::3], values[2::3], strict=True)]

    def remember(self, repository: str, key: str, epoch: int, entry: Entry, now: float) -> None:
        with self._asked():
            copy = f"{epoch} {entry.fence} {json.dumps([now, *astuple(entry)], separators=(',', ':'))}"
            told = (repository, line(repository, key))
            self._remember([*EDGES, *_keys(repository, key)], [epoch, entry.fence, copy, COPY, *told])

    def remember_missing(
        self, repository: str, key: str, epoch: int, status: int, seconds: float, trusted: bool = True
    ) -> None:
        with self._asked() as client:
            negative = _keys(repository, key)[2]
            client.set(negative, f"{epoch} {status if trusted else -status}", px=max(1, int(seconds * 1000)))

    def forget(self, repository: str, key: str) -> None:
        with self._asked():
            self._forget([*EDGES, *_keys(repository, key)[1:]], [FORGOTTEN, line(repository, key)])

    def raise_epochs(self, epochs: dict[str, int]) -> None:
        with self._asked():
            if epochs:
                keys = [*EDGES, *(f"{PREFIX}epoch:{name}" for name in epochs)]
                named = [str(part) for each in epochs.items() for part in each]
                self._apart.ask("EVAL", RAISE, str(len(keys)), *keys, *named)  # where recall() asks, too
            self.distrusted = False

    def flush(self, repository: str) -> int:
        return sum(self._unlink(f"{PREFIX}{kind}:{_literal(repository)}:*") for kind in ("copy", "negative"))

    def _unlink(self, pattern: str) -> int:
        removed = 0
        cursor = -1
        while cursor:
            with self._asked() as client:
                cursor, found = client.scan(max(cursor, 0), match=pattern, count=BATCH)
                removed += client.unlink(*found) if found else 0
        return removed

    def lock(self, name: str) -> HeldLock | None:
        token = uuid4().hex + self._address
        with self._asked():
            lock = self._named_lock(name)
            if not lock.acquire(blocking=False, token=token):
                return None
        return HeldLock(lock, token, self._heartbeat)

    def holder(self, name: str) -> Holder | None:
        with self._asked() as client:
            found: bytes | None = client.get(f"{PREFIX}lock:{hash_of(name)}")
        if found is None:
            return None
        text = found.decode("utf-8", "replace")
        return Holder(address=text.partition("@")[2], token=text)

    def hold(self, name: str, seconds: float) -> None:
        with self._asked() as client:
            if seconds > 0:
                client.set(f"{PREFIX}hold:{hash_of(name)}", "1", px=int(seconds * 1000))
            else:
                client.unlink(f"{PREFIX}hold:{hash_of(name)}")

    def held(self, name: str) -> bool:
        with self._asked() as client:
            return bool(client.exists(f"{PREFIX}hold:{hash_of(name)}"))

    def sight(self, repository: str, key: str, seen: Sighting) -> None:
        with self._asked() as client:
            client.set(_sighting(repository, key), json.dumps(astuple(seen), separators=(",", ":")), ex=COPY)

    def sighted(self, repository: str, key: str) -> Sighting | None:
        with self._asked() as client:
            found: bytes | None = client.get(_sighting(repository, key))
        with contextlib.suppress(TypeError, ValueError):  # none, or of a version that wrote otherwise
            return Sighting(*json.loads(found or b""))
        return None

    def break_lock(self, name: str, token: str) -> None:
        with self._asked(), contextlib.suppress(LockError):
            self._named_lock(name).do_release(token)

    def _named_lock(self, name: str) -> Lock:
        timeout = self._lock_timeout
        return Lock(self._client, f"{PREFIX}lock:{hash_of(name)}", timeout=timeout, thread_local=False)

    def token(self, name: str) -> str | None:
        with self._asked() as client:
            token: bytes | None = client.get(f"{PREFIX}token:{hash_of(name)}")
        return token.decode() if token is not None else None

    def keep_token(self, name: str, token: str, seconds: float) -> None:
        lifetime = int(seconds * 1000)
        with self._asked() as client:
            if token and lifetime > 0:
                client.set(f"{PREFIX}token:{hash_of(name)}", token, px=lifetime)
            else:
                client.unlink(f"{PREFIX}token:{hash_of(name)}")

    def count(self, repository: str, state: str, requests: int, sent: int) -> None:
        with self._asked() as client, client.pipeline(transaction=False) as together:
            for what, number in (("requests", requests), ("bytes", sent)):
                together.hincrby(f"{PREFIX}counters", f"{repository} {state} {what}", number)
            try:
                together.execute()
            except ResponseError as error:
                if not TOO_HIGH.search(str(error)):
                    raise  # else asking again would count the other number once more each time

    def counts(self) -> dict[str, dict[str, tuple[int, int]]]:
        with self._asked() as client:
            counters = client.hgetall(f"{PREFIX}counters")
        result: dict[str, dict[str, tuple[int, int]]] = {}
        for field, number in counters.items():
            repository, state, what = field.decode().rsplit(" ", 2)
            requests, sent = result.setdefault(repository, {}).get(state, (0, 0))
            pair = (int(number), sent) if what == "requests" else (requests, int(number))
            result[repository][state] = pair
        return result

    def close(self) -> None:
        self._apart.close()
        self._client.close()

    def _connected(self, connection: Any) -> None:
        self.distrusted = True
        connection.on_connect()

    @contextlib.contextmanager
    def _asked(self) -> Iterator[Any]:
        """The client, typed loosely as redis-py is; its errors leave as StoreDown."""
        self._breaker.check(probing=True)
        try:
            yield self._client
        except MaxConnectionsError as error:
            metrics.STORE_BUSY.labels("redis").inc()
            raise StoreDown("every connection to Redis is busy", retry_after=1) from error
        except (redis.RedisError, OSError) as error:
            self.distrusted = True
            (self._refused if isinstance(error, ResponseError) else self._breaker.trip)(error)
            raise StoreDown(f"Redis: {error}", retry_after=FAIL_FAST) from error
        self._breaker.mend()

    def _refused(self, error: Exception) -> None:
        """It answers, and does not do this: what it does do (reading, where it has no room to write) goes on."""
        self._breaker.mend()
        metrics.STORE_FAILURES.labels("redis").inc()
        if isinstance(error, ReadOnlyError):  # a primary that was demoted: the next connection may find the new one
            self._client.connection_pool.disconnect(inuse_connections=False)
            self._apart.close()
        if time.monotonic() >= self._tells:
            self._tells = time.monotonic() + TOLD_AGAIN
            log.warning("Redis refuses: %s", error)


def client_of(url: str, connected: Callable[[Any], None]) -> Any:
    """A client of `url`, whose query may hold redis-py's own options (ssl_ca_certs, ...). Raises ValueError, without
    the URL, for it may hold a password."""
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=ANSWER,
            socket_connect_timeout=ANSWER,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            redis_connect_func=connected,
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # an unknown option would only be found at the first use
    except (ValueError, TypeError) as error:
        told = str(error).rpartition("__init__() ")[2] if isinstance(error, TypeError) else "not a redis:// URL"
        raise ValueError(f"REDIS_URL: {told}") from None
    return client


def _keys(repository: str, key: str) -> list[str]:
    """The epoch, the copy and the negative entry of one key."""
    hashed = hash_of(key)
    kinds = (f"epoch:{repository}", f"copy:{repository}:{hashed}", f"negative:{repository}:{hashed}")
    return [PREFIX + kind for kind in kinds]


def _sighting(repository: str, key: str) -> str:
    return f"{PREFIX}sighting:{repository}:{hash_of(key)}"


def hash_of(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _literal(name: str) -> str:
    """`name` in a pattern of SCAN, where it matches itself."""
    return "".join(f"\\{sign}" if sign in "*?[]^\\" else sign for sign in name)
