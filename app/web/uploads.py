"""Uploads that would hold a worker: the fills process runs the same application for them, on a thread for each.

    worker    before any view, and if it is known who asks: the environment, those bytes of the body that came with
              its head, and the client's socket go to the fills process (handover.py)
    fills     the application begins anew, in the same order of refusals; wsgi.input is that socket

What is small and has arrived stays with the worker, unless it may have to wait there: for an index or for its turn
(Host.waits, If-Match). Strangers stay too: what reads their bodies (a login) gives them seconds.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import select
import socket
import sys
import termios
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

from flask import Flask, Response, request
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import SocketUnreader, Unreader
from werkzeug.wrappers import Response as Answered

from app.errors import StoreDown, TooLarge, Unavailable
from app.hosting import host
from app.resource import Kind
from app.web import wire
from app.web.auth import principal
from app.web.handover import HANDED, Posted
from app.web.node import named, node
from app.web.pace import STALLED, Paced
from app.web.settled import Settled

log = logging.getLogger(__name__)

CHANGING = frozenset({"PUT", "POST", "PATCH", "DELETE"})
LARGE = 1 << 16  # bytes from which on a worker does not read a body itself
SOON = 1.0  # seconds in which a smaller one arrives, or the worker does not wait for it
MOST, SHARE = 128, 64  # requests that one fills process takes at a time; of one user
BUSY = "artifactapi.busy"  # environ key: there are as many already
USER = "artifactapi.user"  # environ key: who asks
BEGIN, LEAST = 30.0, 1 << 10  # seconds for a body, and one more for each so many bytes of a file's
STRANGERS, THEIRS = 5.0, 1 << 16  # the same of a stranger's
JSON = 1 << 20  # bytes of a body that is no file's
_OF_FILES = re.compile(r"/(?:repository|v2|api/v1/(?:local|remote|repositories))/([^/]+)/.*", re.DOTALL)


def install(app: Flask) -> None:
    """Before every view, and before what counts requests: a request that is handed over begins anew elsewhere."""
    app.before_request(_begin)


def _begin() -> Response | None:
    environ = request.environ
    if environ.get(BUSY):
        raise Unavailable("as many uploads are under way as this node takes at a time", retry_after=2)
    if request.method not in CHANGING:
        return None
    if not _of_file(environ):
        request.max_content_length = JSON
    conn = environ.get("gunicorn.socket")
    if not isinstance(conn, socket.socket):  # the fills process itself
        return None
    if not _known():
        _unreader(environ["wsgi.input"]).sock = Paced(conn, STRANGERS, THEIRS)
        return None
    if type(conn) is not socket.socket or not _may_hold(environ, conn):  # TLS cannot be passed on
        return None
    most = node().settings.upload_max
    if most is not None and (request.content_length or 0) > most:
        raise TooLarge(f"an upload may have {most} bytes")
    told = _told(environ) | {USER: principal().name}
    node().handover.give_upload(conn.fileno(), Posted(told, _unreader(environ["wsgi.input"]).take_buffered()))
    os.close(conn.detach())
    environ[HANDED] = True
    return Settled(b"", 200, (), handed=True)


def _known() -> bool:
    try:
        return principal().known
    except StoreDown:  # which is said to them where they are asked for
        return False


def _may_hold(environ: Mapping[str, Any], conn: socket.socket) -> bool:
    """Whether a worker that answers this may have to wait."""
    return _large(environ) or _waits(environ) or "HTTP_IF_MATCH" in environ or not _arrived(environ, conn)


def _large(environ: Mapping[str, Any]) -> bool:
    most = node().settings.upload_max
    return "HTTP_TRANSFER_ENCODING" in environ or (request.content_length or 0) > min(LARGE, most or LARGE)


def _of_file(environ: Mapping[str, Any]) -> re.Match[str] | None:
    """Of a path that may be one in a repository; the repository's name is its first group."""
    return _OF_FILES.fullmatch(environ["PATH_INFO"])


def _waits(environ: Mapping[str, Any]) -> bool:
    """Whether it changes a repository where changes wait for an index, or for each other."""
    match = _of_file(environ)
    found = named(match[1]) if match else None
    return found is not None and found.kind is Kind.LOCAL and bool(host(found.package).waits)


def _arrived(environ: Mapping[str, Any], conn: socket.socket) -> bool:
    """Whether all of a body of at most LARGE bytes is here, or is SOON."""
    body = environ["wsgi.input"]
    missing = (request.content_length or 0) - _unreader(body).buf.getbuffer().nbytes
    if missing <= 0:
        return True
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, missing)
    try:
        poll = select.poll()
        poll.register(conn, select.POLLIN)
        poll.poll(SOON * 1000)
    finally:
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    here = fcntl.ioctl(conn, termios.FIONREAD, bytes(4))
    return bool(int.from_bytes(here, sys.byteorder) >= missing)


def _told(environ: Mapping[str, Any]) -> dict[str, str]:
    """What the server said in words; the rest of an environment is objects of this process."""
    return {name: value for name, value in environ.items() if isinstance(value, str)}


def _unreader(body: Body) -> Unreader:
    """What gunicorn reads the client with: it holds what came beyond the head."""
    reader = body.reader
    return reader.req.unreader if isinstance(reader, ChunkedReader) else reader.unreader


class Uploads:
    """The fills process's side, for as many threads as there are uploads."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def carry(self, posted: Posted, conn: socket.socket) -> None:
        """Answer one request and close its connection; never raises."""
        try:
            conn.settimeout(STALLED)
            with self._place(posted.environ.get(USER, "")) as free:
                self._answer(_environ(posted, conn, busy=not free), conn)
                wire.read_on(conn)
            conn.close()
        except OSError as error:
            log.info("an uploading client left: %s", error)
            wire.cut(conn)
        except Exception:
            log.exception("an upload ended by a defect")
            wire.cut(conn)

    @contextmanager
    def _place(self, user: str) -> Iterator[bool]:
        """Whether there is one; nobody has all of them."""
        with self._lock:
            free = self._taken.total() < MOST and self._taken[user] < SHARE
            self._taken[user] += free
        try:
            yield free
        finally:
            with self._lock:
                self._taken[user] -= free
                self._taken += Counter()  # without those that have none

    def _answer(self, environ: dict[str, Any], conn: socket.socket) -> None:
        with Answered.from_app(self.app.wsgi_app, environ, buffered=True) as response:
            body = response.get_data()
        conn.sendall(_head(response, len(body)) + body)


def _head(response: Answered, length: int) -> bytes:
    own = [("Date", formatdate(usegmt=True)), ("Connection", "close")]
    if "Content-Length" not in response.headers and response.status_code != 204:
        own.append(("Content-Length", str(length)))
    lines = (f"{name}: {value}" for name, value in (*response.headers, *own))
    return "\r\n".join((f"HTTP/1.1 {response.status}", *lines, "", "")).encode("latin-1", "replace")


def _environ(posted: Posted, conn: socket.socket, *, busy: bool) -> dict[str, Any]:
    rate = LEAST if _of_file(posted.environ) else 0
    unreader = SocketUnreader(Paced(conn, BEGIN, rate, STALLED))
    unreader.unread(posted.begun)
    if "HTTP_TRANSFER_ENCODING" in posted.environ:  # gunicorn has seen to it that it is chunked, and nothing else
        reader = ChunkedReader(_Trailers(), unreader)
    else:
        reader = LengthReader(unreader, int(posted.environ.get("CONTENT_LENGTH") or 0))
    server = {"version": (1, 0), "multithread": True, "multiprocess": True, "run_once": False, "errors": sys.stderr}
    server |= {"input": Body(reader), "input_terminated": True}
    return {**posted.environ, **{f"wsgi.{name}": value for name, value in server.items()}, BUSY: busy}


class _Trailers:
    """What a chunked body may be followed by: nobody asks for it."""

    trailers: object = ()

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> object:
        return ()
