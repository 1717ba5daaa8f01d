"""Redirects: followed by hand, without secrets, and never into someone's private network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import UpstreamDenied, UpstreamLied, UpstreamUnreachable
from app.upstream.guard import Guard, reach
from tests.faults.visits import Visitor, visitor
from tests.upstreams import Upstream

__all__ = ["visitor"]


@pytest.fixture
def elsewhere() -> Iterator[Upstream]:
    server = Upstream()
    server.put("/f", b"from elsewhere")
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def tripwire(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address a socket was asked to connect to; anything off loopback ends the test before it is tried."""
    tried: list[Any] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        tried.append(address)
        assert str(address[0]).startswith("127."), f"tried to connect to {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    return tried


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_followed(visitor: Visitor, upstream: Upstream, method: str, code: int) -> None:
    upstream.put("/g", b"moved")
    upstream.redirect("/g?token=1", "/f", code=code)
    got = visitor.get(upstream.url, method=method)
    assert (got.status, got.url) == (200, f"{upstream.url}/g")
    assert got.body == (b"moved" if method == "GET" else b"")
    assert upstream.count("/g", method) == 1


def test_elsewhere_hears_no_secrets(visitor: Visitor, upstream: Upstream, elsewhere: Upstream) -> None:
    upstream.redirect(f"{elsewhere.url}/f", "/f")
    got = visitor.get(
        upstream.url,
        username="me",
        password="hidden",
        headers={"X-Api-Key": "hidden", "Cookie": "hidden"},
        sent={"Accept": "text/plain", "PRIVATE-TOKEN": "hidden"},
        validators={"If-None-Match": '"x"'},
    )
    assert got.body == b"from elsewhere"
    assert "hidden" in str(upstream.requests[0].headers)
    heard = elsewhere.requests[0].headers
    assert "hidden" not in str(heard) and "authorization" not in heard
    assert (heard["accept"], heard["if-none-match"]) == ("text/plain", '"x"')


def test_a_way_back_brings_no_secrets_back(visitor: Visitor, upstream: Upstream, elsewhere: Upstream) -> None:
    upstream.put("/g", b"chosen by a stranger")
    upstream.redirect(f"{elsewhere.url}/f", "/f")
    elsewhere.redirect(f"{upstream.url}/g", "/f")
    visitor.get(upstream.url, username="me", password="hidden")
    assert "authorization" not in upstream.requests[-1].headers


def test_same_origin_keeps_credentials(visitor: Visitor, upstream: Upstream) -> None:
    upstream.put("/g", b"moved")
    upstream.redirect("/g", "/f")
    visitor.get(upstream.url, username="me", password="hidden")
    assert "authorization" in upstream.requests[-1].headers


def test_loops_and_long_ways_end(visitor: Visitor, upstream: Upstream) -> None:
    upstream.redirect("/f", "/f", times=1)
    with pytest.raises(UpstreamUnreachable, match="loop"):
        visitor.get(upstream.url)
    upstream.redirect("/g", "/f")
    upstream.redirect("/f", "/g")
    with pytest.raises(UpstreamUnreachable, match="loop"):
        visitor.get(upstream.url)
    upstream.clear()
    for n in range(12):
        upstream.redirect(f"/{n + 1}", f"/{n}")
    upstream.put("/12", b"far")
    with pytest.raises(UpstreamUnreachable, match="more than 10"):
        visitor.get(upstream.url, "0")
    assert visitor.get(upstream.url, "2").body == b"far"


def test_a_redirect_without_location_is_an_answer(visitor: Visitor, upstream: Upstream) -> None:
    upstream.status(302)
    assert visitor.get(upstream.url).status == 302


def test_the_body_of_a_redirect_is_not_waited_for(visitor: Visitor, upstream: Upstream) -> None:
    upstream.put("/g", b"moved")
    upstream.status(302, "/f", headers={"Location": "/g"}, body=bytes(1 << 20))
    assert visitor.get(upstream.url).body == b"moved"


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://192.168.1.1:8080/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a00:1::]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://2852039166/",  # 169.254.169.254 as one number
        "http://0xa000001/",
        "http://10.1/",
        "//10.0.0.1/x",
        "http://user@10.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/x",
    ],
)
def test_refused_before_connecting(visitor: Visitor, upstream: Upstream, tripwire: list[Any], target: str) -> None:
    upstream.redirect(target, "/f")
    with pytest.raises(UpstreamDenied) as caught:
        visitor.get(upstream.url)
    assert caught.value.code == "upstream_redirect_refused"
    assert " leads to " in caught.value.message, "a document leads there as well as a redirect"
    assert {address[1] for address in tripwire} == {upstream.port}


@pytest.mark.parametrize(
    "answers", [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "::ffff:10.0.0.1"]]
)
def test_a_name_is_resolved_once_and_every_address_counts(
    visitor: Visitor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tripwire: list[Any], answers: list[str]
) -> None:
    resolve = socket.getaddrinfo
    asked: list[str] = []

    def resolver(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "rebinding.example":
            return resolve(host, port, *args, **kwargs)
        asked.append(host)
        return [one for answer in answers for one in resolve(answer, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    upstream.redirect("http://rebinding.example/", "/f")
    with pytest.raises(UpstreamDenied):
        visitor.get(upstream.url)
    assert asked == ["rebinding.example"] and {address[1] for address in tripwire} == {upstream.port}


@pytest.mark.parametrize("target", ["http://127.0.0.1:99999/", "http://[::1"])
def test_no_url_at_all(visitor: Visitor, upstream: Upstream, target: str) -> None:
    upstream.redirect(target, "/f")
    with pytest.raises((UpstreamLied, UpstreamDenied)):
        visitor.get(upstream.url)


def test_the_proxy_is_used_and_literal_targets_are_checked(visitor: Visitor, upstream: Upstream) -> None:
    upstream.put("/f", b"by proxy")
    public = "http://packages.example"
    proxy = upstream.url.replace("://", "://me:secret@")
    assert visitor.get(public, proxy=proxy).body == b"by proxy"
    seen = upstream.requests[0].headers
    assert (seen["host"], seen["proxy-authorization"]) == ("packages.example", "Basic bWU6c2VjcmV0")
    for target in ("http://10.0.0.1/", "http://127.1/", "http://localhost/", "http://169.254.169.254/"):
        upstream.redirect(target, "/f", times=1)
        with pytest.raises(UpstreamDenied):
            visitor.get(public, proxy=upstream.url)
    upstream.put("/g", b"moved")
    upstream.redirect("http://mirror.example/g", "/f")
    assert visitor.get(public, proxy=upstream.url).body == b"moved"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("1.1.1.1", "public"),
        ("2606:4700::1111", "public"),
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd12::1", "private"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::1.1.1.1", "public"),
        ("2002:0a00:0001::", "private"),
        ("::10.0.0.1", "private"),
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fd00:ec2::254", "link-local"),
        ("168.63.129.16", "link-local"),
        ("0.0.0.0", "reserved"),
        ("::", "reserved"),
        ("224.0.0.1", "reserved"),
        ("ff02::1", "reserved"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("192.0.2.1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("fec0::1", "private"),
    ],
)
def test_reach(address: str, kind: str) -> None:
    assert reach(address) == kind


@pytest.mark.parametrize(
    ("base", "address", "admitted"),
    [
        ("203.0.113.1", "1.1.1.1", True),
        ("203.0.113.1", "203.0.113.1", True),
        ("203.0.113.1", "203.0.113.2", False),
        ("1.1.1.1", "10.0.0.1", False),
        ("10.0.0.1", "192.168.0.1", True),
        ("10.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.2", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("[::1]", "127.0.0.1", True),
        ("10.0.0.1", "169.254.169.254", False),
        ("169.254.1.1", "169.254.169.254", False),
        ("169.254.1.1", "169.254.1.1", True),
        ("0.0.0.0", "0.0.0.0", False),
    ],
)
def test_guard(base: str, address: str, admitted: bool) -> None:
    if admitted:
        Guard(base).admit(address)
    else:
        with pytest.raises(UpstreamDenied):
            Guard(base).admit(address)
