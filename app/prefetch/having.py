"""One thing that is wanted, had: through the engine, and compared with what a lock file says of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from app.cache import Arriving, Blank, Engine, Told
from app.errors import ArtifactError, StoreDown, UpstreamLied
from app.fills.fill import Fill, Stage
from app.formats import FORMATS
from app.metrics import FETCHED
from app.prefetch.wanted import Wanted
from app.resource import Ask, Entry, Repository, Resource
from app.shelf import Served

MOMENT = 0.5  # seconds between two looks at whether to go on
CROWD, YIELD = 12, 30.0  # fills under way from which on a job waits for its turn; seconds that it does so at most


class Left(Exception):
    """The job is no longer to be gone on with."""


@dataclass(frozen=True, slots=True)
class Had:
    """What was had: no entry where the ecosystem has a body of its own for "nothing"; whether it was fetched now."""

    resource: Resource
    entry: Entry | None
    fetched: bool


class Having:
    """For one job and many threads; `ended` says whether it is to be left."""

    def __init__(self, engine: Engine, repository: Repository, name: str, ended: Callable[[], bool]) -> None:
        self._engine, self._repository, self._ended = engine, repository, ended
        self._name = name

    def have(self, each: Wanted) -> Had | None:
        """See that it is stored; None where it is wanted only if it is, and is not. Raises ArtifactError, Left."""
        headers = {"accept": each.accept} if each.accept else {}
        ask = Ask("GET", self._repository.name, each.path, headers=headers, request_id=self._name)
        resource = FORMATS[self._repository.package].resolve(self._repository, ask)
        if each.held and not self._is_held(resource):
            return None
        self._make_way()
        chosen, outcome = self._engine.choose(ask, resource)
        if isinstance(outcome, Arriving):
            return self._verified(each, Had(chosen, self._awaited(outcome.fill), True))
        if isinstance(outcome, Blank | Told):
            return Had(chosen, None, False)
        outcome.file.close()
        return self._verified(each, Had(chosen, outcome.entry, outcome.state in FETCHED))

    def open(self, entry: Entry) -> Served:
        """Its bytes. Raises StoreDown."""
        served = self._engine.shelf.take(entry, "")
        if served is None:
            raise StoreDown("the stored copy cannot be read", retry_after=1)
        return served

    def _is_held(self, resource: Resource) -> bool:
        shelf = self._engine.shelf
        return any(shelf.find(each).entry is not None for each in resource.among or (resource,))

    def _make_way(self) -> None:
        """Let clients' downloads go first, for a while."""
        deadline = time.monotonic() + YIELD
        while self._engine.flights.running() >= CROWD and time.monotonic() < deadline:
            self._go_on()
            time.sleep(MOMENT / 5)

    def _awaited(self, fill: Fill) -> Entry:
        """The entry of a body that arrives; whoever else reads it goes on where this is left."""
        while not fill.wait_for(Stage.SETTLED, MOMENT):
            self._go_on()
        if fill.error is not None:
            raise fill.error
        if fill.entry is None:
            raise StoreDown("it came, and could not be stored")
        return fill.entry

    def _go_on(self) -> None:
        if self._ended():
            raise Left

    def _verified(self, each: Wanted, had: Had) -> Had:
        algorithm, _, value = each.digest.partition(":")
        if not value or had.entry is None or value == self._digest(had.entry, algorithm):
            return had
        raise UpstreamLied("its bytes are not those that the lock file pins", code="not_what_is_pinned")

    def _digest(self, entry: Entry, algorithm: str) -> str:
        if algorithm == "sha256":
            return entry.digest
        with closing(self.open(entry).file) as file:
            return hashlib.file_digest(file, algorithm).hexdigest()  # type: ignore[arg-type]


def problem(error: Exception) -> tuple[str, str]:
    """(code, message) of what went wrong with one thing."""
    if isinstance(error, ArtifactError):
        return error.code, error.message
    return "unreadable", f"it cannot be read for what it names: {error}"[:500]
