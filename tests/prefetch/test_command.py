"""`artifactapi prefetch` against a server as operators run it; and a job that outlives the process that does it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.cli.prefetch import _link
from tests.stack import Stack, StackFactory, eventually
from tests.upstreams import Upstream


@pytest.fixture(scope="module")
def stack(stack_factory: StackFactory) -> Iterator[tuple[Stack, Upstream]]:
    upstream = Upstream()
    document = {
        "remotes": {
            "up": {"base_url": upstream.url},
            "go": {"package": "go", "base_url": upstream.url},
        }
    }
    found = stack_factory(document, "prefetch").start()
    yield found, upstream
    found.close()
    upstream.stop()


def run(stack: Stack, *arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(main, ["prefetch", *arguments], input=text, env=stack.environment)


def test_the_command(stack: tuple[Stack, Upstream], tmp_path: Path) -> None:
    node, upstream = stack
    upstream.put("/a.bin", b"a" * 200_000)
    done = run(node, "up", "--paths-from", "-", text="a.bin\n\n")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "done  1/1  1 fetched (195.3 KiB)"), done.output
    done = run(node, "up", "--paths-from", "-", text="a.bin\nmissing\n")
    assert (done.exit_code, "missing: " in done.stderr) == (1, True)
    lock = tmp_path / "go.sum"
    lock.write_text(f"example.org/x v1.0.0/go.mod h1:{'A' * 43}=\n")
    upstream.put("/example.org/x/@v/v1.0.0.mod", b"module example.org/x\n")
    assert run(node, "go", "--lock", str(lock)).exit_code == 0


def test_what_it_refuses(stack: tuple[Stack, Upstream], tmp_path: Path) -> None:
    node, _ = stack
    file = tmp_path / "wrong"
    file.write_text("wrong-token")
    done = run(node, "up", "--include", "x", "--token-file", str(file), "--server", node.url)
    assert (done.exit_code, "401" in done.stderr, "wrong-token" in done.stderr) == (1, True, False)
    assert run(node, "up").exit_code == 2
    assert run(node, "up", "--lock", str(file)).exit_code == 2
    assert "no such repository" in run(node, "nowhere", "--include", "x").stderr
    done = run(node, "up", "--paths-from", str(file), "--server", "http://127.0.0.1:9")
    assert (done.exit_code, "Traceback" in done.stderr) == (1, False), done.output


@pytest.mark.parametrize(
    ("server", "own"),
    [
        ("http://elsewhere.example.org", False),
        ("http://127.0.0.1.example.org:8080", False),
        ("http://10.0.0.5:8081", False),
        ("http://[", False),
        ("http://10.0.0.5:8080/", True),
        ("http://localhost:1", True),
        ("http://[::1]:8080", True),
        ("https://packages.example.org/", True),
    ],
)
def test_another_machine_is_not_sent_this_ones_token(server: str, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ADMIN_TOKEN", "t" * 40), ("HOST", "10.0.0.5"), ("PORT", "8080")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PUBLIC_URL", "https://packages.example.org")
    if own:
        assert _link(server, None).server == server.rstrip("/")
    else:
        with pytest.raises(click.UsageError, match="--token-file"):
            _link(server, None)


def test_a_large_lock_file_is_taken(stack: tuple[Stack, Upstream]) -> None:
    """Of 2 MiB: too large for a worker, and for any other request in JSON."""
    node, upstream = stack
    upstream.latency(0.2)
    text = "".join(f"large/{number:06}/{'x' * 80}\n" for number in range(22_000))
    done = run(node, "up", "--paths-from", "-", "--no-wait", text=text)
    assert done.exit_code == 0, done.output
    request = urllib.request.Request(done.stdout.strip(), method="DELETE")
    request.add_header("Authorization", f"Bearer {node.token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204
    upstream.latency(0)


def test_a_killed_fills_process_leaves_its_job_to_the_next(stack: tuple[Stack, Upstream]) -> None:
    """SIGTERM and not SIGKILL, after which a lease of 30 s would have to pass (tests/stores/test_jobs.py)."""
    node, upstream = stack
    for number in range(16):
        upstream.put(f"/restart/{number}.bin", hashlib.sha256(b"%d" % number).digest() * 3000)
    upstream.latency(0.3)
    text = "".join(f"restart/{number}.bin\n" for number in range(16))
    command = node.command("prefetch", "up", "--paths-from", "-")
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=node.environment, text=True, **pipe) as running:  # type: ignore[call-overload]
        running.stdin.write(text)
        running.stdin.close()
        upstream.wait_for("/restart/4.bin")
        first = node.pids()["fills"]
        os.kill(first, signal.SIGTERM)
        eventually(lambda: node.pids().get("fills") not in (None, first), "another fills process")
        told = running.stdout.read()
    assert (running.returncode, "16/16" in told) == (0, True), told
    upstream.latency(0)
    assert upstream.count(method="GET") < 36
