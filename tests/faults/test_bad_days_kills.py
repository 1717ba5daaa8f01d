"""Processes of the node killed while a download runs: what its clients see, and how soon all is well again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.stores.redis import RedisMemory
from tests.faults.door import BIG, TAIL, Door, document, noise
from tests.stack import Stack, StackFactory, eventually
from tests.upstreams import Upstream

SOON = 8.0  # seconds; a lock that is waited for lapses after 10
RATE = 1_000_000  # bytes a second: a BIG body takes a second


@pytest.fixture(scope="module")
def mortal(stack_factory: StackFactory, shared_upstream: Upstream) -> Stack:
    return stack_factory(document(shared_upstream), "mortal").start()


@pytest.fixture
def door(mortal: Stack, shared_upstream: Upstream) -> Iterator[Door]:
    """The node these tests kill parts of."""
    with Door(mortal, shared_upstream) as door:
        yield door


def kill(door: Door, name: str) -> None:
    """SIGKILL one process of the node; return when another runs in its place."""
    killed = door.stack.pids()[name]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: door.stack.pids().get(name, killed) != killed, f"{name} started again")


def well(door: Door) -> bool:
    return door.stack.get("/health")[0] == 200


def _remembered(door: Door, key: str) -> bool:
    """Whether Redis has a copy of an entry of `up`."""
    urls = json.loads((door.stack.data_dir / "run" / "urls.json").read_text())
    memory = RedisMemory(urls["redis_url"])
    with contextlib.closing(memory):
        return memory.recall("up", key).entry is not None


def _waits(door: Door, clients: int) -> bool:
    """Whether the fills process holds so many clients' connections."""
    connected = _inodes(door.stack.port)
    with contextlib.suppress(FileNotFoundError):  # closed while we looked
        links = [str(link.readlink()) for link in Path(f"/proc/{door.stack.pids()['fills']}/fd").iterdir()]
        return len(connected.intersection(links)) >= clients
    return False


def _inodes(port: int) -> set[str]:
    """The sockets whose local port this is, as /proc/<pid>/fd names them (proc(5))."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_fills_process_killed_cuts_everyone_and_the_next_try_is_whole(door: Door, framing: str) -> None:
    body, file = noise(BIG, f"killed {framing}"), f"/killed-{framing}.bin"
    path = "/repository/up" + file
    door.upstream.put(file, body)
    if framing == "chunked":
        door.upstream.chunked(file)
    door.upstream.rate(BIG / 5)  # so that nobody is done before all are here
    first = door.begin(path).until(1)
    others = [door.begin(path).until(1), door.begin(path, "HTTP/1.0").until(framing == "length")]
    if framing == "chunked":
        eventually(lambda: _waits(door, 3), "the one who is told nothing yet has joined")
    os.kill(door.stack.pids()["fills"], signal.SIGKILL)
    for read in [reader.rest() for reader in (first, *others)]:
        assert not read.whole
        assert body.startswith(read.body) and len(read.body) <= BIG - TAIL
    door.upstream.rate(None)
    begun = time.monotonic()
    again = door.get(path)
    assert (again.cache, again.whole, again.body == body) == ("MISS", True, True)
    assert time.monotonic() - begun < SOON, "its lock was broken, not waited for"
    assert door.upstream.count(file) == 2
    door.stored(body)
    assert door.get(path).cache == "HIT"


def test_the_fills_process_killed_keeps_the_stored_copy(door: Door) -> None:
    old, new, path = noise(BIG, "kept"), noise(BIG, "not yet"), "/repository/up/kept.bin"
    door.upstream.put("/kept.bin", old)
    door.warmed(path)
    door.upstream.put("/kept.bin", new)
    door.upstream.rate(RATE)
    waiting = door.begin(path)
    eventually(door.spools, "a fill beside the old copy")
    os.kill(door.stack.pids()["fills"], signal.SIGKILL)
    assert not waiting.rest().whole
    door.upstream.rate(None)
    read = door.get(path)
    assert read.whole and read.body in (old, new)
    eventually(lambda: door.get(path).body == new, "the new copy")
    door.stored(new)


def test_the_fills_process_killed_before_upstream_answered(door: Door) -> None:
    body, path = noise(BIG, "no head"), "/repository/up/no-head.bin"
    door.upstream.put("/no-head.bin", body)
    door.upstream.latency(0.9)
    reader = door.begin(path)
    door.upstream.wait_for("/no-head.bin")
    os.kill(door.stack.pids()["fills"], signal.SIGKILL)
    assert reader.rest().status == 0
    door.upstream.latency(0)
    begun = time.monotonic()
    again = door.get(path)
    assert time.monotonic() - begun < SOON, "its lock was broken, not waited for"
    assert (again.cache, again.whole, again.body == body) == ("MISS", True, True)
    door.stored(body)


def test_workers_killed_disturb_no_download(door: Door) -> None:
    body, path = noise(BIG, "workers"), "/repository/up/workers.bin"
    door.upstream.put("/workers.bin", body)
    door.upstream.rate(RATE)
    reader = door.begin(path).until(TAIL)
    workers = door.stack.workers()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    joined = door.begin(path)
    for read in (reader.rest(), joined.rest()):
        assert read.whole and read.body == body
    assert door.upstream.count() == 1
    door.stored(body)
    eventually(lambda: not set(workers) & set(door.stack.workers()), "other workers")
    assert door.get(path).cache == "HIT"


def test_gunicorn_killed_disturbs_no_download(door: Door) -> None:
    body, path = noise(BIG, "gunicorn"), "/repository/up/gunicorn.bin"
    door.upstream.put("/gunicorn.bin", body)
    door.upstream.rate(RATE)
    reader = door.begin(path).until(TAIL)
    kill(door, "gunicorn")
    read = reader.rest()
    assert read.whole and read.body == body
    hit = door.get(path)
    assert hit.whole and hit.body == body and door.upstream.count() == 1
    door.stored(body)


def test_redis_killed_in_a_download_changes_nothing(door: Door) -> None:
    body, path = noise(BIG, "redis"), "/repository/up/redis.bin"
    door.upstream.put("/redis.bin", body)
    door.upstream.rate(RATE)
    first = door.begin(path).until(TAIL)
    os.kill(door.stack.pids()["valkey"], signal.SIGKILL)
    readers = [first, door.begin(path).until(1)]
    eventually(lambda: well(door), "Redis is back")
    readers.append(door.begin(path))
    for read in [reader.rest() for reader in readers]:
        assert read.whole and read.body == body
    door.settled()
    assert door.get(path).cache == "HIT"
    assert door.upstream.count() == 1, "single-flight without Redis too"
    door.stored(body)


def test_redis_restarted_loses_nothing(door: Door) -> None:
    small, big = noise(3000, "warm small"), noise(BIG, "warm big")
    paths = {"/repository/up/ws.bin": small, "/repository/up/wb.bin": big}
    for path, body in paths.items():
        door.upstream.put(path.removeprefix("/repository/up"), body)
        assert door.get(path).body == body
    assert door.get("/repository/up/nothing.bin").status == 404
    door.settled()
    asked = door.upstream.count()
    kill(door, "valkey")
    for _ in range(3):
        for path, body in paths.items():
            read = door.get(path)
            assert (read.status, read.cache, read.body == body) == (200, "HIT", True)
    assert door.upstream.count() == asked
    eventually(lambda: well(door), "Redis is back")
    assert door.get("/repository/up/nothing.bin").status == 404


def test_a_flush_is_not_undone_by_a_redis_that_forgot_it(door: Door) -> None:
    old, new, path = noise(3000, "flushed"), noise(3000, "after the flush"), "/repository/up/flushed.bin"
    door.upstream.put("/flushed.bin", old)
    assert door.get(path).body == old
    door.settled()
    door.forget()
    door.upstream.put("/flushed.bin", new)
    kill(door, "valkey")
    assert door.get(path).body == new


def test_postgres_killed_in_a_download_serves_it_and_soon_stores_again(door: Door) -> None:
    body, path = noise(BIG, "postgres"), "/repository/up/postgres.bin"
    warm, stays = noise(3000, "stays warm"), "/repository/up/stays.bin"
    door.upstream.put("/postgres.bin", body)
    door.upstream.put("/stays.bin", warm)
    eventually(lambda: door.get(stays).body == warm and _remembered(door, "stays.bin"), "Redis remembers it")
    door.upstream.rate(RATE)
    reader = door.begin(path).until(TAIL)
    os.kill(door.stack.pids()["postgres"], signal.SIGKILL)
    served = {door.get(stays).cache for _ in range(3)}  # on a busy machine one of them may wait too long for Redis
    assert "HIT" in served, "what Redis remembers is still served"
    passed = door.begin(path)
    for read in (reader.rest(), passed.rest()):
        assert read.whole and read.body == body
    eventually(lambda: well(door), "Postgres is back")
    door.upstream.rate(None)
    eventually(lambda: (read := door.get(path)).body == body and read.cache == "HIT", "stored after all")
    door.stored(body, warm)


def test_the_supervisor_killed_leaves_nothing_that_the_next_start_minds(door: Door) -> None:
    """Its children end by themselves or are swept; a download they were at is whole or cut, never in between."""
    body, path = noise(BIG, "supervisor"), "/repository/up/supervisor.bin"
    quick, warm = noise(BIG, "quick"), "/repository/up/quick.bin"
    door.upstream.put("/supervisor.bin", body)
    door.upstream.put("/quick.bin", quick)
    assert door.get(warm).body == quick
    door.settled()
    door.upstream.rate(BIG / 20)
    readers = [door.begin(path).until(1), door.begin(path).until(1)]
    door.stack.kill()
    door.stack.start()
    for read in [reader.rest() for reader in readers]:
        assert not read.whole and body.startswith(read.body)
    door.upstream.rate(None)
    assert door.spools() == []
    eventually(lambda: door.get(warm).cache == "HIT", "what was stored is served")
    begun = time.monotonic()
    door.recovers(path, body)
    assert time.monotonic() - begun < SOON
    door.stored(body, quick)
    assert door.stack.stop() == 0
    assert door.stack.running() == []
