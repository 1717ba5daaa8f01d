"""The same node's worker under other settings, or in front of stores that are away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from flask.testing import FlaskClient
from psycopg.conninfo import conninfo_to_dict

from app import compose, repositories
from app.stores.postgres import PostgresIndex
from app.stores.redis import RedisMemory
from app.web.node import Node as Parts
from tests.http.node import Node

NOBODY = {"database_url": "postgresql://x@/x?host=/nonexistent", "redis_url": "unix:///nonexistent"}


@contextmanager
def worker(node: Node, **settings: Any) -> Iterator[FlaskClient]:
    """A client of a second worker of `node` whose settings differ by `settings` (Settings' field names)."""
    changed = replace(node.settings, **settings)
    app = compose.worker(changed, repositories.load(changed.config_path), node.clock)
    parts = app.extensions["artifactapi"]
    assert isinstance(parts, Parts)
    try:
        yield app.test_client()
    finally:
        index, memory = parts.shelf.catalog.index, parts.memory
        assert isinstance(index, PostgresIndex)
        assert isinstance(memory, RedisMemory)
        parts.finish.close()
        parts.repositories.close()
        index.close()
        memory.close()


@contextmanager
def without_storage(node: Node) -> Iterator[None]:
    """The blobs' directory is unmounted, as it were."""
    blobs = node.settings.layout.blobs
    away = blobs.rename(blobs.with_name("unmounted"))
    try:
        yield
    finally:
        away.rename(blobs)


@contextmanager
def without_database(node: Node, administrator: str) -> Iterator[None]:
    """PostgreSQL serves everyone but this node: its database refuses connections, and those open are ended."""
    url = node.settings.database_url or ""
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
