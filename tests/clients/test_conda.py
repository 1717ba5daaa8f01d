"""rattler installs through the cache: cold, warm with upstream stopped, as a chain, by shards, from another host."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.chained import Chained, chained
from tests.clients.commands import CommandFailedError
from tests.clients.conda import Channel, Conda, Package
from tests.stack import StackFactory
from tests.upstreams import Upstream

LIB, OLD = Package("lib"), Package("old", suffix=".tar.bz2")
APP = Package("app", "2.1", depends=["lib >=1", "old"])
BROKEN, FAR_AWAY = Package("broken"), Package("faraway")


@pytest.fixture(scope="module")
def node(stack_factory: StackFactory) -> Iterator[Chained]:
    """`near` in front of one upstream, `far` in front of `near`; `apart` keeps all but lists on another host."""
    one, other = Upstream(), Upstream()
    channel = Channel([LIB, OLD, APP, BROKEN])
    channel.publish(one, shards="/noarch/shards")
    channel.place(one, "/noarch")
    one.put(f"/noarch/{BROKEN.file}", BROKEN.body[:-1] + b"x")
    where = {"base_url": f"{other.url}/packages", "shards_base_url": f"{other.url}/shards/"}
    apart = Channel([FAR_AWAY], where)
    apart.publish(one, "/apart")
    apart.publish(other)
    one.put("/apart/noarch/repodata_shards.msgpack.zst", apart.index)
    apart.publish(other, "/x", shards="/shards")
    apart.place(other, "/packages")
    document = {"remotes": {"apart": {"package": "conda", "base_url": f"{one.url}/apart"}}}
    with chained(stack_factory, "conda", (one, other), document) as found:
        yield found


NewConda = Callable[..., Conda]


@pytest.fixture
def machine(tmp_path: Path) -> NewConda:
    """machine(url): a fresh machine's rattler."""
    numbers = itertools.count()
    return lambda url, shards=False: Conda(tmp_path / str(next(numbers)), url, shards=shards)


@pytest.mark.parametrize("shards", [False, True])
def test_an_install_from_one_download_and_without_upstream(node: Chained, machine: NewConda, shards: bool) -> None:
    node.upstream.requests.clear()
    first = machine(node.url("near"), shards)
    first.install("app")
    assert all(first.has(each) for each in (APP, LIB, OLD))
    asked = [seen.path for seen in node.upstream.requests if seen.method == "GET"]
    assert any("/shards/" in path for path in asked) == shards
    assert len(set(asked)) == len(asked)
    node.settle(*(f"noarch/{each.file}" for each in (APP, LIB, OLD)))
    with node.stopped():
        for url in (node.url("near"), node.url("far")):
            again = machine(url, shards)
            again.install("app")
            assert all(again.has(each) for each in (APP, LIB, OLD))


def test_a_package_that_is_not_the_listed_one_is_not_kept(node: Chained, machine: NewConda) -> None:
    with pytest.raises(CommandFailedError):
        machine(node.url("near")).install("broken")
    status, body = node.stack.get(f"/repository/near/noarch/{BROKEN.file}")
    assert (status, b"sha256" in body) == (502, True)


def test_shards_and_packages_of_another_host_come_through_here(node: Chained, machine: NewConda) -> None:
    url = node.url("apart")
    conda = machine(url, True)
    conda.install("faraway")
    assert conda.has(FAR_AWAY)
    with node.stopped():
        again = machine(url, True)
        again.install("faraway")
        assert again.has(FAR_AWAY)
    for count in (1, 2):  # clients would go past this server: an error, and not kept
        status, body = node.stack.get("/repository/apart/noarch/repodata.json")
        assert (status, b"make that the remote's base_url" in body) == (502, True)
        assert node.upstream.count("/apart/noarch/repodata.json", "GET") == count
