"""One download in progress and everyone who waits for it.

    OPENING --arrive--> ARRIVING --verified--> WHOLE --commit--> SETTLED
       |                    |                    |
       +------settle--------+-------fail---------+---> FAILED / SETTLED

OPENING: no answer from upstream yet. ARRIVING: bytes may be read, but never the last TAIL of them. WHOLE: length
and digest hold, everything may be read. SETTLED: there is an Entry (or none could be recorded). FAILED: `error`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum

from app import metrics
from app.errors import ArtifactError, Unavailable, UpstreamUnreachable
from app.fills.spool import Head, Spool
from app.resource import Entry

log = logging.getLogger(__name__)

PAUSE, LONGEST = 0.0004, 0.04  # seconds between two reads or writes of a body: for each fill, at most
SWITCH, LEAST, MOST = 0.0005, 0.005, 0.05  # seconds of the switch interval: for each fill, at least, at most
LINGER = 0.2  # seconds to wait for a settled fill to be put away
TAIL = 64 * 1024  # bytes withheld until the whole body is verified


class Stage(IntEnum):
    OPENING = 0
    ARRIVING = 1
    WHOLE = 2
    SETTLED = 3
    FAILED = 4


class Fill:
    """Written by the one thread that downloads, read by any number of others."""

    def __init__(self, name: str, crowd: Callable[[], int] = lambda: 1) -> None:
        """`crowd` tells how many fills run in this process."""
        self.name = name
        self._crowd = crowd
        self.stage = Stage.OPENING
        self.head: Head | None = None
        self.entry: Entry | None = None
        self.told: Head | None = None  # the answer to a HEAD
        self.digest = ""  # the body's sha256 in hex, once it is whole
        self.state = ""  # X-Cache, where the fill settled without a body
        self.token = ""  # of the lock it runs under: who knows it may follow from another node
        self.error: ArtifactError | None = None
        self.shown = time.monotonic()  # when someone was last given the old copy instead of what is filled
        self.held = False  # nobody is to be given it any more: it is about to change
        self.available = 0
        self.complete = False  # length and digest hold: `available` is all there is
        self._fd = -1
        self._readers = 0
        self._changed = threading.Condition()

    # -- the writer's side --------------------------------------------------------------------------------

    def arrive(self, head: Head, spool: Spool) -> None:
        with self._changed:
            self._fd = spool.reader()
            weakref.finalize(self, os.close, self._fd)  # a late joiner may still hold this fill
            self.head, self.stage = head, Stage.ARRIVING
            self._changed.notify_all()

    def progress(self, written: int) -> None:
        """So many bytes are on disk. With a known length only its end is withheld; without one, any byte may be
        the last, so the newest TAIL bytes are."""
        length = self.head.length if self.head else None
        ready = written - TAIL if length is None else min(written, length - TAIL)
        if ready > self.available:
            with self._changed:
                self.available = ready
                self._changed.notify_all()

    def gather(self) -> None:
        """Let bytes come together before the next read: a hundred slow downloads woken for each packet would cost
        more than what they carry. What a socket's buffer takes meanwhile (128 KiB in 40 ms) is no brake."""
        time.sleep(self._pause())

    def _pause(self) -> float:
        return min(PAUSE * self._crowd(), LONGEST)

    def verified(self, size: int, digest: str = "") -> None:
        with self._changed:
            self.digest = digest
            self.available, self.complete, self.stage = size, True, Stage.WHOLE
            self._changed.notify_all()

    def withhold(self) -> None:
        """Give the old copy to nobody more until this settles."""
        with self._changed:
            self.held = True

    def hold(self, quiet: float) -> None:
        """withhold(), and return when the last receiver of the old copy has had it for `quiet` seconds."""
        self.withhold()
        while (left := self.shown + quiet - time.monotonic()) > 0:
            time.sleep(left)

    def settle(self, entry: Entry | None, state: str = "") -> None:
        with self._changed:
            self.held = False
            self.entry, self.state, self.stage = entry, state, Stage.SETTLED
            self._changed.notify_all()

    def tell(self, head: Head) -> None:
        """Settle with nothing but upstream's word of what it has now."""
        with self._changed:
            self.told, self.stage = head, Stage.SETTLED
            self._changed.notify_all()

    def fail(self, error: ArtifactError) -> None:
        with self._changed:
            self.held = False
            self.error, self.stage = error, Stage.FAILED
            self._changed.notify_all()

    # -- the readers' side --------------------------------------------------------------------------------

    def wait_for(self, stage: Stage, timeout: float | None = None) -> bool:
        """Until `stage` or a later one is reached; False when `timeout` seconds passed before."""
        with self._changed:
            return self._changed.wait_for(lambda: self.stage >= stage, timeout)

    def show(self, timeout: float) -> bool:
        """Whether the old copy may be given out; waits at most `timeout` seconds while it is held.

        False where what it waited for is settled now.
        """
        with self._changed:
            if self.held and self._changed.wait_for(lambda: not self.held, timeout):
                return False
            self.shown = time.monotonic()
            return True

    def wait_for_bytes(self, timeout: float) -> None:
        """Until a byte may be read or none will come any more; at most `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.available or self.stage >= Stage.WHOLE, timeout)

    @contextmanager
    def reading(self) -> Iterator[int]:
        """A descriptor of the bytes, good for the block even after they were adopted or deleted."""
        with self._changed:
            fd = os.dup(self._fd)
            self._readers += 1
        try:
            yield fd
        finally:
            os.close(fd)
            with self._changed:
                self._readers -= 1

    def beyond(self, offset: int) -> int:
        """Bytes that may be read, once they are more than `offset` or all; raises where the end never came."""
        with self._changed:
            self._changed.wait_for(lambda: self.available > offset or self.stage >= Stage.WHOLE)
            if self.available <= offset and not self.complete:
                raise self.error or UpstreamUnreachable("the download broke off")
            return self.available

    def breathe(self) -> None:
        """Let bytes gather before a reader that caught up looks again: fifty readers woken for each packet
        would cost more than the download."""
        time.sleep(max(0.002 * min(self._readers, 10), self._pause()))


def _refused(_: Fill) -> None:
    raise Unavailable("too many downloads run at once", retry_after=1)


class Flights:
    """The fills running in this process, one a name."""

    def __init__(self) -> None:
        self._running: dict[str, Fill] = {}
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    def board(self, name: str, work: Callable[[Fill], None]) -> tuple[Fill, bool]:
        """The running fill of that name, or a new one that runs `work` on a thread; True if it is new."""
        with self._idle:
            self._idle.wait_for(lambda: not self._ending(name), LINGER)
            running = self._running.get(name)
            if running is not None and running.stage is not Stage.FAILED:
                return running, False
            fill = self._running[name] = Fill(name, lambda: len(self._running))
            self._count()
        try:
            threading.Thread(target=self._fly, args=(fill, work), name=f"fill {name}", daemon=True).start()
        except RuntimeError:  # no more threads: nobody may wait for a fill that never runs
            self._fly(fill, _refused)
        return fill, True

    def _ending(self, name: str) -> bool:
        """Whether all that is left to its fill is to be put away: who comes now asks a new question."""
        running = self._running.get(name)
        return running is not None and running.stage is Stage.SETTLED and running.state != "UPDATING"

    def _fly(self, fill: Fill, work: Callable[[Fill], None]) -> None:
        try:
            work(fill)
        except ArtifactError as error:
            fill.fail(error)
        except Exception:
            log.exception("fill of %s ended by a defect", fill.name)
            fill.fail(ArtifactError("the download ended by a defect of this server"))
        finally:
            with self._idle:
                if self._running.get(fill.name) is fill:
                    del self._running[fill.name]
                self._count()
                self._idle.notify_all()

    def _count(self) -> None:
        """Whoever waits for the interpreter's lock looks at it once in each switch interval: hundreds of threads that
        look every 5 ms while another process has the core cost more than what they carry."""
        running = len(self._running)
        metrics.RUNNING.set(running)
        sys.setswitchinterval(min(max(SWITCH * running, LEAST), MOST))

    def running(self) -> int:
        with self._lock:
            return len(self._running)

    def find(self, name: str) -> Fill | None:
        """The running fill of that name."""
        with self._lock:
            return self._running.get(name)

    def drain(self, seconds: float) -> bool:
        """Wait until no fill runs; False if some still do after that time."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._running, seconds)
