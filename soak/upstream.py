"""The upstream of a soak run, a process of its own: `python -m soak.upstream PORT`; it keeps no state."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from soak import bodies

RATE = 1 << 20  # bytes a second of what is sent slowly
PIECE = 1 << 16


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD with a strong ETag; one path in five is slow, one in four chunked."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not path.startswith(("/fixed/", "/live/", "/kept/")):
            return self._refuse()
        version = bodies.version_at(path, time.time())
        etag = f'"{bodies.digest(path, version)}"'
        if self.headers.get("If-None-Match") == etag:
            return self._head(304, etag)
        return self._send(path, etag, bodies.body(path, version))

    def _refuse(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _head(self, status: int, etag: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("ETag", etag)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _send(self, path: str, etag: str, body: bytes) -> None:
        odd = zlib.crc32(path.encode())
        chunked = odd % 4 == 0
        framing = {"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": str(len(body))}
        self._head(200, etag, Content_Type="application/octet-stream", **framing)
        if self.command == "HEAD":
            return
        for piece in _paced(body, odd % 5 == 0):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def _paced(body: bytes, slow: bool) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]
        if slow:
            time.sleep(PIECE / RATE)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left."""


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
