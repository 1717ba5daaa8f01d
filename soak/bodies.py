"""What the bytes of every path are, so that whoever knows a path and a version can judge any body.

/fixed/<n>       never changes; upstream sends some of them slowly, some chunked
/live/<n>        a new version every PERIOD seconds of the wall clock
/hosted/<name>   what a client uploads under that name
"""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache

PERIOD = 7.0  # seconds that a version of a live path lasts
KIB, MIB = 1 << 10, 1 << 20
SIZES = ((0.55, 1, 64 * KIB), (0.35, 64 * KIB, 512 * KIB), (0.10, 1 * MIB, 6 * MIB))  # (share, least, most)
SMALLER = ((0.8, 1, 64 * KIB), (0.2, 64 * KIB, 512 * KIB))  # of what changes or is uploaded


@lru_cache(8192)
def size_of(path: str) -> int:
    """Bytes of every version of a path."""
    chance = random.Random(f"size {path}")
    sizes = SIZES if path.startswith("/fixed/") else SMALLER
    (_, least, most) = chance.choices(sizes, [share for share, _, _ in sizes])[0]
    return chance.randint(least, most)


@lru_cache(48)
def body(path: str, version: int = 0) -> bytes:
    return random.Random(f"body {path} {version}").randbytes(size_of(path))


@lru_cache(16384)
def digest(path: str, version: int = 0) -> str:
    """The sha256 of that body, in hex; also its ETag upstream."""
    return hashlib.sha256(body(path, version)).hexdigest()


def version_at(path: str, now: float) -> int:
    """What upstream has at that unix time."""
    return int(now / PERIOD) if path.startswith("/live/") else 0
