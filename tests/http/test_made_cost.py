"""What a warm document that is made of others costs, however many: one command to Redis, no statement to Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.supervisor.embedded import Valkey
from app.web import usage
from tests.http.documents import PACKAGE, remotes, standing_in
from tests.http.node import Node
from tests.http.test_hit_cost import APART, Counted, hit, settle, spare, statements
from tests.upstreams import Upstream

MEMBERS, TIMES = 19, 10
HITS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "/repository/one/pages/lib", {}),
    ("GET", "/repository/many/pages/lib", {}),
    ("HEAD", "/repository/many/pages/lib", {}),
    ("GET", "/repository/many/files/lib/near", {}),
    ("GET", "/repository/many/files/lib/last", {}),
    ("GET", "/repository/many/pages/none", {}),
]


def many(upstream: Upstream) -> dict[str, Any]:
    """A virtual of a local that has nothing and MEMBERS remotes."""
    told = remotes(upstream, upstream)
    names = [f"r{number}" for number in range(MEMBERS)]
    for name in names:
        told["remotes"][name] = {"package": PACKAGE, "base_url": f"{upstream.url}/{name}"}
    told["virtuals"]["many"] = {"package": PACKAGE, "members": ["team", *names]}
    return told


def test_a_hit_is_one_command_and_no_statement(
    tmp_path: Path,
    database_url: str,
    own_valkey: Valkey,
    postgres_url: str,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage, "NOTED", 3600.0)  # one statement in five seconds, counted in tests/disk
    upstream.put("/base/pages/lib", b"a\n")
    for number in range(MEMBERS):
        upstream.put(f"/r{number}/pages/lib", b"near near\n" + (b"last last\n" if number == MEMBERS - 1 else b""))
        upstream.put(f"/r{number}/pages/near", b"near")
    upstream.put(f"/r{MEMBERS - 1}/pages/last", b"last")
    with standing_in(), Node(tmp_path, database_url, own_valkey.url, many(upstream)).running() as node:
        settle(own_valkey)
        for memory in (node.app.extensions["artifactapi"].memory, node.carrier.engine.visits.fetch.memory):
            spare(memory)
        for _, path, _ in HITS * 2:
            node.get(path)
            node.idle()
        upstream.requests.clear()
        before = statements(postgres_url, database_url)
        for method, path, headers in HITS:
            with Counted(own_valkey) as counted:
                for _ in range(TIMES):
                    if path.endswith("none"):
                        assert node.get(path).status_code == 404
                    else:
                        hit(node, method, path, headers)
                commands = {name: calls for name, calls in counted.commands().items() if name not in APART}
            assert commands == {"mget": TIMES}, (method, path)
        assert statements(postgres_url, database_url) == before
        assert upstream.requests == []
