"""`artifactapi run`: what it says, what it keeps private, what it leaves behind, what it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.layout import Layout
from app.supervisor.processes import Command, Process
from tests.stack import READY, ROOT, Stack, eventually
from tests.supervisor.conftest import DOCUMENT


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_and_a_second_start(stack: Stack) -> None:
    stack.start()
    token = stack.token
    said = [line for line in stack.log().split("\n") if line and not line.startswith("{")]
    assert said[0].startswith(f"{READY} {stack.url} (")
    assert said[1] == f"  admin token: kept in {stack.data_dir}/secrets/admin-token"
    clients = [(line.split()[0], line.split()[1]) for line in said[2:]]
    assert clients == [("packages:", "dnf"), ("alpine:", "apk"), ("releases:", "curl"), ("files:", "curl")]
    assert token not in stack.log()  # which a journal would keep
    assert mode(stack.data_dir / "secrets" / "admin-token") == 0o600
    assert mode(stack.data_dir / "run" / "urls.json") == 0o600
    assert [mode(stack.data_dir / name) for name in ("secrets", "run", "postgres", "valkey")] == [0o700] * 4
    assert stack.get("/health/live")[0] == 200
    assert stack.stop() == 0
    assert stack.running() == []
    left = {path.name for path in (stack.data_dir / "run").iterdir()}
    assert left == {"lock", "remotes.json"}
    stack.start()
    assert stack.token == token
    assert stack.stop() == 0


def test_the_line_for_a_local_repository_uploads(stack: Stack, tmp_path: Path) -> None:
    stack.start()
    line = next(line for line in stack.log().split("\n") if line.startswith("  files: "))
    (tmp_path / "FILE").write_text("mine")
    command = line.removeprefix("  files: ")
    subprocess.run(["/bin/sh", "-c", f"{command} -sS"], cwd=tmp_path, check=True)
    assert stack.get("/repository/files/FILE") == (200, b"mine")


def test_an_app_that_lies_where_it_is_started_is_not_imported(stack: Stack) -> None:
    (stack.directory / "app").mkdir()
    (stack.directory / "app" / "__init__.py").write_text("raise SystemExit('another app')")
    stack.settings |= {"DATA_DIR": "var", "CONFIG_PATH": "remotes.json"}
    original = stack.command
    stack.command = lambda *arguments: [sys.executable, "-P", *original(*arguments)[1:]]  # type: ignore[method-assign]
    stack.start()
    assert json.loads(stack.get("/health")[1])["status"] == "healthy"


def test_a_token_that_was_given_is_not_shown(stack: Stack) -> None:
    stack.settings["ADMIN_TOKEN"] = "a-token-of-an-operator"
    stack.start()
    assert "a-token-of-an-operator" not in stack.log()
    assert not (stack.data_dir / "secrets" / "admin-token").exists()


def test_ctrl_c_reaches_the_supervisor_alone_and_stops_everything(stack: Stack) -> None:
    process = stack.start().process
    assert process is not None
    os.killpg(process.pid, signal.SIGINT)
    eventually(lambda: process.ended() is not None, "stopped")
    assert process.ended() == 0
    assert stack.running() == []


def test_a_second_ctrl_c_does_not_wait_for_requests(stack: Stack) -> None:
    process = stack.start().process
    assert process is not None
    with socket.create_connection(("127.0.0.1", stack.port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")  # a request that never ends: its worker reads
        eventually(lambda: any(_reads_a_client(pid) for pid in stack.workers()), "a worker reads")
        process.signal(signal.SIGTERM)
        eventually(lambda: "stopping on SIGTERM" in stack.log(), "stopping")
        assert process.ended() is None
        process.signal(signal.SIGINT)
        eventually(lambda: process.ended() is not None, "stopped at once", 20)
    assert process.ended() == 0
    assert stack.running() == []


def _reads_a_client(pid: int) -> bool:
    """Whether a worker waits for the bytes of a client (proc(5)): idle, it waits in select."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] == str(_RECVFROM)


_RECVFROM = {"x86_64": 45, "aarch64": 207}.get(os.uname().machine, -1)


def test_two_nodes_side_by_side(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path / "other", DOCUMENT, {})
    try:
        stack.launch()
        other.start()
        eventually(lambda: READY in stack.log(), "ready")
        assert stack.stop() == 0
        assert other.get("/health/ready")[0] == 200
        assert other.stop() == 0
    finally:
        other.close()


def test_external_stores_are_used_and_none_is_started(stack: Stack, empty_database_url: str, redis_url: str) -> None:
    stack.settings |= {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url}
    stack.start()
    assert set(stack.pids()) == {"supervisor", "gunicorn", "fills"}
    assert json.loads(stack.get("/health")[1])["status"] == "healthy"
    assert stack.stop() == 0


def refused(stack: Stack) -> list[str]:
    """The lines with which a start that must fail explains itself."""
    done = subprocess.run(
        stack.command("run"),
        env=stack.environment,
        cwd=stack.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()


def test_a_port_in_use_is_one_line_and_nothing_starts(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.port))
        taken.listen()
        (line,) = refused(stack)
    assert line == f"artifactapi: 127.0.0.1:{stack.port}: another program listens there: stop it, or set PORT"
    assert not (stack.data_dir / "postgres" / "cluster").exists()


def test_a_second_start_in_the_same_directory_is_one_line(stack: Stack) -> None:
    stack.start()
    (line,) = refused(stack)
    assert line == f"artifactapi: already running as pid {stack.pids()['supervisor']} in {stack.data_dir}"
    assert stack.get("/health/ready")[0] == 200


def test_every_wrong_setting_is_one_line(stack: Stack) -> None:
    stack.settings |= {"WORKERS": "none", "AUTH": "maybe"}
    assert [line.split(":")[1].strip() for line in refused(stack)] == ["AUTH", "WORKERS"]
    assert not stack.data_dir.exists()


def test_a_wrong_remotes_json_is_refused_before_anything_starts(stack: Stack) -> None:
    stack.configure({"remotes": {"bad": {"base_url": "http://127.0.0.1:9/", "immutable_patterns": ["("]}}})
    (line,) = refused(stack)
    assert "remotes.bad.immutable_patterns[0]" in line
    assert not stack.data_dir.exists()


def test_an_address_of_another_machine_is_one_line(stack: Stack) -> None:
    stack.settings["HOST"] = "192.0.2.1"
    (line,) = refused(stack)
    assert "no address of this machine: set HOST" in line


def test_a_long_data_dir_has_its_sockets_elsewhere(stack: Stack) -> None:
    stack.data_dir = stack.directory / ("long" * 30) / "var"
    stack.start()
    assert json.loads(stack.get("/health")[1])["status"] == "healthy"
    sockets = Layout(stack.data_dir).sockets
    assert sockets.is_dir()
    assert stack.stop() == 0
    assert not sockets.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_it_runs_as_an_ordinary_user(stack: Stack) -> None:
    for directory in (stack.directory, *stack.directory.parents[:2]):
        directory.chmod(0o711)
    os.chown(stack.directory, 65534, 65534)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    readable = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # Python may be under /root
    original = stack.command
    stack.command = lambda *arguments: [*user, *readable, *original(*arguments)]  # type: ignore[method-assign]
    stack.start()
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in stack.running()} == {65534}
    assert json.loads(stack.get("/health")[1])["status"] == "healthy"
    assert stack.stop() == 0
    assert stack.running() == []


def test_the_terminal_that_closes_ends_it(stack: Stack) -> None:
    """A SIGHUP by the kernel is no reload: nobody could stop that server with Ctrl-C any more."""
    pid, terminal = os.forkpty() if sys.version_info < (3, 12) else _forkpty()
    if pid == 0:
        os.chdir(stack.directory)
        os.execve(sys.executable, stack.command("run"), stack.environment)
    said = b""
    while b"kept in" not in said:
        said += os.read(terminal, 1000)
    assert f"  admin token: {stack.token} (kept in ".encode() in said
    os.close(terminal)
    eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "ended with its terminal")
    assert stack.running() == []


def _forkpty() -> tuple[int, int]:
    """The same without the warning that other threads may hold locks: this child only execs."""
    import warnings

    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return os.forkpty()


def test_gunicorn_alone_serves_the_application(
    tmp_path: Path, stack: Stack, database_url: str, redis_url: str
) -> None:
    """`gunicorn wsgi:application` in the checkout, where something else keeps it running."""
    environment = stack.environment | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    arguments = (sys.executable, "-m", "gunicorn", "wsgi:application")
    command = Command("gunicorn", arguments, tmp_path / "record", ROOT, environment, log=tmp_path / "log")
    process = Process.start(command)
    try:
        eventually(lambda: process.ended() is not None or _answers(stack), "it answers")
        assert stack.get("/health/live")[0] == 200
    finally:
        process.stop(30)
    assert process.ended() == 0


def _answers(stack: Stack) -> bool:
    with contextlib.suppress(OSError):
        return stack.get("/health/live")[0] == 200
    return False
