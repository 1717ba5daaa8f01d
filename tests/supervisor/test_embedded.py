"""Embedded servers: real ones, started, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
import redis

from app.supervisor.embedded import Postgres, Valkey
from app.supervisor.processes import StartError


def test_valkey_forgets_and_comes_back(tmp_path: Path) -> None:
    server = Valkey(tmp_path / "a b" / "valkey", tmp_path / "s" / "v")
    server.start()
    server.await_ready(10)
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
    server.process.signal(signal.SIGKILL)
    server.process.bury()
    server.start()
    server.await_ready(10)
    with redis.Redis.from_url(server.url) as client:
        assert client.get("key") is None
    server.stop()
    assert not Path(f"/proc/{server.process.pid}").exists()


def test_postgres_keeps_what_was_committed_through_a_kill(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "a b" / "postgres", tmp_path / "s")
    server.start()
    server.await_ready(60)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('yes')")
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.bury()
    locks = (server.cluster / "postmaster.pid", tmp_path / "s" / ".s.PGSQL.5432.lock")
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        for lock in locks:  # whose pid is somebody else's by now
            lock.write_text("\n".join([str(bystander.pid), *lock.read_text().split("\n")[1:]]))
        server.start()
        server.await_ready(60)
        assert bystander.poll() is None
        bystander.kill()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT word FROM kept").fetchone() == ("yes",)
    server.stop()


def test_a_second_owner_stops_the_orphan_first(tmp_path: Path) -> None:
    first = Postgres(tmp_path / "postgres", tmp_path / "s")
    first.start()
    first.await_ready(60)
    second = Postgres(tmp_path / "postgres", tmp_path / "s")
    second.start()
    second.await_ready(60)
    assert first.process.ended() == 0
    assert second.process.pid != first.process.pid
    first.process.running.wait()
    second.stop()


def test_a_killed_initdb_leaves_nothing_half_made(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", tmp_path / "s")
    server.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "postgres" / "cluster.new" / "base").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.bury()
    assert not server.cluster.exists()
    server.start()
    server.await_ready(60)
    assert not (tmp_path / "postgres" / "cluster.new").exists()
    server.stop()


def test_a_socket_path_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="107 bytes"):
        Valkey(tmp_path / "v", tmp_path / ("x" * 120))
    with pytest.raises(StartError, match="107 bytes"):
        Postgres(tmp_path / "p", tmp_path / ("x" * 120))


def test_what_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", tmp_path / "s")
    server.cluster.mkdir(parents=True, mode=0o700)
    server.start()
    with pytest.raises(StartError, match="postgres ended with status") as caught:
        server.await_ready(20)
    assert "\n" not in str(caught.value)
    server.stop()
