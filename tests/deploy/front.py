"""Knows how the shipped nginx.conf is run in a test: only its addresses and paths are other ones."""

from __future__ import annotations

import http.client
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.stack import ROOT, free_port

DEPLOY = ROOT / "deploy"


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Each of `changes` exactly once; an assertion where the shipped file has it no longer, or twice."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    return text


class Front:
    """nginx in front of `nodes` (ports of 127.0.0.1), whose blobs are below `blobs` or in `s3` (host:port).

    `work` is its own directory; `cache` and `leases` in it are what it shares with its agent, and `work`/edge.log;
    `door` is the port at which the agent asks.
    """

    def __init__(
        self, executable: str, work: Path, nodes: tuple[int, int], blobs: Path, s3: str = "127.0.0.1:9"
    ) -> None:
        self.port, self.second_port, self.door = free_port(), free_port(), free_port()
        self.work, self.s3 = work, s3
        self.cache, self.leases = work / "cache", work / "leases"
        (work / "more").mkdir(parents=True)
        self.leases.mkdir()
        self.configuration = work / "nginx.conf"
        self.configuration.write_text(
            replaced((DEPLOY / "nginx.conf").read_text("utf-8"), self._changes(nodes, blobs))
        )
        self.command = [executable, "-e", f"{work}/error.log", "-p", str(work), "-c", str(self.configuration)]
        self._process: subprocess.Popen[bytes] | None = None

    def _changes(self, nodes: tuple[int, int], blobs: Path) -> dict[str, str]:
        work = self.work
        unused = "".join(f"{each}_temp_path {work}/{each}; " for each in ("fastcgi", "uwsgi", "scgi"))
        return {
            "pid /run/nginx.pid;": f"pid {work}/pid;",
            "error_log /var/log/nginx/error.log warn;": f"error_log {work}/error.log warn;",
            "access_log /var/log/nginx/access.log json": f"access_log {work}/access.log json",
            "access_log /var/log/nginx/edge.log edge": f"access_log {work}/edge.log edge",
            "proxy_cache_path /var/cache/artifactapi-edge ": f"proxy_cache_path {self.cache} ",
            "-f /run/artifactapi-edge/$second": f"-f {self.leases}/$second",
            "server 127.0.0.1:8333;": f"server {self.s3};",
            "Host 127.0.0.1:8333;": f"Host {self.s3};",
            "client_body_temp_path /var/lib/nginx/body;": f"client_body_temp_path {work}/body; {unused}",
            "proxy_temp_path /var/lib/nginx/proxy;": f"proxy_temp_path {work}/proxy;",
            "server 127.0.0.1:8081 ": f"server 127.0.0.1:{nodes[0]} ",
            "server 127.0.0.1:8082 ": f"server 127.0.0.1:{nodes[1]} ",
            "listen 80 default_server;": f"listen 127.0.0.1:{self.port} default_server;",
            "listen [::]:80 default_server;": f"listen 127.0.0.1:{self.second_port} default_server;",
            "listen 127.0.0.1:8090;": f"listen 127.0.0.1:{self.door};",
            "include /etc/nginx/artifactapi/*.conf;": f"include {work}/more/*.conf;",
            "alias /var/lib/artifactapi/blobs/;": f"alias {blobs}/;",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def checked(self) -> str:
        """What `nginx -t` says of the configuration."""
        done = subprocess.run(
            [*self.command, "-t"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=30
        )
        return done.stdout.decode() + self.errors()

    def start(self, status: int = 404) -> None:
        """Return once it answers with this `status` by itself, whatever the nodes do."""
        self._process = subprocess.Popen([*self.command, "-g", "daemon off;"], cwd=self.work)
        deadline = time.monotonic() + 10
        while self._status() != status:
            assert self._process.poll() is None and time.monotonic() < deadline, self.errors()
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def reload(self) -> None:
        """Have it read its configuration again; new workers take over from the old ones."""
        assert self._process
        self._process.send_signal(signal.SIGHUP)

    def workers(self) -> set[int]:
        """The pids of its children."""
        assert self._process
        pid = self._process.pid
        return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()}

    def errors(self) -> str:
        file = self.work / "error.log"
        return file.read_text("utf-8", errors="replace") if file.exists() else ""

    def _status(self) -> int:
        """Of what nginx answers itself; 0 where it does not yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/api/v1/fills")
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()


@contextmanager
def running(front: Front, status: int = 404) -> Iterator[Front]:
    """It runs until the block ends."""
    front.start(status)
    try:
        yield front
    finally:
        front.stop()
