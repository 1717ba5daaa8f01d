"""An Answer written to a client's socket: the head, then bytes by sendfile from a blob or an arriving fill."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import BinaryIO, cast

from app.cache import Arriving, Outcome
from app.errors import ArtifactError, StoreDown, Unavailable
from app.resource import Ask, Headers
from app.shelf import Served
from app.stores.blobs import Distant
from app.web.parts import Addressed, Answer, Span

PIECE = 4 << 20  # bytes a sendfile call is asked for
STALLED = 120  # seconds a client may take no byte before it is let go
LINGER = 2.0  # seconds for the client to close first (RFC 9112, 9.6)


@dataclass(slots=True)
class Delivery:
    """What has reached a client: `head` once a response was begun, and when (unix seconds); `sent` in body bytes."""

    head: bool = False
    begun: float = 0.0
    sent: int = 0


def prepare(conn: socket.socket) -> None:
    """A blocking socket on which a send gives up after STALLED seconds without progress."""
    conn.setblocking(True)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", STALLED, 0))
    with contextlib.suppress(OSError):  # the relay's socket is not TCP
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def deliver(conn: socket.socket, ask: Ask, reply: Answer, outcome: Outcome, delivery: Delivery) -> None:
    """Write it all; `delivery` tells how far it came. Raises OSError where the client left, and the fill's
    error where the body broke: then the connection must be cut, never ended properly."""
    chunked = reply.length is None and ask.method != "HEAD" and bool(reply.parts)
    framing: Headers = (("Transfer-Encoding", "chunked"),) if chunked else ()
    if chunked and ask.protocol == "HTTP/1.0":
        framing = ()  # the caller waited for the whole body, so its end is the connection's end
    bodied = ask.method != "HEAD" and bool(reply.parts)
    opening = head(reply.status, (*reply.headers, *framing), ask)
    if bodied and isinstance(outcome, Served) and isinstance(outcome.file, Distant):
        _send_distant(conn, opening, outcome.file, reply, delivery)
        return
    delivery.head, delivery.begun = True, time.time()
    more = socket.MSG_MORE if bodied and isinstance(outcome, Served) else 0
    conn.sendall(opening, more)
    if not bodied:
        return
    for part in reply.parts:
        if isinstance(part, bytes):
            conn.sendall(part)
            delivery.sent += len(part)
        elif isinstance(part, Addressed):
            _send_addressed(conn, cast(Served, outcome), part, delivery)
        elif isinstance(outcome, Served):
            _send_file(conn, outcome.file.fileno(), part.start, part.length or 0, delivery)
        elif isinstance(outcome, Arriving):
            _follow(conn, outcome, part, bool(framing), delivery)


def refuse(conn: socket.socket, ask: Ask, status: int, headers: Headers, body: bytes) -> None:
    """Write a short response whole."""
    lines = (*headers, ("Content-Length", str(len(body))))
    conn.sendall(head(status, lines, ask) + (b"" if ask.method == "HEAD" else body))


def head(status: int, headers: Headers, ask: Ask) -> bytes:
    """The status line and headers; the connection always closes after, as with every sync worker."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    common = (("Date", formatdate(usegmt=True)), ("X-Request-Id", ask.request_id), ("Connection", "close"))
    lines += [f"{name}: {value}" for name, value in (*headers, *common)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def close(conn: socket.socket) -> None:
    """End properly: half-close, then let the client close first, so that no reset cuts the last bytes."""
    with contextlib.suppress(OSError):
        conn.shutdown(socket.SHUT_WR)
        conn.settimeout(LINGER)
        for _ in range(16):
            if not conn.recv(4096):
                break
    conn.close()


def read_on(conn: socket.socket) -> None:
    """Say that nothing more comes from here, and take what the client still sends, for LINGER seconds at most: an
    answer to an upload that was not read stays readable only so."""
    until = time.monotonic() + LINGER
    with contextlib.suppress(OSError):
        conn.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            conn.settimeout(left)
            if not conn.recv(1 << 18):
                break


def cut(conn: socket.socket) -> None:
    """End by a reset: whatever the client has cannot be taken for the whole."""
    with contextlib.suppress(OSError):
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def _send_file(conn: socket.socket, fd: int, start: int, length: int, delivery: Delivery) -> None:
    end = start + length
    while start < end:
        try:
            sent = os.sendfile(conn.fileno(), fd, start, min(PIECE, end - start))
        except BlockingIOError:
            raise TimeoutError(f"the client took nothing for {STALLED} seconds") from None
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise StoreDown("the disk cannot read the stored bytes") from error  # no client's doing
        if sent == 0:
            raise Unavailable("the stored bytes ended early")
        start += sent
        delivery.sent += sent


def _send_addressed(conn: socket.socket, outcome: Served, part: Addressed, delivery: Delivery) -> None:
    for chunk in part.chunks(outcome.file):
        conn.sendall(chunk)
        delivery.sent += len(chunk)


def _send_distant(conn: socket.socket, opening: bytes, blob: Distant, reply: Answer, delivery: Delivery) -> None:
    """Send what a store far away gives, as it comes; nothing is sent before its first bytes are here, so that a
    store that does not give them is an error and no cut."""
    waiting = opening
    for part in reply.parts:
        if isinstance(part, bytes):
            waiting += part
            delivery.sent += len(part)
            continue
        with contextlib.closing(_chunks(part, blob)) as chunks:
            for chunk in chunks:
                waiting = _flush(conn, waiting, delivery, socket.MSG_MORE)
                conn.sendall(chunk)
                delivery.sent += len(chunk)
    _flush(conn, waiting, delivery)


def _chunks(part: Span | Addressed, blob: Distant) -> Generator[bytes]:
    if isinstance(part, Addressed):
        yield from part.chunks(cast(BinaryIO, blob))
    else:
        yield from blob.span(part.start, part.length or 0)


def _flush(conn: socket.socket, waiting: bytes, delivery: Delivery, flags: int = 0) -> bytes:
    """Send what waits, if anything does; what waits then."""
    if waiting:
        if not delivery.head:
            delivery.head, delivery.begun = True, time.time()
        conn.sendall(waiting, flags)
    return b""


def _follow(conn: socket.socket, outcome: Arriving, span: Span, chunked: bool, delivery: Delivery) -> None:
    """Send a span of an arriving body as far as it may be read, until its end."""
    with outcome.fill.reading() as fd:
        for start, length in _runs(outcome, span):
            if chunked:
                conn.sendall(b"%x\r\n" % length, socket.MSG_MORE)
            _send_file(conn, fd, start, length, delivery)
            if chunked:
                conn.sendall(b"\r\n")
    if chunked:
        conn.sendall(b"0\r\n\r\n")


def _runs(outcome: Arriving, span: Span) -> Iterator[tuple[int, int]]:
    """(start, length) of each run of bytes, when it may be read."""
    fill, offset = outcome.fill, span.start
    end = None if span.length is None else span.start + span.length
    while end is None or offset < end:
        ready = fill.beyond(offset)
        stop = ready if end is None else min(ready, end)
        if stop <= offset:
            if end is not None:
                raise ArtifactError("the body is shorter than announced")
            return
        yield offset, stop - offset
        offset = stop
        if not fill.complete:
            fill.breathe()
