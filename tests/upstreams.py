"""A real upstream on 127.0.0.1 that counts what it is asked and misbehaves on request.

    upstream.put("/a.rpm", b"...")              a file, with validators, 304, HEAD and Range
    upstream.stall(1000, "/a.rpm", times=1)     a fault: for one path or all, for n requests or until clear()
    upstream.count("/a.rpm", "GET")             what it was asked

A request becomes a Reply (a value), each active fault of its path changes it, an Exchange executes it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.upstream_wire import Exchange, Reply, Seen, Stored, answer, requests, whole

LOGIN_PAGE = b"<!DOCTYPE html><html><body><form>Please log in</form></body></html>"
_EPOCH = 1_750_000_000  # Last-Modified of the first file put; each later one is a minute younger


Fault = Callable[[Reply, Seen], Reply]


@dataclass(slots=True)
class _Active:
    path: str | None
    times: int | None
    apply: Fault


class Upstream:
    """The server: runs from the start, `stop()` refuses connections, `start()` is back on the same port."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.sent = 0  # body bytes
        self._tls = tls
        self._files: dict[str, Stored] = {}
        self._faults: list[_Active] = []
        self._lock = threading.Lock()
        self._serial = itertools.count()
        self._rate: float | None = None
        self._latency = 0.0
        self._port = 0
        self._open: set[socket.socket] = set()
        self._released = threading.Event()
        self.start()

    # what it has ------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def put(self, path: str, body: bytes | Path, *, validators: bool = True, **headers: str) -> None:
        """Offer a file; `Content_Type="text/plain"` style headers win over the defaults."""
        own = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        if validators:
            seen = body if isinstance(body, bytes) else repr((body, body.stat().st_mtime_ns)).encode()
            own["ETag"] = f'"{hashlib.sha256(seen).hexdigest()[:16]}"'
            own["Last-Modified"] = formatdate(_EPOCH + 60 * next(self._serial), usegmt=True)
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._files[path] = Stored(body, own)

    def remove(self, path: str) -> None:
        self._files.pop(path, None)

    # what it was asked ------------------------------------------------------------------------------------

    def count(self, path: str | None = None, method: str | None = None) -> int:
        seen = list(self.requests)
        return sum(path in (None, one.path) and method in (None, one.method) for one in seen)

    def wait_for(self, path: str | None = None, method: str | None = None, n: int = 1, seconds: float = 30) -> None:
        """Return once `n` such requests came in; AssertionError after `seconds`."""
        end = time.monotonic() + seconds
        while self.count(path, method) < n:
            assert time.monotonic() < end, f"no {n} requests for {path} within {seconds} s"
            time.sleep(0.005)

    def reset(self) -> None:
        """Forget the requests, faults and limits, keep the files."""
        self.requests.clear()
        self.connections = self.sent = 0
        self._rate, self._latency = None, 0.0
        self.clear()

    # how it behaves ---------------------------------------------------------------------------------------

    def rate(self, bytes_per_second: float | None) -> None:
        """Send each body at most this fast, smoothly; None is as fast as it goes."""
        self._rate = bytes_per_second

    def latency(self, seconds: float) -> None:
        """Wait before the headers of every response."""
        self._latency = seconds

    def clear(self, path: str | None = None) -> None:
        """End the faults of one path (or all) and cut the connections that hang or stall."""
        with self._lock:
            self._faults = [one for one in self._faults if path is not None and one.path != path]
        released, self._released = self._released, threading.Event()
        released.set()

    def fault(self, apply: Fault, path: str | None = None, times: int | None = None) -> None:
        """Change every reply (of one path, for so many requests) by a function of your own."""
        with self._lock:
            self._faults.append(_Active(path, times, apply))

    def hang(self, path: str | None = None, times: int | None = None) -> None:
        """No answer at all, until clear()."""
        self.fault(lambda reply, _: replace(reply, hang=True), path, times)

    def stall(self, after: int, path: str | None = None, times: int | None = None) -> None:
        """Stop mid-body after so many bytes, the connection open, until clear()."""
        self.fault(lambda reply, _: replace(reply, stall=after), path, times)

    def cut(self, after: int, path: str | None = None, times: int | None = None) -> None:
        """Close in the middle of a body that has a Content-Length (or, with `chunked`, in a chunk)."""
        self.fault(lambda reply, _: replace(reply, cut=after), path, times)

    def chunked(self, path: str | None = None, times: int | None = None, cut: int | None = None) -> None:
        """A chunked body, whole or closed short after `cut` bytes."""
        self.fault(lambda reply, _: replace(reply, framing="chunked", cut=cut), path, times)

    def http10(self, path: str | None = None, times: int | None = None) -> None:
        """An HTTP/1.0 answer without a length: the body ends where the connection does."""
        self.fault(lambda reply, _: replace(reply, framing="close"), path, times)

    def overrun(self, surplus: bytes = b"surplus", path: str | None = None, times: int | None = None) -> None:
        """More bytes than the Content-Length says."""
        self.fault(lambda reply, _: replace(reply, surplus=surplus), path, times)

    def disconnect(self, path: str | None = None, times: int | None = None) -> None:
        """Reset the connection instead of answering."""
        self.fault(lambda reply, _: replace(reply, reset=True), path, times)

    def status(
        self,
        code: int,
        path: str | None = None,
        times: int | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"no\n",
    ) -> None:
        """Another status: 503, 429 with `headers={"Retry-After": "7"}`, ..."""
        self.fault(lambda *_: whole(code, headers or {}, body), path, times)

    def redirect(self, to: str, path: str | None = None, times: int | None = None, code: int = 302) -> None:
        """Send the client elsewhere; `to` its own path is a loop."""
        self.status(code, path, times, headers={"Location": to}, body=b"")

    def headers(self, path: str | None = None, times: int | None = None, **headers: str | None) -> None:
        """Change headers of the answer; None leaves one out."""

        def apply(reply: Reply, _: Seen) -> Reply:
            changed = dict(reply.headers) | {n.replace("_", "-"): v for n, v in headers.items()}
            return replace(reply, headers={n: v for n, v in changed.items() if v is not None})

        self.fault(apply, path, times)

    def no_validators(self, path: str | None = None, times: int | None = None) -> None:
        """Neither ETag nor Last-Modified, and conditions are not looked at."""

        def apply(reply: Reply, seen: Seen) -> Reply:
            plain = reply if reply.status != 304 else self._plain(replace(seen, headers={}))
            kept = {n: v for n, v in plain.headers.items() if n not in ("ETag", "Last-Modified")}
            return replace(plain, headers=kept)

        self.fault(apply, path, times)

    def gzip(self, path: str | None = None, times: int | None = None, keep: int | None = None) -> None:
        """Compress although nobody asked; `keep` sends only so many of the compressed bytes, as if whole."""

        def apply(reply: Reply, _: Seen) -> Reply:
            packed = gzip.compress(reply.content)[:keep]
            return reply.carrying(packed, Content_Encoding="gzip")

        self.fault(apply, path, times)

    def html(self, path: str | None = None, times: int | None = None) -> None:
        """A login page with status 200 instead of what was asked for."""
        self.fault(lambda *_: whole(200, {"Content-Type": "text/html"}, LOGIN_PAGE), path, times)

    def corrupt(self, path: str | None = None, times: int | None = None) -> None:
        """The right length, wrong bytes."""

        def apply(reply: Reply, _: Seen) -> Reply:
            return reply.carrying(bytes(byte ^ 0x55 for byte in reply.content))

        self.fault(apply, path, times)

    def partial(self, path: str | None = None, times: int | None = None) -> None:
        """A 206 of the first half to a request without Range."""

        def apply(reply: Reply, _: Seen) -> Reply:
            half = reply.size // 2
            shown = {"Content-Range": f"bytes 0-{half - 1}/{reply.size}", "Content-Length": str(half)}
            return replace(reply, status=206, size=half, headers={**reply.headers, **shown})

        self.fault(apply, path, times)

    # serving ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen (again, on the same port)."""
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=512)
        self._port = self._listener.getsockname()[1]
        self._released = threading.Event()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._released.set()
        with self._lock:
            gone = list(self._open)
        for connection in gone:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with self._lock:
                self._open.add(connection)
            for seen in requests(connection):
                if not self._serve(connection, seen):
                    break
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _serve(self, connection: socket.socket, seen: Seen) -> bool:
        self.requests.append(seen)
        released = self._released
        reply = self._faulty(self._plain(seen), seen)
        if self._latency:
            released.wait(self._latency)
        return Exchange(connection, seen, self._rate, released, self._count_sent).send(reply)

    def _plain(self, seen: Seen) -> Reply:
        return answer(self._files.get(seen.path), seen)

    def _faulty(self, reply: Reply, seen: Seen) -> Reply:
        with self._lock:
            due = [one for one in self._faults if one.path in (None, seen.path) and one.times != 0]
            for one in due:
                one.times = None if one.times is None else one.times - 1
        for one in due:
            reply = one.apply(reply, seen)
        return reply

    def _count_sent(self, size: int) -> None:
        with self._lock:
            self.sent += size


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A fresh upstream per test; nothing of it is left behind."""
    server = Upstream()
    yield server
    server.stop()
