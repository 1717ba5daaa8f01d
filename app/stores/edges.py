"""The seam to the caches in front (nginx's): what they must drop, in which order, and who of them has done so.

An edge keeps immutable bodies long, because it holds a lease: it asks for news several times a second, and who had no
answer for LEASE seconds serves nothing that it kept. Every change that ends a copy in the memory (an epoch raised, an
entry forgotten) is news in the same moment. News have consecutive numbers; a response carries the number that was
the last when its entry was looked up (its stamp), so an edge can tell a response that overtook the news about it.
Where no edge asks, nothing is kept. As in base.py: "broken" is errors.StoreDown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

LEASE = 5.0  # seconds after an edge asked within which it may serve what it keeps: a busy machine answers within that
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of an edge
MOST = 100  # edges of a fleet; each question looks at all of them


@dataclass(frozen=True, slots=True)
class Purge:
    """Drop everything of `repository` that is of a stamp before `number`, or where `key` is one, that alone."""

    number: int
    repository: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What an edge must drop before it asks with `cursor` again; all it keeps, where nobody knows what it missed."""

    cursor: int
    purges: Sequence[Purge] = ()
    everything: bool = False


class Edges(Protocol):
    """The edges of a fleet."""

    @property
    def around(self) -> bool:
        """Whether an edge may have its lease, as far as this process knows without asking."""

    def poll(self, name: str, cursor: int, most: int = 1000) -> News:
        """What is new since `cursor` (0 for an edge that knows nothing), at most `most` purges, oldest first.

        The edge `name` says by it that it has dropped all up to `cursor`, and has its lease from now on. Unavailable
        while MOST others have theirs.
        """

    def purge(self, repositories: Sequence[str]) -> int:
        """Have everything of these repositories dropped; the number of the last news, 0 where no edge asks."""

    def latest(self) -> int:
        """The number of the last news, 0 where no edge asks."""

    def claim(self, report: str) -> bool:
        """Whether the caller is to count this report of hits: not where it was counted within the hour.

        Unavailable while another one counts it. A claim ends after seconds, unless counted() follows.
        """

    def counted(self, report: str) -> None:
        """Whoever claimed it has done so."""

    def settled(self, number: int) -> bool:
        """Whether no edge serves what the news up to `number` ended: each has dropped it, or its lease is over."""
