"""Uploads that would hold a worker: the fills process runs the same application for them, on a thread for each.

    worker    before any view, and if it is known who asks: the environment, those bytes of the body that came with
              its head, and the client's socket go to the fills process (handover.py)
    fills     the application begins anew, in the same order of refusals; wsgi.input is that socket

What is small stays with the worker: it has arrived, or will soon. Strangers stay too: their bodies are not read.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from flask import Flask, Response, request
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import SocketUnreader
from werkzeug.wrappers import Response as Answered

from app.errors import TooLarge, Unavailable
from app.web import wire
from app.web.auth import principal
from app.web.handover import HANDED, Posted
from app.web.node import node
from app.web.settled import Settled

log = logging.getLogger(__name__)

WITH_BODY = frozenset({"PUT", "POST", "PATCH"})
LARGE = 1 << 20  # bytes from which on a worker does not read a body itself
MOST = 64  # uploads that one fills process takes at a time
BUSY = "artifactapi.busy"  # environ key: there are as many already
STALLED = 30.0  # seconds in which an uploading client sends no byte, or takes none of its answer


def install(app: Flask) -> None:
    """Before every view, and before what counts requests: a request that is handed over begins anew elsewhere."""
    app.before_request(_begin)


def _begin() -> Response | None:
    environ = request.environ
    if environ.get(BUSY):
        raise Unavailable("as many uploads are under way as this node takes at a time", retry_after=2)
    if request.method not in WITH_BODY or not _large(environ) or not principal().known:
        return None
    most = node().settings.upload_max
    if most is not None and (request.content_length or 0) > most:
        raise TooLarge(f"an upload may have {most} bytes")
    conn = environ.get("gunicorn.socket")
    if type(conn) is not socket.socket:  # the fills process itself; TLS, which cannot be passed on
        return None
    node().handover.give_upload(conn.fileno(), Posted(_told(environ), _begun(environ["wsgi.input"])))
    os.close(conn.detach())
    environ[HANDED] = True
    return Settled(b"", 200, (), handed=True)


def _large(environ: Mapping[str, Any]) -> bool:
    most = node().settings.upload_max
    return "HTTP_TRANSFER_ENCODING" in environ or (request.content_length or 0) > min(LARGE, most or LARGE)


def _told(environ: Mapping[str, Any]) -> dict[str, str]:
    """What the server said in words; the rest of an environment is objects of this process."""
    return {name: value for name, value in environ.items() if isinstance(value, str)}


def _begun(body: Body) -> bytes:
    """What gunicorn has read beyond the head; nobody has read of the body yet."""
    reader = body.reader
    unreader = reader.req.unreader if isinstance(reader, ChunkedReader) else reader.unreader
    begun: bytes = unreader.take_buffered()
    return begun


class Uploads:
    """The fills process's side, for as many threads as there are uploads."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._free = threading.BoundedSemaphore(MOST)

    def carry(self, posted: Posted, conn: socket.socket) -> None:
        """Answer one request and close its connection; never raises."""
        free = self._free.acquire(blocking=False)
        try:
            conn.settimeout(STALLED)
            self._answer(_environ(posted, conn, busy=not free), conn)
            wire.read_on(conn)
            conn.close()
        except OSError as error:
            log.info("an uploading client left: %s", error)
            wire.cut(conn)
        except Exception:
            log.exception("an upload ended by a defect")
            wire.cut(conn)
        finally:
            if free:
                self._free.release()

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
    unreader = SocketUnreader(conn)
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
