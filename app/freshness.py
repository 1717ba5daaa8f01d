"""When a stored copy may be served as it is, and how long a failing upstream is left alone; pure rules."""

from __future__ import annotations

from dataclasses import replace
from email.utils import parsedate_to_datetime
from enum import Enum

from app.resource import Entry

REST_FIRST = 30.0  # seconds after the first failure, doubled with each
REST_LONGEST = 300.0
REST_SHORTEST = 1.0  # even a resource that is always revalidated does not wait for a dead upstream each time
NEGATIVE = 30.0  # seconds that a 404 is remembered


class Freshness(Enum):
    FRESH = "fresh"
    RESTING = "resting"  # expired, and upstream failed a moment ago: the old copy, no attempt
    EXPIRED = "expired"


def judge(entry: Entry, ttl: float | None, now: float) -> Freshness:
    """`ttl` in seconds, None is forever; a `checked` of 0 or in the future is never trusted."""
    if now < entry.retry_at:
        return Freshness.RESTING
    if entry.checked <= 0 or entry.gone:
        return Freshness.EXPIRED
    if ttl is None or 0 <= now - entry.checked < ttl:
        return Freshness.FRESH
    return Freshness.EXPIRED


def dated_after(before: Entry | None, digest: str, now: float) -> float:
    """Last-Modified, in unix seconds, of what this server writes: another second for every edition, and the same for
    the same bytes. Some clients ask by date alone, and would never see the second of two editions of one second, nor
    one of a node whose clock is behind."""
    if before is None or before.last_modified is None:
        return now
    then = parsedate_to_datetime(before.last_modified).timestamp()
    return then if before.digest == digest else max(now, then + 1)


def outdated(entry: Entry, now: float) -> bool:
    """Whether its own text says that it is not to be believed any more."""
    return 0 < entry.until <= now


def renewed(entry: Entry, now: float, fence: int) -> Entry:
    """Upstream said 304: nothing but the check is new."""
    until = lasting(entry.until, now)
    return replace(entry, checked=now, fence=fence, retry_at=0.0, failures=0, gone=0, until=until)


def lasting(until: float, now: float) -> float:
    """What is remembered of `until`: 0 where upstream itself still gives it out later, for it has nothing better."""
    return until if until > now else 0.0


def rested(
    entry: Entry, ttl: float | None, now: float, fence: int, *, retry_after: float = 0.0, gone: int = 0
) -> Entry:
    """Upstream failed, or has it no longer: next try after min(TTL, 30 s doubling to 5 min), or Retry-After."""
    pause = min(REST_FIRST * 2.0 ** min(entry.failures, 10), REST_LONGEST)
    pause = max(REST_SHORTEST, pause if ttl is None else min(ttl, pause), retry_after)
    return replace(entry, fence=fence, retry_at=now + pause, failures=entry.failures + 1, gone=gone)


def forgettable(ttl: float | None) -> float:
    """Seconds that upstream's 404 may be remembered for a resource of this TTL."""
    return NEGATIVE if ttl is None else min(NEGATIVE, ttl)
