"""The seam of jobs: what is to be fetched ahead of its clients, how far that is, and whose turn it is.

    queued --claim--> running --finish--> done | failed
      |   <--release--   |
      +------cancel------+--> cancelled

A job is a record that people look up days later, so it is in the database and not in what may be forgotten. A running
one is leased: whoever does it says so again and again, and what nobody says for LEASE seconds is anybody's to claim.
As in base.py: "not here" is None or False, "broken" is errors.StoreDown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

LEASE = 30.0  # seconds, by the database's clock
KEPT = 30 * 86400.0  # seconds for which a job that ended can be looked up
MOST_OPEN = 100  # jobs that wait or run at a time
ATTEMPTS = 3  # times that a job is begun: one that ends its process each time is not begun a fourth time
MOST_FAILURES = 100  # that are told


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"  # everything was tried; what failed is counted
    FAILED = "failed"  # it could not be gone on with: `reason`
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Failure:
    """One path that could not be had: the code and message that a client would have got."""

    path: str
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `total` grows with what indexes name; `done` have been tried; `stored` of them were fetched
    and are stored now, the others were already or `failed`; `bytes` of those that were fetched."""

    total: int = 0
    done: int = 0
    stored: int = 0
    failed: int = 0
    bytes: int = 0
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """Times are unix seconds, 0 for not yet; `author` asked for it; `source` says what it was made of."""

    id: str
    repository: str
    author: str
    source: str
    state: State
    reason: str
    progress: Progress
    attempts: int
    created: float
    started: float
    finished: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is one's own for LEASE seconds; `task` is the text that add() was given."""

    job: Job
    task: str


class Jobs(Protocol):
    """Every method raises StoreDown. `holder` is a name that no other process has."""

    def add(self, job: str, repository: str, author: str, source: str, task: str, now: float) -> bool:
        """Queue one under a name that nobody guesses; False where MOST_OPEN are open. Drops what is KEPT no more."""

    def find(self, job: str) -> Job | None:
        """That job."""

    def recent(self, repositories: Sequence[str], before: tuple[float, str], limit: int) -> Sequence[Job]:
        """Of these repositories, the newest first; only those older than `before` (created, id)."""

    def claim(self, holder: str, now: float) -> Claimed | None:
        """The oldest that waits, or whose process is gone; nobody else gets it while it is leased."""

    def report(self, job: str, holder: str, progress: Progress) -> bool:
        """Tell how far it is, and lease it anew; False where it is no longer this holder's: leave it."""

    def finish(self, job: str, holder: str, state: State, reason: str, progress: Progress, now: float) -> bool:
        """It has ended; False where it was no longer this holder's."""

    def release(self, job: str, holder: str) -> None:
        """This process ends: another one is to begin it anew, and that is no attempt."""

    def cancel(self, job: str, now: float) -> bool:
        """End it, wherever it runs; False where it has ended."""
