"""HTTP as bytes over a socket: for requests that no client library would send, and uploads that break off."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PATIENCE = 10.0  # seconds without a byte; a server that is silent for longer hangs


@dataclass(frozen=True, slots=True)
class Reply:
    """A response as it came in; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(method: str, target: str, *lines: str, version: str = "HTTP/1.1") -> bytes:
    """The head of a request, exactly as written; latin-1 like the wire."""
    return "\r\n".join((f"{method} {target} {version}", "Host: node", *lines, "", "")).encode("latin-1")


def exchange(port: int, sent: Iterable[bytes] | bytes, *, end: bool = False) -> bytes:
    """Everything the server says until it closes; TimeoutError where it does neither.

    A server may answer and close before it has read everything, so what fails to be sent is no error. With
    `end` the client says that nothing more will come.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        with contextlib.suppress(ConnectionError):
            for piece in (sent,) if isinstance(sent, bytes) else sent:
                connection.sendall(piece)
            if end:
                connection.shutdown(socket.SHUT_WR)
        return _everything(connection)


def ask(port: int, sent: Iterable[bytes] | bytes) -> Reply:
    """The one response to a request; raises http.client's errors where it is not a whole one."""
    return parse(exchange(port, sent), sent if isinstance(sent, bytes) else b"")


def parse(answer: bytes, sent: bytes = b"") -> Reply:
    """A response from its bytes; `sent` tells whether it answers a HEAD."""
    response = http.client.HTTPResponse(_Bytes(answer), method=sent[:5].decode("latin-1").strip())  # type: ignore[arg-type]
    response.begin()  # passes over "100 Continue"
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def _everything(connection: socket.socket) -> bytes:
    answer = bytearray()
    with contextlib.suppress(ConnectionError):  # a reset after the response's last byte
        while piece := connection.recv(1 << 16):
            answer += piece
    return bytes(answer)


class _Bytes:
    """As much of a socket as http.client reads from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._content)
