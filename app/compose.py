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
from app.stores.blobs import Blobs
from app.stores.catalog import Catalog
from app.stores.filesystem import FilesystemBlobs
from app.stores.memory import Memory
from app.stores.postgres import PostgresIndex
from app.stores.redis import RedisMemory
from app.turns import Turns
from app.upstream import Upstreams
from app.upstream.peers import Peers
from app.visit import Visits
from app.web import admin, auth, docker, edges, explain, failures, images, local, peers, pulls, remote, repository
from app.web.carrier import Carrier
from app.web.finish import Finish, Tally
from app.web.handover import HANDED, Handover
from app.web.node import EXTENSION, Node
from app.web.usage import Gathered, Unrecorded, Usage

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
    finish = _finish(settings, shelf, repositories)
    app.extensions[EXTENSION] = Node(settings, repositories, shelf, memory, handover, finish)
    failures.install(app)
    images.install(app)
    for each in (repository, docker, remote, local, peers, edges, pulls, explain, auth, admin):
        app.register_blueprint(each.blueprint)
    admin.exporter.init_app(app)
    metrics.begin(repositories.sha256, repositories.remotes)
    app.wsgi_app = Departed(app.wsgi_app)  # type: ignore[method-assign]
    return app


def carrier(settings: Settings, repositories: Repositories, clock: Clock = time.time) -> Carrier:
    """The fills process's loop over everything a download needs."""
    memory = RedisMemory(settings.redis_url or "", address=settings.node_url or "")
    shelf = _shelf(settings, memory, FILLS_CONNECTIONS, clock)
    spools = settings.layout.spool
    fetch = Fetch(shelf, memory, Upstreams(memory, offline=settings.offline), spools)
    turns = Turns(shelf, memory, spools, Peers(settings.node_url or ""))
    return Carrier(Engine(shelf, Visits(fetch, turns)), repositories, _finish(settings, shelf, repositories))


def _finish(settings: Settings, shelf: Shelf, repositories: Repositories) -> Finish:
    index = shelf.catalog.index
    record = Gathered(index.pulls) if settings.pulls_keep else Unrecorded()
    return Finish(Tally(shelf.catalog.memory), Usage(index), record, repositories)


def _shelf(settings: Settings, memory: Memory, connections: int, clock: Clock) -> Shelf:
    index = PostgresIndex(settings.database_url or "", connections=connections)
    return Shelf(Catalog(index, memory, clock), blobs(settings), clock)


def blobs(settings: Settings) -> Blobs:
    """The store that STORAGE_URL names."""
    if settings.bucket is None:
        return FilesystemBlobs(settings.layout.blobs)
    from app.stores.s3 import S3Blobs  # boto3 takes a third of a second to import

    return S3Blobs(*settings.bucket, endpoint_url=settings.s3_endpoint_url)
