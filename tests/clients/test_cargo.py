"""cargo builds through the cache: cold, with upstreams stopped, through two caches, of two registries as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.crates import Cargo, Crate, in_index, publish
from tests.clients.members import Members
from tests.conftest import require

BASE = Crate("deepstone", "1.0.0+build.7", "from deepstone")
TOOL = Crate("Tool_Box", "1.2.0", "from the box", {"deepstone": "1"})
SHORT = Crate("abc", "0.1.0")
LATE = Crate("Tool_Box", "1.3.0", "from the second")
FALSE = Crate("tool-of-two", "9.9.9", "an impostor")
TRUE = Crate("tool-of-two", "1.0.0", "the true one")


@pytest.fixture(scope="module")
def served(members: Members) -> Members:
    require("cargo")
    publish(members.one, members.files, BASE, TOOL, SHORT, FALSE)
    return members


@pytest.fixture
def machine(home: Callable[[], Path]) -> Callable[..., Cargo]:
    """machine(url, needs): a fresh one, with a program that needs these."""

    def make(url: str, needs: str = 'Tool_Box = "1"\nabc = "0.1"', uses: str = "Tool_Box::text()") -> Cargo:
        made = Cargo(home(), url)
        made.project(needs, uses)
        return made

    return make


def test_cargo_builds_cold_warm_and_through_two(served: Members, machine: Callable[..., Cargo]) -> None:
    near, far = served.url("cargo-near"), served.url("cargo-far")
    first = machine(near)
    first("fetch")
    assert "1.0.0+build.7" in first.locked()
    cold = served.asked()
    machine(far)("fetch")
    assert served.asked() == cold
    assert served.files.count(f"/crates/{TOOL.name}/{TOOL.name}-{TOOL.version}.crate") == 1
    with served.stopped():
        assert "from the box" in machine(near)("run", "--quiet")
        machine(far)("fetch")
    served.expire("cargo-near", "cargo-far")
    sent = served.one.sent
    machine(near)("fetch")
    assert served.one.sent == sent  # 304, all of them


def test_cargo_searches_where_upstream_can(served: Members, machine: Callable[..., Cargo]) -> None:
    found = b'{"crates":[{"name":"Tool_Box","max_version":"1.2.0","description":"a box"}],"meta":{"total":1}}'
    served.files.put("/api/v1/crates", found, Content_Type="application/json")
    said = machine(served.url("cargo-near"))("search", "box", "--registry", "here")
    assert 'Tool_Box = "1.2.0"' in said
    assert {each.query for each in served.files.requests if each.path == "/api/v1/crates"} == {"per_page=10&q=box"}


def test_two_registries_are_one(served: Members, machine: Callable[..., Cargo]) -> None:
    """What the last member alone has is found; what it owns is no other's."""
    publish(served.two, served.files, LATE, TRUE)
    needs = 'Tool_Box = "1"\nabc = "0.1"\ntool-of-two = "*"'
    both = machine(served.url("cargo-all"), needs, "tool_of_two::text()")
    assert "the true one" in both("run", "--quiet")
    assert 'version = "1.3.0"' in both.locked()
    status, lines = served.stack.get(f"/repository/cargo-all/{in_index('Tool_Box')}")
    assert (status, lines) == (200, TOOL.line + LATE.line)
    with served.stopped():
        machine(served.url("cargo-all"), needs, "tool_of_two::text()")("fetch")
