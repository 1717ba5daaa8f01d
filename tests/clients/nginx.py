"""Knows how to run a real nginx as an upstream: a directory on a loopback port, and a log of what was asked."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SLOW = 6  # MB/s below /slow/

# One process and one event loop: when a later request is answered, every earlier line is in the log.
_CONFIGURATION = """\
daemon off;
master_process off;
pid {work}/pid;
error_log {work}/error.log warn;
events {{ worker_connections 256; }}
http {{
    log_format hits escape=json '{{"method":"$request_method","path":"$request_uri","status":$status,'
        '"range":"$http_range","conditional":"$http_if_none_match$http_if_modified_since",'
        '"authorization":"$http_authorization"}}';
    client_body_temp_path {work}/client; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    default_type application/octet-stream;
    sendfile_max_chunk 256k;
    server {{
        listen 127.0.0.1:{port};
        root "{root}";
        access_log {work}/access.log hits;
        location = /.barrier {{ access_log off; return 204; }}
        location /slow/ {{ limit_rate {slow}m; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """One request as nginx logged it: the path still percent-encoded, absent headers empty."""

    method: str
    path: str
    status: int
    range: str
    conditional: str
    authorization: str


class Nginx:
    """An upstream that serves `root`; what lies below `slow/` arrives at 6 MB/s."""

    def __init__(self, executable: str, work: Path) -> None:
        self.root = work / "www"
        self.root.mkdir(parents=True)
        self._work = work
        self._reserved = _reserved_port()
        port = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._command = [executable, "-e", f"{work}/error.log", "-p", f"{work}", "-c", f"{work}/nginx.conf"]
        self._process: subprocess.Popen[bytes] | None = None
        text = _CONFIGURATION.format(work=work, root=self.root, port=port, slow=_SLOW)
        (work / "nginx.conf").write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Return once it answers, on the same port every time."""
        self._process = subprocess.Popen(self._command, cwd=self._work)
        deadline = time.monotonic() + 10
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._work / "error.log").read_text(encoding="utf-8"))
            time.sleep(0.01)

    def stop(self) -> None:
        """Return once it is gone: a connection is refused from now on."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._reserved.close()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Upstream is down inside this block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Upstream accepts connections and never answers inside this block."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def hits(self, suffix: str = "") -> list[Hit]:
        """Every request finished so far whose path ends with `suffix`, in order."""
        if self._process:
            assert self._answers()
        log = self._work / "access.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [hit for hit in (Hit(**json.loads(line)) for line in lines) if hit.path.endswith(suffix)]

    def count(self, path_suffix: str | None = None) -> int:
        """How many requests reached this upstream."""
        return len(self.hits(path_suffix or ""))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/.barrier", timeout=5) as response:
                return bool(response.status == 204)
        except OSError:
            return False


def _reserved_port() -> socket.socket:
    """A socket that keeps a port for nginx while it is down: Linux lets a second socket with SO_REUSEADDR
    listen where the first one never does, and gives the port to nobody else."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved
