"""The composition root: puts a worker and the fills process together; the only file that knows every other.

Nothing connects here: pools open at their first use, which is after gunicorn's fork.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.routing import PathConverter

from app import metrics
from app.accounts.people import People
from app.cache import Engine
from app.config import Settings
from app.errors import StoreDown
from app.fetch import Fetch
from app.repositories import Repositories
from app.repositories.directory import Directory
from app.shelf import Shelf
from app.stores.blobs import Blobs
from app.stores.catalog import Catalog
from app.stores.filesystem import FilesystemBlobs
from app.stores.memory import Memory
from app.stores.postgres import PostgresIndex
from app.stores.postgres_accounts import PostgresAccounts
from app.stores.redis import RedisMemory
from app.stores.redis_accounts import RedisAccounts
from app.turns import Turns
from app.upstream import Upstreams
from app.upstream.documents import Documents
from app.upstream.peers import Peers
from app.visit import Visits
from app.web import (
    admin,
    docker,
    failures,
    images,
    json_api,
    local,
    peers,
    rates,
    remote,
    repository,
    token,
    uploads,
    virtual,
)
from app.web.carrier import Carrier
from app.web.finish import Finish, Tally
from app.web.handover import HANDED, Handover
from app.web.node import EXTENSION, Node
from app.web.token_use import TokenUse
from app.web.uploads import Uploads
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
    store, copies = accounts(settings)
    directory = Directory(repositories, store, copies)
    people = _people(settings, store, copies, clock)
    finish = _finish(settings, shelf, directory)
    app = _application(Node(settings, directory, shelf, memory, handover, finish, people))
    admin.exporter.init_app(app)
    metrics.begin(repositories.sha256, repositories.remotes)
    return app


def _application(node: Node) -> Flask:
    """What answers requests; in the fills process those with a large body."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.converters["rest"] = Rest
    app.extensions[EXTENSION] = node
    failures.install(app)
    uploads.install(app)  # before what counts requests: one that is handed over is counted where it is answered
    rates.install(app, node.settings)
    images.install(app)
    for each in (repository, token, docker, remote, local, virtual, peers):
        app.register_blueprint(each.blueprint)
    json_api.install(app)
    app.wsgi_app = Departed(app.wsgi_app)  # type: ignore[method-assign]
    return app


def carrier(settings: Settings, repositories: Repositories, clock: Clock = time.time) -> Carrier:
    """The fills process's loop over everything a download needs."""
    memory = RedisMemory(settings.redis_url or "", address=settings.node_url or "")
    shelf = _shelf(settings, memory, FILLS_CONNECTIONS, clock)
    spools = settings.layout.spool
    fetch = Fetch(shelf, memory, Upstreams(memory, offline=settings.offline), spools)
    turns = Turns(shelf, memory, spools, Peers(settings.node_url or ""))
    store, copies = accounts(settings)
    directory = Directory(repositories, store, copies)
    people = _people(settings, store, copies, clock)
    finish = _finish(settings, shelf, directory)
    handover = Handover(settings.fills_socket or settings.layout.socket("fills.sock"))
    app = _application(Node(settings, directory, shelf, memory, handover, finish, people))
    return Carrier(Engine(shelf, Visits(fetch, turns)), directory, finish, Uploads(app))


def _people(settings: Settings, store: PostgresAccounts, copies: RedisAccounts, clock: Clock) -> People:
    issuers = None
    if settings.oidc_issuers:
        from app.accounts.oidc import Issuers  # PyJWT is 3 MiB a process

        issuers = Issuers(settings.oidc_issuers, Documents(offline=settings.offline).read)
    return People(store, copies, clock, TokenUse(store.token_used), issuers)


def accounts(settings: Settings) -> tuple[PostgresAccounts, RedisAccounts]:
    """Users, tokens, projects, and their copies."""
    memory = RedisAccounts(settings.redis_url or "")

    def tell(count: int) -> None:
        with contextlib.suppress(StoreDown):  # then it is told the count anew before it is believed again
            memory.outdate(count)

    return PostgresAccounts(settings.database_url or "", tell), memory


def _finish(settings: Settings, shelf: Shelf, repositories: Directory) -> Finish:
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
