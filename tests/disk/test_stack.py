"""The disk of a whole node: what its processes note when they stop, and do when they start."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
import redis

from app.eviction import ROW
from app.fills import __main__ as fills
from app.fills.spool import Spool
from tests.http.node import Node
from tests.stack import Stack, StackFactory, eventually
from tests.upstreams import Upstream

SIZE = 60_000
NAMES = ("a", "b", "c", "d")


def publish(stack: Stack, path: str, body: bytes) -> None:
    request = urllib.request.Request(f"{stack.url}/repository/team/{path}", data=body, method="PUT")
    request.add_header("Authorization", f"Bearer {stack.token}")
    urllib.request.urlopen(request, timeout=30).close()


def old(*files: Path) -> None:
    for file in files:
        os.utime(file, times=(time.time() - 2 * 86400,) * 2)


def paths(database_url: str, condition: str = "true") -> list[str]:
    with psycopg.connect(database_url) as connection:
        statement = f"SELECT path FROM entries WHERE {condition} ORDER BY path"
        return [path for (path,) in connection.execute(statement)]


def test_what_was_used_is_known_when_room_is_made(
    stack_factory: StackFactory, upstream: Upstream, database_url: str, redis_url: str
) -> None:
    remote = {"package": "generic", "base_url": upstream.url}
    document = {"remotes": {"up": remote}, "locals": {"team": {"package": "generic"}}}
    stack = stack_factory(document, DATABASE_URL=database_url, REDIS_URL=redis_url).start()
    for name in NAMES:
        upstream.put(f"/{name}", name.encode() * SIZE)
        assert stack.get(f"/repository/up/{name}") == (200, name.encode() * SIZE)
    publish(stack, "mine", b"m" * SIZE)
    stack.stop()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE entries SET used = used - 7200, checked = checked + 60")
    stack.start()
    with redis.Redis.from_url(redis_url) as client:
        client.delete("artifactapi:counters")
        assert stack.get("/repository/up/a")[0] == 200
        stack.stop()  # before any batch was due
        assert client.hget("artifactapi:counters", "up HIT requests") == b"1"
    assert paths(database_url, "used > extract(epoch FROM now()) - 600") == ["a"]

    blobs = stack.data_dir / "blobs" / "sha256"
    half = blobs / ".probe.of-a-dead-process"
    half.write_bytes(b"1")
    old(half, *blobs.glob("??/*"))
    stack.settings["STORAGE_MAX"] = str(3 * SIZE)
    stack.start()
    eventually(lambda: len(paths(database_url)) < 4, "room is made")
    assert paths(database_url) == ["a", "mine"]
    eventually(lambda: not half.exists(), "what a dead process left is removed")
    eventually(lambda: stack.lines("made room"), "a line in the log")
    (line,) = stack.lines("made room")
    assert (line["entries"], line["bytes"], line["used"]) == (3, 3 * SIZE, 5 * (SIZE + ROW))
    metrics = stack.get("/metrics")[1].decode()
    assert f"artifactapi_storage_used_bytes {5.0 * SIZE}" in metrics
    assert 'artifactapi_storage_filesystem_bytes{what="free"}' in metrics
    assert f'artifactapi_evicted_bytes_total{{repository="up"}} {3.0 * SIZE}' in metrics
    upstream.reset()
    assert stack.get("/repository/team/mine") == (200, b"m" * SIZE)
    assert stack.get("/repository/up/d") == (200, b"d" * SIZE)
    assert upstream.count() == 1
    stack.stop()


def test_the_spools_of_uploads_that_died_go_while_it_runs(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed leaves one; the fills process lives on for months."""
    monkeypatch.setattr(fills, "HOURLY", 0.05)
    spools = node.settings.layout.spool
    living = Spool(spools, "upload to team", 0)
    stopping = threading.Event()
    sweep = threading.Thread(target=fills._sweep, args=(node.carrier, spools, stopping))
    sweep.start()
    try:
        dead, young = spools / "dead.0", spools / "young.0"
        for path in (dead, young):
            path.write_bytes(b"half")
        old(dead, living.path)
        eventually(lambda: not dead.exists(), "what a dead upload left is removed")
        assert sorted(node.spools()) == sorted([living.path, young])
    finally:
        stopping.set()
        sweep.join()
        living.close()
