"""The fills process's side of an upload, on a socket of the test's own: who stalls, is slow, or is one too many."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.web import uploads
from app.web.handover import Posted
from tests.http.node import ADMIN, Node, body
from tests.stack import eventually


def posted(path: str, begun: bytes = b"", **more: str) -> Posted:
    """A PUT as a worker tells it."""
    environ = {
        "REQUEST_METHOD": "PUT",
        "RAW_URI": path,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "192.0.2.7",
        "wsgi.url_scheme": "http",
        "HTTP_AUTHORIZATION": ADMIN["Authorization"],
    }
    return Posted(environ | more, begun)


@contextmanager
def carried(node: Node, what: Posted) -> Iterator[socket.socket]:
    """The client's end."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=node.carrier.uploads.carry, args=(what, theirs))
    thread.start()
    with ours:
        ours.settimeout(20)
        yield ours
    thread.join(20)
    assert not thread.is_alive()


def answer(conn: socket.socket) -> tuple[int, dict[str, str], bytes]:
    whole = b"".join(iter(lambda: conn.recv(65536), b""))
    head, _, rest = whole.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), rest


def test_what_came_with_the_head_is_the_bodys_beginning(node: Node) -> None:
    with carried(node, posted("/repository/team/a", b"begun ", CONTENT_LENGTH="10")) as conn:
        conn.sendall(b"late")
        status, headers, rest = answer(conn)
    assert (status, headers["Connection"], headers["Content-Length"]) == (201, "close", str(len(rest)))
    assert json.loads(rest)["size"] == 10
    assert body(node.get("/repository/team/a")) == b"begun late"


def test_chunks_and_what_follows_them(node: Node) -> None:
    chunked = posted("/repository/team/a", b"5\r\nbeg", HTTP_TRANSFER_ENCODING="chunked")
    with carried(node, chunked) as conn:
        conn.sendall(b"un\r\n4\r\nlate\r\n0\r\nX-Trailer: unread\r\n\r\n")
        assert answer(conn)[0] == 201
    assert body(node.get("/repository/team/a")) == b"begunlate"


def test_who_stalls_is_let_go_and_who_is_slow_is_not(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "STALLED", 0.5)
    with carried(node, posted("/repository/team/stalled", CONTENT_LENGTH="10")) as conn:
        status, _, rest = answer(conn)
    assert (status, json.loads(rest)["error"]) == (400, "upload_incomplete")
    with carried(node, posted("/repository/team/slow", CONTENT_LENGTH="8")) as conn:
        for byte in b"slowly..":
            conn.sendall(bytes([byte]))
            time.sleep(0.1)
        assert answer(conn)[0] == 201
    assert node.get("/repository/team/stalled").status_code == 404
    assert node.spools() == []


def test_one_too_many_is_told_to_wait(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST", 1)
    with (
        carried(node, posted("/repository/team/a", CONTENT_LENGTH="4")) as first,
        carried(node, posted("/repository/team/b", CONTENT_LENGTH="4")) as second,
    ):
        refused = answer(second)
        assert (refused[0], refused[1]["Retry-After"]) == (503, "2")
        first.sendall(b"body")
        assert answer(first)[0] == 201
    with carried(node, posted("/repository/team/b", b"body", CONTENT_LENGTH="4")) as conn:
        assert answer(conn)[0] == 201


def test_nobody_has_all_places(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SHARE", 1)
    mine, theirs = {uploads.USER: "me", "CONTENT_LENGTH": "4"}, {uploads.USER: "they", "CONTENT_LENGTH": "4"}
    with carried(node, posted("/repository/team/a", b"", **mine)) as first:
        eventually(lambda: node.carrier.uploads._taken["me"], "it has its place")
        with carried(node, posted("/repository/team/b", b"", **mine)) as second:
            assert answer(second)[0] == 503
        with carried(node, posted("/repository/team/b", b"body", **theirs)) as other:
            assert answer(other)[0] == 201
        first.sendall(b"body")
        assert answer(first)[0] == 201


def test_a_byte_now_and_then_is_too_slow(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "BEGIN", 0.5)
    chunked = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json", "HTTP_TRANSFER_ENCODING": "chunked"}
    for path, status, code in (
        ("/api/v1/projects", 408, "too_slow"),
        ("/repository/team/a", 400, "upload_incomplete"),
    ):
        with carried(node, posted(path, b"", **chunked)) as conn:
            for _ in range(10):
                conn.sendall(b"1\r\n \r\n")
                time.sleep(0.1)
            found, _, rest = answer(conn)
        assert (found, json.loads(rest)["error"]) == (status, code)


def test_json_is_not_endless(node: Node) -> None:
    large = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(2 << 20)}
    with carried(node, posted("/api/v1/projects", b"", **large)) as conn:
        assert answer(conn)[0] == 413


def test_a_client_that_left(node: Node) -> None:
    with carried(node, posted("/repository/team/a", b"begun", CONTENT_LENGTH="10")) as conn:
        conn.close()
    assert node.get("/repository/team/a").status_code == 404
    assert node.spools() == []


def test_strangers_are_judged_again(node: Node) -> None:
    with carried(node, posted("/repository/team/a", CONTENT_LENGTH="10", HTTP_AUTHORIZATION="Bearer x")) as conn:
        assert answer(conn)[0] == 401
