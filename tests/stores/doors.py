"""Doors in front of a real store: one speaks TLS, one opens late, and behind one nobody answers."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import require

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"  # PostgreSQL, 53.7 (SSLRequest)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A key and a certificate of this machine that is its own authority."""

    key: Path
    certificate: Path

    @classmethod
    def make(cls, directory: Path, name: str) -> Certificate:
        made = cls(directory / f"{name}.key", directory / f"{name}.pem")
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        files = ("-keyout", str(made.key), "-out", str(made.certificate))
        command = [require("openssl"), "req", "-x509", *kind, *names, *files]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        return made


@dataclass(slots=True)
class Door:
    """Listens on loopback; `visitors` are all that ever came."""

    listener: socket.socket
    visitors: list[socket.socket] = field(default_factory=list)
    delay: float = 0.0  # seconds

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def _visits(self) -> Iterator[socket.socket]:
        with suppress(OSError):  # closed
            while True:
                self.visitors.append(self.listener.accept()[0])
                yield self.visitors[-1]

    def serve_tls(self, target: Path, certificate: Certificate, postgres: bool) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        for visitor in self._visits():
            threading.Thread(target=_pass_on, args=(visitor, target, context, postgres), daemon=True).start()

    def serve_late(self, target: Path) -> None:
        for visitor in self._visits():
            threading.Thread(target=_pass_on_late, args=(visitor, target, self), daemon=True).start()

    def be_mute(self) -> None:
        for _ in self._visits():
            pass


def _pass_on(visitor: socket.socket, target: Path, context: ssl.SSLContext, postgres: bool) -> None:
    with suppress(OSError, ValueError), visitor, socket.socket(socket.AF_UNIX) as store:
        visitor.settimeout(10)
        if postgres:
            assert visitor.recv(8, socket.MSG_WAITALL) == SSL_REQUEST
            visitor.sendall(b"S")
        with context.wrap_socket(visitor, server_side=True) as client:
            store.connect(str(target))
            _relay(client, store)


def _pass_on_late(visitor: socket.socket, target: Path, door: Door) -> None:
    with suppress(OSError, ValueError), visitor, socket.socket(socket.AF_UNIX) as store:
        time.sleep(door.delay)
        store.connect(str(target))
        _relay(visitor, store)


def _relay(client: socket.socket, store: socket.socket) -> None:
    while True:
        decrypted = isinstance(client, ssl.SSLSocket) and client.pending()
        for side in [client] if decrypted else select.select([client, store], [], [])[0]:
            if not (data := side.recv(65536)):
                return
            (store if side is client else client).sendall(data)


@contextmanager
def _open() -> Iterator[Door]:
    door = Door(socket.create_server(("127.0.0.1", 0)))
    try:
        yield door
    finally:
        door.listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), as close() does not
        door.listener.close()
        for visitor in door.visitors:
            visitor.close()


@contextmanager
def by_tls(target: Path, certificate: Certificate, postgres: bool = False) -> Iterator[int]:
    """The port at which the store behind the socket `target` is reached by TLS."""
    with _open() as door:
        threading.Thread(target=door.serve_tls, args=(target, certificate, postgres), daemon=True).start()
        yield door.port


@contextmanager
def late(target: Path) -> Iterator[Door]:
    """The store behind the socket `target`, for each new connection after the door's `delay`."""
    with _open() as door:
        threading.Thread(target=door.serve_late, args=(target,), daemon=True).start()
        yield door


@contextmanager
def mute() -> Iterator[Door]:
    """A server that accepts and never answers."""
    with _open() as door:
        threading.Thread(target=door.be_mute, daemon=True).start()
        yield door
