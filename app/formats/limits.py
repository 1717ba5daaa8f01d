"""How much of what a stranger packed is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be looked at: bytes once unpacked, times what they were packed (below a grace nobody asks),
    members, and bytes of a name."""

    unpacked: int = 16 << 20
    ratio: int = 200
    members: int = 10_000
    name: int = 1024


LIMITS = Limits()


def content(file: BinaryIO, limit: int, what: str) -> bytes:
    """All of it; ValueError where it is longer than `limit` bytes. `what` is its name in words."""
    found = file.read(limit + 1)
    if len(found) > limit:
        raise ValueError(f"has {what} of more than {limit} bytes")
    return found
