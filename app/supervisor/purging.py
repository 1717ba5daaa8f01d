"""What another configuration means to the caches in front: they drop what repositories gave that now read otherwise.

A worker of before may answer while gunicorn's graceful_timeout lasts, so the same is news again until it is gone.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from app import repositories
from app.errors import StoreDown
from app.problems import ConfigError
from app.repositories import Repositories
from app.stores.redis import RedisMemory
from app.supervisor import child
from app.supervisor.processes import Process

EVERY = 0.5  # seconds between two times
LONGEST = 40.0  # seconds: gunicorn's graceful_timeout, and a little
RESTING = 5.0  # seconds between two tries where Redis is down for longer

log = logging.getLogger("artifactapi.supervisor")

Worker = tuple[int, str]  # its pid, and when it started, for pids are used again


def definitions(snapshot: Path) -> Repositories | None:
    """What an earlier snapshot defined; None where there is none that can be read."""
    try:
        return repositories.load(snapshot)
    except ConfigError:
        return None


def changed(before: Repositories | None, after: Repositories) -> list[str]:
    """Remotes that are defined otherwise than before, or no more; all, where nothing is known of before, or where a
    URL without a repository's name may now be another repository's."""
    if before is None:
        return list(after.remotes)
    if _addresses(before) != _addresses(after):
        return list(before.remotes)
    return [name for name, remote in before.remotes.items() if after.get(name) != remote]


def _addresses(known: Repositories) -> frozenset[tuple[object, ...]]:
    """What decides whom a URL means that begins with no repository's name; empty where none can."""
    every = (*known.remotes.values(), *known.locals.values(), *known.virtuals.values())
    if not any(each.default or each.hosts or each.serves for each in every):
        return frozenset()
    return frozenset((each.name, each.package, each.serves, each.hosts, each.default) for each in every)


def workers(gunicorn: Process | None) -> frozenset[Worker]:
    """All that gunicorn has forked."""
    if gunicorn is None:
        return frozenset()
    return frozenset((pid, _started(pid)) for pid in gunicorn.recorded.members() if pid != gunicorn.pid)


def _started(pid: int) -> str:
    """Empty where it runs no more."""
    try:
        found = child.stat(pid)
    except OSError:
        return ""
    return "" if found[0] in "ZX" else found[19]


class Purging:
    """Purges on threads of their own, so that nothing waits for Redis."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url

    def begin(self, names: Sequence[str], before: Collection[Worker] = ()) -> None:
        """Have the edges drop all of these repositories: now, and until the workers of `before` are gone."""
        if names:
            threading.Thread(target=self._run, args=(names, before), name="purging", daemon=True).start()

    def _run(self, names: Sequence[str], before: Collection[Worker]) -> None:
        begun = time.monotonic()
        with contextlib.closing(RedisMemory(self._redis_url)) as memory:
            while True:
                waited = time.monotonic() - begun
                gone = waited > LONGEST or not any(start and _started(pid) == start for pid, start in before)
                if self._purged(memory, names) and gone:
                    return
                time.sleep(EVERY if waited < LONGEST else RESTING)

    @staticmethod
    def _purged(memory: RedisMemory, names: Sequence[str]) -> bool:
        try:
            memory.edges.purge(names)
        except StoreDown as error:
            log.debug("the edges are not told yet: %s", error.message)
            return False
        return True
