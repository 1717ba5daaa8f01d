"""Which stored bytes make room for others, and when: STORAGE_MAX, STORAGE_MIN_FREE, and garbage once a day.

    while the limits are exceeded, in this order         until 5 % below them
    blobs nothing refers to, past gc's grace             looked for once an hour
    entries of remotes, least recently used first        with their bytes, where nothing else refers to those
    entries of what upstream no longer has               only when none of the above is left
    entries of remotes that are offline                  likewise, and last: nobody could fetch them again

Never a hosted file, never an entry of a repository that remotes.json does not name. One node of a fleet does it at a
time (the Redis lock `eviction`); while Redis is down every node does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app import metrics
from app.config import Settings
from app.errors import ArtifactError, StoreDown
from app.fills import spool
from app.maintenance import GRACE, collect, drop, require_whole
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
ROW = 1024  # bytes that an entry counts beside its blob: many names of one page must not be free
BATCH = 2000  # entries of one look at the coldest
ROUND = 20.0  # seconds of one round
HOURLY, DAILY = 3600.0, 86400.0  # seconds between two collections: while there is no room, and otherwise


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


class Evictor:
    """One a node, on a thread of its own; `repositories` gives the configuration in force."""

    def __init__(
        self, catalog: Catalog, blobs: Blobs, repositories: Callable[[], Repositories], settings: Settings
    ) -> None:
        self.limits = Limits.of(settings)
        self.young = YOUNG
        self._offline = settings.offline
        self._catalog = catalog
        self._blobs = blobs
        self._repositories = repositories
        self._collected = time.monotonic() - DAILY + HOURLY  # the first in an hour: a restart costs no walk
        self._hurried = time.monotonic() - HOURLY
        self._warned = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="eviction", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the entry it is at."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5)

    def round(self) -> Round:
        """Measure, and make room where it is wanted. Raises StoreDown."""
        used, room = self._measured()
        full = spool.full.is_set() and room is not None  # else the spool is not where the blobs are
        spool.full.clear()
        done = Round(short=full or self.limits.wanted(used, room) > 0)
        if done.short or self._due(self._collected, DAILY):
            with self._alone() as ours:
                if ours:
                    require_whole(self._catalog.index, self._blobs)
                    self._make_room(used, full, done)
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

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        try:
            held = self._catalog.memory.lock("eviction")
        except StoreDown:
            yield True
            return
        try:
            yield held is not None
        finally:
            if held is not None:
                held.release()

    # -- one round ----------------------------------------------------------------------------------------

    def _make_room(self, used: int, full: bool, done: Round) -> None:
        if self._due(self._collected, DAILY) or (done.short and self._due(self._hurried, HOURLY)):
            self._collected = self._hurried = time.monotonic()  # also where it fails: it is not tried at once again
            done.garbage = collect(self._catalog.index, self._blobs, grace=GRACE).removed
        if done.short:
            least = int(used * LOWER) if full else 0  # a quota, say, of which statvfs(3) knows nothing
            self._evict(self._goal(used, least, done), done)
        futile = done.short and not (done.entries or done.garbage)
        if futile and not self._warned:
            log.warning("there is less room than the limits ask for, and nothing that can be evicted now")
        self._warned = futile

    @staticmethod
    def _due(last: float, seconds: float) -> bool:
        return time.monotonic() - last >= seconds

    def _goal(self, used: int, least: int, done: Round) -> Callable[[], bool]:
        start = self._blobs.room()

        def reached() -> bool:
            """What was unlinked counts at once; the filesystem may be late, or count whole blocks."""
            room = self._blobs.room()
            if room is not None and start is not None:
                room = Room(max(room.free, start.free + done.bytes), room.total)
            left = used - done.bytes - ROW * done.entries
            return done.bytes >= least and self.limits.wanted(left, room, LOWER) <= 0

        return reached

    def _evict(self, reached: Callable[[], bool], done: Round) -> None:
        deadline = time.monotonic() + ROUND
        for names, gone in self._order():
            while names and not reached():
                before, young = done.entries, 0
                for stored in self._catalog.index.coldest(names, gone, BATCH):
                    done.more = time.monotonic() > deadline
                    if reached() or done.more or self._ended.is_set():
                        return
                    young += not self._evict_one(stored, done)
                if done.entries == before:
                    if young:
                        return  # they can go in a moment, and before anything that is rather kept
                    break

    def _order(self) -> Iterator[tuple[Sequence[str], bool]]:
        remotes = self._repositories().remotes.values()
        offline = [each.name for each in remotes if each.offline or self._offline]
        online = [each.name for each in remotes if each.name not in offline]
        for names in (online, offline):
            for gone in (False, True):
                yield names, gone

    def _evict_one(self, stored: Stored, done: Round) -> bool:
        """Forget it and drop its bytes if they are nobody else's; False where they are too young for that."""
        entry, before = stored.entry, time.time() - self.young
        adopted = self._blobs.adopted(entry.digest)
        if adopted is not None and adopted > before:
            return False
        if self._catalog.forget(stored.repository, stored.key or stored.path, entry.fence):
            done.entries += 1
            if drop(self._catalog.index, self._blobs, entry.digest, before):
                done.bytes += entry.size
                metrics.EVICTED.labels(stored.repository).inc(entry.size)
        return True

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            begun = time.monotonic()
            done = self._tried()
            if not done.more:
                futile = done.short and not (done.entries or done.garbage)
                self._rest(max(EVERY, SHARE * (time.monotonic() - begun)), watch=not futile)

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
