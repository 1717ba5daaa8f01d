"""Several nodes that share one Postgres, one Redis and one blob store, as `artifactapi run` starts them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soak.client import Answer, Request, ask
from tests.stack import READY, Stack, StackFactory, eventually

TOKEN = "the-token-of-the-fleet"
WORKERS = 4


@dataclass(frozen=True, slots=True)
class Shared:
    """What makes nodes a fleet; `storage` is STORAGE_URL and what belongs to it."""

    database_url: str
    redis_url: str
    storage: Mapping[str, str]

    @property
    def settings(self) -> dict[str, str]:
        urls = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, **self.storage}
        return {**urls, "ADMIN_TOKEN": TOKEN, "WORKERS": str(WORKERS)}


@dataclass(frozen=True, slots=True)
class Fleet:
    """Nodes that were not started; `with` starts them all at once."""

    nodes: Sequence[Stack]

    @classmethod
    def of(cls, make: StackFactory, count: int, document: Mapping[str, Any], shared: Shared) -> Fleet:
        nodes = [make(document, f"node {number}", **shared.settings) for number in range(count)]
        for node in nodes:
            node.settings["NODE_URL"] = node.url
        return cls(nodes)

    def start(self) -> Fleet:
        """All at once, as after a power cut."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            await_ready(node)
        return self

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.stop()


def await_ready(node: Stack, seconds: float = 90.0) -> None:
    """Return when a launched node serves."""
    process = node.process
    assert process is not None
    eventually(lambda: READY in node.log() or process.ended() is not None, "ready", seconds)
    assert process.ended() is None, node.log()


def get(node: Stack, path: str, *, limit: float = 30.0, keep: bool = True) -> Answer:
    return ask(Request(node.port, path, limit=limit, keep=keep))


def put(node: Stack, path: str, data: bytes, limit: float = 30.0) -> Answer:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return ask(Request(node.port, path, "PUT", headers, data, limit, keep=True))


def flush(node: Stack, query: str = "", limit: float = 30.0) -> Answer:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return ask(Request(node.port, f"/cache/flush?{query}", "PUT", headers, b"", limit, keep=True))


def destroy(node: Stack) -> None:
    """SIGKILL to every process of a node, as when its machine goes."""
    for pid in node.running():
        os.kill(pid, signal.SIGKILL)
    node.kill()
