"""One GET or HEAD on loopback with its times: small on purpose: client and server share the cores."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from bench.bodies import Comparison, Expected

HEAD_END = b"\r\n\r\n"
PATIENCE = 300.0  # seconds without a byte after which a measurement is given up


class WrongAnswer(Exception):
    """The server under test, or the upstream, did not answer what was asked for; no figure can be made of it."""


@dataclass(frozen=True, slots=True)
class Got:
    """One finished GET; seconds since it began (before the connection was made)."""

    first: float  # until the first byte of the body was here
    total: float
    cache: str  # X-Cache, or ""


def get(port: int, path: str, body: Expected, *, gather: int = 1, pace: float = 0.0) -> Got:
    """GET and compare every byte; raises WrongAnswer.

    `gather` lets that many bytes come together before a read returns, which spares the client's core; `pace` is
    the most it reads, in bytes a second.
    """
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as conn:
        conn.sendall(_request(port, path))
        status, headers, rest = _head(conn)
        length = int(headers.get("content-length", -1))
        if (status, length) != (200, body.size):
            raise WrongAnswer(f"{path}: {status}, Content-Length {length}: {rest[:300]!r}")
        rest = rest or conn.recv(65536)
        first = time.perf_counter() - begun
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, gather)
        _compare(conn, path, body, rest, pace)
    return Got(first, time.perf_counter() - begun, headers.get("x-cache", ""))


def seconds(port: int, path: str) -> float:
    """How long a GET of something short takes, answered 200."""
    return _until_head("GET", port, path)[0]


def head(port: int, path: str, size: int) -> float:
    """How long a HEAD takes, answered 200 and with that Content-Length."""
    taken, headers = _until_head("HEAD", port, path)
    if headers.get("content-length") != str(size):
        raise WrongAnswer(f"HEAD {path}: Content-Length {headers.get('content-length')}")
    return taken


def _until_head(method: str, port: int, path: str) -> tuple[float, dict[str, str]]:
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as conn:
        conn.sendall(_request(port, path, method))
        status, headers, _ = _head(conn)
    if status != 200:
        raise WrongAnswer(f"{method} {path}: {status}")
    return time.perf_counter() - begun, headers


def _request(port: int, path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()


def _head(conn: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and the bytes that came after them."""
    data = b""
    while HEAD_END not in data:
        chunk = conn.recv(65536)
        if not chunk:
            raise WrongAnswer(f"the connection ended within the headers: {data!r}")
        data += chunk
    head, _, rest = data.partition(HEAD_END)
    start, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(start.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, rest


def _compare(conn: socket.socket, path: str, body: Expected, rest: bytes, pace: float) -> None:
    comparison = Comparison(body)
    comparison.take(rest)
    began = time.perf_counter()
    while comparison.left:
        room = comparison.room()
        count = conn.recv_into(room[:65536] if pace else room)
        if not count:
            raise WrongAnswer(f"{path}: cut {comparison.left} bytes before its end")
        comparison.took(count)
        if pace:
            time.sleep(max(began + (body.size - comparison.left) / pace - time.perf_counter(), 0))
    if not comparison.whole:
        raise WrongAnswer(f"{path}: wrong bytes")
