"""gunicorn's sync worker, except that a request it cannot even parse is refused in this project's JSON."""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import socket
import time
from typing import Any

from gunicorn.http import errors as http
from gunicorn.workers.sync import SyncWorker

from app.errors import ArtifactError
from app.resource import Ask
from app.web import client as clients
from app.web import problem, wire

log = logging.getLogger("artifactapi.request")

BODIED = frozenset({"CONTENT-LENGTH", "TRANSFER-ENCODING"})
HANDSHAKE = b"\x16"  # how TLS begins (RFC 8446, 5.1)
OURS = (http.ConfigurationProblem, http.InvalidResponseHeader, http.InvalidResponseHeaderName)
STATUSES: dict[type[Exception], tuple[int, str]] = {  # what is in no row is a 400
    http.LimitRequestLine: (414, "uri_too_long"),
    http.LimitRequestHeaders: (431, "headers_too_large"),
    http.ExpectationFailed: (417, "expectation_failed"),
    http.UnsupportedTransferCoding: (501, "unsupported_transfer_coding"),
    http.ForbiddenProxyRequest: (403, "forbidden"),
}


class Worker(SyncWorker):  # type: ignore[misc]
    """gunicorn's own but for its end, what it does with unread uploads, and handle_error."""

    _first = b""

    def accept(self, listener: socket.socket) -> None:
        """One request; the end of this worker once the supervisor shut the socket down (accept(2), EINVAL)."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.alive = False

    def handle(self, listener: socket.socket, client: socket.socket, addr: Any) -> None:
        """gunicorn's own, once it is known how the request begins: its parser does not tell."""
        self._first = b""
        with contextlib.suppress(OSError):  # gunicorn meets it too
            self._first = client.recv(1, socket.MSG_PEEK)
        super().handle(listener, client, addr)

    def handle_request(self, listener: socket.socket, req: Any, client: socket.socket, addr: Any) -> None:
        """A response to an upload that was not read stays readable: closing would reset the connection, and a proxy
        that is still sending would take that for a broken node. gunicorn itself reads on for 64 KiB only."""
        try:
            super().handle_request(listener, req, client, addr)
        finally:
            if client.fileno() >= 0 and any(name in BODIED for name, _ in req.headers):
                wire.read_on(client)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse what is not HTTP; what is wrong in this server stays with gunicorn, which logs it whole."""
        if not isinstance(exc, http.ParseException) or isinstance(exc, OURS):
            super().handle_error(req, client, addr, exc)
            return
        status, code = STATUSES.get(type(exc), (400, "bad_request"))
        error = ArtifactError("the request is not valid HTTP, or larger than this server reads", code=code)
        error.status = status
        ask = Ask("GET", "", "", request_id=secrets.token_hex(8), url_path=_path(req, exc), started=time.time())
        _, headers, body = problem.render(error, ask)
        with contextlib.suppress(OSError):
            wire.refuse(client, ask, status, headers, body)
        peer = addr[0] if addr else "-"
        tls = self._first == HANDSHAKE
        note = "https on the http port: docker and podman try that first" if tls else type(exc).__name__
        fields = {"status": status, "request_id": ask.request_id, "client": peer, "note": note}
        log.log(logging.DEBUG if tls else logging.INFO, "refused", extra={"fields": fields})


def _path(req: Any, error: BaseException) -> str:
    """The path of what was refused, as far as gunicorn says it: by the request, or by the error about it."""
    uri = getattr(req or getattr(error, "req", None), "uri", None)
    return clients.raw_path({"RAW_URI": uri}) if isinstance(uri, str) else ""
