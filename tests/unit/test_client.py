"""Whose address a request counts for, and how its target is read; the rules of app/web/client.py as tables."""

from __future__ import annotations

import ipaddress

import pytest

from app.errors import BadRequest
from app.web import client

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
    ],
)
def test_the_address_of_a_client(peer: str, forwarded: str, address: str) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert client.address(environ, PROXIES) == address


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
