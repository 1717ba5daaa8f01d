"""One node in front of every registry here: each has a remote, and one in front of that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.registries.registry import Registry
from tests.stack import Stack, StackFactory
from tests.upstreams import Upstream

BELOW = {"rubygems": "", "nuget": "/v3", "terraform": "", "puppet": ""}  # where upstream has the registry


@pytest.fixture(scope="session")
def registries(stack_factory: StackFactory) -> Iterator[dict[str, Registry]]:
    """By package; every upstream is empty."""
    stack: Stack = stack_factory({"remotes": {}}, name="registries")
    found = {package: Registry(package, Upstream(), Upstream(), stack) for package in BELOW}
    remotes = {}
    for package, each in found.items():
        common = {"package": package, "cache": {"mutable_ttl": 3600}}
        remotes[package] = {**common, "base_url": each.upstream.url + BELOW[package]}
        remotes[f"{package}-far"] = {**common, "base_url": each.near}
    stack.configure({"remotes": remotes})
    stack.start()
    try:
        yield found
    finally:
        stack.stop()
        for each in found.values():
            each.upstream.stop()
            each.files.stop()
