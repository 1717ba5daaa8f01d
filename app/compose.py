"""The composition root: puts a worker and the fills process together; the only file that knows every other.

Nothing connects here: pools open at their first use, which is after gunicorn's fork.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.routing import PathConverter

from app import metrics
from app.cache import Engine
from app.config import Settings
from app.fetch import Fetch
from app.repositories import Repositories
from app.shelf import Shelf
from app.stores.base import Memory
from app.stores.catalog import Catalog
from app.stores.filesystem import FilesystemBlobs
from app.stores.postgres import PostgresIndex
from app.stores.redis import RedisMemory
from app.upstream import Upstreams
from app.visit import Visits
from app.web import admin, docker, failures, images, local, remote, repository
from app.web.carrier import Carrier
from app.web.finish import Finish, Tally
from app.web.handover import HANDED, Handover
from app.web.node import EXTENSION, Node

WORKER_CONNECTIONS = 2  # to Postgres
FILLS_CONNECTIONS = 8  # to Postgres, for the one process in which every fill commits


class Rest(PathConverter):
    """Everything that follows, even what the path check will refuse."""

    part_isolating = False  # it spans slashes
    regex = "(?s:.*?)"


class Departed:
    """Ends the WSGI call of a request whose socket was handed over, in the way gunicorn's sync worker takes for
    "the application closed the connection"."""

    def __init__(self, wsgi: Any) -> None:
        self._wsgi = wsgi

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = self._wsgi(environ, start_response)
        if environ.get(HANDED):
            raise StopIteration
        return body  # type: ignore[no-any-return]


Clock = Callable[[], float]


def worker(settings: Settings, repositories: Repositories, clock: Clock = time.time) -> Flask:
    """The WSGI application of one gunicorn worker."""
    memory = RedisMemory(settings.redis_url or "")
    shelf = _shelf(settings, memory, WORKER_CONNECTIONS, clock)
    handover = Handover(settings.fills_socket or settings.layout.socket("fills.sock"))
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.converters["rest"] = Rest
    finish = Finish(Tally(memory), repositories)
    app.extensions[EXTENSION] = Node(settings, repositories, shelf, memory, handover, finish)
    failures.install(app)
    images.install(app)
    for each in (repository, docker, remote, local, admin):
        app.register_blueprint(each.blueprint)
    admin.exporter.init_app(app)
    metrics.CONFIG.labels(repositories.sha256).set(1)
    app.wsgi_app = Departed(app.wsgi_app)  # type: ignore[method-assign]
    return app


def carrier(settings: Settings, repositories: Repositories, clock: Clock = time.time) -> Carrier:
    """The fills process's loop over everything a download needs."""
    memory = RedisMemory(settings.redis_url or "")
    shelf = _shelf(settings, memory, FILLS_CONNECTIONS, clock)
    fetch = Fetch(shelf, memory, Upstreams(memory), settings.layout.spool)
    return Carrier(Engine(shelf, Visits(fetch)), repositories, Finish(Tally(memory), repositories))


def _shelf(settings: Settings, memory: Memory, connections: int, clock: Clock) -> Shelf:
    index = PostgresIndex(settings.database_url or "", connections=connections)
    return Shelf(Catalog(index, memory, clock), FilesystemBlobs(settings.layout.blobs), clock)
