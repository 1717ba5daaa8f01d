"""How tests/upstreams.py speaks HTTP/1.1: a request becomes a Seen, an answer a Reply, an Exchange sends it."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from http.client import responses
from pathlib import Path
from typing import BinaryIO

_LINGER_RESET = struct.pack("ii", 1, 0)
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of the upstream; `headers` are sent as they are with every 200, 206 and 304."""

    body: bytes | Path
    headers: Mapping[str, str]

    @property
    def size(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.stat().st_size


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came in; header names in lower case, `query` without the question mark."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    at: float = 0.0
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out: `size` bytes of `body` from `start`; `cut` and `stall` count body bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Path = b""
    start: int = 0
    size: int = 0
    framing: str = "length"  # "length", "chunked" or "close" (HTTP/1.0)
    hang: bool = False
    reset: bool = False
    cut: int | None = None
    stall: int | None = None
    surplus: bytes = b""

    @property
    def content(self) -> bytes:
        whole = self.body if isinstance(self.body, bytes) else self.body.read_bytes()
        return whole[self.start : self.start + self.size]

    def carrying(self, body: bytes, **headers: str) -> Reply:
        """The same answer with another body; header names with underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **named}, body=body, start=0, size=len(body))


def answer(file: Stored | None, seen: Seen) -> Reply:
    """The well-behaved reply: 404, 405, 304 (RFC 9110, 13.2.2), 206 and 416 (14.2), else 200."""
    if seen.method not in ("GET", "HEAD"):
        return whole(405, {"Allow": "GET, HEAD"}, b"")
    if file is None:
        return whole(404, {"Content-Type": "text/plain"}, b"not found\n")
    if _unchanged(file, seen):
        return Reply(304, file.headers)
    wanted = _range(file, seen)
    if wanted is None:
        return Reply(200, file.headers, file.body, 0, file.size)
    start, size = wanted
    if size <= 0:
        return whole(416, {"Content-Range": f"bytes */{file.size}"}, b"")
    shown = {"Content-Range": f"bytes {start}-{start + size - 1}/{file.size}"}
    return Reply(206, {**file.headers, **shown}, file.body, start, size)


def whole(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    return Reply(status, headers, body, 0, len(body))


def _unchanged(file: Stored, seen: Seen) -> bool:
    tag = file.headers.get("ETag", "")
    if "if-none-match" in seen.headers:
        named = {one.strip().removeprefix("W/") for one in seen.headers["if-none-match"].split(",")}
        return bool(tag) and (tag.removeprefix("W/") in named or "*" in named)
    since, changed = seen.headers.get("if-modified-since"), file.headers.get("Last-Modified")
    return bool(since and changed) and _date(changed) <= _date(since)


def _date(text: str | None) -> float:
    return parsedate_to_datetime(text or "").timestamp()


def _range(file: Stored, seen: Seen) -> tuple[int, int] | None:
    """(start, size) of a single range; None for all of it; size 0 or less is unsatisfiable."""
    unit, _, spec = seen.headers.get("range", "").partition("=")
    first, dash, last = spec.partition("-")
    condition = seen.headers.get("if-range")
    if unit != "bytes" or not dash or not (first + last).isdigit():
        return None
    if condition and condition not in (file.headers.get("ETag"), file.headers.get("Last-Modified")):
        return None
    if not first:
        size = min(int(last), file.size)
        return file.size - size, size
    end = min(int(last or file.size), file.size - 1)
    return int(first), end - int(first) + 1


def requests(connection: socket.socket) -> Iterator[Seen]:
    """The requests of one connection, until the client goes or sends nonsense."""
    pending = b""
    while True:
        while b"\r\n\r\n" not in pending:
            received = connection.recv(65536)
            if not received or len(pending) > 1 << 20:
                return
            pending += received
        head, _, pending = pending.partition(b"\r\n\r\n")
        seen = _seen(head.decode("latin-1"))
        left = int(seen.headers.get("content-length", "0"))
        while len(pending) < left:
            received = connection.recv(65536)
            if not received:
                return
            pending += received
        body, pending = pending[:left], pending[left:]
        yield replace(seen, body=body)


def _seen(head: str) -> Seen:
    line, *fields = head.split("\r\n")
    method, target, _ = line.split(" ", 2)
    if "://" in target:  # a client of a proxy
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    path, _, query = target.partition("?")
    pairs = (one.partition(":") for one in fields)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Seen(method, path, query, headers, time.time())


@dataclass(slots=True)
class Exchange:
    """One reply on its way out. `released` ends a hang or stall; `rate` is bytes a second, None unlimited."""

    connection: socket.socket
    seen: Seen
    rate: float | None
    released: threading.Event
    count: Callable[[int], None]

    def send(self, reply: Reply) -> bool:
        """Execute the reply; True if the connection can take another request."""
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            return False
        if reply.hang:
            self.released.wait()
            return False
        self.connection.sendall(_head(reply))
        if self.seen.method == "HEAD" or reply.status in (204, 304):
            return True
        return self._body(reply) and reply.framing != "close" and not _closes(reply)

    def _body(self, reply: Reply) -> bool:
        stop = min(n for n in (reply.cut, reply.stall, reply.size) if n is not None)
        if reply.framing == "chunked":
            self._chunks(reply, stop)
        else:
            self._bytes(reply, reply.start, stop)
        if stop == reply.stall:
            self.released.wait()
        if stop == reply.stall or stop == reply.cut:
            return False
        self.connection.sendall(b"0\r\n\r\n" * (reply.framing == "chunked") + reply.surplus)
        return True

    def _chunks(self, reply: Reply, stop: int) -> None:
        for offset in range(0, stop, 65536):
            here = min(65536, stop - offset)
            promised = min(65536, reply.size - offset)
            self.connection.sendall(b"%x\r\n" % promised)
            self._bytes(reply, reply.start + offset, here)
            self.connection.sendall(b"\r\n" * (here == promised))

    def _bytes(self, reply: Reply, start: int, size: int) -> None:
        if isinstance(reply.body, bytes):
            view = memoryview(reply.body)
            self._paced(start, size, lambda at, n: self.connection.sendall(view[at : at + n]))
        else:
            with reply.body.open("rb") as file:
                self._paced(start, size, lambda at, n: self._file(file, at, n))

    def _file(self, file: BinaryIO, at: int, size: int) -> None:
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.sendfile(file, at, size)
            return
        while size and (sent := os.sendfile(self.connection.fileno(), file.fileno(), at, size)):
            at, size = at + sent, size - sent

    def _paced(self, start: int, size: int, send: Callable[[int, int], object]) -> None:
        piece = _PIECE if self.rate is None else max(1, min(_PIECE // 4, int(self.rate / 200)))
        began = time.monotonic()
        for done in range(0, size, piece):
            length = min(piece, size - done)
            if self.rate is not None:
                time.sleep(max(0.0, began + done / self.rate - time.monotonic()))
            send(start + done, length)
            self.count(length)


def _closes(reply: Reply) -> bool:
    return reply.headers.get("Connection", "").lower() == "close"


def _head(reply: Reply) -> bytes:
    version = "HTTP/1.0" if reply.framing == "close" else "HTTP/1.1"
    line = f"{version} {reply.status} {responses.get(reply.status, 'Odd')}"
    framing = {"length": {"Content-Length": str(reply.size)}, "chunked": {"Transfer-Encoding": "chunked"}}
    own = {} if reply.status in (204, 304) else framing.get(reply.framing, {})
    lines = [line, *(f"{name}: {value}" for name, value in {**own, **reply.headers}.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
