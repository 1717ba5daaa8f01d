"""The node of the HTTP tests, with one generic remote on the test's upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.web import health
from tests.http.node import Node
from tests.upstreams import Upstream

QUICK = {"connect_timeout": 1, "first_byte_timeout": 1, "stall_timeout": 1}


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """/health asks each time, so that a test sees at once what it has just broken."""
    monkeypatch.setattr(health, "KEPT", 0.0)


@pytest.fixture
def remotes(upstream: Upstream) -> dict[str, Any]:
    """What a test may change before it takes `node`."""
    up = {
        "package": "generic",
        "base_url": upstream.url,
        "immutable_patterns": [r"\.rpm$"],
        "mutable_patterns": [".*"],
        "cache": {"mutable_ttl": 100},
        "upstream": QUICK,
    }
    up["mutable_patterns"] = [r"^(?!.*\.rpm$)"]
    rpm = {"package": "rpm", "base_url": upstream.url, "cache": {"mutable_ttl": 100}, "upstream": QUICK}
    drop = up | {"on_upstream_gone": "drop"}
    return {
        "remotes": {"up": up, "rpm": rpm, "drop": drop},
        "locals": {"team": {"package": "generic"}, "again": {"package": "generic", "overwrite": True}},
    }


@pytest.fixture
def node(remotes: dict[str, Any], tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Node]:
    with Node(tmp_path, database_url, redis_url, remotes).running() as node:
        yield node
