"""Without an agent that works, nginx serves nothing that it kept for long."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.edge.conftest import Edge
from tests.edge.node import LEASE, Node
from tests.stack import eventually


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "killed"])
def test_it_lapses_when_the_agent_is_no_more(edge: Edge, node: Node, number: signal.Signals) -> None:
    edge.start_leased()
    edge.kept("/alma/a")
    edge.signal(number)
    end = time.time() + LEASE
    node.purge("alma")
    time.sleep(max(end - time.time(), 0))
    assert not edge.leased
    assert edge.ask("/alma/a").body.split()[1] == b"2"


@pytest.mark.parametrize("status", [503, 401])
def test_it_lapses_when_the_node_refuses_and_comes_back(edge: Edge, node: Node, status: int) -> None:
    edge.start_leased()
    edge.kept("/alma/a")
    node.known.status = status
    time.sleep(LEASE + 0.1)
    assert not edge.leased
    eventually(lambda: f"the node answers {status}" in edge.told(), "it says why", 2)
    node.purge("alma", "a")
    node.known.status = 200
    eventually(lambda: edge.leased, "leased again", 3)
    assert edge.ask("/alma/a").body.split()[1] == b"2"


def test_sigterm_ends_it_at_once(edge: Edge) -> None:
    edge.start_leased()
    assert edge.end() == 0
    assert list(edge.leases.iterdir()) == []


def test_files_are_never_ahead_of_what_was_granted(edge: Edge) -> None:
    edge.start_leased()
    for _ in range(20):
        present = time.time()
        assert all(int(each.name) + 1 <= time.time() + LEASE for each in edge.leases.iterdir()), present
        time.sleep(0.05)


def test_no_lease_while_the_log_or_the_cache_is_not_there(edge: Edge) -> None:
    for place, reason in ((edge.cache, "the cache"), (edge.log, "nginx's log")):
        away = place.rename(edge.work / "away")
        edge.start()
        eventually(lambda why=reason: why in edge.told(), f"it says {reason}", 5)  # type: ignore[misc]
        time.sleep(0.3)
        assert not edge.leased
        away.rename(place)
        eventually(lambda: edge.leased, "leased after all", 5)
        assert edge.end() == 0


@contextmanager
def _small_disk(edge: Edge) -> Iterator[None]:
    """The cache is on a disk of 1 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", str(edge.cache)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(edge.cache)], check=True)


def test_no_lease_on_a_disk_that_is_full(edge: Edge, node: Node) -> None:
    """nginx keeps nothing there then, and what it does not keep it can send."""
    with _small_disk(edge):
        edge.start_leased()
        edge.kept("/alma/a")
        with (edge.cache / "other's").open("wb", buffering=0) as other, pytest.raises(OSError, match="No space"):
            while other.write(bytes(4096)):
                pass
        eventually(lambda: "full" in edge.told(), "it says why", 5)
        assert not edge.leased
        for path in ("/alma/a", "/alma/b"):
            assert edge.version(path) == 1
        number = node.purge("alma")
        eventually(lambda: node.acknowledged(number), "nobody waits for it", 5)
        (edge.cache / "other's").unlink()
        eventually(lambda: edge.leased, "leased again", 5)
        edge.kept("/alma/a")
        assert edge.version("/alma/a") == 2
