"""Following another node's download: only what is proven whole, and never for longer than upstream may be silent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.fills.fill import Fill
from app.fills.receive import follow
from app.fills.spool import Head
from app.resource import Kind, Repository, Resource
from app.stores.memory import Holder
from app.upstream import peers
from app.upstream.peers import Peers

RESOURCE = Resource(Repository("up", Kind.REMOTE), "a", "a")
BODY = b"x" * 100_000


def head(length: int | None, *lines: str) -> bytes:
    said = ("HTTP/1.1 200 OK", "Connection: close", f"X-Fill-Head: {Head('text/plain', length).to_line()}", *lines)
    return "\r\n".join((*said, "", "")).encode()


@contextmanager
def node(*parts: bytes | float) -> Iterator[str]:
    """Another node that answers one request with these bytes, after these seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            conn, _ = server.accept()
            with conn:
                conn.recv(65536)
                for part in parts:
                    time.sleep(part) if isinstance(part, float) else conn.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def followed(address: str, spools: Path, stall: float = 5.0) -> Fill:
    fill = Fill("up@0/a")
    download = Peers("http://127.0.0.1:1").open(Holder(address, "token"), fill.name, stall)
    assert download is not None
    with download:
        follow(fill, RESOURCE, download, spools, lambda _: None)
    return fill


def test_what_is_whole_is_followed(tmp_path: Path) -> None:
    with node(head(len(BODY), f"Content-Length: {len(BODY)}"), BODY) as address:
        fill = followed(address, tmp_path)
    assert fill.complete and fill.available == len(BODY)
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_only_ends_with_its_connection_is_none(tmp_path: Path) -> None:
    with node(head(None), BODY) as address, pytest.raises(UpstreamLied):
        followed(address, tmp_path)


def test_a_cut_body_is_cut(tmp_path: Path) -> None:
    parts = (head(None, "Transfer-Encoding: chunked"), b"64\r\n" + b"x" * 100)
    with node(*parts) as address, pytest.raises(UpstreamUnreachable):
        followed(address, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_silence_is_borne_a_little_longer_than_upstream_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "SLACK", 0.5)
    parts = (head(len(BODY), f"Content-Length: {len(BODY)}"), BODY[:9], 1.5, BODY[9:])
    with node(*parts) as address:
        assert followed(address, tmp_path, stall=3.0).complete
    with node(*parts) as address, pytest.raises(UpstreamTimeout):
        followed(address, tmp_path, stall=0.2)


def test_no_head_is_no_download(tmp_path: Path) -> None:
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with node(empty) as address, pytest.raises(UpstreamLied):
        followed(address, tmp_path)
