"""Challenges: a token of the registry's endpoint or a login, asked for once and used again."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.errors import UpstreamTimeout
from tests.faults.pulls import (
    AREA,
    BASIC,
    BODY,
    LOGIN,
    PATH,
    Puller,
    challenging,
    guarded,
    puller,
    registry,
    shown,
    tokens,
)
from tests.faults.visits import saying
from tests.token_server import TokenServer
from tests.upstream_wire import whole
from tests.upstreams import Upstream

__all__ = ["puller", "registry", "tokens"]  # fixtures by import


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_token_is_asked_for_and_used_again(
    puller: Puller, registry: Upstream, tokens: TokenServer, method: str
) -> None:
    for _ in range(3):
        got = puller.pull(registry.url, method=method)
        assert (got.status, got.body) == (200, BODY if method == "GET" else b"")
    assert shown(registry) == [None, "Bearer", "Bearer", "Bearer"]
    assert tokens.count() == 1 and "authorization" not in tokens.requests[0].headers
    assert tokens.requests[0].query == "service=images+of+127.0.0.1&scope=repository%3Ateam%2Fapp%3Apull"
    assert tokens.requests[0].headers["user-agent"].startswith("artifactapi/")


def test_the_login_goes_to_the_token_endpoint_alone(puller: Puller, registry: Upstream, tokens: TokenServer) -> None:
    tokens.anonymous = False
    assert puller.pull(registry.url, **LOGIN).body == BODY
    assert tokens.requests[0].headers["authorization"] == BASIC
    assert shown(registry) == [None, "Bearer"]


def test_a_login_in_the_base_url_counts(puller: Puller, registry: Upstream, tokens: TokenServer) -> None:
    tokens.anonymous = False
    base = registry.url.replace("://", "://me:geh%E2%82%ACim@")
    assert puller.pull(base).body == BODY
    assert tokens.requests[0].headers["authorization"] == BASIC


@pytest.mark.parametrize("field", ["token", "access_token"])
@pytest.mark.parametrize("expires_in", [None, 300, 60.5, 0, -1, "soon", True, float("nan"), float("inf"), 10**30, []])
def test_every_form_of_an_answer(
    puller: Puller, registry: Upstream, tokens: TokenServer, field: str, expires_in: object
) -> None:
    tokens.field, tokens.expires_in = field, expires_in
    for _ in range(2):
        assert puller.pull(registry.url).body == BODY
    assert tokens.count() == 1


def test_each_image_and_each_login_has_its_own(puller: Puller, registry: Upstream, tokens: TokenServer) -> None:
    registry.put("/v2/other/manifests/1", BODY)
    puller.pull(registry.url)
    puller.pull(registry.url, "other", "v2/other/manifests/1")
    puller.pull(registry.url, **LOGIN)
    puller.pull(registry.url)
    assert tokens.count() == 3


def test_an_expired_token_is_not_shown(puller: Puller, registry: Upstream, tokens: TokenServer) -> None:
    tokens.expires_in = 1
    puller.pull(registry.url)
    time.sleep(1.1)
    assert puller.pull(registry.url).body == BODY
    assert shown(registry) == [None, "Bearer", None, "Bearer"] and tokens.count() == 2


def test_a_token_rejected_midway_is_fetched_anew_once(
    puller: Puller, registry: Upstream, tokens: TokenServer
) -> None:
    puller.pull(registry.url)
    tokens.revoke()
    assert puller.pull(registry.url).body == BODY
    assert tokens.count() == 2 and shown(registry) == [None, "Bearer", "Bearer", "Bearer"]


def test_a_token_that_upstream_does_not_take_is_the_end(
    puller: Puller, upstream: Upstream, tokens: TokenServer
) -> None:
    challenging(upstream, tokens.challenge(AREA))
    for round_ in (1, 2):
        got = puller.pull(upstream.url)
        assert (got.status, got.body) == (401, b"no\n")
        assert (upstream.count(), tokens.count()) == (2 * round_, round_)


def test_an_endpoint_that_always_grants_the_same_token_is_asked_once_a_visit(
    puller: Puller, upstream: Upstream, tokens: TokenServer
) -> None:
    challenging(upstream, tokens.challenge(AREA))
    tokens.fault(lambda *_: whole(200, {}, b'{"token": "the-same"}'))
    for _ in range(2):
        assert puller.pull(upstream.url).status == 401
    assert tokens.count() == 2 and upstream.count() == 4


@pytest.mark.parametrize("rejected", [False, True])
def test_a_herd_asks_for_one_token(puller: Puller, registry: Upstream, tokens: TokenServer, rejected: bool) -> None:
    if rejected:
        puller.pull(registry.url)
        tokens.revoke()
    before = tokens.count()
    tokens.latency(0.2)
    start = threading.Barrier(20)

    def pull(_: int) -> bytes:
        start.wait(10)
        return puller.pull(registry.url, first_byte_timeout=5).body

    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(pull, range(20))) == [BODY] * 20
    assert tokens.count() == before + 1


def test_a_herd_shares_a_dead_endpoints_time_limit(puller: Puller, registry: Upstream, tokens: TokenServer) -> None:
    tokens.hang()

    def pull(_: int) -> Exception | None:
        try:
            puller.pull(registry.url, first_byte_timeout=1)
        except UpstreamTimeout as error:
            return error
        return None

    with ThreadPoolExecutor(20) as threads:
        assert all(threads.map(pull, range(20)))
    assert tokens.count() <= 3


def test_one_connection_is_enough(puller: Puller, registry: Upstream) -> None:
    assert puller.pull(registry.url, max_connections=1).body == BODY


def test_a_basic_challenge_gets_the_login_and_then_it_is_known(puller: Puller, upstream: Upstream) -> None:
    upstream.put(f"/{PATH}", BODY)
    challenging(upstream, 'Basic realm="a, b"', BASIC)
    for _ in range(2):
        assert puller.pull(upstream.url, **LOGIN).body == BODY
    assert shown(upstream) == [None, "Basic", "Basic"]


def test_a_login_that_upstream_does_not_take(puller: Puller, upstream: Upstream) -> None:
    challenging(upstream, "Basic realm=x")
    for _ in range(2):
        assert puller.pull(upstream.url, **LOGIN).status == 401
    assert shown(upstream) == [None, "Basic", None, "Basic"]


def test_a_login_that_stopped_working_is_tried_once(puller: Puller, upstream: Upstream) -> None:
    upstream.put(f"/{PATH}", BODY)
    challenging(upstream, "Basic realm=x", BASIC)
    puller.pull(upstream.url, **LOGIN)
    challenging(upstream, "Basic realm=x")
    assert puller.pull(upstream.url, **LOGIN).status == 401
    assert shown(upstream) == [None, "Basic", "Basic"]


@pytest.mark.parametrize("challenge", ["Basic realm=x", "Negotiate", "Bearer", "Digest realm=x", "", "Bearer realm="])
def test_what_cannot_be_answered_is_the_answer(puller: Puller, upstream: Upstream, challenge: str) -> None:
    challenging(upstream, challenge)
    assert puller.pull(upstream.url).status == 401
    assert upstream.count() == 1


def test_bearer_is_taken_before_basic(puller: Puller, upstream: Upstream, tokens: TokenServer) -> None:
    upstream.put(f"/{PATH}", BODY)
    guarded(upstream, tokens, f'Basic realm="x", {tokens.challenge(AREA)}')
    assert puller.pull(upstream.url, **LOGIN).body == BODY
    assert shown(upstream) == [None, "Bearer"]


def test_a_registry_that_goes_over_to_tokens(puller: Puller, upstream: Upstream, tokens: TokenServer) -> None:
    upstream.put(f"/{PATH}", BODY)
    challenging(upstream, "Basic realm=x", BASIC)
    puller.pull(upstream.url, **LOGIN)
    upstream.clear()
    guarded(upstream, tokens)
    assert puller.pull(upstream.url, **LOGIN).body == BODY
    upstream.clear()
    challenging(upstream, "Basic realm=x", BASIC)
    assert puller.pull(upstream.url, **LOGIN).body == BODY
    assert shown(upstream) == [None, "Basic", "Basic", "Bearer", "Bearer", "Basic"]


def test_several_header_lines(puller: Puller, tokens: TokenServer) -> None:
    lines = f"WWW-Authenticate: Negotiate\r\nWWW-Authenticate: {tokens.challenge(AREA)}\r\n"
    with saying(f"HTTP/1.1 401 No\r\n{lines}Content-Length: 0\r\n\r\n".encode()) as base:
        assert puller.pull(base).status == 401
    assert tokens.count() == 1


def test_without_an_area_challenges_are_not_answered(puller: Puller, registry: Upstream, tokens: TokenServer) -> None:
    assert puller.pull(registry.url, "").status == 401
    assert puller.pull(registry.url, "", username="me", password="x").status == 401
    assert tokens.count() == 0 and shown(registry) == [None, "Basic"]


def test_an_authorization_of_the_configurations_own_is_the_only_one(
    puller: Puller, registry: Upstream, tokens: TokenServer
) -> None:
    got = puller.pull(registry.url, headers={"authorization": "Bearer configured"}, **LOGIN)
    assert got.status == 401 and tokens.count() == 0
    assert [one.headers["authorization"] for one in registry.requests] == ["Bearer configured"]


def test_netrc_and_environment_have_no_say(
    puller: Puller, registry: Upstream, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login you password wrong\n", encoding="ascii")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert puller.pull(registry.url).body == BODY
    assert shown(tokens) == [None]
