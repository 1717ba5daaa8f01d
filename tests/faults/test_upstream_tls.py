"""TLS to upstream: whom to trust, who to be, and where a body over it ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.errors import UpstreamDenied, UpstreamTimeout, UpstreamUnreachable
from tests.conftest import require
from tests.faults.visits import Visitor, rest, saying, speaking, visitor
from tests.upstreams import Upstream

__all__ = ["visitor"]

BODY = bytes(range(256)) * 4000


@dataclass(frozen=True, slots=True)
class Identity:
    """A self-signed certificate for 127.0.0.1 and its key."""

    certificate: str
    key: str


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("tls")
    own = Identity(str(folder / "cert.pem"), str(folder / "key.pem"))
    names = ["-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", own.key, "-out", own.certificate]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run([require("openssl"), "req", *kind, *names, *files], check=True, capture_output=True)
    return own


def _server(identity: Identity, ask: bool = False) -> Upstream:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=identity.certificate)
    context.load_cert_chain(identity.certificate, identity.key)
    context.verify_mode = ssl.CERT_REQUIRED if ask else ssl.CERT_NONE
    server = Upstream(context)
    server.put("/f", BODY)
    return server


@pytest.fixture
def secure(identity: Identity) -> Iterator[Upstream]:
    server = _server(identity)
    yield server
    server.stop()


@pytest.fixture
def asking(identity: Identity) -> Iterator[Upstream]:
    """A server that takes only clients with a certificate."""
    server = _server(identity, ask=True)
    yield server
    server.stop()


def test_a_ca_file_makes_a_private_upstream_trusted(visitor: Visitor, secure: Upstream, identity: Identity) -> None:
    for _ in range(2):
        assert visitor.get(secure.url, ca_file=identity.certificate).body == BODY
        rest()
    assert secure.connections == 1


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environments_bundle_counts(
    visitor: Visitor, secure: Upstream, identity: Identity, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, identity.certificate)
    assert visitor.get(secure.url).body == BODY


def test_a_stranger_is_not_trusted(visitor: Visitor, secure: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(UpstreamUnreachable, match=r"TLS failed \(self.signed certificate\)"):
        visitor.get(secure.url)
    assert secure.count() == 0 and secure.connections == 1  # not retried


def test_a_name_that_is_not_in_the_certificate(visitor: Visitor, secure: Upstream, identity: Identity) -> None:
    with pytest.raises(UpstreamUnreachable, match="TLS failed"):
        visitor.get(secure.url.replace("127.0.0.1", "localhost"), ca_file=identity.certificate)


def test_a_ca_file_that_is_none(visitor: Visitor, secure: Upstream, tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnreachable):
        visitor.get(secure.url, ca_file=str(tmp_path / "none.pem"))


def test_plain_http_behind_an_https_url(visitor: Visitor) -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    with saying(answer) as base, pytest.raises(UpstreamUnreachable, match="TLS failed"):
        visitor.get(base.replace("http:", "https:"))


def test_a_server_silent_in_the_handshake_is_a_timeout(visitor: Visitor, upstream: Upstream) -> None:
    with pytest.raises(UpstreamTimeout):
        visitor.get(upstream.url.replace("http:", "https:"), connect_timeout=0.3)


def test_a_client_certificate_is_shown(visitor: Visitor, asking: Upstream, identity: Identity) -> None:
    ours: dict[str, Any] = {"client_cert": identity.certificate, "client_key": identity.key}
    assert visitor.get(asking.url, ca_file=identity.certificate, **ours).body == BODY
    with pytest.raises(UpstreamUnreachable):
        Visitor().get(asking.url, ca_file=identity.certificate)


def test_a_client_certificate_is_not_shown_elsewhere(
    visitor: Visitor, secure: Upstream, asking: Upstream, identity: Identity
) -> None:
    secure.redirect(f"{asking.url}/f", "/f")
    ours: dict[str, Any] = {"client_cert": identity.certificate, "client_key": identity.key}
    with pytest.raises(UpstreamUnreachable):
        visitor.get(secure.url, ca_file=identity.certificate, **ours)
    assert asking.count() == 0


def test_never_from_https_to_http(visitor: Visitor, secure: Upstream, upstream: Upstream, identity: Identity) -> None:
    upstream.put("/f", BODY)
    secure.redirect(f"{upstream.url}/f", "/f")
    with pytest.raises(UpstreamDenied) as caught:
        visitor.get(secure.url, ca_file=identity.certificate)
    assert caught.value.code == "upstream_redirect_refused" and upstream.connections == 0


def _tunnel(connection: socket.socket, asked: list[bytes]) -> None:
    """A proxy that connects every CONNECT to the port it names on this machine."""
    connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
    with socket.create_connection(("127.0.0.1", int(asked[-1].split(b" ")[1].rpartition(b":")[2]))) as far:
        threading.Thread(target=_pump, args=(far, connection), daemon=True).start()
        _pump(connection, far)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_through_a_proxys_tunnel(visitor: Visitor, secure: Upstream, identity: Identity) -> None:
    asked: list[bytes] = []
    with speaking(_tunnel, asked) as proxy:
        login = proxy.replace("://", "://me:secret@")
        for _ in range(2):
            got = visitor.get(secure.url, ca_file=identity.certificate, proxy=login, username="me")
            assert got.body == BODY
            rest()
    assert len(asked) == 1 and asked[0].startswith(f"CONNECT 127.0.0.1:{secure.port} ".encode())
    assert b"authorization: Basic bWU6c2VjcmV0" in asked[0] and asked[0].count(b"Basic") == 1
    assert "proxy-authorization" not in secure.requests[0].headers


def test_from_http_to_https(visitor: Visitor, secure: Upstream, upstream: Upstream, identity: Identity) -> None:
    upstream.redirect(f"{secure.url}/f", "/f")
    assert visitor.get(upstream.url, ca_file=identity.certificate).body == BODY


def test_a_body_without_length_must_end_with_close_notify(
    visitor: Visitor, secure: Upstream, identity: Identity
) -> None:
    secure.http10()
    with pytest.raises(UpstreamUnreachable):  # the test's server closes without a word, as an attacker would
        visitor.get(secure.url, ca_file=identity.certificate)


def test_cuts_and_surplus_over_tls(visitor: Visitor, secure: Upstream, identity: Identity) -> None:
    secure.overrun(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", times=1)
    for _ in range(2):
        assert visitor.get(secure.url, ca_file=identity.certificate).body == BODY
    secure.cut(1000)
    with pytest.raises(UpstreamUnreachable):
        visitor.get(secure.url, ca_file=identity.certificate)
