"""One real node with four workers for every test of this directory, and its upstream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.real.asking import BIG, TOKEN
from tests.stack import Stack, StackFactory, eventually
from tests.upstreams import Upstream


@pytest.fixture(scope="package")
def origin() -> Iterator[Upstream]:
    server = Upstream()
    server.put("/a.txt", b"hello")
    server.put("/big.bin", BIG)
    yield server
    server.stop()


@pytest.fixture(scope="package")
def stack(stack_factory: StackFactory, origin: Upstream) -> Iterator[Stack]:
    remote = {"package": "generic", "base_url": origin.url}
    team = {"package": "generic"}
    document = {"remotes": {"up": remote}, "locals": {"team": team, "again": team | {"overwrite": True}}}
    stack = stack_factory(document, "real", ADMIN_TOKEN=TOKEN, WORKERS="4").start()
    eventually(lambda: len(stack.workers()) == 4, "four workers")  # it is ready with the first
    yield stack
    stack.close()


@pytest.fixture
def unharmed(stack: Stack, origin: Upstream) -> Iterator[None]:
    """Afterwards: no worker died, nothing was called a defect, upstream saw no path that leads elsewhere."""
    workers = stack.workers()
    yield
    assert stack.workers() == workers
    assert [line for line in stack.lines() if line["level"] == "error"] == []
    for seen in origin.requests:
        segments = seen.path.replace("%2f", "/").replace("%2F", "/").split("/")
        assert not {".", "..", "%2e%2e"} & set(segments), seen.path
        assert not set(seen.path) & {"\\", "\0", "\n", "\r"}
        assert seen.query == ""
