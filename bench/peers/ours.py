"""This project: a node of two workers alone, and the same node behind the shipped nginx with its agent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg

from app.layout import Layout
from app.supervisor.embedded import Postgres
from bench.edge import ACCEL, ACCEL_S3, Edge, edge
from bench.peers import asking
from bench.peers.product import ALONE, EDGE, S3_ALONE, S3_EDGE, Product
from bench.peers.stock import KEYS
from tests import seaweed
from tests.stack import Stack

WORKERS = {"WORKERS": "2"}  # one for each core, as docker-registry and apt-cacher-ng use both
FRESH = {"cache": {"mutable_ttl": 86400}}
PATTERN = "/0/0/key-%d.deb"
_COPIED = """
    INSERT INTO entries SELECT (jsonb_populate_record(entries, jsonb_build_object(
        'key_hash', '\\x' || encode(sha256(convert_to(made.key, 'UTF8')), 'hex'), 'key', made.key, 'path', made.path
    ))).* FROM entries, LATERAL (
        SELECT replace(key, 'key-1.deb', name) AS key, replace(path, 'key-1.deb', name) AS path
        FROM (SELECT 'key-' || number || '.deb' AS name FROM generate_series(2, %s) AS number) AS named
    ) AS made WHERE entries.repository = 'files' AND entries.path LIKE '%%/key-1.deb'
"""


@contextlib.contextmanager
def serving(nginx: str, work: Path, upstream: int, images: int | None) -> Iterator[list[Product]]:
    """On the filesystem: alone, and behind nginx."""
    with _node(work / "node", upstream, images, ACCEL) as node, edge(nginx, work / "edge", node) as front:
        _fill_keys(node)
        image = _image if images else None
        yield [_alone(ALONE, node, image), _behind(EDGE, node, front, image)]


@contextlib.contextmanager
def on_s3(nginx: str, work: Path, upstream: int) -> Iterator[list[Product]]:
    """The same with SeaweedFS below."""
    (work / "weed").mkdir(parents=True)
    with seaweed.running(work / "weed") as server:
        bucket = server.bucket()
        told = {"STORAGE_URL": bucket.url, **bucket.environment, **ACCEL_S3}
        at = server.url.removeprefix("http://")
        with _node(work / "node", upstream, None, told) as node, edge(nginx, work / "edge", node, at) as front:
            yield [_alone(S3_ALONE, node, None), _behind(S3_EDGE, node, front, None)]


@contextlib.contextmanager
def _node(directory: Path, upstream: int, images: int | None, told: Mapping[str, str]) -> Iterator[Stack]:
    base = f"http://127.0.0.1:{upstream}"
    remotes = {
        "files": {"package": "generic", "base_url": base, "immutable_patterns": [".*"]},
        "rpm": {"package": "rpm", "base_url": f"{base}/sets", **FRESH},
        "apk": {"package": "apk", "base_url": f"{base}/sets", **FRESH},
    }
    if images:
        remotes["images"] = {"package": "docker", "base_url": f"http://127.0.0.1:{images}", **FRESH}
    node = Stack(directory, {"remotes": remotes}, {**WORKERS, **told})
    try:
        yield node.start()
    finally:
        node.close()


Image = Callable[[str], str] | None


def _alone(name: str, node: Stack, image: Image) -> Product:
    def restart() -> None:
        if node.process:
            node.stop()
        node.launch()

    return Product(name, node.port, node.running, _file, image, _index, restart)


def _behind(name: str, node: Stack, front: Edge, image: Image) -> Product:
    return Product(name, front.port, lambda: [*node.running(), *front.processes()], _file, image, _index)


def _file(path: str) -> str:
    return f"/repository/files{path}"


def _image(path: str) -> str:
    return path.replace("/v2/", "/v2/images/", 1)


def _index(path: str) -> str:
    return f"/repository/{'apk' if 'apk' in path else 'rpm'}/{path}"


def _fill_keys(node: Stack) -> None:
    """One key is fetched, the others are recorded beside it: how a miss is filled is measured elsewhere."""
    asking.probed(node.url + _file(PATTERN % 1))
    layout = Layout(node.data_dir)
    url = Postgres(layout.postgres, layout.sockets).url
    with psycopg.connect(url) as connection:
        made = connection.execute(_COPIED, (KEYS,)).rowcount
    if made != KEYS - 1:
        raise RuntimeError(f"{made} entries were made instead of {KEYS - 1}")
    asking.probed(node.url + _file(PATTERN % KEYS))
