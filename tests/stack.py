"""A whole node as an operator starts it: `artifactapi run` as a process, with its own port and DATA_DIR."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app import metric_files
from app.supervisor.processes import POLL, Command, Process, Recorded, all_pids

ROOT = Path(__file__).parent.parent
READY = "artifactapi is ready at"
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")

_OWN = 2000  # ports of one process, from 12000 on
_FIRST = 12000 + _OWN * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10)
_PORTS = (_FIRST + number % _OWN for number in itertools.count(random.randrange(_OWN)))


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago, and that nobody gets without asking for that very number.

    Those that the kernel gives away for port 0 and to connections begin at 32768 (ip(7)); of those below, each of
    pytest-xdist's processes has its own, and each run begins somewhere else.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(true: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
    """Wait until `true()`; the limit only ends a test that hangs."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL)


class Stack:
    """One node under `directory`; `document` is its remotes.json, `settings` are environment variables."""

    def __init__(self, directory: Path, document: Mapping[str, Any], settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.data_dir = directory / "var"
        self.config = directory / "remotes.json"
        self.port = free_port()
        self.settings = dict(settings)
        self.process: Process | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.configure(document)

    def configure(self, document: Mapping[str, Any]) -> None:
        """Write remotes.json; a running node takes it over at `reload()`."""
        self.config.write_text(json.dumps(document), encoding="utf-8")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """The administrator's token."""
        given = self.settings.get("ADMIN_TOKEN")
        return given or (self.data_dir / "secrets" / "admin-token").read_text(encoding="ascii").strip()

    @property
    def environment(self) -> dict[str, str]:
        """What `artifactapi` is started with here."""
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        own = {"PORT": str(self.port), "DATA_DIR": str(self.data_dir), "CONFIG_PATH": str(self.config)}
        return {**kept, "PYTHONPATH": str(ROOT), "WORKERS": "2", **own, **self.settings}

    def command(self, *arguments: str) -> list[str]:
        """`artifactapi ARGUMENTS` as a list for subprocess, to be run with `environment`."""
        return [sys.executable, "-m", "app.cli", *arguments]

    def launch(self) -> Process:
        """Start it and return at once; it dies with this process, whatever happens."""
        record, log = self.directory / "supervisor.process", self.directory / "log"
        command = Command("supervisor", self.command("run"), record, self.directory, self.environment, log=log)
        self.process = Process.start(command)
        return self.process

    def start(self, seconds: float = 90.0) -> Stack:
        """Start it and return when it serves."""
        process = self.launch()
        eventually(lambda: READY in self.log() or process.ended() is not None, "ready", seconds)
        assert process.ended() is None, self.log()
        return self

    def log(self) -> str:
        """All that it and its children wrote since its last start."""
        file = self.directory / "log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """The JSON lines of the log, or those of one event (`request` for requests)."""
        found = (json.loads(line) for line in self.log().split("\n")[:-1] if line.startswith("{"))
        return [line for line in found if event in (None, line["event"])]

    def pids(self) -> dict[str, int]:
        """The supervisor and its children by name: gunicorn, fills, postgres, valkey."""
        records = {record.stem: Recorded.read(record) for record in self.data_dir.glob("*/*.process")}
        own = {"supervisor": self.process.pid} if self.process else {}
        return own | {name: recorded.pid for name, recorded in records.items() if recorded}

    def workers(self) -> list[int]:
        """The pids of gunicorn's workers."""
        gunicorn = self.pids()["gunicorn"]
        children = Path(f"/proc/{gunicorn}/task/{gunicorn}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def running(self) -> list[int]:
        """Every process of this node, however it was started: they all name its DATA_DIR or work in it."""
        return [pid for pid in all_pids() if pid != os.getpid() and self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        place = Path(f"/proc/{pid}")
        mark = os.fsencode(self.data_dir)
        try:
            if (place / "stat").read_bytes().rpartition(b") ")[2][:1] in b"ZX":
                return False
            told = (place / "environ").read_bytes() + (place / "cmdline").read_bytes()
            return mark in told or os.fsencode((place / "cwd").readlink()).startswith(mark)
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET, whatever the status."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def reload(self) -> None:
        """Ask it to take remotes.json over; returns at once."""
        assert self.process is not None
        self.process.signal(signal.SIGHUP)

    def stop(self) -> int:
        """SIGTERM, as an init system stops it; the exit status once it has ended by itself."""
        assert self.process is not None
        self.process.signal(signal.SIGTERM)
        eventually(lambda: self.process is None or self.process.ended() is not None, "stopped", 90)
        return self._gone()

    def kill(self) -> None:
        """SIGKILL to the supervisor alone."""
        assert self.process is not None
        self.process.signal(signal.SIGKILL)
        self._gone()

    def _gone(self) -> int:
        assert self.process is not None
        self.process.bury()
        process, self.process = self.process, None
        return int(process.running.returncode)

    def close(self) -> None:
        """Stop it and remove whatever a failed test left running."""
        if self.process is not None:
            self.process.stop(60)
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)
        metric_files.discard(self.data_dir / "metrics")
        shutil.rmtree(self.data_dir / "postgres" / "cluster", ignore_errors=True)  # 40 MB a node


StackFactory = Callable[..., Stack]


@pytest.fixture(scope="session")
def stack_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackFactory]:
    """make(document, name="node", **settings) -> a Stack that is not started; all are ended with the session."""
    made: list[Stack] = []

    def make(document: Mapping[str, Any], name: str = "node", **settings: str) -> Stack:
        made.append(Stack(tmp_path_factory.mktemp(name), document, settings))
        return made[-1]

    yield make
    for stack in made:
        stack.close()
