"""Knows who tried to leave: an HTTP proxy on loopback that notes every request line and refuses."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator


class _Refusing(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline(8192).decode("latin-1").strip()
        if line and isinstance(self.server, Tripwire):
            self.server.lines.append(line)
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


class Tripwire(socketserver.ThreadingTCPServer):
    """`lines` are the first lines of all requests, as `CONNECT host:443 HTTP/1.1`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusing)
        self.lines: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def variables(self) -> list[str]:
        """What has a client send all that is not for loopback here, as NAME=value."""
        proxies = [f"{name}={self.url}" for name in ("HTTP_PROXY", "HTTPS_PROXY")]
        return [*proxies, "NO_PROXY=127.0.0.1,localhost"]

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Nobody may ask inside this block."""
        before = len(self.lines)
        yield
        assert self.lines[before:] == []


@contextlib.contextmanager
def tripwire() -> Iterator[Tripwire]:
    """A running one."""
    with Tripwire() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
