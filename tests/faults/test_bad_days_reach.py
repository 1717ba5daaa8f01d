"""An upstream that cannot be reached, a response that a worker relays, and a worker that dies as it hands over."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPException
from typing import Any

import pytest

from app.errors import ArtifactError
from tests.faults.door import BIG, TAIL, noise
from tests.http.conftest import node, remotes
from tests.http.node import Node, body
from tests.upstreams import Upstream

__all__ = ["node", "remotes"]  # fixtures by import


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a listener whose queue is full: the next connection is neither made nor refused."""
    with ExitStack() as open_ones:
        listener = open_ones.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = open_ones.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def unreachable(remotes: dict[str, Any], deaf: int) -> dict[str, Any]:
    """remotes.json with two upstreams that never answer; the name has no address."""
    for name, base in (("deaf", f"http://127.0.0.1:{deaf}"), ("unknown", "http://upstream.invalid")):
        remotes["remotes"][name] = remotes["remotes"]["up"] | {"base_url": base}
    return remotes


def test_no_connection_is_a_clear_error(unreachable: dict[str, Any], node: Node) -> None:
    for name, status, code in (("deaf", 504, "upstream_timeout"), ("unknown", 502, "upstream_unreachable")):
        bad = node.get(f"/repository/{name}/f.bin")
        assert (bad.status_code, bad.get_json()["error"]) == (status, code)
    node.idle()
    assert node.spools() == [] and node.blobs() == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_relayed_body_that_breaks_raises_in_the_server(node: Node, upstream: Upstream, chunked: bool) -> None:
    """Which cuts the connection; an ordinary end of the iterator would look whole."""
    whole = noise(BIG, "relayed")
    upstream.put("/f.bin", whole)
    upstream.rate(2_000_000)
    upstream.chunked("/f.bin", cut=BIG // 2) if chunked else upstream.cut(BIG // 2, "/f.bin")
    response = node.stream("/repository/up/f.bin")
    received = b""
    with pytest.raises((ArtifactError, HTTPException, OSError)):
        for piece in response.iter_encoded():
            received += piece
    response.close()
    assert whole.startswith(received) and len(received) <= BIG - TAIL
    node.idle()
    assert node.blobs() == []
    upstream.reset()
    assert body(node.get("/repository/up/f.bin")) == whole


@pytest.mark.parametrize("sent", [b"", b"\0\0", struct.pack("!I", 9) + b"{}", struct.pack("!I", 1 << 30)])
def test_half_a_message_from_a_killed_worker_is_dropped(
    node: Node, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(node.settings.fills_socket))
        link.sendall(sent)
    node.idle()
    assert node.get("/repository/up/nothing").status_code == 404
    assert "defect" not in caplog.text
