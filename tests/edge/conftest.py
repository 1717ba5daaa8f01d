"""A small nginx with the shipped one's key, log and lease; the agent as its own process; both as the test's user."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import require
from tests.edge.node import TOKEN, Node
from tests.stack import ROOT, eventually, free_port

CONFIGURATION = r"""
daemon off;
{user}
worker_processes 2;
pid {work}/pid;
error_log {work}/error.log notice;
events {{ worker_connections 256; }}
http {{
    {temporary}
    proxy_cache_path {work}/cache levels=1:2 keys_zone=edge:{zone} inactive=1d use_temp_path=off;
    map $msec $second {{ "~^([0-9]+)" $1; }}
    map $lease $edge {{ volatile; default off; leased edge; }}
    map $lease $ask {{ volatile; default ""; leased $msec; }}
    map $upstream_cache_status $edge_hit {{ default ""; HIT $upstream_http_x_edge_entry; }}
    log_format edge escape=json
        '$upstream_cache_status\t$msec\t$remote_addr\t$request_method\t$status\t$body_bytes_sent\t$edge_hit\t'
        '$request_id';
    access_log {work}/edge.log edge buffer=64k flush=200ms if=$edge_hit;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            set $lease "";
            if (-f {work}/leases/$second) {{ set $lease leased; }}
            proxy_cache $edge;
            proxy_cache_key $request_method|$scheme|$http_host|$request_uri;
            proxy_cache_convert_head off;
            proxy_ignore_headers Cache-Control Expires Set-Cookie;
            proxy_hide_header X-Edge-Entry;
            proxy_http_version 1.1;
            proxy_set_header X-Edge $ask;
            add_header X-Status $upstream_cache_status;
            proxy_pass http://127.0.0.1:{node};
        }}
        location = /alive {{ return 204; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Got:
    """An answer through nginx; `cache` is nginx's own word."""

    status: int
    cache: str
    body: bytes


class Edge:
    """nginx below `work`, in front of `node`, and its agent, `name`. `zone`: nginx's room for names of files."""

    def __init__(self, work: Path, node: Node, name: str = "one", zone: str = "1m") -> None:
        self.work, self.node, self.name, self.port = work, node, name, free_port()
        self.cache, self.log, self.leases = work / "cache", work / "edge.log", work / "leases"
        self.state = work / "state" / "state.json"
        self.state.parent.mkdir()
        unused = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{each}_temp_path {work}/{each};" for each in unused)
        values = {"work": work, "port": self.port, "node": node.port, "temporary": temporary, "zone": zone}
        values["user"] = "user root;" if os.geteuid() == 0 else ""
        (work / "nginx.conf").write_text(CONFIGURATION.format(**values))
        self.nginx: subprocess.Popen[bytes] | None = None
        self.agent: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        command = [require("nginx"), "-e", f"{self.work}/error.log", "-p", str(self.work), "-c", "nginx.conf"]
        self.nginx = subprocess.Popen(command)
        eventually(lambda: self._alive(), "nginx answers")

    def start(self, url: str = "", options: Sequence[str] = ()) -> None:
        """The agent, until end() or kill()."""
        command = [sys.executable, "-m", "app.edge", "--url", url or self.node.url, "--name", self.name]
        command += ["--cache", str(self.cache), "--log", str(self.log), "--leases", str(self.leases)]
        command += ["--state", str(self.state), *options]
        environment = {"EDGE_TOKEN": TOKEN, "LOG_FORMAT": "text", "PATH": os.environ["PATH"]}
        with (self.work / "agent.log").open("ab") as told:
            self.agent = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=told, stderr=told)

    def start_leased(self) -> None:
        before = self.told().count(" leased ")
        self.start()
        eventually(lambda: self.told().count(" leased ") > before and self.leased, "the agent has its lease", 15)

    def end(self) -> int:
        """By SIGTERM; its exit status."""
        assert self.agent
        self.agent.terminate()
        status = self.agent.wait(15)
        self.agent = None
        return status

    def kill(self) -> None:
        assert self.agent
        self.agent.kill()
        self.agent.wait(5)
        self.agent = None

    def signal(self, number: signal.Signals) -> None:
        assert self.agent
        self.agent.send_signal(number)

    def stop(self) -> None:
        for each in (self.agent, self.nginx):
            if each:
                each.send_signal(signal.SIGCONT)
                _ended(each)

    def stop_nginx(self) -> None:
        assert self.nginx
        _ended(self.nginx)
        self.nginx = None

    @property
    def leased(self) -> bool:
        return (self.leases / str(int(time.time()))).exists()

    def told(self) -> str:
        file = self.work / "agent.log"
        return file.read_text("utf-8") if file.exists() else ""

    def ask(self, path: str, method: str = "GET", **headers: str) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return Got(answer.status, answer.getheader("X-Status", ""), answer.read())
        finally:
            connection.close()

    def kept(self, path: str, method: str = "GET") -> None:
        """Ask until nginx answers it out of what it keeps for long."""
        eventually(lambda: self.ask(path, method).cache == "HIT", f"{path} is kept", 10)

    def version(self, path: str) -> int:
        """Of the body that it answers with."""
        return int(self.ask(path).body.split()[1])

    def files(self) -> list[Path]:
        """Those that are finished."""
        return [each for each in self.cache.rglob("*") if each.is_file() and not each.suffix]

    def _alive(self) -> bool:
        assert self.nginx and self.nginx.poll() is None, (self.work / "error.log").read_text()
        try:
            return self.ask("/alive").status == 204
        except OSError:
            return False


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.close()


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()


@contextlib.contextmanager
def running(node: Node, name: str = "one", zone: str = "1m") -> Iterator[Edge]:
    """nginx runs, the agent not yet. Below a directory that nginx's user may pass through, unlike pytest's."""
    work = Path(tempfile.mkdtemp(prefix="edge"))
    work.chmod(0o755)
    made = Edge(work, node, name, zone)
    try:
        made.begin()
        yield made
    finally:
        made.stop()
        shutil.rmtree(work, ignore_errors=True)


@pytest.fixture
def edge(node: Node) -> Iterator[Edge]:
    with running(node) as made:
        yield made
