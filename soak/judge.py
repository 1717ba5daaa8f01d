"""Whether an answer is right, an honest failure, or a lie; and what has to be there ever after."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from dataclasses import dataclass, field

from soak import bodies
from soak.client import Answer

HONEST = frozenset({502, 503, 504})
SPAN = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

WRONG, OLD, LOST, DEFECT = "WRONG BODY", "OLDER THAN ITS FLUSH", "LOST", "UNEXPECTED"
UNFORGIVABLE = (WRONG, OLD, LOST, DEFECT)


@dataclass(slots=True)
class Ledger:
    """Every count of a run, for all clients; `hosted` are the uploads that were answered 201."""

    begun: float
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    hosted: list[str] = field(default_factory=list)
    _floor: int = 0  # no version under it may be served any more
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, outcome: str, what: str, answer: Answer) -> str:
        with self._lock:
            self.counts[kind, outcome] += 1
            if outcome in UNFORGIVABLE and len(self.complaints) < 200:
                shown = {name: answer.headers.get(name) for name in ("x-cache", "x-request-id", "content-length")}
                late = f"{answer.begun - self.begun:.1f} s, {answer.seconds:.1f} s long"
                told = f"{answer.status} {answer.size} bytes {answer.problem} {shown} {answer.body[:200]!r}"
                self.complaints.append(f"{outcome}: {kind} {what} at {late}: {told}")
        return outcome

    def flushed(self, answer: Answer) -> None:
        """A deleting flush of the live paths was answered."""
        with self._lock:
            self._floor = max(self._floor, bodies.version_at("/live/", answer.begun))

    @property
    def floor(self) -> int:
        return self._floor

    def publish(self, path: str) -> None:
        with self._lock:
            self.hosted.append(path)

    def some(self, chance: random.Random) -> str | None:
        with self._lock:
            return chance.choice(self.hosted) if self.hosted else None

    def total(self, outcome: str) -> int:
        return sum(number for (_, told), number in self.counts.items() if told == outcome)


def failed(answer: Answer, missing: str = DEFECT) -> str | None:
    """The honest failure that it is; None where it is whole and to be judged; `missing` for a 404."""
    if answer.problem:
        return answer.problem
    if answer.status in HONEST:
        return str(answer.status)
    if answer.status == 404:
        return missing
    return None if answer.status in (200, 206, 304) else DEFECT


def judged(path: str, answer: Answer, begun: float, floor: int = 0) -> str:
    """A GET of a path of upstream's that was not asked for a range; `floor` is of before it was sent."""
    if (failure := failed(answer)) is not None:
        return failure
    if answer.status != 200:
        return DEFECT
    version = _version(path, answer, begun)
    if version is None:
        return WRONG
    return OLD if path.startswith("/live/") and version < floor else answer.cache or "200"


def _version(path: str, answer: Answer, begun: float) -> int | None:
    """Which of the versions that there have been since `begun` its bytes are."""
    newest = bodies.version_at(path, answer.begun + answer.seconds)
    for version in range(newest, bodies.version_at(path, begun) - 1, -1):
        if bodies.digest(path, version) == answer.digest:
            return version
    return None


def judged_range(path: str, answer: Answer, begun: float, first: int, last: int) -> str:
    """Of a path that never changes; a whole 200 is an answer to a range, too."""
    if answer.status != 206 or answer.problem:
        return judged(path, answer, begun)
    whole = bodies.body(path)
    found = SPAN.fullmatch(answer.headers.get("content-range", ""))
    right = found is not None and [int(part) for part in found.groups()] == [first, last, len(whole)]
    return "206" if right and answer.body == whole[first : last + 1] else WRONG


def judged_head(path: str, answer: Answer) -> str:
    if (failure := failed(answer)) is not None:
        return failure
    told = answer.headers.get("content-length")
    if answer.status != 200 or answer.size:
        return DEFECT
    return "200" if told in (None, str(bodies.size_of(path))) else WRONG


def judged_hosted(path: str, answer: Answer) -> str:
    """Of an upload that was answered 201."""
    if (failure := failed(answer, LOST)) is not None:
        return failure
    if answer.status != 200:
        return DEFECT
    return answer.cache or "200" if answer.digest == bodies.digest(path) else WRONG
