"""The edges in Redis: news with consecutive numbers, and who has applied them; see redis_scripts.py."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from app.errors import Unavailable
from app.stores.edges import LEASE, MOST, News, Purge
from app.stores.redis_scripts import EDGES, POLL, PURGE, REPORT, UNSETTLED

COUNTING, COUNTED = "counting", "counted"
CLAIMED, KNOWN = 20, 3600  # seconds: longer than counting takes, and than an edge asks again
LONGEST = 1000  # bytes of a line of news; a longer key would be news of its whole repository


class RedisEdges:
    """The edges of a fleet, through the memory's own connection."""

    def __init__(self, client: Any, asked: Callable[[], AbstractContextManager[Any]]) -> None:
        """`asked` guards a question to `client` as the memory's own are."""
        self._asked = asked
        self._poll, self._purge, self._unsettled = map(client.register_script, (POLL, PURGE, UNSETTLED))
        self._here = True  # as of the last look; before the first one may be
        self._seen = -math.inf  # when one was, in time.monotonic()

    @property
    def around(self) -> bool:
        return self._here or time.monotonic() < self._seen + LEASE + 1

    def look(self, stamp: int) -> None:
        """The memory has just answered, with that stamp."""
        self._here = stamp > 0
        if stamp:
            self._seen = time.monotonic()

    def poll(self, name: str, cursor: int, most: int = 1000) -> News:
        with self._asked():
            answer = self._poll(EDGES, [name, cursor, most, int(LEASE * 1_000_000), MOST])
        if answer is None:
            raise Unavailable(f"{MOST} other edges have a lease", retry_after=LEASE)
        upto, follows, found = answer
        last = int(upto)
        self.look(last)
        lines = enumerate(found, last - len(found) + 1)
        return News(last, tuple(_purge(number, line) for number, line in lines), everything=not follows)

    def purge(self, repositories: Sequence[str]) -> int:
        with self._asked():
            last = int(self._purge(EDGES, list(repositories)))
        self.look(last)
        return last

    def latest(self) -> int:
        return self.purge(())

    def claim(self, report: str) -> bool:
        with self._asked() as client:
            if client.set(REPORT + report, COUNTING, nx=True, ex=CLAIMED):
                return True
            found = client.get(REPORT + report)
        if found != COUNTED.encode():
            raise Unavailable("this report is being counted", retry_after=CLAIMED)
        return False

    def counted(self, report: str) -> None:
        with self._asked() as client:
            client.set(REPORT + report, COUNTED, ex=KNOWN)

    def settled(self, number: int) -> bool:
        with self._asked():
            return int(self._unsettled(EDGES, [number])) == 0


def line(repository: str, key: str) -> bytes:
    """The news of one key."""
    text = f"{repository} {key}".encode("utf-8", "surrogatepass")
    return text if len(text) <= LONGEST else repository.encode()


def _purge(number: int, text: bytes) -> Purge:
    repository, one, key = text.decode("utf-8", "surrogatepass").partition(" ")
    return Purge(number, repository, key if one else None)
