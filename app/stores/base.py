"""The seams of storage: what the engine asks of an index, in prose; memory.py and blobs.py are the other two.

Vendor exceptions stop here: "not here" is None (or False), "broken" is errors.StoreDown. Never the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from app.resource import Digest, Entry
from app.stores.jobs import Jobs
from app.stores.publications import Publications
from app.stores.pulls import Pulls
from app.stores.uploads import Uploads

if TYPE_CHECKING:
    from app.stores.browse import Browse


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush did: entries forgotten (or expired) and blobs that nothing refers to any more."""

    entries: int
    unreferenced: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One row of the index: where, and what is remembered of it; `key` is "" only where it is the path, `package`
    as in Publication where it is to be restored, `used` is when it was served last (Index.used)."""

    repository: str
    path: str
    entry: Entry
    key: str = ""
    package: str = ""
    used: float = field(default=0.0, compare=False)


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


@dataclass(frozen=True, slots=True)
class Footprint:
    """Blobs that entries refer to and their bytes, each digest counted once, and how many entries that is."""

    blobs: int
    bytes: int
    entries: int


def unnoted(repository: str, fence: int) -> None:
    """Nothing of it was ever in the journal."""


class Index(Protocol):
    """The truth: (repository, key) -> Entry. Keys may be of any length. Every method raises StoreDown.

    `pulls` is the record of who pulled what, `hosted` what teams publish, `uploads` what of that is still coming.
    """

    @property
    def pulls(self) -> Pulls:
        """The record of the same database."""

    @property
    def browse(self) -> Browse:
        """The same entries, as people look at them."""

    @property
    def hosted(self) -> Publications:
        """What is hosted, in the same database."""

    @property
    def uploads(self) -> Uploads:
        """Bodies that arrive in pieces, in the same database."""

    @property
    def jobs(self) -> Jobs:
        """What is fetched ahead of its clients, in the same database."""

    def ping(self, writes: bool = True) -> None:
        """Return if it can be read and, with `writes`, written now."""

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

    def find_each(self, keys: Sequence[tuple[str, str]]) -> list[tuple[int, Entry | None]]:
        """find() of each (repository, key), in one statement; for a few dozen."""

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

    def drop_unknown(
        self, known: frozenset[str], dry_run: bool = False, journal: Callable[[str, int], None] = unnoted
    ) -> dict[str, int]:
        """Forget every entry of repositories not in `known`, hosted ones too; how many, by repository.

        `journal` is called with each name and a fence taken after all of its files, before that is committed: where
        it raises, nothing was changed. A `dry_run` only tells.
        """

    def listing(self, repository: str, prefix: str = "", after: str = "", limit: int = 1000) -> Sequence[Stored]:
        """Entries in order of path, for paging: those whose path is greater than `after`.

        Variants of one path are never on two pages; `limit` is exceeded for them.
        """

    def drop_blob(self, digest: str, remove: Callable[[], None]) -> bool:
        """Call `remove` if nothing refers to the digest, excluding commits of it; True if called."""

    def unreferenced(self, digests: Sequence[str]) -> Sequence[str]:
        """Those of the digests that no entry refers to, in one statement; drop_blob() decides."""

    def used(self, last: Mapping[tuple[str, str], float], coarse: float) -> None:
        """Note when these (repository, key) were served last; a note that is behind by no more than `coarse` seconds
        is left as it is."""

    def footprint(self) -> Footprint:
        """What all entries refer to."""

    def coldest(self, repositories: Sequence[str], gone: bool, limit: int) -> Sequence[Stored]:
        """Entries of those repositories, least recently used first; upstream no longer has them (`gone`), or has.

        Every repository named here is a remote: what is hosted is never among them.
        """

    def referring(self, digest: str) -> Sequence[Stored]:
        """Every entry whose bytes these are."""

    def named(
        self, digest: str, repositories: Sequence[str], prefix: str = "", ending: str = "", limit: int | None = None
    ) -> Sequence[Stored]:
        """Entries of these repositories whose bytes these are and whose path begins and ends so."""

    def next_note(self) -> int:
        """A number for the journal's next record, larger than every one handed out before; it outlives whatever
        becomes of that record."""

    def last_note(self) -> int:
        """The largest that next_note() gave; 0 where it never did."""

    def restore(self, files: Iterable[Stored], repositories: Iterable[str] = ()) -> int:
        """Record hosted files as the journal says they were; how many.

        What is there under the same key is left as it is where its fence is not older. Fences and notes given from
        now on are beyond all that were ever given, and so are the epochs of these repositories, of those of `files`
        and of all that the index knows: no copy of before is trusted.
        """

    def close(self) -> None:
        """Give connections back; the object is not used after this."""
