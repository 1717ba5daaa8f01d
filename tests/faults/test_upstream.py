"""Reaching upstream: what is asked of it, time limits, retries, fail-over, and the name of each failure."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import Unavailable, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.upstream import Upstreams, retry_after
from tests.faults.visits import Visitor, rest, saying, speaking, visitor
from tests.upstreams import Upstream

__all__ = ["visitor"]

Fault = Callable[[], None]
BODY = bytes(range(256)) * 1000


@pytest.fixture
def there(upstream: Upstream) -> Upstream:
    upstream.put("/f", BODY)
    return upstream


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# asking ---------------------------------------------------------------------------------------------------


def test_a_whole_file(visitor: Visitor, there: Upstream) -> None:
    got = visitor.get(there.url)
    assert (got.status, got.body, got.length, got.url) == (200, BODY, len(BODY), f"{there.url}/f")
    assert got.headers["etag"] == got.headers["ETag"]


def test_head_has_no_body(visitor: Visitor, there: Upstream) -> None:
    got = visitor.get(there.url, method="HEAD")
    assert (got.status, got.body, got.length) == (200, b"", 0)
    assert got.headers["Content-Length"] == str(len(BODY))
    assert there.count(method="GET") == 0


def test_validators_bring_a_304_and_keep_the_connection(visitor: Visitor, there: Upstream) -> None:
    first = visitor.get(there.url)
    for name, value in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
        rest()
        got = visitor.get(there.url, validators={name: first.headers[value]})
        assert (got.status, got.body, got.length) == (304, b"", 0)
    assert there.connections == 1


def test_what_upstream_is_told(visitor: Visitor, there: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # the environment has no say
    visitor.get(
        there.url,
        query="arch=x86_64",
        sent={"Accept": "text/plain", "Accept-Encoding": "br"},
        headers={"X-Fleet": "one"},
        username="us er",
        password="p:w",
    )
    seen = there.requests[0]
    assert seen.query == "arch=x86_64"
    assert seen.headers["accept"] == "text/plain" and seen.headers["x-fleet"] == "one"
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["user-agent"].startswith("artifactapi/")
    assert seen.headers["authorization"] == "Basic dXMgZXI6cDp3"


def test_credentials_of_a_base_url_are_sent_and_never_shown(visitor: Visitor, there: Upstream) -> None:
    base = there.url.replace("://", "://me:hidden@")
    got = visitor.get(base, query="token=hidden")
    assert there.requests[0].headers["authorization"] == "Basic bWU6aGlkZGVu"
    assert got.url == f"{there.url}/f"
    for fault in (there.disconnect, there.hang, there.partial):
        fault("/f")
        with pytest.raises((UpstreamUnreachable, UpstreamTimeout, UpstreamLied)) as caught:
            visitor.get(base, query="token=hidden")
        assert f"127.0.0.1:{there.port}" in caught.value.message
        assert "hidden" not in caught.value.message and "token" not in caught.value.message
        there.clear()


def test_offline_never_dials(visitor: Visitor, there: Upstream) -> None:
    with pytest.raises(Unavailable) as caught:
        visitor.get(there.url, offline=True)
    assert caught.value.code == "offline" and there.connections == 0


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500])
def test_any_final_status_is_an_answer_asked_for_once(visitor: Visitor, there: Upstream, status: int) -> None:
    there.status(status, headers={"Retry-After": "7", "Content-Encoding": "br"})
    got = visitor.get(there.url)
    assert (got.status, got.body, got.headers["Retry-After"]) == (status, b"no\n", "7")
    assert there.count() == 1


# time limits ----------------------------------------------------------------------------------------------


def test_no_headers_in_time_is_a_timeout_and_not_retried(visitor: Visitor, there: Upstream) -> None:
    there.hang()
    with pytest.raises(UpstreamTimeout, match="no answer in time"):
        visitor.get(there.url, connect_timeout=60)
    assert there.count() == 1


def test_headers_that_drip_do_not_extend_the_limit(visitor: Visitor) -> None:
    def drip(connection: socket.socket, _: list[bytes]) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with speaking(drip, []) as base, pytest.raises(UpstreamTimeout):
        visitor.get(base)


def test_a_stall_in_the_body_is_a_timeout(visitor: Visitor, there: Upstream) -> None:
    there.stall(1000)
    with visitor.upstreams.open(visitor.resource(there.url)) as download:
        received = download.read(4096)
        with pytest.raises(UpstreamTimeout, match="middle of the body"):
            while True:
                received += download.read(4096)
        assert received == BODY[:1000]
        with pytest.raises(UpstreamTimeout):  # and never an end
            download.read(1)


def test_progress_outlasts_every_limit(visitor: Visitor, there: Upstream) -> None:
    there.rate(len(BODY) / 1.0)
    assert visitor.get(there.url, stall_timeout=0.3, first_byte_timeout=0.3).body == BODY


def test_read_returns_what_is_there(visitor: Visitor, there: Upstream) -> None:
    there.stall(10)
    with visitor.upstreams.open(visitor.resource(there.url, stall_timeout=30)) as download:
        assert download.read(1 << 20) == BODY[:10]
        threading.Timer(0.1, download.close).start()  # wakes a reader in another thread
        with pytest.raises(UpstreamUnreachable):
            download.read(1 << 20)


def test_busy_connections_are_waited_for_and_then_a_timeout(visitor: Visitor, there: Upstream) -> None:
    resource = visitor.resource(there.url, max_connections=1)
    with visitor.upstreams.open(resource), pytest.raises(UpstreamTimeout, match="busy"):
        visitor.upstreams.open(resource)
    assert visitor.get(there.url, max_connections=1).body == BODY


def test_a_failed_download_gives_its_connection_back(visitor: Visitor, there: Upstream) -> None:
    faults: list[Fault] = [there.hang, there.disconnect, lambda: there.cut(9), lambda: there.status(503)]
    for fault in faults:
        fault()
        with contextlib.suppress(UpstreamTimeout, UpstreamUnreachable, UpstreamLied):
            visitor.get(there.url, max_connections=1)
        there.clear()
    assert visitor.get(there.url, max_connections=1).body == BODY


def test_many_threads_at_once(visitor: Visitor, there: Upstream) -> None:
    with ThreadPoolExecutor(16) as threads:
        bodies = list(threads.map(lambda _: visitor.get(there.url, max_connections=16).body, range(64)))
    assert all(body == BODY for body in bodies)


# retries and fail-over ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [502, 503, 504])
def test_two_more_tries_for_a_passing_status(visitor: Visitor, there: Upstream, status: int) -> None:
    there.status(status, times=2, headers={"Retry-After": "60"})  # which is not slept on
    assert visitor.get(there.url).body == BODY
    assert there.count() == 3


def test_a_lasting_503_is_handed_on_with_its_body(visitor: Visitor, there: Upstream) -> None:
    there.status(503, headers={"Retry-After": "60"})
    got = visitor.get(there.url)
    assert (got.status, got.body, got.headers["retry-after"], there.count()) == (503, b"no\n", "60", 3)


def test_a_reset_before_the_answer_is_retried(visitor: Visitor, there: Upstream) -> None:
    there.disconnect(times=2)
    assert visitor.get(there.url).body == BODY
    there.disconnect()
    with pytest.raises(UpstreamUnreachable, match="broke before an answer"):
        visitor.get(there.url)
    assert there.count() == 6


def test_a_connection_closed_while_idle_is_replaced(visitor: Visitor, there: Upstream) -> None:
    visitor.get(there.url)
    there.stop()
    with pytest.raises(UpstreamUnreachable, match="refused"):
        visitor.get(there.url)
    there.start()
    assert visitor.get(there.url).body == BODY


def test_the_next_base_url_answers_for_a_broken_one(visitor: Visitor, there: Upstream) -> None:
    dead = f"http://127.0.0.1:{closed_port()}"
    assert visitor.get((dead, there.url)).body == BODY
    bad = Upstream()
    bad.put("/f", b"wrong")
    faults: list[Fault] = [bad.hang, bad.disconnect, lambda: bad.status(500), lambda: bad.status(503)]
    for fault in faults:
        fault()
        assert visitor.get((bad.url, there.url)).body == BODY
        bad.clear()
    assert visitor.get((bad.url, dead)).body == b"wrong"
    bad.stop()
    with pytest.raises(UpstreamUnreachable):
        visitor.get((dead, bad.url))


def test_it_answers_for_one_that_lies_or_has_enough_of_us(visitor: Visitor, there: Upstream) -> None:
    with saying(b"\x16\x03\x01 not http\r\n\r\n") as mute:
        assert visitor.get((mute, there.url)).body == BODY
    bad = Upstream()
    bad.put("/f", b"wrong")
    faults: list[Fault] = [bad.partial, lambda: bad.status(429)]
    for fault in faults:
        fault()
        assert visitor.get((bad.url, there.url)).body == BODY
        bad.clear()
    bad.stop()


def test_a_404_is_not_failed_over(visitor: Visitor, there: Upstream) -> None:
    other = Upstream()
    assert visitor.get((other.url, there.url)).status == 404
    other.stop()
    assert there.count() == 0


# what is no answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01 not http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
    ],
)
def test_nonsense_is_not_believed(visitor: Visitor, raw: bytes) -> None:
    with saying(raw) as base, pytest.raises(UpstreamLied):
        visitor.get(base)


def test_an_unasked_part_is_a_lie_and_an_asked_one_is_not(visitor: Visitor, there: Upstream) -> None:
    assert visitor.get(there.url, sent={"Range": "bytes=0-9"}).body == BODY[:10]
    there.partial()
    with pytest.raises(UpstreamLied, match="a part"):
        visitor.get(there.url)


def test_nothing_connects_before_it_is_asked() -> None:
    upstreams = Upstreams()
    upstreams.close()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("999999999999999999", 3600),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", 3600),
        ("-5", 0),
        ("soon", 0),
        ("٣", 0),
        ("", 0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after({"Retry-After": value}, now=784111740.0) == seconds
