"""Token endpoints that fail, stores that do, and a real registry that takes the tokens."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from app.errors import StoreDown, UpstreamDenied, UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.stores.redis import RedisMemory
from tests.conftest import require
from tests.containers.registry import Distribution
from tests.faults.pulls import (
    AREA,
    BASIC,
    BODY,
    LOGIN,
    PATH,
    SECRETS,
    Puller,
    challenging,
    elsewhere,
    puller,
    registry,
    shown,
    tokens,
)
from tests.token_server import TokenServer
from tests.upstream_wire import whole
from tests.upstreams import Upstream

__all__ = ["elsewhere", "puller", "registry", "tokens"]  # fixtures by import


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UpstreamDenied),
        (403, UpstreamDenied),
        (404, UpstreamError),
        (429, UpstreamError),
        (302, UpstreamError),
        (500, UpstreamUnreachable),
        (503, UpstreamUnreachable),
    ],
)
def test_a_status_that_grants_nothing(
    puller: Puller, registry: Upstream, tokens: TokenServer, status: int, kind: type[UpstreamError]
) -> None:
    tokens.status(status, headers={"Retry-After": "7"}, body=b'{"token": "no"}')
    with pytest.raises(kind) as caught:
        puller.pull(registry.url, **LOGIN)
    error = caught.value
    assert type(error) is kind and f"127.0.0.1:{tokens.port}" in error.message
    assert error.upstream_status == status and not any(secret in error.message for secret in SECRETS)
    assert error.retry_after == (0 if kind is UpstreamDenied else 7)
    tokens.clear()
    assert puller.pull(registry.url, **LOGIN).body == BODY


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>log in</html>",
        b"[]",
        b"null",
        b"{}",
        b'"token"',
        b'{"token": ""}',
        b'{"token": 7}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": "a b"}',
        b'{"token": "\\u20ac"}',
        b'{"token": "' + b"a" * 40_000 + b'"}',
        b"[" * 60_000,
        b"\xff\xfe",
        json.dumps({"token": "a", "more": "b" * 100_000}).encode(),
    ],
    ids=range(15),
)
def test_an_answer_that_holds_no_token(puller: Puller, registry: Upstream, tokens: TokenServer, body: bytes) -> None:
    tokens.fault(lambda *_: whole(200, {"Content-Type": "application/json"}, body))
    with pytest.raises(UpstreamLied) as caught:
        puller.pull(registry.url, **LOGIN)
    assert not any(secret in caught.value.message for secret in SECRETS)
    assert registry.count() == 1


def test_an_endpoint_that_is_away_hangs_stalls_or_breaks_off(
    puller: Puller, registry: Upstream, tokens: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    faults: tuple[tuple[Callable[[], None], type[UpstreamError]], ...] = (
        (tokens.hang, UpstreamTimeout),
        (lambda: tokens.stall(5), UpstreamTimeout),
        (lambda: tokens.rate(40), UpstreamTimeout),
        (lambda: tokens.cut(5), UpstreamUnreachable),
        (tokens.disconnect, UpstreamUnreachable),
        (tokens.stop, UpstreamUnreachable),
    )
    for fault, kind in faults:
        fault()
        with pytest.raises(kind) as caught:
            puller.pull(registry.url, **LOGIN)
        assert f"127.0.0.1:{tokens.port}" in caught.value.message
        assert not any(secret in caught.value.message for secret in SECRETS)
        tokens.reset()
        puller.upstreams.keep(())  # each fault is the first of its kind
    tokens.start()
    assert puller.pull(registry.url, **LOGIN).body == BODY
    assert not any(secret in caplog.text for secret in SECRETS)


def test_the_next_base_url_is_asked_where_the_firsts_endpoint_is_down(
    puller: Puller, registry: Upstream, tokens: TokenServer, elsewhere: Upstream
) -> None:
    elsewhere.put(f"/{PATH}", b"the second's")
    tokens.fail(503)
    assert puller.pull((registry.url, elsewhere.url)).body == b"the second's"
    assert shown(elsewhere) == [None]


class Broken:
    """A store that is down."""

    def token(self, name: str) -> str | None:
        raise StoreDown("down")

    def keep_token(self, name: str, token: str, seconds: float) -> None:
        raise StoreDown("down")


def test_without_the_store_tokens_are_this_processs_own(registry: Upstream, tokens: TokenServer) -> None:
    puller = Puller(Broken())
    for _ in range(2):
        assert puller.pull(registry.url).body == BODY
    tokens.revoke()
    assert puller.pull(registry.url).body == BODY
    assert tokens.count() == 2
    puller.upstreams.close()


def test_the_fleet_shares_tokens_and_what_basic_proved(
    registry: Upstream, tokens: TokenServer, redis_url: str
) -> None:
    memories = [RedisMemory(redis_url, 0.5) for _ in range(2)]
    one, two = (Puller(memory) for memory in memories)
    assert (one.pull(registry.url, **LOGIN).body, two.pull(registry.url, **LOGIN).body) == (BODY, BODY)
    assert tokens.count() == 1 and shown(registry) == [None, "Bearer", "Bearer"]
    tokens.revoke()
    assert (two.pull(registry.url, **LOGIN).body, one.pull(registry.url, **LOGIN).body) == (BODY, BODY)
    assert tokens.count() == 2  # the second one looked what the first had found
    registry.clear()
    challenging(registry, "Basic realm=x", BASIC)
    assert (one.pull(registry.url, **LOGIN).body, two.pull(registry.url, **LOGIN).body) == (BODY, BODY)
    for each, memory in zip((one, two), memories, strict=True):
        each.upstreams.close()
        memory.close()


def test_the_store_learns_no_password(upstream: Upstream, redis_url: str) -> None:
    upstream.put(f"/{PATH}", BODY)
    challenging(upstream, "Basic realm=x", BASIC)
    memory = RedisMemory(redis_url, 0.5)
    puller = Puller(memory)
    puller.pull(upstream.url, **LOGIN)
    with redis.Redis.from_url(redis_url) as client:
        kept = [key + client.get(key) for key in client.scan_iter("*token*")]
    assert len(kept) == 1 and not any(secret.encode() in one for one in kept for secret in SECRETS)
    puller.upstreams.close()
    memory.close()


@pytest.mark.parametrize("expires_in", [None, 300])
def test_a_real_registry_takes_the_tokens(
    puller: Puller, tokens: TokenServer, tmp_path: Path, expires_in: int | None
) -> None:
    tokens.anonymous, tokens.expires_in = False, expires_in
    registry = Distribution(require("docker-registry"), tmp_path / "registry", tmp_path / "storage", tokens.auth)
    registry.start()
    try:
        base = f"http://127.0.0.1:{registry.port}"
        for _ in range(2):
            got = puller.pull(base, path=f"v2/{AREA}/tags/list", **LOGIN)
            assert (got.status, json.loads(got.body)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
        assert tokens.count() == 1
        with pytest.raises(UpstreamDenied):
            puller.pull(base, path=f"v2/{AREA}/tags/list", username="me", password="wrong")
    finally:
        registry.stop()
