"""gem and bundler install through the cache: cold, with upstream stopped, through two caches, by ranges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.registries.gems import Gems, Ruby
from tests.clients.registries.registry import Registry
from tests.conftest import require


@pytest.fixture(scope="module")
def gems(tmp_path_factory: pytest.TempPathFactory) -> Gems:
    require("gem")
    made = Gems(tmp_path_factory.mktemp("gems"))
    made.build("libstone", "1.0.0")
    made.build("hammer", "1.0.0", needs="libstone")
    return made


@pytest.fixture(scope="module")
def served(gems: Gems, registries: dict[str, Registry]) -> Registry:
    found = registries["rubygems"]
    gems.publish(found.upstream)
    gems.index(found.upstream)
    return found


def test_gem_installs_cold_warm_and_through_two(served: Registry, home: Callable[[], Path]) -> None:
    both = {"hammer-1.0.0", "libstone-1.0.0"}
    first = Ruby(home(), served.near)
    first.install("hammer")
    assert first.installed() == both
    assert served.upstream.count("/gems/hammer-1.0.0.gem") == 1
    assert served.upstream.count("/specs.4.8.gz") == 0  # it goes by info/
    far = Ruby(home(), served.far)
    far.install("hammer")
    assert far.installed() == both
    assert served.upstream.count("/gems/hammer-1.0.0.gem") == 1
    with served.stopped():
        again = Ruby(home(), served.near)
        again.install("hammer")
        assert again.installed() == both


def test_the_older_indexes_serve_an_upstream_without_the_newer_ones(
    served: Registry, home: Callable[[], Path]
) -> None:
    served.upstream.remove("/")
    served.expire()
    machine = Ruby(home(), served.near)
    machine.install("libstone")
    assert machine.installed() == {"libstone-1.0.0"}


def test_bundler_installs_cold_warm_and_through_two(served: Registry, gems: Gems, home: Callable[[], Path]) -> None:
    first = Ruby(home(), served.near)
    assert "hammer (1.0.0)" in first.bundle("hammer")
    assert first.installed() == {"hammer-1.0.0", "libstone-1.0.0"}
    far = Ruby(home(), served.far)
    assert "libstone (1.0.0)" in far.bundle("hammer", source="http://gems.example.org")
    with served.stopped():
        assert "hammer (1.0.0)" in Ruby(home(), served.near).bundle("hammer")


def test_bundler_asks_for_the_end_of_what_grew(served: Registry, gems: Gems, home: Callable[[], Path]) -> None:
    machine = Ruby(home(), served.near)
    assert "libstone (1.0.0)" in machine.bundle("libstone")
    before = len((served.stack.get("/repository/rubygems/versions"))[1])
    gems.build("libstone", "1.1.0")
    gems.publish(served.upstream)
    served.settle("versions", "info/libstone")
    served.expire()
    assert "libstone (1.1.0)" in machine.bundle("libstone")
    lines = [line for line in served.stack.lines("request") if line["path"].endswith("/rubygems/versions")]
    assert 206 in [line["status"] for line in lines], lines
    assert served.stack.get("/repository/rubygems/versions")[1].startswith(b"created_at")
    assert len(served.stack.get("/repository/rubygems/versions")[1]) > before
