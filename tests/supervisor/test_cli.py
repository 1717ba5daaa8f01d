"""The other commands of `artifactapi`, as an operator types them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import urllib.request

import pytest

from tests.stack import Stack
from tests.supervisor.conftest import DOCUMENT


def artifactapi(stack: Stack, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of one command beside that node."""
    done = subprocess.run(
        stack.command(*arguments),
        env=stack.environment,
        cwd=stack.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def publish(stack: Stack, path: str, body: bytes) -> None:
    request = urllib.request.Request(f"{stack.url}/repository/files/{path}", data=body, method="PUT")
    request.add_header("Authorization", f"Bearer {stack.token}")
    urllib.request.urlopen(request, timeout=30).close()


@pytest.mark.parametrize("command", ["", "run", "check", "schema", "flush", "why", "gc", "verify", "restore"])
def test_everything_explains_itself(stack: Stack, command: str) -> None:
    status, out, _ = artifactapi(stack, *command.split(), "--help")
    assert status == 0
    assert out.startswith("Usage: ")


def test_check_sums_a_good_configuration_up(stack: Stack) -> None:
    status, out, errors = artifactapi(stack, "check")
    assert (status, errors) == (0, "")
    assert out.splitlines()[0] == f"{stack.config}: 3 remotes, 1 locals, 0 virtuals"
    assert len(out.splitlines()) == 5
    assert not stack.data_dir.exists()


def test_check_tells_every_error_at_once(stack: Stack) -> None:
    stack.settings |= {"PORT": "http", "AUTH": "maybe"}
    stack.configure({"remotes": {"bad": {}, "worse": {"base_url": "ftp://x", "ttl": 1}}})
    status, out, errors = artifactapi(stack, "check")
    assert (status, out) == (1, "")
    lines = errors.splitlines()
    assert all(line.startswith("artifactapi: ") for line in lines)
    for named in ("AUTH", "PORT", "remotes.bad", "remotes.worse.base_url", "remotes.worse.ttl"):
        assert any(named in line for line in lines), named


def test_schema_is_a_json_schema(stack: Stack) -> None:
    status, out, _ = artifactapi(stack, "schema")
    assert status == 0
    assert json.loads(out)["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize("command", ["flush", "gc", "verify", "restore --from-store"])
def test_without_a_server_there_is_nothing_to_do_it_to(stack: Stack, command: str) -> None:
    status, _, errors = artifactapi(stack, *command.split())
    assert status == 1
    where = f"nothing runs in {stack.data_dir} (DATA_DIR)"
    assert errors == f"artifactapi: {where}: start it, or set DATABASE_URL and REDIS_URL\n"


def test_flush_names_what_it_did_and_spares_local_files(stack: Stack) -> None:
    stack.start()
    publish(stack, "kept", b"mine")
    assert artifactapi(stack, "flush")[:2] == (0, FLUSHED.format("expired"))
    assert artifactapi(stack, "flush", "--remote", "alpine", "--path", "/v3", "--mode", "delete")[:2] == (
        0,
        FLUSHED.format("forgot"),
    )
    assert stack.get("/repository/files/kept") == (200, b"mine")
    status, _, errors = artifactapi(stack, "flush", "--remote", "files")
    assert (status, "no remote is called files" in errors) == (2, True)


FLUSHED = "{} 0 entries, removed 0 copies from Redis; 0 blobs are referred to no more (artifactapi gc removes them)\n"


def test_flush_works_while_redis_does_not_answer(stack: Stack) -> None:
    stack.start()
    os.kill(stack.pids()["valkey"], signal.SIGSTOP)
    status, out, errors = artifactapi(stack, "flush")
    os.kill(stack.pids()["valkey"], signal.SIGCONT)
    assert (status, out) == (0, FLUSHED.format("expired"))
    assert "artifactapi: warning: Redis was not told" in errors


def test_gc_removes_what_nothing_refers_to(stack: Stack) -> None:
    stack.start()
    publish(stack, "kept", b"kept")
    publish(stack, "gone", b"gone")
    request = urllib.request.Request(f"{stack.url}/repository/files/gone", method="DELETE")
    request.add_header("Authorization", f"Bearer {stack.token}")
    urllib.request.urlopen(request, timeout=30).close()
    assert artifactapi(stack, "gc")[1] == "removed 0 of 2 blobs\n"  # too young
    assert artifactapi(stack, "gc", "--grace", "0", "--dry-run")[1] == "would remove 1 of 2 blobs\n"
    assert blobs(stack) == {digest(b"kept"), digest(b"gone")}
    assert artifactapi(stack, "gc", "--grace", "0")[:2] == (0, "removed 1 of 2 blobs\n")
    assert blobs(stack) == {digest(b"kept")}


def test_gc_drops_unknown_repositories_only_when_told(stack: Stack) -> None:
    stack.start()
    publish(stack, "lost", b"lost")
    stack.configure({"remotes": DOCUMENT["remotes"]})
    assert artifactapi(stack, "gc", "--grace", "0")[1] == "removed 0 of 1 blobs\n"
    told = "not configured: files, 1 entries"
    assert artifactapi(stack, "gc", "--grace", "0", "--drop-unknown", "--dry-run")[:2] == (0, f"{told}\n")
    status, out, errors = artifactapi(stack, "gc", "--grace", "0", "--drop-unknown")
    assert (status, out, "say --yes" in errors) == (2, f"{told}\n", True)
    assert artifactapi(stack, "gc", "--grace", "0", "--drop-unknown", "--yes")[1].splitlines() == [
        told,
        "forgot 1 entries of repositories that are not configured",
        "removed 1 of 1 blobs",
    ]


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def blobs(stack: Stack) -> set[str]:
    return {file.name for file in stack.data_dir.rglob("sha256/??/*") if file.is_file()}
