"""Maven builds through the cache: cold, warm with upstream stopped, as a chain, of a local and several upstreams."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.chained import Chained, chained
from tests.clients.maven import Mirrored, central, jar, pom, publish
from tests.hosting import asked
from tests.hosting.conftest import TOKEN
from tests.stack import StackFactory
from tests.upstreams import Upstream


@pytest.fixture(scope="module")
def node(stack_factory: StackFactory) -> Iterator[Chained]:
    """`near` in front of what Debian has, `far` in front of `near`, `all` of the local `team`, `near`, `other`."""
    one, other = Upstream(), Upstream()
    central(one)
    publish(one, "org.shared", "tool", "1.0", "1.1")
    publish(other, "org.shared", "tool", "1.0", "1.2")
    publish(other, "com.team", "lib", "1.0", "9.0")
    document = {
        "remotes": {"other": {"package": "maven", "base_url": other.url}},
        "locals": {"team": {"package": "maven"}},
        "virtuals": {"all": {"package": "maven", "members": ["team", "near", "other"]}},
    }
    with chained(stack_factory, "maven", (one, other), document, ADMIN_TOKEN=TOKEN) as found:
        yield found


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Mirrored]:
    """machine(url): a fresh machine's Maven."""
    numbers = itertools.count()
    return lambda url: Mirrored(tmp_path / str(next(numbers)), url)


def test_a_build_from_one_download_and_without_upstream(node: Chained, machine: Callable[[str], Mirrored]) -> None:
    machine(node.url("near")).build("org.example:main:1")
    jars = [seen.path for seen in node.upstream.requests if seen.path.endswith((".jar", ".pom"))]
    assert len(jars) > 40
    assert len(set(jars)) == len(jars)
    asks = len(node.upstream.requests)
    with node.stopped():
        machine(node.url("far")).build("org.example:main:1")
    assert len(node.upstream.requests) == asks


def test_a_virtual_resolves_of_all_its_members(node: Chained, machine: Callable[[str], Mirrored]) -> None:
    """A range takes the newest version of any member; what the local one has a name of is the local one's alone."""
    for version in ("1.0", "1.1"):
        home = f"{node.url('team')}/com/team/lib/{version}/lib-{version}"
        for suffix, body in (("jar", jar("ours")), ("pom", pom("com.team", "lib", version))):
            assert asked.ask("PUT", f"{home}.{suffix}", body).status == 201
    maven = machine(node.url("all"))
    maven.build("org.example:main:1", "org.shared:tool:[1.0,)")
    assert maven.jars("org/shared/tool") == {"tool-1.2.jar"}
    maven.build("org.example:main:2", "com.team:lib:[1.0,)")
    assert maven.jars("com/team/lib") == {"lib-1.1.jar"}
    assert not [seen.path for seen in node.other.requests if seen.path.startswith("/com/team")]
