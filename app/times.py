"""Times as people write them: lengths such as 30d, and moments in ISO 8601, which are UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = 3650 * 86400  # seconds

_LENGTH = re.compile(r"(\d{1,9})([smhd]?)", re.ASCII)


def length(text: str) -> int:
    """`30d`, `12h`, `90m` or `0` in seconds, ten years at most; raises ValueError."""
    match = _LENGTH.fullmatch(text)
    if match is None or (int(match[1]) and not match[2]):
        raise ValueError(f'"{text}" is not a time such as 30d or 12h, or 0')
    return min(int(match[1]) * UNITS[match[2]], LONGEST)


def moment(text: str) -> float:
    """A date, or a date and time (RFC 3339; UTC where it names no zone), in unix seconds; raises ValueError."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def written(seconds: float) -> str:
    """Unix seconds as `2026-11-21T13:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
