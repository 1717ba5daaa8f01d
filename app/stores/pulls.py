"""The seam of the record of pulls: which client was served what, and when, for whoever asks after an incident.

A pull is the answer to a GET that gave a client an artifact: its bytes (200, 206), or a link to them (307). A HEAD or
a 304 is none: it brings nothing to a client that has nothing yet. As in base.py, "broken" is errors.StoreDown.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MINUTE = 60  # seconds: the record says no more of when
HIGHEST = 2**63 - 1  # of a count
UNKNOWN = "::"  # the address of a client that has none (RFC 4291, 2.5.2), of a proxy on a socket that is not trusted


@dataclass(frozen=True, slots=True)
class Pull:
    """What one client was served of one artifact in the minute that begins at `minute` (unix seconds).

    `path` is the entry's, without the variants that a key may have; `digest` is the sha256 in hex of the bytes that
    were served, "" where nobody knows; `bytes` are those of bodies, as they were sent.
    """

    repository: str
    path: str
    digest: str
    client: str
    minute: int
    requests: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of a row in the order of a page: its minute, its artifact's number in hex, its client."""

    minute: int
    artifact: str
    client: str


@dataclass(frozen=True, slots=True)
class Sought:
    """Which pulls are asked for: each condition that is not None holds; the last `limit` of them before `after`.

    `path` is how the path begins; `client` is an address or a network; `since` and `until` are unix seconds, and a
    minute is meant that has a part in what is from the one up to the other.
    """

    repository: str | None = None
    path: str = ""
    digest: str | None = None
    client: str | None = None
    since: float = 0.0
    until: float | None = None
    after: Cursor | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Pulls, the newest first, and where the next page begins, None where this is the last."""

    pulls: Sequence[Pull]
    after: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What an entry says of a key now: its path and digest, and since when (unix seconds) that is what it has."""

    path: str
    digest: str
    fetched: float


class Pulls(Protocol):
    """The record. Every method raises StoreDown."""

    def record(self, pulls: Iterable[Pull]) -> int:
        """Add them to what is recorded of the same client, artifact and minute: all, or where it is down none.

        How many requests were left out, because a value of theirs can never be written. Only where there is one,
        a failure may leave a part of the others written.
        """

    def find(self, sought: Sought) -> Page:
        """What was asked for."""

    def oldest(self) -> int | None:
        """The first minute (unix seconds) of which there is a pull, None where there is none at all."""

    def knows(self, repository: str) -> bool:
        """Whether anything of that repository is in the record."""

    def named(self, keys: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Named]:
        """What the entries of those (repository, key) are called, in one statement; hundreds of keys."""

    def prune(self, before: float, most: int) -> int:
        """Drop the pulls of minutes that begin before `before` (unix seconds), at most `most`; how many."""

    def tidy(self, before: float, most: int) -> int:
        """Drop what is remembered of artifacts that nobody pulled since the day before that of `before`; how many."""


@functools.lru_cache(4096)
def address(client: str) -> str:
    """A client as the record has it: IPv4 in its own form, no zone, UNKNOWN for what is no address."""
    try:
        found = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return UNKNOWN
    return str(getattr(found, "ipv4_mapped", None) or found)
