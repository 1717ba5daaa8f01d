"""One request on loopback, judged by its framing alone: what a careful client would take for whole."""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

PIECE = 1 << 18  # bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One response as it came; header names in lower case, `status` 0 where none came.

    `problem` is why it is not whole: refused, reset, cut or time-out. `body` is kept only where that was asked.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    digest: str = ""
    problem: str = ""
    body: bytes = b""
    begun: float = 0.0  # unix time
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        return not self.problem

    @property
    def cache(self) -> str:
        return self.headers.get("x-cache", "")


@dataclass(frozen=True, slots=True)
class Request:
    """`limit` is in seconds, for each wait and for all of it."""

    port: int
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None
    limit: float = 30.0
    keep: bool = False


def ask(request: Request) -> Answer:
    """Send it and read to the end; never raises for what the server or the network does."""
    begun, clock = time.time(), time.monotonic()
    found = _Received()
    conn = http.client.HTTPConnection("127.0.0.1", request.port, timeout=request.limit)
    try:
        conn.request(request.method, request.path, request.data, {"Connection": "close", **request.headers})
        found.read(conn.getresponse(), request.keep, clock + request.limit)
    except TimeoutError:
        found.problem = "time-out"
    except ConnectionRefusedError:
        found.problem = "refused"
    except (OSError, http.client.HTTPException):
        found.problem = "cut" if found.status else "reset"
    finally:
        conn.close()
    return found.answer(begun, time.monotonic() - clock)


class _Received:
    """What came so far."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.problem = ""
        self._sum = hashlib.sha256()
        self._size = 0
        self._kept = bytearray()

    def read(self, response: http.client.HTTPResponse, keep: bool, deadline: float) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        while piece := response.read1(PIECE):
            self._sum.update(piece)
            self._size += len(piece)
            if keep:
                self._kept += piece
            if time.monotonic() > deadline:
                raise TimeoutError
        if response.length:  # announced, and did not come
            self.problem = "cut"

    def answer(self, begun: float, seconds: float) -> Answer:
        shown = (self.status, self.headers, self._size, self._sum.hexdigest(), self.problem, bytes(self._kept))
        return Answer(*shown, begun, seconds)
