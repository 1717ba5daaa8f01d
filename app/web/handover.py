"""How a worker gives a request away: the message, and the client's socket passed beside it.

    worker --> fills process, one unix stream connection a request:
        4 bytes length, JSON {"ask": Ask, "entry": Entry or null, "state": X-Cache}     + descriptors:
        [the client's socket]  or  [the client's socket, the open blob] where the worker found the entry already
        and its bytes have a descriptor; an entry without one is opened again by the fills process
    or  4 bytes length, JSON {"environ": {...}, "begun": base64}    + [the client's socket]     (uploads.py)

A sync worker that streams is a worker lost: ten slow clients would stop four of them. After the hand-over the
worker is free, and the fills process writes the response, its log line and its metrics.
"""

from __future__ import annotations

import array
import base64
import contextlib
import http.client
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.errors import Unavailable
from app.resource import Ask, Entry
from app.shelf import Served
from app.stores.blobs import Distant

LENGTH = struct.Struct("!I")
LONGEST = 16 << 20  # bytes of a message: a hundred headers of 8 KiB, in UTF-8, or a long question (asking.py)
HANDED = "artifactapi.handed"  # environ key: the response is no longer this worker's
HOP = frozenset({"connection", "transfer-encoding", "date"})


@dataclass(frozen=True, slots=True)
class Handed:
    """What the fills process receives; `blob` is the descriptor of the entry's bytes, or -1."""

    ask: Ask
    entry: Entry | None = None
    state: str = ""
    blob: int = -1


@dataclass(frozen=True, slots=True)
class Posted:
    """A request whose body is still to be read: the words of its WSGI environment, and the bytes of the body that
    came with its head."""

    environ: Mapping[str, str]
    begun: bytes


class Handover:
    """The worker's end of the fills process's socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def give(self, conn: int, ask: Ask, served: Served | None) -> None:
        """Send a request with its client's socket; Unavailable where nobody takes it."""
        told: dict[str, Any] = {"ask": asdict(ask), "entry": None, "state": ""}
        descriptors = [conn]
        if served is not None:
            told |= {"entry": asdict(served.entry), "state": served.state}
        if served is not None and not isinstance(served.file, Distant):
            descriptors.append(served.file.fileno())
        self._send(told, descriptors)

    def give_upload(self, conn: int, posted: Posted) -> None:
        """Send a request with a body, likewise."""
        begun = base64.b64encode(posted.begun).decode("ascii")
        self._send({"environ": dict(posted.environ), "begun": begun}, [conn])

    def _send(self, told: dict[str, Any], descriptors: list[int]) -> None:
        message = json.dumps(told | {"descriptors": len(descriptors)}, ensure_ascii=False).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(2.0)
                link.connect(str(self._path))
                socket.send_fds(link, [LENGTH.pack(len(message))], descriptors)
                link.sendall(message)
        except OSError as error:
            raise Unavailable(f"the fills process cannot be reached: {error}", retry_after=1) from error

    def pass_on(self, environ: Mapping[str, Any], ask: Ask, served: Served | None) -> bool:
        """Give gunicorn's own client socket away; False where this server has none to give (TLS, a test)."""
        conn = environ.get("gunicorn.socket")
        if type(conn) is not socket.socket:
            return False
        self.give(conn.fileno(), ask, served)
        os.close(conn.detach())
        return True

    def relay(self, ask: Ask, served: Served | None) -> Relayed:
        """The same response through a socket pair, for servers whose client socket cannot be passed."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.give(theirs.fileno(), ask, served)
            return Relayed(_begun(ours, ask.method), ours)
        except BaseException:
            ours.close()
            raise


class Relayed:
    """A response of the fills process, read through this process; iterate for the body."""

    def __init__(self, response: http.client.HTTPResponse, conn: socket.socket) -> None:
        self._response = response
        self._conn = conn
        self.status = response.status
        self.headers = [(k, v) for k, v in response.getheaders() if k.lower() not in HOP]

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self._response.read1(1 << 18):
                yield chunk
            if self._response.length:
                raise Unavailable("the body broke off")
        finally:
            self.close()

    def close(self) -> None:
        self._response.close()
        self._conn.close()


def _begun(conn: socket.socket, method: str) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(conn, method=method)
    try:
        response.begin()
    except BaseException:
        response.close()  # it holds the connection's file
        raise
    return response


def receive(link: socket.socket) -> tuple[Handed | Posted, socket.socket]:
    """The fills process's end: one message and its client; OSError or ValueError where it is not whole."""
    size = array.array("i").itemsize
    start, ancillary, _, _ = link.recvmsg(LENGTH.size, socket.CMSG_SPACE(2 * size))
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % size])
    try:
        if len(start) < LENGTH.size:
            raise ValueError("the message is not whole")  # a worker that was killed
        told = json.loads(_exactly(link, LENGTH.unpack(start)[0]))
        if len(found) < told["descriptors"]:
            raise OSError("no descriptor was free for its socket")  # the kernel dropped it (unix(7), MSG_CTRUNC)
        return _message(told, found), socket.socket(fileno=found[0])
    except BaseException:
        for descriptor in found:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        raise


def _message(told: dict[str, Any], found: Sequence[int]) -> Handed | Posted:
    if "environ" in told:
        return Posted(told["environ"], base64.b64decode(told["begun"]))
    entry = Entry(**told["entry"]) if told["entry"] else None
    return Handed(Ask(**told["ask"]), entry, told["state"], found[1] if len(found) > 1 else -1)


def _exactly(link: socket.socket, length: int) -> bytes:
    if length > LONGEST:
        raise ValueError("the message is too long")
    chunks = bytearray()
    while len(chunks) < length:
        chunk = link.recv(length - len(chunks))
        if not chunk:
            raise ValueError("the message is not whole")
        chunks += chunk
    return bytes(chunks)
