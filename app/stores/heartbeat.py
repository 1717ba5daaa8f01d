"""Held locks, and the one thread of a process that keeps them alive."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time

from redis import RedisError
from redis.exceptions import LockError
from redis.lock import Lock

log = logging.getLogger(__name__)


class HeldLock:
    """A lock this process took; `lost` turns True once it has expired or is someone else's."""

    def __init__(self, lock: Lock, token: str, heartbeat: Heartbeat) -> None:
        self.token = token
        self.lost = False
        self._lock = lock
        self._heartbeat = heartbeat
        self._renewed = time.monotonic()
        heartbeat.add(self)

    def release(self) -> None:
        """Let go; where Redis does not answer the lock lapses by itself."""
        self._heartbeat.drop(self)
        with contextlib.suppress(RedisError, OSError):  # not ours any more is among them
            self._lock.release()

    def renew(self) -> None:
        """Give it its whole time again; a Redis that is down may be back before it lapses."""
        begun = time.monotonic()
        try:
            self._lock.reacquire()
            self._renewed = begun
        except LockError:
            self.lost = True
        except (RedisError, OSError):
            self.lost = begun - self._renewed > float(self._lock.timeout or 0)
        if self.lost:
            self._heartbeat.drop(self)


class Heartbeat:
    """Renews what is held every `interval` seconds; its thread starts with the first and ends with the last."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._thread: threading.Thread | None = None
        self._start_over()

    def add(self, held: HeldLock) -> None:
        if self._process != os.getpid():  # a fork has neither the thread nor the locks
            self._start_over()
        with self._guard:
            self._held.add(held)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
                self._thread.start()

    def drop(self, held: HeldLock) -> None:
        with self._guard:
            self._held.discard(held)

    def _start_over(self) -> None:
        self._process = os.getpid()
        self._guard = threading.Lock()
        self._held: set[HeldLock] = set()
        self._thread = None

    def _beat(self) -> None:
        while True:
            time.sleep(self.interval)
            with self._guard:
                held = tuple(self._held)
                if not held:
                    self._thread = None
                    return
            for lock in held:
                lock.renew()
