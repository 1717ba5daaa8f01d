"""The seams of storage: what the engine asks of an index, a memory and a blob store, in prose.

Vendor exceptions stop here: "not here" is None (or False), "broken" is errors.StoreDown. Never the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from app.resource import Digest, Entry


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush did: entries forgotten (or expired) and blobs that nothing refers to any more."""

    entries: int
    unreferenced: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One listed row of the index: where, and what is remembered of it."""

    repository: str
    path: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a set that is recorded as a whole."""

    key: str
    path: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Listed:
    """What a recorded list says of one key; `root` is the path of the index that heads its set."""

    digest: Digest
    root: str


class Index(Protocol):
    """The truth: (repository, key) -> Entry. Keys may be of any length. Every method raises StoreDown."""

    def ping(self) -> None:
        """Return if a statement works now."""

    def find(self, repository: str, key: str) -> tuple[int, Entry | None]:
        """The repository's epoch (0 if it was never raised) and the entry, one statement, one snapshot."""

    def epochs(self) -> dict[str, int]:
        """Every repository's epoch that was ever raised."""

    def next_fence(self) -> int:
        """A number larger than every one handed out before, on any node."""

    def raise_epoch(self, repository: str) -> int:
        """End the repository's epoch, so that no copy made until now is trusted; the new one."""

    def commit(
        self,
        repository: str,
        key: str,
        path: str,
        entry: Entry,
        epoch: int,
        present: Callable[[], bool],
        replaces: int | None = None,
    ) -> bool:
        """Record `entry` unless a newer one (fence) is there, a flush deleted since `epoch`, or the bytes are gone.

        Where flushes since `epoch` only expired, it is recorded with `checked` 0: kept, and asked about.
        Excludes garbage collection of the same digest for its duration; `present` is asked inside that
        exclusion. With `replaces`, only the entry of that very fence is replaced: what is still there, and what
        nobody changed meanwhile. True if `entry` is now the recorded one.
        """

    def publish(
        self, repository: str, key: str, path: str, entry: Entry, overwrite: bool, present: Callable[[], bool]
    ) -> bool:
        """Record a hosted file; False, and nothing changes, if the key is there and `overwrite` is not set.

        Also False if the bytes are gone: `present` is asked as in commit().
        """

    def find_all(self, repository: str, keys: Sequence[str]) -> dict[str, Entry]:
        """The entries of those keys that have one, in one statement; for hundreds of keys."""

    def switch(
        self,
        repository: str,
        changes: Sequence[Change],
        dropped: Sequence[str],
        epoch: int,
        present: Callable[[str], bool],
    ) -> bool:
        """Record every change and forget the keys in `dropped` in one transaction, or do nothing.

        Nothing is done where a flush (of either mode) came after `epoch`, where any key has an entry with a newer
        fence, or where `present` (asked of each digest as in commit()) says that bytes are gone. True if done.
        """

    def record_list(
        self, repository: str, listing: str, root: str, rows: Iterable[tuple[str, Digest]], fence: int, epoch: int
    ) -> Sequence[str]:
        """Replace what the list `listing` says by `rows` of (key, digest), and evict what it contradicts.

        Entries whose sha256 the new list gives otherwise are forgotten; their keys are returned. Nothing happens
        where the list was recorded under a newer fence, or a flush deleted since `epoch`. Of several rows of one
        key the last counts. `rows` may be a generator of a hundred thousand rows: it is copied in as it runs, in
        constant memory, and where it raises nothing has changed.
        """

    def drop_lists(self, repository: str, root: str, kept: Sequence[str]) -> None:
        """Drop every list of the set that `root` heads, but for those named in `kept`."""

    def listed(self, repository: str, key: str) -> Listed | None:
        """What the newest list (by fence) that names the key says of it."""

    def names(
        self, repositories: Sequence[str], pattern: str, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, str]]:
        """Distinct (repository, first group of `pattern` in a path) in the order of their bytes, for paging.

        `pattern` is a POSIX regular expression; only pairs greater than `after` are returned, at most `limit`.
        """

    def forget(self, repository: str, key: str, fence: int | None = None) -> bool:
        """Drop one entry (only if its fence is not newer than `fence`, where given); True if it was there."""

    def flush(self, repository: str, prefix: str = "", expire: bool = False) -> Flushed:
        """Raise the epoch, then forget (or only expire: checked = retry_at = 0) entries whose path starts so.

        `prefix` is literal text: `%` and `_` match themselves.
        """

    def drop_unknown(self, known: frozenset[str]) -> int:
        """Forget every entry of repositories not in `known`; how many."""

    def listing(self, repository: str, prefix: str = "", after: str = "", limit: int = 1000) -> Sequence[Stored]:
        """Entries in order of path, for paging: those whose path is greater than `after`.

        Variants of one path are never on two pages; `limit` is exceeded for them.
        """

    def drop_blob(self, digest: str, remove: Callable[[], None]) -> bool:
        """Call `remove` if nothing refers to the digest, excluding commits of it; True if called."""

    def close(self) -> None:
        """Give connections back; the object is not used after this."""


@dataclass(frozen=True, slots=True)
class Recollection:
    """What one round trip to the memory knew: the epoch, a copy with its own epoch and time, a miss.

    `negative` is upstream's status (404 or 410) remembered under `epoch`, else 0; `missed` is one that only
    counts while upstream cannot be asked.
    """

    epoch: int | None = None
    entry: Entry | None = None
    entry_epoch: int = -1
    copied: float = 0.0
    negative: int = 0
    missed: int = 0


class Held(Protocol):
    """A held lock; it is kept alive until it is released."""

    token: str

    def release(self) -> None:
        """Let go; losing it before is no error."""


class Memory(Protocol):
    """What may be forgotten at any time: copies, epochs, negative entries, locks, counters. Raises StoreDown.

    `distrusted` is set by every failure, and wherever the server may not be the one that was told the epochs
    last; raise_epochs() clears it. Copies are not to be trusted while it is set.
    """

    distrusted: bool

    def ping(self) -> None:
        """Return if a command works now."""

    def recall(self, repository: str, key: str) -> Recollection:
        """Everything about one key in one round trip."""

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


class Blobs(Protocol):
    """Bytes by sha256. Raises StoreDown where the store does not answer or is full."""

    def ping(self) -> None:
        """Return if the store can be read and written now."""

    def open(self, digest: str) -> BinaryIO | None:
        """The bytes from their beginning, seekable; None if they are not here."""

    def exists(self, digest: str) -> bool:
        """Whether the bytes are here, whole."""

    def adopt(self, file: Path, digest: str) -> None:
        """Take a finished, verified, fsynced spool file (moved, durable on return); `digest` is trusted."""

    def remove(self, digest: str) -> None:
        """Delete the bytes; nothing there is no error."""

    def walk(self) -> Iterator[tuple[str, float]]:
        """(digest, unix time last adopted) of every blob, in no order."""
