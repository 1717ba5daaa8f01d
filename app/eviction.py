"""Which stored bytes make room for others, and when: STORAGE_MAX, STORAGE_MIN_FREE, and garbage once a day.

    while the limits are exceeded, in this order         until 5 % below them
    entries of remotes, and what was made of them for    with their bytes, where nothing else refers to those
    virtuals, least recently used first
    entries of what upstream no longer has               only when none of the above is left
    entries of remotes that are offline                  likewise, and last: nobody could fetch them again
    blobs nothing refers to, past gc's grace             after that, once an hour, where the filesystem has no room

Looking for the last reads the whole store, which may take many minutes: those who have no room do not wait for it.

Never a hosted file, never an entry of a repository that remotes.json does not name. One node of a fleet does it at a
time (the Redis lock `eviction`); while Redis is down every node does.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from app import metrics
from app.config import Settings
from app.errors import ArtifactError, StoreDown
from app.fills import spool
from app.maintenance import GRACE, alone, collect, drop, require_whole
from app.repositories import Repositories
from app.stores.base import Stored
from app.stores.blobs import Blobs, Room
from app.stores.catalog import Catalog

log = logging.getLogger(__name__)

EVERY = 30.0  # seconds between two looks
SHARE = 10  # times as long as a look took is waited before the next: it reads every entry
LOOK = 1.0  # seconds between two looks at the filesystem alone
LOWER = 0.05  # of a limit: that much below it is where eviction ends
YOUNG = 60.0  # seconds in which a blob is nobody's to remove: whoever adopted it is recording it
NOTED = 12.0  # seconds after which what was served until now is noted: 5 until an edge tells, 5 of a batch
ROW = 1024  # bytes that an entry counts beside its blob: many names of one page must not be free
BATCH = 2000  # entries of one look at the coldest
AT_ONCE = 100  # entries that are forgotten together
ROUND = 20.0  # seconds of one round
HOURLY, DAILY = 3600.0, 86400.0  # seconds between two collections: while there is no room, and otherwise
COLLECTED, HURRIED = "collected", "collected in a hurry"  # what the memory is told of them, for the other nodes


@dataclass(frozen=True, slots=True)
class Limits:
    """All blobs together take `most` bytes (None: any), and `free` bytes or `share` of the filesystem stay free."""

    most: int | None = None
    free: int = 0
    share: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        text = settings.storage_min_free
        if text.endswith("%"):
            return cls(settings.storage_max, share=float(text[:-1]) / 100)
        return cls(settings.storage_max, free=int(text))

    def wanted(self, used: int, room: Room | None, lower: float = 0.0) -> int:
        """Bytes to remove until both limits, `lower` of each below it, hold; 0 or less where they do."""
        excess = used - self.most * (1 - lower) if self.most is not None else 0.0
        lack = 0.0
        if room is not None and room.total:  # a filesystem of no size does not know its own
            lack = max(self.free, self.share * room.total) * (1 + lower) - room.free
        return int(max(excess, lack))


@dataclass(slots=True)
class Round:
    """What one round did: `garbage` blobs, then `entries` and the `bytes` that were theirs alone."""

    short: bool = False  # there was no room
    garbage: int = 0
    entries: int = 0
    bytes: int = 0
    more: bool = False  # its time was over before its work
    waited: float = field(default=0.0, compare=False)  # seconds, for what was served a moment ago to be noted


class Evictor:
    """One a node, on a thread of its own; `repositories` gives the configuration in force."""

    def __init__(
        self,
        catalog: Catalog,
        blobs: Blobs,
        repositories: Callable[[], Repositories],
        settings: Settings,
        tidy: Callable[[], object] = lambda: None,
    ) -> None:
        """`tidy` is called before garbage is collected."""
        self.limits = Limits.of(settings)
        self.young, self.noted = YOUNG, NOTED
        self._offline = settings.offline
        self._catalog = catalog
        self._blobs = blobs
        self._repositories = repositories
        self._tidy = tidy
        self._collected = time.monotonic() - DAILY + HOURLY  # the first in an hour: a restart costs no walk
        self._hurried = time.monotonic() - HOURLY
        self._warned = False
        self._behind = False  # the last round's time was over before its work
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="eviction", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the entries it is at."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5)

    def round(self) -> Round:
        """Measure, and make room where it is wanted. Raises StoreDown."""
        used, room = self._measured()
        full = spool.full.is_set() and room is not None  # else the spool is not where the blobs are
        spool.full.clear()
        done = Round(short=full or self.limits.wanted(used, room) > 0)
        if done.short or self._due(self._collected, DAILY, COLLECTED):
            with alone(self._catalog.memory, "eviction") as ours:
                if ours:
                    require_whole(self._catalog.index, self._blobs)
                    self._make_room(used, room, full, done)
        if done.garbage or done.entries:
            told = {"garbage": done.garbage, "entries": done.entries, "bytes": done.bytes, "used": used}
            log.info("made room", extra={"fields": told | ({"free": room.free} if room else {})})
        return done

    def _measured(self) -> tuple[int, Room | None]:
        found = self._catalog.index.footprint()
        metrics.STORED.set(found.bytes)
        used = found.bytes + ROW * found.entries
        room = self._blobs.room()
        if room is not None:
            metrics.DISK.labels("free").set(room.free)
            metrics.DISK.labels("total").set(room.total)
        return used, room

    # -- one round ----------------------------------------------------------------------------------------

    def _make_room(self, used: int, room: Room | None, full: bool, done: Round) -> None:
        if done.short:
            if not (self._behind or full or self.limits.wanted(0, room) > 0):  # that is wanted at once, whatever goes
                full = self._await_notes(done) and room is not None
            least = int(used * LOWER) if full else 0  # a quota, say, of which statvfs(3) knows nothing
            self._evict(self._goal(used, least, done), done)
        if not done.more and not self._ended.is_set():
            self._collect(full or self.limits.wanted(0, room) > 0, done)
        self._behind = done.more
        futile = done.short and not (done.entries or done.garbage)
        if futile and not self._warned:
            log.warning("there is less room than the limits ask for, and nothing that can be evicted now")
        self._warned = futile

    def _await_notes(self, done: Round) -> bool:
        """Let others note what they served, until room on the disk is wanted; whether a download found none there."""
        begun = time.monotonic()
        self._rest(self.noted, watch=True)
        done.waited = time.monotonic() - begun
        found = spool.full.is_set()
        spool.full.clear()
        return found

    def _collect(self, hurried: bool, done: Round) -> None:
        """Remove garbage where that is due; STORAGE_MAX does not count it, so it is no help there."""
        hurried = hurried and self._due(self._hurried, HOURLY, HURRIED)
        if not hurried and not self._due(self._collected, DAILY, COLLECTED):
            return
        self._collected = self._hurried = time.monotonic()  # also where it fails: it is not tried at once again
        with contextlib.suppress(StoreDown):
            self._catalog.memory.hold(COLLECTED, DAILY)
            self._catalog.memory.hold(HURRIED, HOURLY)
        was_low = self._low()

        def stop() -> bool:
            """Whether room has run out since, which eviction finds sooner."""
            return self._ended.is_set() or (not was_low and (spool.full.is_set() or self._low()))

        self._tidy()
        done.garbage = collect(self._catalog.index, self._blobs, grace=GRACE, stop=stop).removed

    def _due(self, last: float, seconds: float, name: str) -> bool:
        """Whether neither this node nor (as far as the memory knows) another one did it for so long."""
        if time.monotonic() - last < seconds:
            return False
        with contextlib.suppress(StoreDown):
            return not self._catalog.memory.held(name)
        return True

    def _goal(self, used: int, least: int, done: Round) -> Callable[[], int]:
        start = self._blobs.room()

        def wanted() -> int:
            """Bytes still to remove. What was unlinked counts at once; the filesystem may be late, or count whole
            blocks."""
            room = self._blobs.room()
            if room is not None and start is not None:
                room = Room(max(room.free, start.free + done.bytes), room.total)
            left = used - done.bytes - ROW * done.entries
            return max(least - done.bytes, self.limits.wanted(left, room, LOWER))

        return wanted

    def _evict(self, wanted: Callable[[], int], done: Round) -> None:
        deadline = time.monotonic() + ROUND
        for names, gone in self._order():
            while names and wanted() > 0:
                before, young = done.entries, 0
                coldest = iter(self._catalog.index.coldest(names, gone, BATCH))
                while (left := wanted()) > 0 and (some := list(_worth(coldest, left))):
                    done.more = time.monotonic() > deadline
                    if done.more or self._ended.is_set():
                        return
                    young += self._evict_all(some, done)
                if done.entries == before:
                    if young:
                        return  # they can go in a moment, and before anything that is rather kept
                    break

    def _order(self) -> Iterator[tuple[Sequence[str], bool]]:
        known = self._repositories()
        offline = [each.name for each in known.remotes.values() if each.offline or self._offline]
        online = [name for name in (*known.virtuals, *known.remotes) if name not in offline]
        for names in (online, offline):
            for gone in (False, True):
                yield names, gone

    def _evict_all(self, some: Sequence[Stored], done: Round) -> int:
        """Forget them and drop the bytes that are nobody else's; how many are too young for that."""
        before = time.time() - self.young
        old: dict[str, dict[str, Stored]] = {}
        for each in some:
            adopted = self._blobs.adopted(each.entry.digest)
            if adopted is None or adopted <= before:
                old.setdefault(each.repository, {})[each.key or each.path] = each
        for repository, entries in old.items():
            fences = {key: each.entry.fence for key, each in entries.items()}
            for key in self._catalog.forget_all(repository, fences):
                done.entries += 1
                self._drop(entries[key], before, done)
        return len(some) - sum(map(len, old.values()))

    def _drop(self, stored: Stored, before: float, done: Round) -> None:
        if drop(self._catalog.index, self._blobs, stored.entry.digest, before):
            done.bytes += stored.entry.size
            metrics.EVICTED.labels(stored.repository).inc(stored.entry.size)

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            begun = time.monotonic()
            done = self._tried()
            if not done.more:
                futile = done.short and not (done.entries or done.garbage)
                took = time.monotonic() - begun - done.waited
                self._rest(max(EVERY, SHARE * took), watch=not futile)

    def _tried(self) -> Round:
        try:
            return self.round()
        except ArtifactError as error:
            log.warning("the disk is not looked after: %s", error.message)
        except Exception:
            log.exception("the disk is not looked after, by a defect")
        return Round(short=True)

    def _rest(self, seconds: float, watch: bool) -> None:
        """Until it is time again; with `watch`, until the disk runs full."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._ended.wait(LOOK):
            if watch and (spool.full.is_set() or self._low()):
                return

    def _low(self) -> bool:
        try:
            return self.limits.wanted(0, self._blobs.room()) > 0
        except StoreDown:
            return False


def _worth(entries: Iterator[Stored], wanted: int) -> Iterator[Stored]:
    """The next AT_ONCE entries, or as many as make so many bytes if all they had goes with them."""
    for each in islice(entries, AT_ONCE):
        yield each
        wanted -= each.entry.size + ROW
        if wanted <= 0:
            return
