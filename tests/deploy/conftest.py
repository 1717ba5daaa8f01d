"""What tests of the deployment may ask for: two nodes behind the shipped nginx, and the clients of the fleet."""

from __future__ import annotations

import grp
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.layout import Layout
from app.stores.filesystem import FilesystemBlobs
from app.supervisor.embedded import Postgres, Valkey
from tests.clients.conftest import (
    apk,
    apk_machine,
    apt,
    archive,
    curl,
    debs,
    dnf,
    home,
    key,
    rpms,
)
from tests.clients.nginx import Nginx
from tests.clients.remote import Remote
from tests.conftest import require
from tests.containers.daemon import short_directory
from tests.containers.machine import Source
from tests.containers.registry import Registry
from tests.containers.skopeo import Skopeo
from tests.deploy.front import Front, running
from tests.faults.reader import Reader
from tests.seaweed import SeaweedFS
from tests.stack import Stack
from tests.upstreams import Upstream

__all__ = ["apk", "apk_machine", "apt", "archive", "curl", "debs", "dnf", "home", "key", "rpms"]  # fixtures by import

TOKEN = "an-administrator-s-token"
GROUP = "www-data"  # of the nginx that nginx.conf starts
PACKAGES = ("rpm", "apk", "deb")
_NUMBERS = itertools.count()


class Door(Stack):
    """The fleet as one address: what clients are given, and what both nodes log."""

    nodes: tuple[Stack, ...] = ()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        return [line for node in self.nodes for line in node.lines(event)]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Two nodes, the nginx in front of them, and the upstreams behind."""

    kind: str  # where the blobs are: "file" or "s3"
    front: Front
    nodes: tuple[Stack, Stack]
    door: Door
    upstream: Upstream
    upstreams: Mapping[str, Nginx]
    registry: Registry

    def remote(self, package: str) -> Remote:
        """The remote of that package, reached through nginx."""
        return Remote(package, self.upstreams[package], self.door)

    @property
    def images(self) -> Source:
        return Source("images", self.registry, self.door)

    def begin(self, path: str, method: str = "GET", **headers: str) -> Reader:
        """A request through nginx for a path of the remote `up`, read by its framing."""
        path = path if path.startswith(("/api/", "/repository/", "/v2/")) else f"/repository/up{path}"
        return Reader(self.front.port, path, method=method, Connection="close", **headers)

    def locally(self, work: Path) -> Front:
        """Another nginx in front of the same nodes, not started."""
        ports = (self.nodes[0].port, self.nodes[1].port)
        return Front(require("nginx"), work, ports, self.nodes[0].directory.parent / "blobs")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Upstream, dict[str, Nginx], Registry]]:
    """The upstreams of every fleet: one that misbehaves, one of files for each package, one of images."""
    with ExitStack() as stack:
        work = tmp_path_factory.mktemp("upstreams")
        upstream = Upstream()
        stack.callback(upstream.stop)
        files = {
            f"{package}-{kind}": Nginx(require("nginx"), work / f"{package}-{kind}")
            for package in PACKAGES
            for kind in ("file", "s3")
        }
        registry = Registry(require("docker-registry"), require("nginx"), work / "registry")
        for server in files.values():
            stack.callback(server.close)
            server.start()
        stack.callback(registry.close)
        registry.start()
        yield upstream, files, registry


@pytest.fixture(scope="module", params=["file", "s3"])
def fleet(
    request: pytest.FixtureRequest, postgres: Postgres, behind: tuple[Upstream, dict[str, Nginx], Registry]
) -> Iterator[Fleet]:
    """Two nodes of two workers that share everything but DATA_DIR, behind nginx; blobs as files, or in S3."""
    upstream, files, registry = behind
    mine = {package: files[f"{package}-{request.param}"] for package in PACKAGES}
    with _place() as place, _database(postgres) as database, _redis(place) as redis_url, ExitStack() as stack:
        settings = _common(database, redis_url) | _storage(request, place)
        nodes = tuple(_node(place / name, _document(upstream, mine, registry), settings) for name in ("a", "b"))
        for node in nodes:
            stack.callback(node.close)
            node.start()
        s3 = settings.get("S3_ENDPOINT_URL", "http://127.0.0.1:9").removeprefix("http://")
        front = Front(require("nginx"), place / "nginx", (nodes[0].port, nodes[1].port), place / "blobs", s3)
        stack.enter_context(running(front))
        door = Door(place / "door", {}, {"ADMIN_TOKEN": TOKEN})
        door.port, door.nodes = front.port, nodes
        yield Fleet(request.param, front, (nodes[0], nodes[1]), door, upstream, mine, registry)


def _node(directory: Path, document: Mapping[str, Any], settings: Mapping[str, str]) -> Stack:
    node = Stack(directory, document, settings)
    node.settings["NODE_URL"] = node.url
    return node


def _common(database: str, redis_url: str) -> dict[str, str]:
    stores = {"DATABASE_URL": database, "REDIS_URL": redis_url, "STORAGE_MIN_FREE": "0"}
    return {**stores, "ADMIN_TOKEN": TOKEN, "TRUSTED_PROXIES": "127.0.0.1", "UPLOAD_MAX": "64M"}


def _storage(request: pytest.FixtureRequest, place: Path) -> dict[str, str]:
    """Files that nginx may read, by their group alone; or a bucket."""
    blobs = place / "blobs"
    if request.param == "file":
        Layout(place / "shared", blobs).prepare()
        base = FilesystemBlobs(blobs).base
        if os.geteuid() == 0:
            os.chown(base, -1, grp.getgrnam(GROUP).gr_gid)
        return {"STORAGE_URL": f"file://{blobs}", "ACCEL_REDIRECT": "/_blobs/"}
    seaweed: SeaweedFS = request.getfixturevalue("seaweed")
    bucket = seaweed.bucket()
    return {"STORAGE_URL": bucket.url, **bucket.environment, "ACCEL_REDIRECT": "/_s3/"}


def _document(upstream: Upstream, files: Mapping[str, Nginx], registry: Registry) -> dict[str, Any]:
    quick = {"connect_timeout": 2, "first_byte_timeout": 5, "stall_timeout": 2}
    remotes: dict[str, Any] = {package: {"package": package, "base_url": each.url} for package, each in files.items()}
    plain = {"base_url": upstream.url, "upstream": quick, "cache": {"mutable_ttl": "1h"}}
    images = {"package": "docker", "base_url": registry.url, "hosts": ["images.example:8443"]}
    fixed = {**plain, "immutable_patterns": [r"\.bin$"], "cache": {"mutable_ttl": "1s"}}
    fixed["mutable_patterns"] = [r"\.txt$"]
    remotes |= {"up": plain, "fixed": fixed, "images": images}
    virtuals = {"every": {"package": "generic", "members": ["team", "fixed"]}}
    return {"remotes": remotes, "locals": {"team": {"package": "generic"}}, "virtuals": virtuals}


@contextmanager
def _place() -> Iterator[Path]:
    """A directory that nginx's own user may pass through, unlike pytest's."""
    place = Path(tempfile.mkdtemp(prefix="fleet"))
    place.chmod(0o711)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _database(postgres: Postgres) -> Iterator[str]:
    name = f"fleet_{next(_NUMBERS)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres.database_url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _redis(place: Path) -> Iterator[str]:
    """Its own, which no other test empties meanwhile."""
    server = Valkey(place / "valkey", place / "s")
    server.start()
    try:
        server.await_ready(10)
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def skopeo() -> Iterator[Callable[[], Skopeo]]:
    """skopeo(): one on a fresh machine."""
    command = require("skopeo")
    with short_directory() as homes:

        def make() -> Skopeo:
            made = homes / str(next(_NUMBERS))
            made.mkdir()
            return Skopeo(command, made)

        yield make
