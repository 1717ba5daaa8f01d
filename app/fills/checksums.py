"""The checksums of a body while it arrives, on a thread of their own where it is large and quick."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Iterable

from app.resource import Digest

INLINE = 4 << 20  # bytes hashed on the caller's thread; a thread only pays for itself beyond
QUICK = 50_000_000  # bytes a second; a slower body leaves its thread the time to hash, without a wake-up a chunk


class Checksums:
    """sha256 of all chunks and, where another algorithm is expected or asked for, that one too.

    hashlib releases the GIL, so a second thread lets receiving and hashing use two cores.
    """

    def __init__(self, expected: Digest | None, algorithms: Iterable[str] = ()) -> None:
        self._expected = expected
        wanted = {"sha256", *algorithms, *([expected.algorithm] if expected else [])}
        self._sums = {name: hashlib.new(name, usedforsecurity=False) for name in sorted(wanted)}
        self._seen = 0
        self._begun = time.monotonic()
        self._queue: queue.Queue[bytes | None] | None = None
        self._thread: threading.Thread | None = None

    def update(self, chunk: bytes) -> None:
        self._seen += len(chunk)
        if self._queue is None and self._quick():
            self._branch_off()
        self._hash(chunk) if self._queue is None else self._queue.put(chunk)

    def _quick(self) -> bool:
        return self._seen > INLINE and self._seen > QUICK * (time.monotonic() - self._begun)

    def _branch_off(self) -> None:
        """Start the thread; where none is to be had the caller hashes on."""
        chunks: queue.Queue[bytes | None] = queue.Queue(maxsize=8)
        thread = threading.Thread(target=self._drain, args=(chunks,), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return
        self._queue, self._thread = chunks, thread

    def finish(self, algorithm: str = "sha256") -> str:
        """Wait for the last chunk; the checksum in hex. Call it also to give up: it ends the thread."""
        if self._queue and self._thread:
            self._queue.put(None)
            self._thread.join()
            self._queue = None
        return self._sums[algorithm].hexdigest()

    def mismatch(self) -> str | None:
        """After finish(): a sentence if the body is not the expected one, else None."""
        if self._expected is None:
            return None
        found = self._sums[self._expected.algorithm].hexdigest()
        if found == self._expected.value:
            return None
        return f"its {self._expected.algorithm} is {found}, expected {self._expected.value}"

    def _hash(self, chunk: bytes) -> None:
        for each in self._sums.values():
            each.update(chunk)

    def _drain(self, chunks: queue.Queue[bytes | None]) -> None:
        while (chunk := chunks.get()) is not None:
            self._hash(chunk)
