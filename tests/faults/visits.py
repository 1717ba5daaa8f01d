"""Asking an upstream in tests: a remote with short time limits, a whole body in one call, raw bytes as a server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.resource import Kind, Repository, Resource, UpstreamOptions
from app.upstream import Upstreams
from app.upstream.pools import QUIET

BRISK = UpstreamOptions(connect_timeout=2, first_byte_timeout=0.4, stall_timeout=0.4)


@dataclass(frozen=True, slots=True)
class Got:
    """One download, read to its verified end."""

    status: int
    body: bytes
    length: int | None
    headers: Mapping[str, str]
    url: str


class Visitor:
    """Opens resources of one remote; keyword arguments of `remote` are Repository's and UpstreamOptions'."""

    def __init__(self) -> None:
        self.upstreams = Upstreams()

    def resource(self, base: str | tuple[str, ...], path: str = "f", **settings: Any) -> Resource:
        bases = (base,) if isinstance(base, str) else base
        headers, query = settings.pop("sent", {}), settings.pop("query", "")
        options = {n: settings.pop(n) for n in list(settings) if hasattr(BRISK, n)}
        remote = Repository("remote", Kind.REMOTE, base_urls=bases, upstream=replace(BRISK, **options), **settings)
        return Resource(remote, path, path, query, headers=headers)

    def get(
        self,
        base: str | tuple[str, ...],
        path: str = "f",
        *,
        method: str = "GET",
        validators: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Got:
        resource = self.resource(base, path, **settings)
        with self.upstreams.open(resource, method, validators or {}) as download:
            pieces = iter(lambda: download.read(65536), b"")
            return Got(download.status, b"".join(pieces), download.length, download.headers, download.url)


def rest() -> None:
    """Long enough for an idle connection to be used again."""
    time.sleep(2 * QUIET)


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    one = Visitor()
    yield one
    one.upstreams.close()


@contextlib.contextmanager
def speaking(talk: Callable[[socket.socket, list[bytes]], object], asked: list[bytes]) -> Iterator[str]:
    """The base URL of a server that adds each request to `asked` and lets `talk` answer on the bare socket."""
    listener = socket.create_server(("127.0.0.1", 0))

    def converse(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if request := connection.recv(65536):
                asked.append(request)
                talk(connection, asked)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def saying(raw: bytes) -> contextlib.AbstractContextManager[str]:
    """A server that answers everything with these bytes and closes."""
    return speaking(lambda connection, _: connection.sendall(raw), [])
