"""Which base URLs are left alone because they failed, until when, and which request tries next.

    closed      asked. FAILURES in a row open it; an answer that shows that upstream lives begins the row anew
    open        not asked for FIRST seconds, doubled up to LONGEST by every try that fails
    half-open   the rest is over: one request tries and all others are still refused; its answer closes it

    what counts                         whom it keeps away
    ----------------------------------  -----------------------------------------------------------------------
    no connection                       everybody: whatever is asked there fails so
    time-out, 502, 503, 504, no HTTP    may be one file's own fault: the paths that failed, everybody once PATHS
    a body that stalls or breaks        different ones did. Bodies are a row of their own, ended by a whole body
    Retry-After of a 503                everybody, for so long and at most LONGEST, once AGREED different paths in a
                                        row heard it; where it is open already it only lengthens the rest

500 and every 4xx show that upstream lives; a 429 too, for registries limit manifests and still give blobs. Who
waits for a connection of this server's own limits says nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from urllib3.util import parse_url

from app.errors import ArtifactError, Unavailable, UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.upstream.dial import Exhausted, Unconnected, where

FAILURES = 5  # in a row
PATHS = 5  # different ones that failed tell that it is not theirs
AGREED = 2  # different paths that are told to wait: with one alone, its stored copy rests and nobody else
FIRST, LONGEST = 10.0, 300.0  # seconds
MOMENT = 1.0  # seconds to come back after, while somebody tries
FAILED = frozenset({502, 503, 504})


class Resting(Unavailable):
    """This base URL is not asked now; `retry_after` says when it may be."""

    code = "upstream_breaker_open"


@dataclass(frozen=True, slots=True)
class Health:
    """How one base URL is, without credentials and query; `retry_in` in seconds, 0 where it may be asked now."""

    url: str
    state: str  # "closed", "open", "half-open"
    failures: int
    retry_in: float
    problem: str  # the last one, "" for none


@dataclass(slots=True)
class _Row:
    """Failures in a row: from which paths, and the rest that the last ones earned."""

    count: int = 0
    everybody: bool = False
    paths: set[str] = field(default_factory=set)
    rest: float = 0.0

    @property
    def wide(self) -> bool:
        return self.everybody or len(self.paths) >= PATHS

    def add(self, path: str, everybody: bool) -> None:
        self.count += 1
        self.everybody = self.everybody or everybody
        if len(self.paths) < PATHS:
            self.paths.add(path)

    def longer(self) -> float:
        self.rest = min(2 * self.rest or FIRST, LONGEST)
        return self.rest

    def clear(self) -> None:
        self.count, self.everybody, self.rest = 0, False, 0.0
        self.paths.clear()


def without_secrets(url: str) -> str:
    """A URL as it may be shown: no credentials, no query."""
    return parse_url(url)._replace(auth=None, query=None).url


class Breaker:
    """One base URL of one remote, for many threads; `clock` is in seconds, `tell` hears True when it opens."""

    def __init__(
        self, url: str, clock: Callable[[], float] = time.monotonic, tell: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._url, self._clock, self._tell = without_secrets(url), clock, tell
        self._lock = threading.Lock()
        self._answers, self._bodies = _Row(), _Row()
        self._until: float | None = None  # None while closed
        self._because: _Row | None = None  # the row that opened it; None: upstream asked for it
        self._trying: Attempt | None = None
        self._problem = ""
        self._told_to_wait: set[str] = set()  # paths, since the last that was not

    def wait(self, path: str) -> float:
        """Seconds until `path` may be asked for, 0 for now; nothing is promised."""
        with self._lock:
            return self._wait(path)

    def check(self, path: str) -> None:
        """Raises Resting where `path` may not be asked for now."""
        if wait := self.wait(path):
            raise self._resting(wait)

    def attempt(self, path: str) -> Attempt:
        """Ask now; raises Resting. The attempt is a context manager around everything until the headers."""
        with self._lock:
            wait = self._wait(path)
            if wait:
                raise self._resting(wait)
            attempt = Attempt(self, path)
            if self._until is not None and self._concerns(path):
                self._trying = attempt
            return attempt

    def unreachable(self, error: UpstreamError) -> bool:
        """Whether it is this very base URL that cannot be connected to, not one that it redirects to."""
        return isinstance(error, Unconnected) and error.host == where(self._url)

    @property
    def health(self) -> Health:
        with self._lock:
            left = 0.0 if self._until is None else max(self._until - self._clock(), 0.0)
            state = "closed" if self._until is None else "open" if left else "half-open"
            failures = max(self._answers.count, self._bodies.count)
            return Health(self._url, state, failures, left, self._problem)

    # -- what attempts tell -------------------------------------------------------------------------------

    def answered(self, attempt: Attempt) -> None:
        """Upstream lives; whether bodies arrive is another question."""
        with self._lock:
            self._answers.clear()
            self._told_to_wait.clear()
            if self._ended(attempt) or self._because is self._answers:
                self._close()

    def arrived(self) -> None:
        """A body came to its end."""
        with self._lock:
            self._bodies.clear()
            if self._because is self._bodies:
                self._close()

    def failed(self, attempt: Attempt, problem: str, *, everybody: bool = False, body: bool = False) -> None:
        """One more failure in its row."""
        with self._lock:
            row = self._bodies if body else self._answers
            row.add(attempt.path, everybody)
            self._problem = problem
            tried = self._ended(attempt)
            if tried or (self._until is None and row.count >= FAILURES):
                self._open(row, row.longer())
            elif self._until is not None and self._because is not None and row.wide:
                self._because = row  # those who were let past the others' rest failed as well

    def asked_to_wait(self, attempt: Attempt, problem: str, seconds: float) -> None:
        """Upstream said when to come back."""
        with self._lock:
            rest = min(seconds, LONGEST)
            if len(self._told_to_wait) < AGREED:
                self._told_to_wait.add(attempt.path)
            if self._until is not None:
                self._until = max(self._until, self._clock() + rest)
            elif len(self._told_to_wait) >= AGREED:
                self._problem = problem
                self._open(None, rest)

    def abandoned(self, attempt: Attempt) -> None:
        """It ended before upstream had a say: the next one may try."""
        with self._lock:
            self._ended(attempt)

    def retire(self) -> None:
        """Nobody asks it any more: a metric of the past says that nothing is wrong."""
        with self._lock:
            self._close()

    def _resting(self, wait: float) -> Resting:
        return Resting(f"left alone for a while: {self._problem}", retry_after=wait)

    # -- under the lock -----------------------------------------------------------------------------------

    def _wait(self, path: str) -> float:
        if self._until is None or not self._concerns(path):
            return 0.0
        left = self._until - self._clock()
        if left > 0:
            return left
        return MOMENT if self._trying is not None else 0.0

    def _concerns(self, path: str) -> bool:
        row = self._because
        return row is None or row.wide or path in row.paths

    def _ended(self, attempt: Attempt) -> bool:
        """Whether it was the one that tried."""
        tried = self._trying is attempt
        if tried:
            self._trying = None
        return tried

    def _open(self, row: _Row | None, seconds: float) -> None:
        self._until, self._because = self._clock() + seconds, row
        self._tell(True)

    def _close(self) -> None:
        if self._until is not None:
            self._until = self._because = self._trying = None
            self._tell(False)


class Attempt:
    """One request under a breaker; every end of it is told once."""

    def __init__(self, breaker: Breaker, path: str) -> None:
        self.path = path
        self._breaker = breaker

    def answer(self, status: int, wait: float, host: str) -> None:
        """The headers are there; `wait` is Retry-After in seconds."""
        problem = f"upstream {host}: answered {status}"
        if status in FAILED:
            self._breaker.failed(self, problem)
        else:
            self._breaker.answered(self)
        if status == 503 and wait > 0:
            self._breaker.asked_to_wait(self, problem, wait)

    def end(self, error: ArtifactError | None) -> None:
        """The body was read to its end, or failed."""
        if error is None:
            self._breaker.arrived()
        else:
            self._breaker.failed(self, error.message, body=True)

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What an error instead of headers says of upstream; after headers nothing."""
        match error:
            case None:
                return
            case Exhausted() | UpstreamTimeout(code="upstream_busy"):
                self._breaker.abandoned(self)
            case UpstreamTimeout() | UpstreamUnreachable() | UpstreamLied():
                self._breaker.failed(self, error.message, everybody=self._breaker.unreachable(error))
            case UpstreamError() if error.upstream_status:
                self._breaker.answered(self)
            case _:
                self._breaker.abandoned(self)
