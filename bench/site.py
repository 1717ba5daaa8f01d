"""What is measured with: a node of four workers, nginx and a late upstream before it, on loopback.

nginx serves /<bytes a second, 0 for no limit>/<anything>/<file>: every <anything> is a path that nobody stored.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import late
from bench.bodies import Body
from bench.client import Got, get
from tests.stack import Stack, eventually, free_port

ROOT = Path(__file__).parent.parent
WORKERS = 4
SMALL = 10 * 1024
MIB = 1 << 20

NGINX = """
{user}
daemon off; worker_processes 2; pid {here}/nginx.pid; error_log {here}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
    log_format asked "$request_method $uri";
    access_log {here}/asked.log asked;
    sendfile on; tcp_nopush on; default_type application/octet-stream;
    client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;
    uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location ~ ^/(?<rate>[0-9]+)/[^/]+/(?<file>[^/]+)$ {{ limit_rate $rate; alias {here}/files/$file; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Files:
    """nginx before a directory of files."""

    here: Path
    port: int
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def serial(self) -> int:
        """A number that was not used before in this run."""
        return next(self._names)

    def body(self, name: str, size: int) -> Body:
        """The file of that name with bytes that no file had before; `size` in bytes."""
        return Body(self.serial(), size).write(self.here / "files" / name)

    def path(self, name: str, rate: float = 0) -> str:
        """A path of that file that nobody asked for yet; `rate` limits each connection, bytes a second."""
        return f"/{rate:.0f}/{self.serial()}/{name}"

    def asked(self, path: str) -> int:
        """How many GETs of that path have ended."""
        return (self.here / "asked.log").read_text(encoding="utf-8").split("\n").count(f"GET {path}")


@dataclass(frozen=True, slots=True)
class Site:
    """Everything an item needs; `rounds` is how often it repeats what it compares."""

    node: Stack
    files: Files
    late: int  # the late upstream's port
    rounds: int

    def direct(self, path: str, body: Body, *, gather: int = 1) -> Got:
        """Fetch from nginx itself."""
        return get(self.files.port, path, body, gather=gather)

    def touch_memory(self, size: int) -> float:
        """Write and remove a file of `size` bytes, so that what is written next finds its pages free; seconds.

        A virtual machine's host finds each page at its first touch, which can cost ten times the write itself.
        """
        scratch, begun = self.node.directory / "scratch", time.perf_counter()
        with scratch.open("wb") as file:
            file.writelines(Body(0, size).blocks())
        seconds = time.perf_counter() - begun
        scratch.unlink()
        return seconds

    def through(self, path: str, body: Body, *, gather: int = 1, pace: float = 0.0) -> Got:
        """Fetch the same through the node."""
        return get(self.node.port, f"/repository/files{path}", body, gather=gather, pace=pace)


@contextlib.contextmanager
def site(rounds: int) -> Iterator[Site]:
    """Start all of it in a temporary directory; stop all of it and remove the directory after."""
    with contextlib.ExitStack() as ends:
        here = Path(ends.enter_context(_directory()))
        files = ends.enter_context(_nginx(here / "upstream"))
        slow = ends.enter_context(late.serving())
        yield Site(ends.enter_context(_node(here / "node", files.port, slow)), files, slow, rounds)


def _directory() -> tempfile.TemporaryDirectory[str]:
    """Under TMPDIR where that is set, else beside the repository's other data: /tmp may be memory."""
    place = Path(os.environ.get("TMPDIR") or ROOT / "var" / "bench")
    place.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="artifactapi-bench-", dir=place)


@contextlib.contextmanager
def _nginx(here: Path) -> Iterator[Files]:
    (here / "files").mkdir(parents=True)
    files = Files(here, free_port())
    user = "user root;" if os.geteuid() == 0 else ""
    (here / "nginx.conf").write_text(NGINX.format(user=user, here=here, port=files.port), encoding="utf-8")
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    with subprocess.Popen([program, "-c", here / "nginx.conf", "-e", here / "nginx.log"]) as process:
        try:
            warm = files.body("warm", SMALL)
            eventually(lambda: _answers(files, warm), "nginx answers", 10)
            yield files
        finally:
            process.terminate()


def _answers(files: Files, body: Body) -> bool:
    try:
        get(files.port, files.path("warm"), body)
    except ConnectionRefusedError:
        time.sleep(0.05)
        return False
    return True


@contextlib.contextmanager
def _node(directory: Path, files: int, slow: int) -> Iterator[Stack]:
    remotes = {
        name: {"package": "generic", "base_url": f"http://127.0.0.1:{port}", "immutable_patterns": [".*"]}
        for name, port in (("files", files), ("late", slow))
    }
    node = Stack(directory, {"remotes": remotes}, {"WORKERS": str(WORKERS)})
    try:
        yield node.start()
    finally:
        node.close()
