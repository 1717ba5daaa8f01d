"""An upstream that waits, or sends slowly, and needs no files.

/<ms to wait>/<bytes a second>/<size>/<serial>                         as a file
/v2/<ms>/<bytes a second>/<size>/<serial>/blobs/sha256:<hex>           as an image's blob
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.bodies import Body

PIECE = 16 * 1024  # bytes sent at a time where a rate is asked for


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        late, rate, size, serial = (int(part) for part in self.path.split("/") if part.isdigit())
        time.sleep(late / 1000)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.flush()
        for block in Body(serial, size).blocks():
            self._send(block, rate)

    def _send(self, block: memoryview, rate: int) -> None:
        for start in range(0, len(block), PIECE if rate else len(block)):
            piece = block[start : start + PIECE] if rate else block
            self.wfile.write(piece)
            if rate:
                time.sleep(len(piece) / rate)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that left: what it missed shows at the reader."""


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """The port it listens on, for the block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
