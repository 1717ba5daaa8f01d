"""The fills process and its jobs: one is claimed, done by a few threads through the engine, and told of each second.

claim --> Work (work.py) --> finish        stored already: looked at and left, so a job that is begun anew after a
            |    ^                         restart fetches nothing twice
            v    | still ours?             cancelled, or another process's: left at once
          report
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from app.cache import Engine
from app.errors import NotFound, StoreDown
from app.prefetch import listings
from app.prefetch.wanted import Task, Wanted, task
from app.prefetch.work import Work
from app.resource import Repository
from app.stores.jobs import LEASE, Claimed, Jobs, Progress, State

log = logging.getLogger(__name__)

IDLE, EVERY = 2.0, 1.0  # seconds between two looks for a job; between two reports
PATIENCE = 3.0  # seconds that what is under way is given when this process ends
PAGE = 1000  # entries that are looked at together
NO_INDEX = 'no index of it is stored here: name those to read, as in "indexes": ["{}"]'

Stop = Callable[[float], bool]  # waits so many seconds, and says whether to end


class _Left(Exception):
    """The job is somebody else's, or another process is to begin it."""


class Prefetching:
    """One a fills process; `find` knows the repositories."""

    def __init__(self, engine: Engine, find: Callable[[str], Repository | None]) -> None:
        self._engine, self._find = engine, find
        self._holder = secrets.token_hex(16)

    def until(self, stop: Stop) -> None:
        """Job after job."""
        while not stop(0.0):
            try:
                if self.once(stop):
                    continue
            except StoreDown as error:
                log.debug("no jobs are looked for: %s", error.message)
            except Exception:
                log.exception("a job was left, by a defect")
            if stop(IDLE):
                return

    def once(self, stop: Stop = lambda _: False) -> bool:
        """Do one job; False where none waits. Raises StoreDown."""
        claimed = self._jobs.claim(self._holder, time.time())
        if claimed is None:
            return False
        try:
            wanted = task(claimed.task)
            repository = self._repository(claimed.job.repository, wanted)
            work = Work(self._engine, repository, f"prefetch-{claimed.job.id}")
            work.add(wanted.wanted)
            work.add(self._indexes(repository, wanted, lambda: self._keep(claimed, stop)))
        except NotFound as error:
            self._finish(claimed, State.FAILED, error.message, Progress())
            return True
        except _Left:
            return True
        work.start()
        self._attend(claimed, work, stop)
        return True

    @property
    def _jobs(self) -> Jobs:
        return self._engine.shelf.catalog.index.jobs

    def _repository(self, name: str, wanted: Task) -> Repository:
        found = self._find(name)
        if found is None:
            raise NotFound("there is no such repository any more", code="unknown_repository")
        return found.read_by(lambda part: part.name in wanted.members)

    def _keep(self, claimed: Claimed, stop: Stop) -> None:
        """Lease it anew while there is nothing to tell yet; raises _Left."""
        if stop(0.0):
            self._release(claimed)
            raise _Left
        if not self._jobs.report(claimed.job.id, self._holder, Progress()):
            raise _Left

    def _indexes(self, repository: Repository, wanted: Task, keep: Callable[[], None]) -> Iterator[Wanted]:
        """Those that the pattern is looked for in, where none were named."""
        listing = listings.LISTINGS.get(repository.package)
        if not wanted.pattern or wanted.wanted or listing is None:
            return
        paths = [path for path in self._stored(repository, keep) if listing.heads.fullmatch(path)]
        paths = list(dict.fromkeys(paths)) or [listing.usual] * bool(listing.usual)
        if not paths:
            raise NotFound(NO_INDEX.format(listing.example))
        for path in paths:
            yield listings.index(repository.package, path, wanted.pattern, wanted.platforms)

    def _stored(self, repository: Repository, keep: Callable[[], None]) -> Iterator[str]:
        """The paths of what is stored of it, and of its members; of millions that takes longer than a lease."""
        index = self._engine.shelf.catalog.index
        for each in (repository, *repository.parts):
            after = ""
            while page := index.listing(each.name, after=after, limit=PAGE):
                yield from (stored.path for stored in page)
                after = page[-1].path
                keep()

    def _attend(self, claimed: Claimed, work: Work, stop: Stop) -> None:
        """Tell how far it is until it has ended, is somebody else's, or this process ends."""
        told = time.monotonic()
        while not work.wait(EVERY):
            if stop(0.0):
                work.end(PATIENCE)
                return self._release(claimed)
            with suppress(StoreDown):
                if not self._jobs.report(claimed.job.id, self._holder, work.progress):
                    return work.end()
                told = time.monotonic()
            if time.monotonic() - told > LEASE:
                return work.end()
        state = State.FAILED if work.reason else State.DONE
        work.end()
        return self._finish(claimed, state, work.reason, work.progress)

    def _finish(self, claimed: Claimed, state: State, reason: str, progress: Progress) -> None:
        self._jobs.finish(claimed.job.id, self._holder, state, reason, progress, time.time())
        fields = {"job": claimed.job.id, "repository": claimed.job.repository, "state": state.value}
        counts = {name: getattr(progress, name) for name in ("total", "stored", "failed", "bytes")}
        log.info("prefetched", extra={"fields": fields | counts})

    def _release(self, claimed: Claimed) -> None:
        with suppress(StoreDown):
            self._jobs.release(claimed.job.id, self._holder)
