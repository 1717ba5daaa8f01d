"""Every remote's breakers, by base URL: kept over a reload, shown in metrics, bounded by what is configured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from app import metrics
from app.resource import Repository
from app.upstream.breaker import Breaker, Health, without_secrets

MOST = 64  # base URLs that one remote's breakers are kept of: a list names as many mirrors as it likes


class Breakers:
    """One per process, for many threads; `clock` is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._remotes: dict[str, dict[str, Breaker]] = {}
        self._epochs: dict[str, int] = {}  # the last under which something of a repository was asked for
        self._lock = threading.Lock()

    def of(self, repository: Repository, base: str) -> Breaker:
        """The breaker of one base URL, a new one at its first use."""
        with self._lock:
            known = self._remotes.setdefault(repository.name, {})
            if base not in known:
                known[base] = self._new(repository, base)
            if len(known) > MOST:  # a list or an index may name any number of hosts; the remote's own stay
                del known[next(each for each in known if each != base and each not in repository.base_urls)]
            return known[base]

    def flushed(self, repository: Repository, epoch: int) -> tuple[str, ...]:
        """Something of it is asked for under that epoch: where a flush ended the last one, forget what failed before,
        of a virtual's members as well. The names of those forgotten."""
        with self._lock:
            last = self._epochs.get(repository.name, epoch)
            self._epochs[repository.name] = max(last, epoch)
        if epoch <= last:
            return ()
        ended = tuple(each.name for each in (repository, *repository.parts, *repository.unread))
        for name in ended:
            self.forget(name)
        return ended

    def forget(self, name: str) -> None:
        """The remote is dialled in another way from now on, or no longer there."""
        with self._lock:
            known = self._remotes.pop(name, {})
        for breaker in known.values():
            breaker.retire()

    def keep(self, repositories: Iterable[Repository]) -> None:
        """Forget every remote that is not among these, and every base URL that theirs no longer have."""
        wanted = {each.name: each for each in repositories}
        with self._lock:
            names = list(self._remotes)
        for name in names:
            if name not in wanted:
                self.forget(name)
            elif wanted[name].base_urls:
                self._only(name, wanted[name].base_urls)

    def health(self) -> Mapping[str, tuple[Health, ...]]:
        """Remote -> its base URLs in the order in which they were first asked."""
        with self._lock:
            known = {name: list(each.values()) for name, each in self._remotes.items()}
        return {name: tuple(one.health for one in each) for name, each in known.items()}

    def _only(self, name: str, bases: tuple[str, ...]) -> None:
        with self._lock:
            known = self._remotes.get(name, {})
            gone = [known.pop(base) for base in list(known) if base not in bases]
        for breaker in gone:
            breaker.retire()

    def _new(self, repository: Repository, base: str) -> Breaker:
        shown = without_secrets(base)
        if base not in repository.base_urls:  # a stranger's list is no bound for a label
            return Breaker(shown, self._clock)
        gauge = metrics.BREAKER.labels(repository.name, shown)
        gauge.set(0)
        return Breaker(shown, self._clock, gauge.set)
