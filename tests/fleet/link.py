"""The wire between a node and one of its servers, which a test can slow, freeze, cut or take away."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

Address = tuple[str, int] | Path  # a TCP port, or a unix socket
PIECE = 1 << 16
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Link:
    """A TCP port that passes on what it is told to; `well()` ends every fault.

    A server that is frozen accepts and never answers, as one behind SIGSTOP or a full disk; one that is refused
    is not there; one that is broken answers every HTTP request 500.
    """

    def __init__(self, target: Address) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._moves = threading.Event()
        self._delay = 0.0
        self._carry: Callable[[socket.socket], None] = self._through
        self._listener: socket.socket | None = None
        self.port = 0
        self.well()

    def well(self) -> None:
        self._delay, self._carry = 0.0, self._through
        self._moves.set()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """As if the server had been killed."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def freeze(self) -> None:
        """Accept, and move not one byte in either direction."""
        self._moves.clear()

    def slow(self, seconds: float) -> None:
        """Every piece waits so long, in both directions."""
        self._delay = seconds

    def break_http(self) -> None:
        """Answer every request 500."""
        self._carry = self._refuse_http
        self.cut()

    def cut(self) -> None:
        """Reset what is connected now."""
        with self._lock:
            gone, self._open = self._open, set()
        for conn in gone:
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.refuse()
        self._moves.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carried, args=(conn,), daemon=True).start()

    def _carried(self, conn: socket.socket) -> None:
        with contextlib.suppress(OSError), conn:
            self._remember(conn)
            self._carry(conn)

    def _remember(self, conn: socket.socket) -> None:
        conn.settimeout(None)
        with self._lock:
            self._open.add(conn)

    def _through(self, conn: socket.socket) -> None:
        self._moves.wait()
        with self._connect() as server:
            self._remember(server)
            back = threading.Thread(target=self._pump, args=(server, conn), daemon=True)
            back.start()
            self._pump(conn, server)
            back.join()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, Path):
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            return server
        server = socket.create_connection(self._target)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                self._moves.wait()
                time.sleep(self._delay)
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _refuse_http(self, conn: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            piece = conn.recv(PIECE)
            if not piece:
                return
            asked += piece
        conn.sendall(BROKEN)
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(PIECE):  # what was still on its way: closing over it would be a reset
            pass
