"""go downloads and builds through the cache: cold, warm with upstream stopped, as a chain, of several upstreams."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.chained import Chained, chained
from tests.clients.commands import CommandFailedError
from tests.clients.go import Database, Go, Module, publish, wire
from tests.stack import StackFactory
from tests.upstreams import Upstream

LIB = Module("example.org/lib", "v1.0.0")
USER = Module("example.org/Team/user", "v0.2.0-RC.1", needs=["example.org/lib v1.0.0"])
LIB_2 = Module("example.org/lib", "v1.2.0", "the second upstream's")
DEV = Module("example.org/dev", "v0.0.0-20261101000000-abcdefabcdef", "never released")
LIB_ELSEWHERE = Module("example.org/lib", "v1.0.0", "another one's")
OWN = Module("corp.example.org/own", "v1.0.0", "ours")
OWN_OUTSIDE = Module("corp.example.org/own", "v9.0.0", "a stranger's")
FORGED = Module("example.org/forged", "v1.0.0", "what was vouched for")

NewGo = Callable[..., Go]


@pytest.fixture(scope="module")
def node(stack_factory: StackFactory) -> Iterator[Chained]:
    """`near` in front of one upstream, `far` in front of `near`, `all` of `near` and `other`, another upstream."""
    one, other = Upstream(), Upstream()
    database = Database("sums.example.org", *(each.record for each in (LIB, USER, FORGED)))
    publish(one, LIB, USER, OWN, Module(FORGED.path, FORGED.version, "what is served"))
    publish(other, LIB_ELSEWHERE, LIB_2, OWN_OUTSIDE)
    other.put("/example.org/dev/@v/list", b"")
    other.put("/example.org/dev/@latest", DEV.info)
    for suffix, body in (("info", DEV.info), ("mod", DEV.mod), ("zip", DEV.zip)):
        other.put(f"/example.org/dev/@v/{DEV.version}.{suffix}", body)
    database.publish(one)
    remotes = {
        "near": {"owned": ["corp.example.org", "corp.example.org/*"]},
        "other": {"package": "go", "base_url": other.url},
    }
    document = {"remotes": remotes, "virtuals": {"all": {"package": "go", "members": ["near", "other"]}}}
    with chained(stack_factory, "go", (one, other), document) as found:
        yield found


@pytest.fixture
def machine(tmp_path: Path) -> NewGo:
    """machine(proxy, database): a fresh machine's go."""
    numbers = itertools.count()
    return lambda proxy, database="off": Go(tmp_path / str(next(numbers)), proxy, database)


def paths(upstream: Upstream) -> list[str]:
    return sorted(seen.path for seen in upstream.requests if seen.method == "GET")


def test_a_build_from_one_download_and_without_upstream(node: Chained, machine: NewGo) -> None:
    first = machine(node.url("near"))
    first.needs(USER)
    first("mod", "download", "all")
    assert first.source(LIB).endswith('return "hello" }\n')
    asked = paths(node.upstream)
    assert wire("/example.org/Team/user/@v/v0.2.0-RC.1.zip") in asked
    assert len(set(asked)) == len(asked)
    node.settle("example.org/lib/@v/v1.0.0.zip", "example.org/!team/user/@v/v0.2.0-!r!c.1.zip")
    second = machine(node.url("near"))
    second.needs(USER)
    second("mod", "download", "all")
    assert paths(node.upstream) == asked
    with node.stopped():
        for url in (node.url("near"), node.url("far")):
            third = machine(url)
            third.needs(USER)
            third("mod", "tidy")
            third("build", "./...")
            third("mod", "verify")
    assert paths(node.upstream) == asked


def test_a_virtual_has_the_versions_of_all_and_the_files_of_the_first(node: Chained, machine: NewGo) -> None:
    go = machine(node.url("all"))
    go.needs()
    assert go("list", "-m", "-versions", LIB.path) == f"{LIB.path} v1.0.0 v1.2.0\n"
    go("get", f"{LIB.path}@v1.0.0")
    assert "hello" in go.source(LIB)
    go("get", LIB.path)
    assert "the second upstream's" in go.source(LIB_2)
    go("get", DEV.path)
    assert "never released" in go.source(DEV)


def test_a_module_that_a_member_owns_is_asked_for_nowhere_else(node: Chained, machine: NewGo) -> None:
    go = machine(node.url("all"))
    go.needs()
    assert go("list", "-m", "-versions", OWN.path) == f"{OWN.path} v1.0.0\n"
    with pytest.raises(CommandFailedError, match="404 Not Found"):
        go("get", f"{OWN.path}@v9.0.0")
    assert not [path for path in paths(node.other) if path.startswith("/corp.example.org")]


def test_modules_are_verified_by_a_database_that_upstream_passes_on(node: Chained, machine: NewGo) -> None:
    verifier = Database("sums.example.org").verifier
    for url in (node.url("near"), node.url("far"), node.url("all")):
        go = machine(url, verifier)
        go.needs(LIB)
        go("mod", "download", "all")
        assert LIB.record.splitlines()[0] in (go.project / "go.sum").read_text()
    go = machine(node.url("near"), verifier)
    go.needs(FORGED)
    with pytest.raises(CommandFailedError, match="SECURITY ERROR"):
        go("mod", "download", "all")


def test_what_no_upstream_has_is_left_to_the_next_proxy(node: Chained, machine: NewGo) -> None:
    go = machine(f"{node.url('far')},{node.stack.url}/repository/other")
    go.needs()
    go("get", f"{LIB_2.path}@v1.2.0")
    assert "the second upstream's" in go.source(LIB_2)
