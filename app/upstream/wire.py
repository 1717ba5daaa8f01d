"""One connection to upstream: connecting within a limit, three clocks, and bodies that end where they must.

    connect_timeout       all addresses of the host together, then the TLS handshake's every step
    first_byte_timeout    the request is sent -> its last header is there (drops of one byte do not extend it)
    stall_timeout         no byte for that long within the body

http.client and urllib3 do the protocol; what is here is what they leave to trust: framing headers that
contradict each other, chunk sizes that are no numbers, a body that goes on after its Content-Length.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import ssl
import time
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HeaderParsingError, NameResolutionError, NewConnectionError
from urllib3.util.response import assert_header_parsing

from app.upstream.guard import Guard

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_TRAILERS = 100
_AT_ONCE = {True: 32 << 10, False: 1 << 20}  # bytes a read allocates; TLS never gives more than a 16 KiB record


class Malformed(HTTPException):
    """Upstream's message is not HTTP, or contradicts itself; trying again would not help."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a connection must keep to: seconds, and where it may lead (None: wherever it was configured to)."""

    connect_timeout: float
    stall_timeout: float
    guard: Guard | None = None


class _Wire(io.RawIOBase):
    """A socket's bytes under a deadline (the headers') or under the socket's own time limit (the body's)."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._raw = sock, sock.makefile("rb", buffering=0)
        _believe_ends(sock, True)
        limit = sock.gettimeout()
        self._deadline = None if limit is None else time.monotonic() + limit
        self._dry = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._dry:
            return None
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the headers took too long")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def body(self, stall_timeout: float) -> None:
        """The headers are read: from now on only silence counts."""
        self._deadline = None
        self._sock.settimeout(stall_timeout)
        _believe_ends(self._sock, False)

    def dry(self) -> None:
        """Nothing more is taken from the socket."""
        self._dry = True

    def close(self) -> None:
        super().close()
        self._raw.close()


def _believe_ends(sock: socket.socket, believe: bool) -> None:
    """Whether TLS may end without close_notify: between responses yes, in a body it may be an attacker's cut."""
    if isinstance(sock, ssl.SSLSocket):
        sock.suppress_ragged_eofs = believe  # type: ignore[attr-defined]


class Framed(HTTPResponse):
    """A response whose end is proven by its framing; `read1` is the one way to its body."""

    def __init__(self, sock: socket.socket, *args: Any, stall_timeout: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._sock, self._wire, self._stall = sock, _Wire(sock), stall_timeout
        self.fp = io.BufferedReader(self._wire, 65536)
        self._reusable = True
        self._at_once = _AT_ONCE[isinstance(sock, ssl.SSLSocket)]

    def begin(self) -> None:
        """Read status and headers; raises Malformed."""
        super().begin()
        self._check()
        self._wire.body(self._stall)

    def _check(self) -> None:
        try:
            assert_header_parsing(self.msg)
        except HeaderParsingError:
            raise Malformed("a header line that is none") from None
        if any(_CONTROL.search(name + value.replace("\r\n", "")) for name, value in self.msg.items()):
            raise Malformed("a control character in a header")
        if self.status < 200:
            raise Malformed(f"an unasked status {self.status}")
        self._frame(self.msg.get_all("Content-Length", []), self.msg.get_all("Transfer-Encoding", []))

    def _frame(self, lengths: list[str], codings: list[str]) -> None:
        """RFC 9112, 6.3: equal lengths are one, `chunked` wins over a length and ends the connection."""
        announced = {one.strip() for line in lengths for one in line.split(",")}
        if len(announced) > 1 or not all(map(_LENGTH.fullmatch, announced)):
            raise Malformed("contradictory Content-Length headers")
        if [one.strip().lower() for one in codings] not in ([], ["chunked"]):
            raise Malformed("an unknown Transfer-Encoding")
        self._reusable = not (announced and codings)
        if announced and self.length != 0 and not codings:
            self.length = int(announced.pop())

    def read1(self, n: int = -1) -> bytes:
        """Up to `n` bytes as soon as there are some; b"" at the end; raises IncompleteRead, Malformed."""
        if self.isclosed():
            return b""
        left = self._left()
        most = min(self._at_once, n if n >= 0 else self._at_once)
        data = b"" if left == 0 else self.fp.read1(most if left is None else min(most, left))
        if not data:
            if left:
                raise IncompleteRead(b"", left)
            self._finish()
        elif self.chunked:
            self.chunk_left = (left or 0) - len(data)
        elif left is not None:
            self.length = left - len(data)
            if self.length == 0:
                self._finish()
        return data

    def _left(self) -> int | None:
        """Bytes until the end of the body or of the chunk; None where only the connection's end tells."""
        if not self.chunked or self.length == 0:  # 0: HEAD, 204, 304
            return self.length
        if not self.chunk_left:
            self.chunk_left = self._next_chunk(first=self.chunk_left is None)
        return self.chunk_left

    def _next_chunk(self, first: bool) -> int:
        """RFC 9112, 7.1; http.client would take a size cut to `0` for the last chunk."""
        if not first and self._line() != b"":
            raise Malformed("a chunk longer than its size")
        size = self._line().partition(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(size):
            raise Malformed("a chunk size that is no number")
        if int(size, 16) == 0:
            self._skip_trailers()
        return int(size, 16)

    def _skip_trailers(self) -> None:
        for _ in range(_TRAILERS):
            if not self._line():
                return
        raise Malformed("endless trailers")

    def _line(self) -> bytes:
        line: bytes = self.fp.readline(8192)
        if not line.endswith(b"\n"):
            raise IncompleteRead(line)
        return line.rstrip(b"\r\n")

    def _finish(self) -> None:
        """The body is whole. Bytes beyond it must not become the next response: such a connection is ended."""
        self._wire.dry()
        surplus = self.fp.peek(1) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending())
        if surplus or not self._reusable:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        self.close()


class Connection(HTTPConnection):
    """A plain connection under Terms."""

    def __init__(self, *args: Any, terms: Terms, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.terms = terms
        self.parked = 0.0  # monotonic seconds, when it was last given back
        self.response_class = partial(Framed, stall_timeout=terms.stall_timeout)  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        return _connect(self, self.terms)


class SecureConnection(Connection, HTTPSConnection):
    """A TLS connection under Terms."""


def _connect(connection: HTTPConnection, terms: Terms) -> socket.socket:
    """Connect, saying failures as urllib3 does; raises UpstreamDenied where the guard refuses."""
    try:
        return dial(connection.host, connection.port, terms)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(connection.host, connection, socket.gaierror(str(error))) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, "connect timed out") from error
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error


def dial(host: str, port: int, terms: Terms) -> socket.socket:
    """Connect to the first address that answers; the time limit is shared out over all of them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        if terms.guard is not None:
            terms.guard.admit(str(address[0]))
    deadline = time.monotonic() + terms.connect_timeout
    problem: OSError = OSError("the name has no address")
    for position, (family, kind, protocol, _, address) in enumerate(found):
        share = (deadline - time.monotonic()) / (len(found) - position)
        try:
            return _socket((family, kind, protocol), address, max(share, 0.001))
        except OSError as error:
            problem = error
    raise problem


def _socket(kind: tuple[int, int, int], address: Any, limit: float) -> socket.socket:
    sock = socket.socket(*kind)
    try:
        sock.settimeout(limit)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock
