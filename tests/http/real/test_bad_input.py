"""Paths that no client would send, as bytes, to a real node: 4xx or a right answer, never a 5xx or silence."""

from __future__ import annotations

import random

import pytest

from tests.http.raw import exchange, parse, request
from tests.http.real.asking import ADMIN, GOOD, TOKEN, say
from tests.stack import Stack
from tests.upstreams import Upstream

pytestmark = pytest.mark.usefixtures("unharmed")

UP_ONE = ["..", "%2e%2e", "%2E%2e", ".%2e", "%2e.", "..%2f", "%2e%2e%2f", "..%2F..", "..%5c", "..\\", "%2e%2e%5c.."]
TRAVERSALS = [f"{up}/{up}/etc/passwd" for up in UP_ONE] + [
    "a/../b",
    "a/./b",
    "./a",
    "a/..",
    "a/%2e",
    "a%2f..%2fb",
    "..;/a/..\\b",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "a//b",
    "a%2f%2fb",
    "http://127.0.0.1:1/x",
    "http:%2f%2f127.0.0.1:1%2fx",
    "https:/127.0.0.1/x",
    "file:///etc/passwd",
    "%c0%ae%c0%ae/a",  # overlong forms of "." and "/" (RFC 3629, 10)
    "%e0%80%ae%e0%80%ae/a",
    "%f0%80%80%ae%f0%80%80%ae/a",
    "..%c0%af..%c0%afetc",
    "a%e0%80%afb",
    "%ff",
    "%fe%ff",
    "%ed%a0%80",  # half a surrogate pair
    "%f4%90%80%80",  # beyond Unicode
    "a%00",
    "%00",
    "a%00.rpm",
    "a%01b",
    "a%0db",
    "a%0d%0aX-Injected:%20yes",
    "a%09b",
    "a%1bb",
    "a%7fb",
    "a%c2%85b",
    "a\\b",
    "a%5cb",
    "%",
    "a%",
    "a%2",
    "a%zz",
    "%u002e%u002e/a",
    "%%32%65",
    "%-2",
]
FORMS = ["/repository/up", "/repository/team", "/api/v1/remote/up", "/api/v1/remote/team", "/api/v1/local/team"]


@pytest.mark.parametrize("form", FORMS)
def test_paths_that_lead_elsewhere(stack: Stack, form: str) -> None:
    for path in TRAVERSALS:
        for method in ("GET", "PUT", "DELETE"):
            lines = (ADMIN, "Content-Length: 7") if method == "PUT" else (ADMIN,)
            sent = request(method, f"{form}/{path}", *lines) + (b"escaped" if method == "PUT" else b"")
            reply = say(stack, sent, {400, 404})
            assert b"injected" not in str(reply.headers).lower().encode()
            if reply.status == 404:
                assert "\n" in path or "%0a" in path, path


def test_escapes_are_decoded_once(stack: Stack, origin: Upstream) -> None:
    for path in ("%252e%252e/a", "a%252f..%252fb", "%25c0%25ae", "..%252f..%252fetc"):
        say(stack, request("GET", f"/repository/up/{path}"), {404})
        put = request("PUT", f"/repository/team/{path}", ADMIN, "Content-Length: 1") + b"x"
        say(stack, put, {201, 409})
        say(stack, request("DELETE", f"/repository/team/{path}", ADMIN), {204})
    assert origin.count("/%252e%252e/a") == 1, "literal text, encoded as it was"


ELSEWHERE = [
    "/../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/repository/../secrets/admin-token",
    "/repository/%2e%2e/secrets/admin-token",
    "/repository/..%2fsecrets%2fadmin-token",
    "/health/../config",
    "/./config",
    "//config",
    "/repository//up/a.txt",
    "//repository/up/a.txt",
    "/repository%2fup/a.txt",
    "/repository/up%2fa.txt",
    "/repository%2fx/up/a.txt",
    "/repository%2f..%2fx/up/a.txt",
    "/api%2fv1%2fremote/x/y/up/a.txt",
    "/%72epository/up/a.txt",
    "//repository/../up/a.txt",
    "/repository/nope/../up/a.txt",
    "/repository/up;x=1/a.txt",
    "/REPOSITORY/up/a.txt",
    "/repository/UP/a.txt",
    "/config/",
    "/config%00",
    "/static/../app.py",
    "/wsgi.py",
    "/remotes.json",
    "/var/secrets/admin-token",
    "/repository/",
    "/repository",
    "/api/v1/",
    "/api/v1/remote",
    "/cache/flush/..",
    "/api/v1/remote/up%0a/x",
]


def test_prefixes_that_lead_elsewhere(stack: Stack) -> None:
    for target in ELSEWHERE:
        reply = say(stack, request("GET", target), {400, 404} if target != "//config" else {401})
        assert TOKEN.encode() not in reply.body


def test_long_paths(stack: Stack) -> None:
    for length, allowed in ((4096, {404}), (4097, {400}), (7000, {400}), (10_000, {414}), (100_000, {414})):
        say(stack, request("GET", "/repository/up/" + "a" * length), allowed)
        put = request("PUT", "/repository/team/" + "a" * length, ADMIN, "Content-Length: 1") + b"x"
        say(stack, put, {201} if length == 4096 else {400, 414})
    say(stack, request("GET", "/repository/up/" + "%61" * 2000), {404})
    say(stack, request("GET", "/repository/up/" + "a/" * 2040 + "b"), {404})
    say(stack, request("GET", "/repository/" + "n" * 7000 + "/a"), {400, 404})
    say(stack, request("GET", GOOD + "?" + "q" * 7000), {200})


def test_absolute_form_targets(stack: Stack) -> None:
    """RFC 9112, 3.2.2: a server takes them; the host named is this server, whatever it says."""
    for target in ("http://node" + GOOD, "HTTP://127.0.0.1:9" + GOOD, "https://user:pass@elsewhere" + GOOD):
        assert say(stack, request("GET", target), {200}).body == b"hello"
    for target in (
        "http://elsewhere",
        "http://elsewhere/",
        "http://",
        "http:///",
        "http:/a",
        "ftp://elsewhere/repository/up/a.txt",
        "gopher://elsewhere:1/x",
        "http://elsewhere/repository/up/../../etc/passwd",
        "://" + GOOD,
        "*",
        "a.txt",
        "?",
        "#",
        "elsewhere:443",
        "http://[::1",
        "http://[zz]/repository/up/a.txt",
        "http://a:99999999/repository/up/a.txt",
    ):
        reply = say(stack, request("GET", target), {200, 308, 400, 404})
        assert reply.status != 200 or reply.body == b"hello" or reply.json["name"] == "artifactapi", target
        assert reply.headers.get("location", "http://node/") == "http://node/", "an empty path is this server's root"


def test_queries(stack: Stack) -> None:
    for query in (
        "%ff%00%zz&&&=%0d%0a",
        "=",
        "&" * 2000,
        "a" * 7000,
        "format=%ff",
        "format=json&format=xml",
        "name[]=%00",
    ):
        for target in (GOOD, "/repository/up/big.bin", "/metrics", "/", "/health"):
            say(stack, request("GET", f"{target}?{query}"), {200})
        say(stack, request("GET", f"/config?{query}", ADMIN), {200})
    for query in (
        "remote=%ff",
        "remote=%00",
        "path=%00",
        "path=..",
        "mode=%ff",
        "mode=",
        "remote=",
        "path=" + "a" * 5000,
    ):
        say(stack, request("PUT", f"/cache/flush?{query}", ADMIN), {400, 404})


# -- all of it, mixed ------------------------------------------------------------------------------------------------

PIECES = [
    "..",
    ".",
    "%2e",
    "%2f",
    "/",
    "//",
    "\\",
    "%5c",
    "%00",
    "%0a",
    "%25",
    "a",
    "é",
    "%c0%af",
    ";",
    "?",
    "#",
    "%",
    "@",
    ":",
]


def test_four_hundred_mixtures(stack: Stack) -> None:
    dice = random.Random(20261121)
    for _ in range(400):
        path = "".join(dice.choice(PIECES) for _ in range(dice.randrange(1, 12)))
        prefix = dice.choice([*FORMS, "", "/api/v1", "/cache", "/repository"])
        method = dice.choice(["GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"])
        reply = parse(exchange(stack.port, request(method, f"{prefix}/{path}")), method.encode())
        assert reply.status < 500, (method, prefix, path)


def test_nothing_was_written_where_it_does_not_belong(stack: Stack) -> None:
    names = {path.name for path in stack.directory.iterdir()}
    assert names == {"remotes.json", "log", "supervisor.process", "var"}
    found = stack.directory.parent.rglob("*escaped*")
    assert not [path for path in found if not path.name.startswith("test_")]  # pytest's own, of other tests
    kept = stack.data_dir / "blobs"
    assert {path.name for path in kept.iterdir()} == {"sha256", "journal"}
    assert not list((stack.data_dir / "spool").iterdir())
