"""A whole node inside the test's process: the worker's Flask app, the fills process's loop, real stores, a clock."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import compose, config, repositories
from app.stores.postgres import PostgresIndex
from app.stores.redis import RedisMemory
from app.upstream import Upstreams
from app.upstream.breakers import Breakers

TOKEN = "an-admin-token-of-the-tests"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


class Clock:
    """Unix seconds that only move when told."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


class Node:
    """One remote `up` (generic, mutable_ttl 100 s) in front of the given upstream, one local `team`."""

    def __init__(
        self, root: Path, database_url: str, redis_url: str, config_text: dict[str, Any], **settings: str
    ) -> None:
        self.root = root
        self.clock = Clock()
        path = root / "remotes.json"
        path.write_text(json.dumps(config_text))
        self.settings = config.from_environment(
            {
                "CONFIG_PATH": str(path),
                "DATA_DIR": str(root / "d"),
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "ADMIN_TOKEN": TOKEN,
                "ARTIFACTAPI_FILLS_SOCKET": str(root / "f.sock"),
                **settings,
            }
        )
        self.settings.layout.prepare()
        known = repositories.load(path)
        self.carrier = compose.carrier(self.settings, known, self.clock)
        self.app = compose.worker(self.settings, known, self.clock)
        self.upstreams.breakers = Breakers(self.clock)
        self.client: FlaskClient = self.app.test_client()

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.ask("GET", path, None, **headers)

    def head(self, path: str, **headers: str) -> TestResponse:
        return self.ask("HEAD", path, None, **headers)

    def ask(self, method: str, path: str, data: bytes | None = None, /, **headers: str) -> TestResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(path, method=method, headers=sent, data=data, buffered=True)

    def stream(self, path: str, **headers: str) -> TestResponse:
        """A GET whose body is still to be read, and which must be closed."""
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def admin(self, method: str, path: str, data: bytes | None = None, **headers: str) -> TestResponse:
        return self.ask(method, path, data, **ADMIN, **headers)

    def idle(self) -> None:
        """Every response and fill has ended."""
        assert self.carrier.drain(20)

    @property
    def upstreams(self) -> Upstreams:
        return self.carrier.engine.visits.fetch.upstreams

    def spools(self) -> list[Path]:
        return list(self.settings.layout.spool.iterdir())

    def blobs(self) -> list[Path]:
        return [path for path in (self.settings.layout.blobs / "sha256").rglob("*") if path.is_file()]

    @contextmanager
    def running(self) -> Iterator[Node]:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.settings.fills_socket))
        listener.listen(64)
        stopping = threading.Event()
        thread = threading.Thread(target=self.carrier.serve, args=(listener, stopping))
        thread.start()
        try:
            yield self
        finally:
            stopping.set()
            thread.join()
            self.carrier.drain(10)
            listener.close()
            self._close()

    def _close(self) -> None:
        self.upstreams.close()
        self.carrier.finish.close()
        self.app.extensions["artifactapi"].finish.close()
        self.app.extensions["artifactapi"].accounts.close()
        self.app.extensions["artifactapi.rates"].close()
        self.carrier.repositories.close()
        self.app.extensions["artifactapi"].repositories.close()
        for shelf in (self.carrier.engine.shelf, self.app.extensions["artifactapi"].shelf):
            index, memory = shelf.catalog.index, shelf.catalog.memory
            assert isinstance(index, PostgresIndex)
            assert isinstance(memory, RedisMemory)
            index.close()
            memory.close()


def body(response: TestResponse) -> bytes:
    """The whole body; raises where it was cut."""
    return response.get_data()
