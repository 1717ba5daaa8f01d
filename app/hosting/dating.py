"""When an index was made: never before the one that it follows, though another node made that one, and clocks differ.

apt keeps the Release that it has where the next one's date is older, and so would not see what was published since.
"""

from __future__ import annotations

from collections.abc import Callable

from app.errors import NotFound
from app.hosting.base import Build

ASTRAY = 3600.0  # seconds ahead of this node's clock: that clock was wrong, and no client took what it dated
HEAD = 64 << 10  # bytes within which an index says when it was made


def dated(build: Build, path: str, said: Callable[[str], float]) -> float:
    """In unix seconds; `said` reads from the text of the present file `path` when that was made. Raises StoreDown."""
    try:
        with build.contents.open(path) as file:
            before = said(file.read(HEAD).decode())
    except NotFound:
        return build.now
    return max(build.now, before) if before <= build.now + ASTRAY else build.now
