"""Pulling an image's path in tests: an upstream that challenges, and the token server it trusts."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.upstream import Upstreams
from app.upstream.tokens import Tokens
from tests.faults.visits import Got, Visitor
from tests.token_server import TokenServer
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Upstream

AREA = "team/app"
PATH = f"v2/{AREA}/manifests/1"
BODY = b"a manifest"
BASIC = "Basic " + base64.b64encode("me:geh€im".encode()).decode()
LOGIN = {"username": "me", "password": "geh€im"}
SECRETS = ("geh€im", BASIC.removeprefix("Basic "), "scope", "eyJ")


class Puller(Visitor):
    """Opens an image's paths; `pull` reads one to its end."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self.upstreams = Upstreams(tokens)

    def pull(self, base: str | tuple[str, ...], area: str = AREA, path: str = PATH, **settings: Any) -> Got:
        method = settings.pop("method", "GET")
        resource = replace(self.resource(base, path, **settings), area=area)
        with self.upstreams.open(resource, method) as download:
            body = b"".join(iter(lambda: download.read(65536), b""))
            return Got(download.status, body, download.length, download.headers, download.url)


@pytest.fixture
def puller() -> Iterator[Puller]:
    one = Puller()
    yield one
    one.upstreams.close()


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    server = TokenServer({"me": "geh€im"}, tmp_path)
    yield server
    server.stop()


@pytest.fixture
def registry(upstream: Upstream, tokens: TokenServer) -> Upstream:
    """Has one image for who shows a token of the token server."""
    upstream.put(f"/{PATH}", BODY)
    guarded(upstream, tokens)
    return upstream


def guarded(server: Upstream, tokens: TokenServer, challenge: str | None = None) -> None:
    def apply(reply: Reply, seen: Seen) -> Reply:
        if tokens.accepts(seen.headers.get("authorization")):
            return reply
        return whole(401, {"WWW-Authenticate": challenge or tokens.challenge(AREA)}, b'{"errors":[]}')

    server.fault(apply)


def challenging(server: Upstream, challenge: str, wanted: str = "") -> None:
    """401 for everything but one Authorization."""

    def apply(reply: Reply, seen: Seen) -> Reply:
        fine = wanted and seen.headers.get("authorization") == wanted
        return reply if fine else whole(401, {"WWW-Authenticate": challenge}, b"no\n")

    server.fault(apply)


def shown(server: Upstream) -> list[str | None]:
    """What each request proved itself by: a scheme or nothing."""
    return [one.headers["authorization"].split(" ")[0] if "authorization" in one.headers else None
            for one in server.requests]  # fmt: skip


@pytest.fixture
def elsewhere() -> Iterator[Upstream]:
    server = Upstream()
    server.put("/blob", b"a layer")
    yield server
    server.stop()
