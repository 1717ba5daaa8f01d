"""Our node as it is run in production: behind the shipped nginx.conf, with `artifactapi edge` beside that nginx."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.peers.product import Program, descendants
from tests.deploy.front import Front, running
from tests.stack import Stack, eventually

ACCEL = {"ACCEL_REDIRECT": "/_blobs/", "TRUSTED_PROXIES": "127.0.0.1"}
ACCEL_S3 = {"ACCEL_REDIRECT": "/_s3/", "TRUSTED_PROXIES": "127.0.0.1"}
NOWHERE = "127.0.0.1:9"  # where no S3 is


@dataclass(frozen=True, slots=True)
class Edge:
    """nginx and its agent, in front of one node."""

    front: Front
    agent: Program

    @property
    def port(self) -> int:
        return self.front.port

    def processes(self) -> list[int]:
        """Of nginx and the agent; the node's own are not among them."""
        process = self.front._process
        return [*(descendants(process.pid) if process else []), *self.agent.pids()]

    def leased(self) -> bool:
        """Whether nginx may keep answers for long at this moment."""
        return (self.front.leases / f"{time.time():.0f}").exists()


@contextlib.contextmanager
def edge(nginx: str, work: Path, node: Stack, s3: str = NOWHERE) -> Iterator[Edge]:
    """In front of `node`, which has ACCEL (or ACCEL_S3, with its S3's host:port as `s3`); it holds its lease."""
    work.mkdir(parents=True)
    front = Front(nginx, work, (node.port, node.port), node.data_dir / "blobs", s3)
    _as_root(front.configuration)
    with running(front):
        agent = Program(node.command("edge", *_places(front, node)), work / "agent.log", _told(node))
        agent.start()
        try:
            here = Edge(front, agent)
            eventually(here.leased, f"a lease: {(work / 'agent.log').read_text(encoding='utf-8')}", 20)
            yield here
        finally:
            agent.stop()


def _as_root(configuration: Path) -> None:
    """Everything here is this user's, in a directory of its own; root's nginx keeps reading it."""
    if os.geteuid() == 0:
        text = configuration.read_text(encoding="utf-8")
        configuration.write_text(text.replace("user www-data;", "user root;"), encoding="utf-8")


def _places(front: Front, node: Stack) -> list[str]:
    """What of nginx's the agent is to look after."""
    work = front.work
    files = {"cache": front.cache, "log": work / "edge.log", "leases": front.leases, "state": work / "state.json"}
    return [f"--url={node.url}", "--name=bench", *(f"--{name}={path}" for name, path in files.items())]


def _told(node: Stack) -> Mapping[str, str]:
    return {**node.environment, "EDGE_TOKEN": node.token}
