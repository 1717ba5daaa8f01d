"""A node with real stores of one test, and the people who ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.asking import People
from tests.http.node import Node
from tests.upstreams import Upstream

ISSUER = "https://ci.example.org"


@pytest.fixture
def settings() -> dict[str, str]:
    """What a test may change before it takes `node`."""
    return {"OIDC_ISSUERS": ISSUER}


@pytest.fixture
def document(upstream: Upstream) -> dict[str, Any]:
    return {
        "remotes": {"up": {"base_url": upstream.url}},
        "locals": {
            "team": {},
            "filed": {"project": "alpha", "access": "alpha", "overwrite": True},
            "inside": {"access": "authenticated"},
        },
    }


@pytest.fixture
def node(
    document: dict[str, Any], settings: dict[str, str], tmp_path: Path, database_url: str, redis_url: str
) -> Iterator[Node]:
    with Node(tmp_path, database_url, redis_url, document, **settings).running() as node:
        yield node


@pytest.fixture
def people(node: Node) -> People:
    return People(node)
