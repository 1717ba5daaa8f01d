"""puppet installs modules through the cache: cold, with upstream stopped, through two caches, page by page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.registries.forge import Forge, Puppet, release
from tests.clients.registries.registry import Registry
from tests.conftest import require

BOTH = {"team-hammer": "1.1.0", "team-stone": "1.0.0"}


@pytest.fixture(scope="module")
def served(registries: dict[str, Registry]) -> Registry:
    require("puppet")
    found = registries["puppet"]
    forge = Forge(found.upstream)
    forge.add(release("stone", "1.0.0"), release("hammer", "1.0.0", "stone"), release("hammer", "1.1.0", "stone"))
    return found


def test_puppet_installs_cold_warm_and_through_two(served: Registry, home: Callable[[], Path]) -> None:
    assert Puppet(home(), served.near).install("hammer") == BOTH
    pages = [seen.query for seen in served.upstream.requests if "offset=1" in seen.query]
    assert pages == ["module=team-hammer&offset=1"]
    assert Puppet(home(), served.far).install("hammer") == BOTH
    assert served.upstream.count("/v3/files/team-hammer-1.1.0.tar.gz") == 1
    with served.stopped():
        assert Puppet(home(), served.near).install("hammer") == BOTH
