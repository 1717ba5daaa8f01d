"""nuget.exe installs through the cache: cold, with upstream stopped, through two caches, after a change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.registries.nupkgs import Feed, NuGet, nuget
from tests.clients.registries.registry import Registry


@pytest.fixture(scope="module")
def served(registries: dict[str, Registry]) -> tuple[Registry, Feed]:
    nuget()
    found = registries["nuget"]
    feed = Feed(found.upstream, found.files)
    feed.add("Stone", "1.0.0")
    feed.add("Hammer", "1.0.0", needs="Stone")
    return found, feed


def test_nuget_installs_cold_warm_and_through_two(served: tuple[Registry, Feed], home: Callable[[], Path]) -> None:
    registry, feed = served
    both = {"Hammer.1.0.0", "Stone.1.0.0"}
    assert NuGet(home(), registry.near).install("Hammer") == both
    assert "Hammer" in NuGet(home(), registry.near).search("hammer")
    assert NuGet(home(), registry.far).install("Hammer") == both
    assert registry.files.count("/flat/hammer/1.0.0/hammer.1.0.0.nupkg") == 1
    with registry.stopped():
        assert NuGet(home(), registry.near).install("Hammer") == both
    feed.add("Hammer", "1.1.0", needs="Stone")
    registry.expire()
    assert NuGet(home(), registry.near).install("Hammer") == {"Hammer.1.1.0", "Stone.1.0.0"}
