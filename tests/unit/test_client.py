"""Whose address a request counts for, and how its target is read; the rules of app/web/client.py as tables."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace

import pytest

from app import config
from app.errors import BadRequest
from app.web import client, handover

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("192.168.1.1/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # a stranger may say what it likes
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # what a client forged stands left of what we believe
        ("10.0.0.1", "198.51.100.1, 192.168.1.1", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.7, 10.0.0.8", "10.0.0.7"),
        ("10.0.0.1", "junk", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "198.51.100.1", "198.51.100.1"),  # a unix socket
        ("::ffff:203.0.113.9", "198.51.100.1", "203.0.113.9"),  # as a dual-stack socket has it
        ("::ffff:10.0.0.1", "::FFFF:198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"),
        ("::1", "198.51.100.1", "::1"),
    ],
)
def test_the_address_of_a_client(peer: str, forwarded: str, address: str) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert client.address(environ, PROXIES) == address


def test_a_proxy_is_one_whatever_the_socket_calls_it() -> None:
    assert client.from_proxy({"REMOTE_ADDR": "::ffff:10.0.0.1"}, PROXIES)
    assert not client.from_proxy({"REMOTE_ADDR": "::ffff:203.0.113.9"}, PROXIES)


# X-Forwarded-Proto, -Host, -Port, -Prefix -> the address by which Host a.example:8080, or the fifth, was asked
ORIGINS: dict[tuple[str, ...], str] = {
    ("", "", "", ""): "http://a.example:8080",
    ("https", "b.example", "", "/art"): "https://b.example/art",
    ("https", "b.example", "", "/x, /a/b-1.0/"): "https://b.example/a/b-1.0",
    ("https", "", "444", ""): "https://a.example:8080",  # the client's own: it may come by another port that leads on
    ("https", "", "443", ""): "https://a.example:8080",
    ("https", "", "444", "", "a.example"): "https://a.example:444",
    ("https", "", "443", "", "a.example"): "https://a.example",
    ("https", "b.example", "1, 444", ""): "https://b.example:444",
    ("https", "b.example:8443", "444", ""): "https://b.example:8443",
    ("https", "b.example", "443", "/"): "https://b.example",
    ("http", "b.example", "80", ""): "http://b.example",
    ("https", "b.example", "80", ""): "https://b.example",
    ("https", "[::1]", "444", ""): "https://[::1]:444",
    ("https", "b.example", "0", ""): "https://b.example",
    ("https", "b.example", "70000", ""): "https://b.example",
    ("https", "b.example", "4x", ""): "https://b.example",
    ("", "b.example", "", "/../.."): "http://b.example",
    ("", "b.example", "", "/a/./b"): "http://b.example",
    ("", "b.example", "", "//evil.example"): "http://b.example",
    ("", "b.example", "", '/"><script>'): "http://b.example",
    ("", "b.example", "", "evil.example"): "http://b.example",
    ("", "b.example", "", "/" + "a" * 600): "http://b.example",
}


@pytest.mark.parametrize("told", ORIGINS, ids=[" ".join(each)[:40] for each in ORIGINS])
def test_the_address_that_documents_name(told: tuple[str, ...]) -> None:
    names, host = ("PROTO", "HOST", "PORT", "PREFIX"), next(iter(told[4:]), "a.example:8080")
    given = {f"HTTP_X_FORWARDED_{name}": value for name, value in zip(names, told[:4], strict=True) if value}
    environ = {"HTTP_HOST": host, "SERVER_NAME": "s", "SERVER_PORT": "80", **given}
    behind = replace(config.from_environment({}), trusted_proxies=PROXIES)
    assert client.origin({**environ, "REMOTE_ADDR": "10.0.0.1"}, behind) == ORIGINS[told]
    assert client.origin({**environ, "REMOTE_ADDR": "203.0.113.9"}, behind) == f"http://{host}"


def test_nobody_is_believed_by_default() -> None:
    assert client.address({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "1.2.3.4"}, ()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/repository/a/b?c=d", "/repository/a/b"),
        ("http://host:80/repository/a/b", "/repository/a/b"),
        ("/repository/a/http://x", "/repository/a/http://x"),
        ("/a%2fb", "/a%2fb"),
    ],
)
def test_the_path_is_what_was_on_the_wire(target: str, path: str) -> None:
    assert client.raw_path({"RAW_URI": target}) == path


def test_a_prefix_that_is_encoded_is_refused() -> None:
    with pytest.raises(BadRequest):
        client.within({"RAW_URI": "/repository%2f..%2fx/up/a.txt"}, "/repository/")


def test_headers_of_any_length_fit_into_the_message_that_hands_over() -> None:
    """gunicorn joins the lines of a header, of which a client may send a hundred."""
    huge = "\xff" * 800_000
    names = ("RANGE", "IF_RANGE", "IF_NONE_MATCH", "IF_MODIFIED_SINCE", "ACCEPT")
    asked = client.begin({"REQUEST_METHOD": "GET", **{f"HTTP_{name}": huge for name in names}}, ())
    assert len(json.dumps(dict(asked.headers))) < handover.LONGEST / 2
    assert "range" not in asked.headers, "half a range is another range"
    assert set(asked.headers) == {"if-range", "if-none-match", "if-modified-since", "accept"}
    plain = {"REQUEST_METHOD": "GET", "HTTP_RANGE": "bytes=0-1", "HTTP_ACCEPT": "*/*"}
    assert client.begin(plain, ()).headers == {"range": "bytes=0-1", "accept": "*/*"}
