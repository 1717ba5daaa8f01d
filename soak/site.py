"""Everything a soak run starts, all of it on loopback and its own: stores, an upstream, nodes.

Start it and start its servers again from the main thread only: they end with the thread that started them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.supervisor.embedded import Postgres, Server, Valkey
from app.supervisor.processes import Command, all_pids
from soak.client import Request, ask
from tests.deploy.front import Front, running
from tests.fleet.fleet import TOKEN, Fleet, Shared
from tests.seaweed import SeaweedFS
from tests.stack import ROOT, Stack, free_port

PATIENCE = {"connect_timeout": 1, "first_byte_timeout": 3, "stall_timeout": 3}  # seconds


class Upstream(Server):
    """soak.upstream as a process."""

    name = "upstream"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = free_port()

    def _command(self) -> Command:
        arguments = (sys.executable, "-m", "soak.upstream", str(self.port))
        log = self.directory / "log"
        return Command(self.name, arguments, self.record, ROOT, dict(os.environ), log=log)

    def _works(self) -> bool:
        return ask(Request(self.port, "/kept/0", "HEAD", limit=1)).status == 200


@dataclass(frozen=True, slots=True)
class Site:
    """`servers` by name: redis, postgres, s3, upstream. `front` is nginx's port, or 0 where there is none."""

    servers: dict[str, Server]
    nodes: Sequence[Stack]
    front: int = 0
    token: str = TOKEN

    @property
    def doors(self) -> list[int]:
        """Where clients ask: each node, and then nginx."""
        return [*(node.port for node in self.nodes), *([self.front] if self.front else [])]

    def pids(self, name: str) -> list[int]:
        """Every process of a server. Postgres gives each of its backends a session of its own; what all of them
        have in common is where they work."""
        server = self.servers[name]
        if isinstance(server, Postgres):
            return [pid for pid in all_pids() if _works_in(pid, server.cluster)]
        return server.process.recorded.members()


def _works_in(pid: int, directory: Path) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    return False


def _document(upstream: int) -> dict[str, Any]:
    common = {"base_url": f"http://127.0.0.1:{upstream}", "upstream": PATIENCE}
    kept = {**common, "immutable_patterns": [".*"]}
    remotes = {"fixed": kept, "kept": kept, "live": {**common, "cache": {"mutable_ttl": 2}}}
    return {"remotes": remotes, "locals": {"team": {"package": "generic"}}}


@contextlib.contextmanager
def site(nodes: int, place: Path | None = None) -> Iterator[Site]:
    """Start all of it under a temporary directory; stop all of it and remove the directory after."""
    with contextlib.ExitStack() as ends:
        directory = place or Path(ends.enter_context(_directory()))
        servers: dict[str, Server] = {
            "redis": Valkey(directory / "valkey", directory / "r" / "s"),
            "postgres": Postgres(directory / "postgres", directory / "p"),
            "s3": SeaweedFS(directory / "s3"),
            "upstream": Upstream(directory / "upstream"),
        }
        for server in servers.values():
            ends.callback(_end, server)
            server.start()
        for server in servers.values():
            server.await_ready(60)
        made = _fleet(nodes, directory, servers)
        for node in made.nodes:
            ends.callback(node.close)
        nodes_there = made.start().nodes
        yield Site(servers, nodes_there, ends.enter_context(_front(directory, nodes_there)))


def _end(server: Server) -> None:
    server.stop()
    if isinstance(server, SeaweedFS):
        server.clear()


def _fleet(count: int, directory: Path, servers: dict[str, Server]) -> Fleet:
    postgres, valkey, seaweed, upstream = (servers[name] for name in ("postgres", "redis", "s3", "upstream"))
    assert isinstance(postgres, Postgres) and isinstance(valkey, Valkey)
    assert isinstance(seaweed, SeaweedFS) and isinstance(upstream, Upstream)
    bucket = seaweed.bucket()
    storage = {"STORAGE_URL": bucket.url, **bucket.environment}
    shared = Shared(postgres.url, valkey.url, storage)

    def make(document: Any, name: str, **settings: str) -> Stack:
        return Stack(directory / name.replace(" ", "-"), document, settings)

    return Fleet.of(make, count, _document(upstream.port), shared)


@contextlib.contextmanager
def _front(directory: Path, nodes: Sequence[Stack]) -> Iterator[int]:
    """The port of the shipped nginx.conf, which has two nodes; 0 for another number, and without nginx."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or len(nodes) != 2:
        yield 0
        return
    directory.chmod(0o711)  # its workers are another user
    with running(Front(program, directory / "nginx", (nodes[0].port, nodes[1].port), directory)) as front:
        yield front.port


@contextlib.contextmanager
def _directory() -> Iterator[str]:
    """Under TMPDIR where that is set, else beside the repository's other data: /tmp may be memory."""
    place = Path(os.environ.get("TMPDIR") or ROOT / "var" / "soak")
    place.mkdir(parents=True, exist_ok=True)
    found = tempfile.mkdtemp(prefix="soak-", dir=place)
    try:
        yield found
    finally:
        shutil.rmtree(found, ignore_errors=True)
