"""A fills process that is out of descriptors: it refuses or waits, lives on, and serves no part as a whole."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.door import BIG, Door, noise
from tests.stack import eventually

CLIENTS = 6


@contextmanager
def at_most(pid: int, more: int) -> Iterator[None]:
    """The process can open only so many files more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + more, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_it_has_more_descriptors_than_usual(door: Door) -> None:
    soft, hard = resource.prlimit(door.stack.pids()["fills"], resource.RLIMIT_NOFILE)
    assert soft == hard or soft == 65536


@pytest.mark.parametrize("more", [0, 1, 3, 6, 10])
def test_out_of_descriptors(door: Door, more: int) -> None:
    body, warm = noise(BIG, f"exhausted {more}"), noise(BIG, f"warm {more}")
    cold_path, warm_path = f"/repository/up/cold{more}.bin", f"/repository/up/warm{more}.bin"
    door.upstream.put(f"/cold{more}.bin", body)
    door.upstream.put(f"/warm{more}.bin", warm)
    assert door.get(warm_path).body == warm
    door.settled()
    fills = door.stack.pids()["fills"]
    with at_most(fills, more):
        readers = [door.begin(path) for path in (cold_path, warm_path) * CLIENTS]
        time.sleep(0.3)  # for what can run to run out
    for read in [reader.rest() for reader in readers]:
        if read.status == 200:
            assert not read.whole or read.body in (body, warm)
        elif read.status:
            assert (read.status, read.error) in [(503, "store_unavailable"), (502, "upstream_unreachable")]
    assert door.stack.pids()["fills"] == fills
    eventually(lambda: (read := door.get(cold_path)).body == body and read.cache == "HIT", "stored after all")
    assert door.get(warm_path).body == warm
    door.stored(body, warm)
