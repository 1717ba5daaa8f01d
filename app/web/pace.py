"""How slowly a request's body may come: there is a time for all of it, longer the more has come."""

from __future__ import annotations

import socket
import time

from app.errors import TooSlow

STALLED = 30.0  # seconds in which an uploading client sends no byte, or takes none of its answer


class Paced:
    """A client's socket, for the reader of its body: `seconds` for all of it, and one more for each `rate` bytes."""

    def __init__(self, conn: socket.socket, seconds: float, rate: int = 0, stalled: float = STALLED) -> None:
        self._conn = conn
        self._until = time.monotonic() + seconds
        self._rate = rate
        self._stalled = stalled

    def recv(self, size: int) -> bytes:
        """As socket.recv; raises TooSlow."""
        left = min(self._until - time.monotonic(), self._stalled)
        if left <= 0:
            raise TooSlow("the request's body comes too slowly")
        self._conn.settimeout(left)
        try:
            chunk = self._conn.recv(size)
        except TimeoutError:
            raise TooSlow("the request's body comes too slowly") from None
        finally:
            self._conn.settimeout(self._stalled)  # for the answer
        if self._rate:
            self._until += len(chunk) / self._rate
        return chunk
