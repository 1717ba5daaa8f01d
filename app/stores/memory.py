"""The seam of what may be forgotten: copies, epochs, negative entries, locks, counters, last sightings.

As in base.py: "not here" is None, "broken" is errors.StoreDown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.resource import Entry
from app.stores.edges import Edges


@dataclass(frozen=True, slots=True)
class Sighting:
    """What upstream did at its last visit: `status` 0 where no answer came, `problem` where none was usable."""

    at: float
    status: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: the address of its node ("" where it has none), and the lock's token, a secret that only
    they know who can read the memory."""

    address: str
    token: str


@dataclass(frozen=True, slots=True)
class Recollection:
    """What one round trip to the memory knew: the epoch, a copy with its own epoch and time, a miss.

    `negative` is upstream's status (404 or 410) remembered under `epoch`, else 0; `missed` is one that only
    counts while upstream cannot be asked. `stamp` is the number of the last news for edges (app/stores/edges.py),
    0 where no edge asks for any.
    """

    epoch: int | None = None
    entry: Entry | None = None
    entry_epoch: int = -1
    copied: float = 0.0
    negative: int = 0
    missed: int = 0
    stamp: int = 0


class Held(Protocol):
    """A held lock; it is kept alive until it is released."""

    token: str

    def release(self) -> None:
        """Let go; losing it before is no error."""


class Memory(Protocol):
    """What may be forgotten at any time: copies, epochs, negative entries, locks, counters. Raises StoreDown.

    `distrusted` is set by every failure, and wherever the server may not be the one that was told the epochs
    last; raise_epochs() clears it. Copies are not to be trusted while it is set.

    `edges` are the caches in front: a raised epoch and a forgotten key are news to them.
    """

    distrusted: bool
    edges: Edges

    def ping(self) -> None:
        """Return if a command works now."""

    def recall(self, repository: str, key: str) -> Recollection:
        """Everything about one key in one round trip."""

    def recall_all(self, keys: Sequence[tuple[str, str]]) -> list[Recollection]:
        """The same of each (repository, key), in one round trip for all of them."""

    def remember(self, repository: str, key: str, epoch: int, entry: Entry, now: float) -> None:
        """Keep a copy unless one with a newer epoch or fence is there; also the epoch, unless a newer one is.

        Drops the negative entry.
        """

    def remember_missing(
        self, repository: str, key: str, epoch: int, status: int, seconds: float, trusted: bool = True
    ) -> None:
        """Keep upstream's "no such thing" for a while; where it is not trusted, as Recollection.missed."""

    def forget(self, repository: str, key: str) -> None:
        """Drop the copy and the negative entry of one key, and take no copy for a moment.

        Someone may have read the index just before it changed, and be about to remember that.
        """

    def raise_epochs(self, epochs: dict[str, int]) -> None:
        """Publish the epochs of the index (all of them), never lowering one that is newer."""

    def flush(self, repository: str) -> int:
        """Remove every copy and negative entry of a repository in batches; how many were removed."""

    def lock(self, name: str) -> Held | None:
        """Take a lock (kept alive by a heartbeat) or None at once if someone else has it."""

    def holder(self, name: str) -> Holder | None:
        """Who holds that lock now."""

    def hold(self, name: str, seconds: float) -> None:
        """Tell every node that what the lock `name` guards is about to change; 0 takes it back."""

    def held(self, name: str) -> bool:
        """Whether some node said so."""

    def sight(self, repository: str, key: str, seen: Sighting) -> None:
        """Keep for a day what upstream did at the last visit for a key."""

    def sighted(self, repository: str, key: str) -> Sighting | None:
        """What upstream did at the last visit, if that is known."""

    def break_lock(self, name: str, token: str) -> None:
        """Free a lock that a dead process of this node held under that token."""

    def token(self, name: str) -> str | None:
        """The unexpired access token kept under that name, for the whole fleet."""

    def keep_token(self, name: str, token: str, seconds: float) -> None:
        """Keep an access token of an upstream for so long; an empty one drops what is kept."""

    def count(self, repository: str, state: str, requests: int, sent: int) -> None:
        """Add to the fleet's counters of one repository and cache state (requests, body bytes)."""

    def counts(self) -> dict[str, dict[str, tuple[int, int]]]:
        """repository -> state -> (requests, bytes) over the whole fleet."""

    def close(self) -> None:
        """Give connections back."""
