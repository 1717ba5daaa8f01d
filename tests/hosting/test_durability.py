"""Processes killed in the middle of a publication: nothing half-visible, the next try succeeds, no orphan stays."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from app.stores.statements import number
from tests.hosting import charts
from tests.hosting.asked import Told, ask
from tests.hosting.conftest import TOKEN
from tests.stack import Stack, StackFactory, eventually

LARGE = os.urandom(4 << 20)
PROCESSES = ["worker", "fills"]


@pytest.fixture(scope="module")
def node(stack_factory: StackFactory) -> Stack:
    """A node of this file alone, whose processes are killed."""
    document = {"locals": {name: {"package": name, "overwrite": True} for name in ("generic", "helm")}}
    return stack_factory(document, "mortal", ADMIN_TOKEN=TOKEN).start()


@pytest.fixture
def database(node: Stack) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    urls = json.loads((node.data_dir / "run" / "urls.json").read_text())
    with psycopg.connect(urls["database_url"]) as connection:
        yield connection
        connection.rollback()


def put(node: Stack, path: str, body: bytes) -> Told:
    return ask("PUT", f"{node.url}/repository/{path}", body)


def body_for(process: str) -> bytes:
    """What that process reads itself."""
    return LARGE if process == "fills" else LARGE[:1000]


def kill(node: Stack, process: str) -> None:
    """SIGKILL, of all workers; return when others run in their place and answer."""
    if process == "fills":
        killed = node.pids()["fills"]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: node.pids().get("fills", killed) != killed, "the fills process started again")
    else:
        workers = set(node.workers())
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(set(node.workers()) - workers) == len(workers), "the workers started again")
    eventually(lambda: node.get("/health")[0] == 200, "healthy")


def gc(node: Stack) -> str:
    command = node.command("gc", "--grace", "0")
    done = subprocess.run(command, env=node.environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def blobs(node: Stack) -> set[str]:
    return {file.name for file in (node.data_dir / "blobs" / "sha256").rglob("*") if file.is_file()}


def spooled(node: Stack) -> list[Path]:
    return list((node.data_dir / "spool").iterdir())


def waits(database: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether someone waits for a lock that this connection holds."""
    found = database.execute(
        "SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    ).fetchone()
    return found is not None


@contextlib.contextmanager
def begun(node: Stack, path: str, body: bytes) -> Iterator[Future[Told]]:
    """A PUT under way, in a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(put, node, path, body)


@pytest.mark.parametrize("size", [1000, len(LARGE)])
def test_in_the_middle_of_an_upload(node: Stack, size: int) -> None:
    """What has not arrived is read by the fills process, however small it is."""
    body, path = LARGE[:size], f"generic/upload-{size}"
    head = f"PUT /repository/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", node.port), 30) as conn:
        conn.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
        eventually(lambda: spooled(node), "the upload has begun")
        kill(node, "fills")
        with contextlib.suppress(OSError):
            assert conn.recv(100) == b""
    assert ask("GET", f"{node.url}/repository/{path}").status == 404
    assert put(node, path, body).status == 201
    assert ask("GET", f"{node.url}/repository/{path}").body == body
    eventually(lambda: gc(node) and not spooled(node), "nothing left in the spool")


@pytest.mark.parametrize("process", PROCESSES)
def test_between_the_bytes_and_the_record(
    node: Stack, database: psycopg.Connection[tuple[object, ...]], process: str
) -> None:
    body, path = body_for(process) + process.encode(), f"generic/adopted-{process}"
    digest = hashlib.sha256(body).hexdigest()
    database.execute("SELECT pg_advisory_xact_lock(%s)", [number("repository", "generic")])
    with begun(node, path, body) as reply:
        eventually(lambda: waits(database), "it waits to be recorded")
        assert digest in blobs(node)
        kill(node, process)
        with pytest.raises(OSError):
            reply.result(30)
    database.rollback()
    assert ask("GET", f"{node.url}/repository/{path}").status == 404
    eventually(lambda: gc(node) and digest not in blobs(node), "the bytes are collected")
    assert put(node, path, body).status == 201
    gc(node)
    assert ask("GET", f"{node.url}/repository/{path}").body == body


def test_in_the_middle_of_an_index_build(node: Stack, database: psycopg.Connection[tuple[object, ...]]) -> None:
    """No worker builds one: what may wait for an index is handed over. The file is published by then: nobody was told
    so, and the index follows within seconds."""
    url = f"{node.url}/repository/helm"
    name, other = "half", "next"
    assert put(node, f"helm/{other}-1.0.0.tgz", charts.plain(other, "1.0.0")).status == 201
    before = ask("GET", f"{url}/index.yaml").body
    database.execute("LOCK TABLE generated IN EXCLUSIVE MODE")  # readers pass, a switch waits
    body = charts.plain(name, "1.0.0")
    with begun(node, f"helm/{name}-1.0.0.tgz", body) as reply:
        eventually(lambda: waits(database), "the new index waits to be switched")
        assert ask("GET", f"{url}/index.yaml").body == before
        kill(node, "fills")
        with pytest.raises(OSError):
            reply.result(30)
    database.rollback()
    gc(node)  # it frees what a killed worker held; else that lapses after ten seconds
    eventually(lambda: name.encode() in ask("GET", f"{url}/index.yaml").body, "the index tells of it")
    assert other.encode() in ask("GET", f"{url}/index.yaml").body
    assert put(node, f"helm/{name}-1.0.0.tgz", body).status in (201, 409)
    gc(node)
    assert ask("GET", f"{url}/{name}-1.0.0.tgz").body == body
    assert spooled(node) == []


def test_who_waits_for_an_index_holds_no_worker(
    node: Stack, database: psycopg.Connection[tuple[object, ...]]
) -> None:
    database.execute("LOCK TABLE generated IN EXCLUSIVE MODE")
    with ThreadPoolExecutor(4) as pool:
        sent = [(f"helm/wait-1.0.{each}.tgz", charts.plain("wait", f"1.0.{each}")) for each in range(4)]
        replies = [pool.submit(put, node, *each) for each in sent]
        try:
            eventually(lambda: waits(database), "the new index waits to be switched")
            assert ask("GET", f"{node.url}/health/live").status == 200
            assert not any(each.done() for each in replies)
        finally:
            database.rollback()
        assert [each.result(60).status for each in replies] == [201] * 4


def test_sixty_four_at_once_are_all_in_the_index(node: Stack) -> None:
    def publish(each: int) -> int:
        return put(node, f"helm/many-1.0.{each}.tgz", charts.plain("many", f"1.0.{each}")).status

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(publish, range(64))) == [201] * 64
    found = ask("GET", f"{node.url}/repository/helm/index.yaml").body.decode()
    assert all(f"many-1.0.{each}.tgz" in found for each in range(64))


def test_workers_killed_again_and_again_lose_nothing_that_was_told(node: Stack) -> None:
    done: list[str] = []
    ended = threading.Event()

    def publish(thread: int) -> None:
        for each in range(100):
            if ended.is_set():
                return
            path = f"generic/again-{thread}/{each}"
            with contextlib.suppress(OSError, http.client.IncompleteRead):  # killed before, or within, its answer
                if put(node, path, f"{thread} {each}".encode() * 10).status == 201:
                    done.append(path)

    threads = [threading.Thread(target=publish, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            known = len(done) + 3
            eventually(partial(lambda most: len(done) > most, known), "more is published")
            kill(node, "worker")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    gc(node)
    for path in done:
        said = path.removeprefix("generic/again-").replace("/", " ").encode()
        assert ask("GET", f"{node.url}/repository/{path}").body == said * 10


def test_restored_from_the_journal_with_its_indexes(node: Stack) -> None:
    """A database that is lost: the files come back, and what clients find them by is written anew."""
    url = f"{node.url}/repository/helm"
    assert put(node, "helm/lost-1.0.0.tgz", charts.plain("lost", "1.0.0")).status == 201
    assert put(node, "helm/gone-1.0.0.tgz", charts.plain("gone", "1.0.0")).status == 201
    assert ask("DELETE", f"{url}/gone-1.0.0.tgz").status == 204
    node.stop()
    shutil.rmtree(node.data_dir / "postgres")
    node.start()
    assert ask("GET", f"{url}/lost-1.0.0.tgz").status in (404, 503)
    command = node.command("restore", "--from-store")
    done = subprocess.run(command, env=node.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "helm: " in done.stdout
    index = ask("GET", f"{url}/index.yaml").body
    assert b"lost-1.0.0.tgz" in index
    assert b"gone-1.0.0.tgz" not in index
    assert ask("GET", f"{url}/lost-1.0.0.tgz").status == 200
    assert put(node, "helm/after-1.0.0.tgz", charts.plain("after", "1.0.0")).status == 201
    assert b"lost-1.0.0.tgz" in ask("GET", f"{url}/index.yaml").body
    again = subprocess.run(
        node.command("reindex", "helm"), env=node.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (again.returncode, "helm: 0 files described, 1 of 1 indexes built" in again.stdout) == (0, True)
