"""A proxy in front of a real S3 that counts what passes and misbehaves on request.

proxy.refuse(503, "SlowDown", times=2)          answers by itself
proxy.cut(1000)                                 ends a body from S3 early
proxy.stall(1000)                               stops in it until clear()
proxy.corrupt()                                 changes a byte of what is stored
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PIECE = 64 << 10
ERROR = "<?xml version='1.0'?><Error><Code>{0}</Code><Message>no {0}</Message><RequestId>1</RequestId></Error>"
LEFT_OUT = ("connection", "transfer-encoding", "expect")


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    range: str
    copied: bool


@dataclass(slots=True)
class _Fault:
    kind: str
    method: str
    part: str
    times: int | None
    status: int = 0
    code: str = ""
    after: int = 0


class Proxy(ThreadingHTTPServer):
    """Runs between `with`; `asked` are the requests, `passed` the bytes of bodies that S3's answers had."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.target = urlsplit(target).netloc
        self.asked: list[Asked] = []
        self.passed = 0
        self.connections = 0
        self.released = threading.Event()
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def refuse(self, status: int, code: str, method: str = "", part: str = "", times: int | None = None) -> None:
        """Answer so instead of S3, to that method and where the path has that part; no code is an empty body."""
        self._faults.append(_Fault("refuse", method, part, times, status, code))

    def cut(self, after: int, times: int | None = 1) -> None:
        self._faults.append(_Fault("cut", "GET", "", times, after=after))

    def stall(self, after: int, times: int | None = 1) -> None:
        self._faults.append(_Fault("stall", "GET", "", times, after=after))

    def corrupt(self, times: int | None = None) -> None:
        self._faults.append(_Fault("corrupt", "PUT", "", times))

    def clear(self) -> None:
        """Behave, and forget what was asked."""
        self._faults = []
        self.asked, self.passed = [], 0
        released, self.released = self.released, threading.Event()
        released.set()

    def fault(self, asked: Asked) -> _Fault | None:
        with self._lock:
            self.asked.append(asked)
            for each in self._faults:
                if each.times != 0 and each.method in ("", asked.method) and each.part in asked.path:
                    each.times = each.times and each.times - 1
                    return each
        return None

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left."""


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    proxy = Proxy(target)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.clear()
        proxy.shutdown()
        thread.join()
        proxy.server_close()


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        copied = "x-amz-copy-source" in self.headers
        asked = Asked(self.command, self.path, self.headers.get("Range", ""), copied)
        fault = self.server.fault(asked)
        if fault is not None and fault.kind == "refuse":
            self._refuse(fault)
            return
        if fault is not None and fault.kind == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:] if body else body
        upstream = http.client.HTTPConnection(self.server.target, timeout=30)
        try:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in LEFT_OUT}
            upstream.request(self.command, self.path, body, kept)
            self._answer(upstream.getresponse(), fault)
        finally:
            upstream.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = relay  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nowhere."""

    def _refuse(self, fault: _Fault) -> None:
        body = ERROR.format(fault.code).encode() if fault.code else b""
        self.send_response(fault.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, answer: http.client.HTTPResponse, fault: _Fault | None) -> None:
        self.send_response_only(answer.status)
        known = answer.getheader("Content-Length")
        whole = b"" if known is not None else answer.read()
        for name, value in answer.getheaders():
            if name.lower() not in LEFT_OUT:
                self.send_header(name, value)
        if known is None and answer.status != 204:
            self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)
        self._stream(answer.read, fault)

    def _stream(self, read: Callable[[int], bytes], fault: _Fault | None) -> None:
        left = fault.after if fault is not None and fault.kind in ("cut", "stall") else None
        while chunk := read(PIECE if left is None else min(PIECE, left)):
            self.wfile.write(chunk)
            self.server.passed += len(chunk)
            left = None if left is None else left - len(chunk)
        if fault is not None and fault.kind == "stall":
            self.wfile.flush()
            self.server.released.wait(30)
        if left is not None:
            self.close_connection = True
