"""A client on a bare socket, which judges by the framing alone whether it was given a whole body (RFC 9112, 6.3)."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE = 30.0  # seconds; only ends a test that hangs


@dataclass(frozen=True, slots=True)
class Read:
    """One response as it came; header names in lower case. `whole` is what a careful client would conclude."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    @property
    def cache(self) -> str:
        return self.headers.get("x-cache", "")

    @property
    def error(self) -> str:
        """The code of a JSON error with every field that API.md names; anything else fails the test."""
        assert self.whole and self.headers["content-type"] == "application/json", self
        told: dict[str, Any] = json.loads(self.body)
        assert set(told) == {"error", "message", "request_id"} and told["message"], told
        assert told["request_id"] == self.headers["x-request-id"]
        return str(told["error"])


NOTHING = Read(0, {}, b"", False)  # the connection ended before a head


class Reader:
    """One request on its way; read it with `rest()`, or leave."""

    def __init__(self, port: int, path: str, protocol: str = "HTTP/1.1", method: str = "GET", **headers: str) -> None:
        self._raw = bytearray()
        self._reset = False
        self._conn = socket.create_connection(("127.0.0.1", port), PATIENCE)
        named = {"Host": "a", **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = [f"{method} {path} {protocol}", *(f"{name}: {value}" for name, value in named.items())]
        self._conn.sendall("\r\n".join([*lines, "", ""]).encode())
        self._method = method

    def until(self, size: int) -> Reader:
        """Return once the head and so many bytes behind it have come, or the end."""
        while len(bytes(self._raw).partition(b"\r\n\r\n")[2]) < size and self._receive():
            pass
        return self

    def rest(self) -> Read:
        """Read to the end of the connection."""
        while self._receive():
            pass
        self._conn.close()
        return self._judged()

    def leave(self) -> None:
        """Close without reading on, as a client that was stopped does."""
        self._conn.close()

    def finish_sending(self) -> None:
        """Half-close."""
        self._conn.shutdown(socket.SHUT_WR)

    @property
    def so_far(self) -> bytes:
        """Every byte that came, head and framing included."""
        return bytes(self._raw)

    def _receive(self) -> bool:
        try:
            data = self._conn.recv(1 << 16)
        except ConnectionResetError:
            self._reset = True
            return False
        self._raw += data
        return bool(data)

    def _judged(self) -> Read:
        head, mark, rest = bytes(self._raw).partition(b"\r\n\r\n")
        if not mark:
            return NOTHING
        line, *fields = head.decode("latin-1").split("\r\n")
        pairs = [one.partition(": ") for one in fields]
        headers = {name.lower(): value for name, _, value in pairs}
        assert len(headers) == len(fields), f"a header twice: {fields}"
        status = int(line.split(" ")[1])
        body, whole = self._framed(status, headers, rest)
        return Read(status, headers, body, whole)

    def _framed(self, status: int, headers: Mapping[str, str], rest: bytes) -> tuple[bytes, bool]:
        if self._method == "HEAD" or status == 304:
            return rest, not rest and not self._reset
        if "transfer-encoding" in headers:
            assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers
            return unchunked(rest)
        if "content-length" in headers:
            length = int(headers["content-length"])
            assert len(rest) <= length, "more than the Content-Length"
            return rest, len(rest) == length
        return rest, not self._reset


def unchunked(data: bytes) -> tuple[bytes, bool]:
    """The bytes of a chunked body, and whether its last chunk is there with nothing behind it (RFC 9112, 7.1)."""
    body = bytearray()
    while True:
        size, mark, rest = data.partition(b"\r\n")
        if not mark:
            return bytes(body), False
        length = int(size, 16)
        if length == 0:
            assert rest in (b"", b"\r\n"), f"behind the last chunk: {rest[:40]!r}"
            return bytes(body), rest == b"\r\n"
        body += rest[:length]
        if len(rest) < length + 2:
            return bytes(body), False
        assert rest[length : length + 2] == b"\r\n", "a chunk that does not end"
        data = rest[length + 2 :]
