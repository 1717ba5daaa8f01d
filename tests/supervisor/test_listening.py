"""Where a node listens: a unix socket behind a proxy, and what a stop does to requests before and after it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from app.config import ConfigError, from_environment
from app.stores.statements import number
from app.supervisor import claims
from app.supervisor.embedded import Postgres
from app.supervisor.processes import StartError
from app.supervisor.supervisor import DATABASE_READY
from tests.fleet.link import Link
from tests.stack import Stack, eventually, free_port
from tests.supervisor.test_cli import publish
from tests.supervisor.test_run import refused
from tests.upstreams import Upstream

BODY = os.urandom(1 << 20)


@pytest.fixture
def node(tmp_path: Path, upstream: Upstream, empty_database_url: str, redis_url: str) -> Iterator[Stack]:
    """Not started; its stores are the session's."""
    made = Stack(
        tmp_path / "node",
        {"remotes": {"up": {"base_url": upstream.url}}},
        {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url},
    )
    yield made
    made.close()


def fetched(path: Path) -> int:
    """The status of /health/live, as curl gets it over a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as conn:
        conn.settimeout(10)
        conn.connect(str(path))
        conn.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
        return int(conn.recv(1000).split()[1])


def answers(path: Path) -> bool:
    try:
        return fetched(path) == 200
    except (OSError, IndexError):
        return False


@pytest.mark.parametrize(
    ("value", "bind"),
    [
        ("unix:/run/a b/http.sock", "unix:/run/a b/http.sock"),
        (f"unix:/{'x' * 106}", f"unix:/{'x' * 106}"),
        (f"unix:/{'x' * 107}", ""),
        ("unix:relative", ""),
        ("unix:/", ""),
        ("unix:", ""),
    ],
)
def test_a_path_as_host(value: str, bind: str) -> None:
    if bind:
        assert from_environment({"HOST": value}).bind == bind
        return
    with pytest.raises(ConfigError) as caught:
        from_environment({"HOST": value})
    assert str(caught.value) == f'HOST: "{value}" is not unix:/a/path of at most 107 bytes'


def test_a_unix_socket_outlives_gunicorn_and_goes_with_the_server(node: Stack, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))  # what a killed server leaves
    node.settings["HOST"] = f"unix:{path}"
    node.start()
    assert "artifactapi is ready at http://localhost (" in node.log()
    assert (stat.S_IMODE(path.stat().st_mode), fetched(path)) == (0o660, 200)
    for each in (signal.SIGTERM, signal.SIGKILL):  # at the first gunicorn tidies up after itself
        before = node.pids()["gunicorn"]
        os.kill(before, each)
        eventually(lambda before=before: node.pids().get("gunicorn", before) != before, "a new gunicorn")  # type: ignore[misc]
        eventually(lambda: answers(path), "it answers at the same path")
    assert node.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("file", "a file that is no socket lies there: set HOST"),
        ("server", "another program listens there: stop it, "),
    ],
)
def test_what_is_not_ours_at_that_path_stays(node: Stack, tmp_path: Path, made: str, reason: str) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        if made == "server":
            other.bind(str(path))
            other.listen()
        else:
            path.write_text("mine")
        node.settings["HOST"] = f"unix:{path}"
        (line,) = refused(node)
        assert line.startswith(f"artifactapi: unix:{path}: {reason}")
        assert path.exists()


def test_two_that_claim_the_same_place_at_once(tmp_path: Path) -> None:
    """A port can be claimed twice before either listens, and is whose who listens first; a path cannot."""
    port, path = free_port(), tmp_path / "http.sock"
    with claims.claim_address("127.0.0.1", port) as first, claims.claim_address("127.0.0.1", port) as second:
        claims.listen(second)
        with pytest.raises(StartError, match=f"127.0.0.1:{port}: another program listens there"):
            claims.listen(first)
    with claims.claim_address(f"unix:{path}", 0):
        with pytest.raises(ConnectionRefusedError):
            fetched(path)
        with pytest.raises(StartError, match="another program listens there"):
            claims.claim_address(f"unix:{path}", 0)
    claims.claim_address(f"unix:{path}", 0).close()  # what was left by then


@pytest.fixture
def link(node: Stack, postgres: Postgres) -> Iterator[Link]:
    """The way to the node's database."""
    made = Link(postgres.socket)
    name = conninfo_to_dict(node.settings["DATABASE_URL"])["dbname"]
    node.settings["DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{made.port}/{name}"
    yield made
    node.close()
    made.close()


def test_nobody_is_let_in_before_anything_can_be_served(node: Stack, link: Link) -> None:
    link.freeze()
    process = node.launch()
    eventually(lambda: "waiting for the database" in node.log(), "it waits")
    assert not connects(node.port)
    link.well()
    eventually(lambda: "artifactapi is ready at" in node.log(), "ready")
    assert process.ended() is None
    assert node.get("/health")[0] == 200


@pytest.mark.parametrize("state", ["gone", "read-only"])
def test_a_node_starts_while_the_database_is_away(
    node: Stack, link: Link, postgres: Postgres, upstream: Upstream, state: str
) -> None:
    """And has its schema as soon as it can be had."""
    name = conninfo_to_dict(node.settings["DATABASE_URL"])["dbname"]
    with psycopg.connect(postgres.url, autocommit=True) as administrator:
        if state == "gone":
            link.refuse()
        else:
            administrator.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        node.configure({"remotes": {"up": {"base_url": upstream.url}}, "locals": {"files": {}}})
        upstream.put("/passed", BODY)
        node.start()
        assert "started without the database" in node.log()
        assert node.get("/repository/up/passed") == (200, BODY)
        assert node.get("/repository/files/mine")[0] == 503
        administrator.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        link.well()
    eventually(lambda: "the database has its schema now" in node.log(), "migrated")
    eventually(lambda: node.get("/health")[0] == 200, "healthy")
    publish(node, "mine", b"mine")
    assert node.get("/repository/files/mine") == (200, b"mine")
    assert node.stop() == 0
    assert "Traceback" not in node.log()


def test_a_database_that_is_busy_is_waited_for(node: Stack) -> None:
    """Else the nodes of the version before, which serve meanwhile, would be replaced by some without a database."""
    with psycopg.connect(node.settings["DATABASE_URL"], autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [number("schema", "")])  # another node migrates
        node.launch()
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        eventually(lambda: other.execute(waiting).fetchone() is not None, "it waits")
        time.sleep(DATABASE_READY + 0.5)
        assert not connects(node.port)
    eventually(lambda: "artifactapi is ready at" in node.log(), "ready")
    assert "without the database" not in node.log()


def test_a_stop_while_the_schema_is_awaited(node: Stack, link: Link) -> None:
    node.configure({"remotes": {}})
    link.freeze()
    node.launch()
    eventually(lambda: "waiting for the database" in node.log(), "it waits")
    assert node.stop() == 0
    assert node.running() == []


def test_a_stop_ends_what_runs_and_refuses_what_comes(node: Stack, upstream: Upstream) -> None:
    upstream.put("/slow", BODY)
    upstream.rate(len(BODY) / 2)
    process = node.start().process
    assert process is not None
    running = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    running.request("GET", "/repository/up/slow")
    answer = running.getresponse()
    begun = answer.read(1000)
    process.signal(signal.SIGTERM)
    eventually(lambda: not connects(node.port), "nobody is let in")
    assert process.ended() is None
    assert begun + answer.read() == BODY
    running.close()
    eventually(lambda: process.ended() is not None, "stopped")
    assert process.ended() == 0
    assert "Traceback" not in node.log()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True
