"""What only Redis can get wrong: expiry, size, the heartbeat's thread, processes that die or fork."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

import app
from app.errors import StoreDown
from app.stores.memory import Recollection, Sighting
from app.stores.redis import RedisMemory
from tests.stores.values import entry

LONG = "k" * 10_000

TAKE_AND_DIE = """
import os, sys
from app.stores.redis import RedisMemory
os._exit(0 if RedisMemory(sys.argv[1], 0.5).lock("a") else 1)
"""
FORK = """
import os, sys, time
from app.stores.redis import RedisMemory
memory = RedisMemory(sys.argv[1], 0.5)
ours = memory.lock("ours")
child = os.fork()
mine = ours if child else memory.lock("theirs")
time.sleep(1.5)
kept = memory.lock("ours" if child else "theirs") is None and not mine.lost
status = os.waitpid(child, 0)[1] if child else 0
os._exit(0 if kept and status == 0 else 1)
"""


def run(code: str, redis_url: str) -> None:
    project = Path(app.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code, redis_url], cwd=project, check=True, timeout=60)


@pytest.fixture
def memory(redis_url: str) -> Iterator[RedisMemory]:
    memory = RedisMemory(redis_url)
    yield memory
    memory.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


def test_nothing_connects_before_the_first_question() -> None:
    RedisMemory("unix:///nonexistent").close()


def test_everything_but_epochs_and_counters_expires(memory: RedisMemory, client: redis.Redis) -> None:
    memory.remember("alpine", "a", 1, entry(), 1.0)
    memory.remember_missing("alpine", "b", 1, 404, 30)
    memory.forget("alpine", "c")
    memory.keep_token("https://user:password@127.0.0.1/", "secret", 60)
    memory.count("alpine", "HIT", 1, 1)
    memory.sight("alpine", "a", Sighting(1.0, 200))
    memory.hold("a", 60)
    held = memory.lock("d")
    assert held is not None
    lasting = {key for key in client.scan_iter() if client.ttl(key) == -1}
    assert lasting == {"artifactapi:epoch:alpine", "artifactapi:counters"}
    assert all(key.startswith("artifactapi:") and len(key) < 100 for key in client.scan_iter())
    assert not any("password" in key for key in client.scan_iter())
    held.release()


def test_a_copy_is_small(memory: RedisMemory, client: redis.Redis) -> None:
    memory.remember("alpine", LONG, 1, replace(entry(), content_type="application/x-rpm"), 1.0)
    [key] = client.scan_iter("*copy*")
    assert (client.memory_usage(key) or 0) < 600


def test_a_copy_by_another_version(memory: RedisMemory, client: redis.Redis) -> None:
    memory.remember("alpine", "a", 1, entry(), 1.0)
    [key] = client.scan_iter("*copy*")
    client.set(key, str(client.get(key)).removesuffix("]") + ',"a field of tomorrow"]')
    assert memory.recall("alpine", "a").entry == entry()
    copy = json.loads(str(client.get(key)).split(" ", 2)[2])
    client.set(key, "1 1 " + json.dumps(copy[:12]))  # of a version whose entries had eleven fields
    assert memory.recall("alpine", "a").entry == replace(entry(), until=0.0, kept="")
    client.set(key, "1 1 {]")
    assert memory.recall("alpine", "a") == Recollection(1)


@pytest.mark.parametrize("text", ['[1.0, 200, "", 7]', "{]", "7", "[]"])
def test_a_sighting_by_another_version(memory: RedisMemory, client: redis.Redis, text: str) -> None:
    memory.sight("alpine", "a", Sighting(1.0, 200))
    [key] = client.scan_iter("*sighting*")
    client.set(key, text)
    assert memory.sighted("alpine", "a") is None


def test_a_counter_that_is_full_keeps_no_other_from_counting(memory: RedisMemory) -> None:
    """Refused for ever, it would have the number beside it counted again with every attempt."""
    memory.count("alpine", "HIT", 1, 2**63 - 1)
    memory.count("alpine", "HIT", 1, 1)
    memory.count("alpine", "HIT", 1, 2**70)
    assert memory.counts() == {"alpine": {"HIT": (3, 2**63 - 1)}}


def test_a_pool_that_is_exhausted_is_no_outage(memory: RedisMemory) -> None:
    memory.raise_epochs({"alpine": 1})
    pool = memory._client.connection_pool
    lent = [pool.get_connection() for _ in range(pool.max_connections)]
    with pytest.raises(StoreDown, match="busy") as caught:
        memory.ping()
    assert caught.value.retry_after > 0
    for connection in lent:
        pool.release(connection)
    memory.raise_epochs({"alpine": 1})
    memory.ping()


def test_a_server_that_takes_no_writes_is_left_for_the_next_one(memory: RedisMemory, client: redis.Redis) -> None:
    """As a primary does that was demoted; a new connection may lead to the new one."""
    memory.ping()
    before = str(memory._client.client_id())
    assert before in {each["id"] for each in client.client_list()}
    client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(StoreDown):
            memory.remember("alpine", "a", 1, entry(), 1.0)
        assert before not in {each["id"] for each in client.client_list()}
    finally:
        client.replicaof("NO", "ONE")
    deadline = time.monotonic() + 10
    while True:
        try:
            return memory.remember("alpine", "a", 1, entry(), 1.0)
        except StoreDown:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_server_that_is_full_is_still_read(memory: RedisMemory, client: redis.Redis) -> None:
    """It has reached its maxmemory, and may evict nothing."""
    before = client.config_get("maxmemory-policy")["maxmemory-policy"]
    memory.remember("alpine", "a", 1, entry(), 1.0)
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreDown, match="memory"):
            memory.lock("a")
        memory.ping()
        assert memory.recall("alpine", "a").entry == entry()
        with pytest.raises(StoreDown, match="memory"):
            memory.raise_epochs({"alpine": 2})
        assert memory.distrusted
        memory.raise_epochs({"alpine": 1})  # which it knows
        assert not memory.distrusted
    finally:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", str(before))


def test_a_lock_that_lapsed_is_known_to_be_lost(redis_url: str, client: redis.Redis) -> None:
    memory = RedisMemory(redis_url, lock_timeout=0.3)
    held = memory.lock("a")
    assert held is not None
    client.flushall()
    deadline = time.monotonic() + 10
    while not held.lost:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    memory.close()


def test_one_heartbeat_for_all_locks_and_none_without(redis_url: str) -> None:
    memory = RedisMemory(redis_url, lock_timeout=0.3)
    before = set(threading.enumerate())
    locks = [memory.lock(str(number)) for number in range(5)]
    begun = set(threading.enumerate()) - before
    assert [each.name for each in begun] == ["heartbeat"]
    for held in locks:
        assert held is not None
        held.release()
    deadline = time.monotonic() + 10
    while begun & set(threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    memory.close()


def test_a_dead_holders_lock_lapses(redis_url: str) -> None:
    run(TAKE_AND_DIE, redis_url)
    memory = RedisMemory(redis_url)
    deadline = time.monotonic() + 10
    while (held := memory.lock("a")) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    held.release()
    memory.close()


def test_a_fork_has_a_heartbeat_of_its_own(redis_url: str) -> None:
    run(FORK, redis_url)
