"""Whom a token, a login or the question for one may reach."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from app.errors import UpstreamDenied
from tests.conftest import require
from tests.faults.pulls import (
    AREA,
    BASIC,
    BODY,
    LOGIN,
    PATH,
    Puller,
    challenging,
    elsewhere,
    guarded,
    puller,
    registry,
    shown,
    tokens,
)
from tests.token_server import TokenServer
from tests.upstream_wire import whole
from tests.upstreams import Upstream

__all__ = ["elsewhere", "puller", "registry", "tokens"]  # fixtures by import


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_blob_elsewhere_hears_no_secret(
    puller: Puller, upstream: Upstream, tokens: TokenServer, elsewhere: Upstream, scheme: str
) -> None:
    upstream.redirect(f"{elsewhere.url}/blob?signature=1", f"/{PATH}")
    if scheme == "Bearer":
        guarded(upstream, tokens)
    else:
        challenging(upstream, "Basic realm=x", BASIC)
    for _ in range(2):
        assert puller.pull(upstream.url, **LOGIN).body == b"a layer"
    assert shown(upstream) == [None, scheme, scheme] and shown(elsewhere) == [None, None]


def test_who_is_redirected_to_is_told_nothing_whatever_it_asks(
    puller: Puller, upstream: Upstream, tokens: TokenServer, elsewhere: Upstream
) -> None:
    upstream.redirect(f"{elsewhere.url}/blob", f"/{PATH}")
    challenging(elsewhere, tokens.challenge(AREA))
    assert puller.pull(upstream.url, **LOGIN).status == 401
    assert tokens.count() == 0 and shown(elsewhere) == [None]


def test_a_redirect_at_home_keeps_the_token(puller: Puller, upstream: Upstream, tokens: TokenServer) -> None:
    upstream.put("/home", BODY)
    upstream.redirect("/home", f"/{PATH}")
    guarded(upstream, tokens)
    assert puller.pull(upstream.url).body == BODY
    assert shown(upstream) == [None, "Bearer", "Bearer"]


@pytest.mark.parametrize(
    "realm",
    [
        "https://tokens.example.org/secret",
        "http://127.0.0.2/secret",
        "http://169.254.169.254/secret",
        "http://10.0.0.1/secret",
        "file:///secret",
        "secret",
    ],
)
def test_a_foreign_realm_is_refused(puller: Puller, upstream: Upstream, realm: str) -> None:
    challenging(upstream, f'Bearer realm="{realm}"')
    with pytest.raises(UpstreamDenied) as caught:
        puller.pull(upstream.url, **LOGIN)
    assert caught.value.code == "upstream_realm_refused" and "secret" not in caught.value.message


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "100.100.100.200"])
def test_an_allowed_realm_must_not_lead_into_a_foreign_network(puller: Puller, upstream: Upstream, host: str) -> None:
    challenging(upstream, f'Bearer realm="http://{host}/secret"')
    with pytest.raises(UpstreamDenied) as caught:
        puller.pull(upstream.url, auth_hosts=(host,), **LOGIN)
    assert caught.value.code == "upstream_realm_refused" and "secret" not in caught.value.message


def test_the_configuration_allows_a_realm(puller: Puller, registry: Upstream, tokens: TokenServer) -> None:
    base = registry.url.replace("127.0.0.1", "localhost")
    with pytest.raises(UpstreamDenied):
        puller.pull(base)
    assert puller.pull(base, auth_hosts=(f"127.0.0.1:{tokens.port}",)).body == BODY


def test_never_from_https_to_an_http_realm_and_else_with_the_remotes_tls(
    puller: Puller, tokens: TokenServer, tmp_path: Path
) -> None:
    certificate, context = _identity(tmp_path)
    secure = Upstream(context)
    secure.put(f"/{PATH}", BODY)
    guarded(secure, tokens)
    folder = tmp_path / "secure"
    folder.mkdir()
    endpoint = TokenServer({}, folder, tls=context)
    try:
        with pytest.raises(UpstreamDenied) as caught:
            puller.pull(secure.url, ca_file=certificate)
        assert caught.value.code == "upstream_realm_refused" and tokens.connections == 0
        secure.clear()
        guarded(secure, endpoint)
        assert puller.pull(secure.url, ca_file=certificate).body == BODY
    finally:
        secure.stop()
        endpoint.stop()


def _identity(folder: Path) -> tuple[str, ssl.SSLContext]:
    certificate, key = str(folder / "tls.pem"), str(folder / "tls.key")
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([require("openssl"), "req", *kind, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


def test_the_endpoint_is_asked_through_the_remotes_proxy(puller: Puller, upstream: Upstream) -> None:
    challenging(upstream, 'Bearer realm="http://auth.example.org/token"', "Bearer abc")
    upstream.put(f"/{PATH}", BODY)
    upstream.fault(lambda *_: whole(200, {}, b'{"token": "abc"}'), "/token")
    assert puller.pull("http://registry.example.org", proxy=upstream.url).body == BODY
    assert [one.headers["host"] for one in upstream.requests][1] == "auth.example.org"


def test_a_neighbour_of_the_registry_is_told_no_login(puller: Puller, upstream: Upstream) -> None:
    challenging(upstream, 'Bearer realm="http://neighbour.example.org/token"', "Bearer abc")
    upstream.put(f"/{PATH}", BODY)
    upstream.fault(lambda *_: whole(200, {}, b'{"token": "abc"}'), "/token")
    with pytest.raises(UpstreamDenied) as caught:
        puller.pull("http://registry.example.org", proxy=upstream.url, **LOGIN)
    assert caught.value.code == "upstream_realm_refused"
    assert "/token" not in [one.path for one in upstream.requests]
    assert puller.pull("http://registry.example.org", proxy=upstream.url).body == BODY


def test_an_endpoint_that_redirects_is_followed_without_the_login(
    puller: Puller, registry: Upstream, tokens: TokenServer, elsewhere: Upstream
) -> None:
    elsewhere.put("/granted", b'{"token": "granted"}')
    tokens.redirect(f"{elsewhere.url}/granted")
    assert puller.pull(registry.url, **LOGIN).status == 401
    assert shown(elsewhere) == [None]
    tokens.redirect("http://10.0.0.1/")
    with pytest.raises(UpstreamDenied) as caught:
        puller.pull(registry.url, **LOGIN)
    assert caught.value.code == "upstream_realm_refused"
