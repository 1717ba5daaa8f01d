"""Methods, versions, framing and headers that no client would send: 4xx or a right answer, never a 5xx or silence."""

from __future__ import annotations

import pytest

from tests.http.raw import exchange, parse, request
from tests.http.real.asking import ADMIN, BIG, GOOD, say
from tests.stack import Stack

pytestmark = pytest.mark.usefixtures("unharmed")


def test_methods_nobody_serves(stack: Stack) -> None:
    for method in ("POST", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "LINK", "PURGE", "FOO-BAR", "GETT"):
        reply = say(stack, request(method, GOOD, ADMIN), {405})
        assert {"GET", "HEAD"} <= set(reply.headers["allow"].split(", "))
        say(stack, request(method, "/cache/flush", ADMIN), {200} if method == "OPTIONS" else {405})
    for method in (
        "get",
        "Get",
        "put",
        "G\xcbT",
        "G@T",
        "GET\0",
        "\0",
        "",
        " ",
        "(GET)",
        "A" * 5000,
        "GET\t",
        "1",
        "ge t",
    ):
        say(stack, request(method, GOOD), {400, 405, 414})


def test_versions(stack: Stack) -> None:
    for version, allowed in (
        ("HTTP/1.0", {200}),
        ("HTTP/2.0", {400, 505}),
        ("HTTP/9.9", {400, 505}),
        ("HTTP/1.1 ", {400}),
        ("http/1.1", {400}),
        ("HTTP/1", {400}),
        ("HTTP/1.10", {400}),
        ("HTTP/-1.1", {400}),
        ("FTP/1.1", {400}),
        ("", {400}),
    ):
        say(stack, request("GET", GOOD, version=version), allowed)
    for sent in (
        b"GET /\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n\r\n",
        b"\0" * 200 + b"\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        bytes.fromhex("160301020001000 1fc0303".replace(" ", "")) + b"\1" * 300 + b"\r\n\r\n",
    ):
        say(stack, sent, {200, 400})


def test_http_1_0_gets_what_it_can_read(stack: Stack) -> None:
    """No chunked coding to a client that may not know it (RFC 9112, 6.1)."""
    for target, content in ((GOOD, b"hello"), ("/repository/up/big.bin", BIG), ("/repository/up/big.bin", BIG)):
        for lines in ((), ("Connection: keep-alive",)):
            reply = say(stack, request("GET", target, *lines, version="HTTP/1.0"), {200})
            assert reply.body == content
            assert "transfer-encoding" not in reply.headers
    assert say(stack, b"GET / HTTP/1.0\r\n\r\n", {200}).json["name"] == "artifactapi"


FRAMINGS = [
    ("Content-Length: abc", {400}),
    ("Content-Length: -1", {400}),
    ("Content-Length: +5", {400}),
    ("Content-Length: 5, 5", {400}),
    ("Content-Length: 1\r\nContent-Length: 2", {400}),
    ("Content-Length: 99999999999999999999999", {200, 400, 413}),
    ("Transfer-Encoding: gzip, foo", {400, 501}),
    ("Transfer-Encoding: chunked, identity", {400, 501}),
    ("Transfer-Encoding: chunked\r\nContent-Length: 3", {400}),
    ("Transfer-Encoding: xchunked", {400, 501}),
    ("Transfer-Encoding : chunked", {400}),
    ("Expect: 200-maybe", {417}),
    ("Expect: 100-continue", {200}),
    ("Connection: upgrade\r\nUpgrade: h2c", {200}),
    ("Upgrade: websocket\r\nConnection: upgrade", {200, 405}),
]


def test_framing_that_means_two_things(stack: Stack) -> None:
    for lines, allowed in FRAMINGS:
        say(stack, request("GET", GOOD, lines), allowed)
    for chunks in (
        b"zz\r\nhello",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX",
        b"ffffffffffffffff\r\n",
        b"5;" + b"e" * 9000,
    ):
        put = request("PUT", "/repository/team/chunky", ADMIN, "Transfer-Encoding: chunked") + chunks + b"\r\n\r\n"
        say(stack, put, {400, 413, 431}, end=True)
    say(stack, request("GET", "/repository/team/chunky"), {404})


def test_a_body_nobody_asked_for(stack: Stack) -> None:
    for method in ("GET", "HEAD"):
        for target, status in (
            (GOOD, 200),
            ("/repository/up/big.bin", 200),
            ("/repository/up/nothing", 404),
            ("/", 200),
        ):
            small = request(method, target, "Content-Length: 5") + b"hello"
            say(stack, small, {status})
            chunked = request(method, target, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n"
            say(stack, chunked, {status})
    announced = request("GET", GOOD, "Content-Length: 1000000000") + b"only this"
    assert say(stack, announced, {200}).body == b"hello"


def test_pipelined_garbage_is_not_answered(stack: Stack) -> None:
    for garbage in (b"GARBAGE\0\xff\r\n\r\n", b"x" * 60_000, request("DELETE", "/repository/team/kept", ADMIN)):
        for target in (GOOD, "/repository/up/big.bin"):
            answer = exchange(stack.port, request("GET", target) + garbage)
            assert answer.count(b"HTTP/1.1 ") == 1
            assert parse(answer).status == 200


# -- headers -------------------------------------------------------------------------------------------------------

HEADERS = [
    ("Bad Header: x", {400}),
    ("NoColon", {400}),
    (": x", {400}),
    ("X: a\r\n folded", {400}),
    ("X: \0", {400}),
    ("X\0: a", {400}),
    ("X-\xe9: a", {400}),
    ("X: a\rb", {400}),
    ("X: " + "a" * 9000, {431}),
    ("\r\n".join(f"X{number}: a" for number in range(150)), {431}),
    ("\r\n".join(f"X{number}: {'a' * 7000}" for number in range(60)), {200}),
    ("X_Forwarded_For: 1.2.3.4", {200, 400}),
    ("X-Forwarded-For: garbage, \xff, 1.2.3.4.5.6, 999.1.1.1", {200}),
    ("X-Forwarded-Proto: garbage\r\nX-Forwarded-Host: <script>", {200}),
    ("X-Forwarded-Prefix: /../..", {200}),
    ("X-Original-URL: /config\r\nX-Rewrite-URL: /config", {200}),
    ("SCRIPT_NAME: /repository", {200, 400}),
    ("Script-Name: /x", {200}),
    ("Path-Info: /config", {200}),
    ("X-HTTP-Method-Override: DELETE", {200}),
    ("Authorization: Basic !!!!", {200}),
    ("Authorization: Basic /////w==", {200}),
    ("Authorization: Bearer " + "t" * 8000, {200}),
    ("Authorization: \xff\xfe", {200}),
    ("X-Request-Id: a\tb\xe9", {200}),
    ("Cookie: " + "c=1; " * 1500, {200}),
    ("Accept: \xff/\xff;q=zz,,,", {200}),
    ("Accept-Encoding: gzip;q=nan", {200}),
    ("Content-Type: \xff; boundary=\xff", {200}),
    ("Range: bytes=\xff", {200}),
    ("Range: bytes=" + "9" * 8000, {200, 416}),
    ("Range: bytes=" + "9" * 4000 + "-", {200, 416}),
    ("Range: bytes=0-1\r\nRange: bytes=2-3", {200, 206, 400}),
    ("Range: " + "bytes=0-1," * 700, {200}),
    ("If-Range: \xff\r\nRange: bytes=0-1", {200}),
    ("If-None-Match: " + '"a",' * 1900, {200}),
    ('If-None-Match: "' + "\xff" * 7000, {200}),
    ("If-None-Match: " + "W/" * 3900, {200}),
    ("If-Modified-Since: " + "9" * 8000, {200}),
    ("If-Modified-Since: Sat, 01 Jan 0000 00:00:00 GMT", {200}),
    ("If-Modified-Since: Sat, 01 Jan 9999 23:59:59 -9999", {200, 304}),
    ("If-Modified-Since: Sat, 31 Feb 2022 00:00:00 +99999999", {200, 304}),
    ("If-Modified-Since: \xff", {200}),
]


def test_headers_of_every_kind(stack: Stack) -> None:
    for lines, allowed in HEADERS:
        for target in (GOOD, "/repository/up/big.bin"):
            reply = say(stack, request("GET", target, lines), allowed)
            if reply.status == 200:
                assert reply.body in (b"hello", BIG), lines[:80]


def test_hosts(stack: Stack) -> None:
    for host in (
        "",
        "a b",
        "<script>",
        "a/../b@c:99999999",
        "[::1",
        "\xff",
        "x" * 5000,
        "127.0.0.1:0",
        "a\\b",
        "..",
        "a,b",
    ):
        for target in ("/", GOOD, "/repository/up/big.bin", "/nothing", "/config"):
            sent = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1")
            reply = say(stack, sent, {200, 400, 401, 404})
            assert host == "" or len(host) < 3 or host.encode("latin-1") not in reply.body
    say(stack, b"GET / HTTP/1.1\r\n\r\n", {200, 400})
    say(stack, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400})
