"""gc, verification and eviction over S3, whose bytes have no file and whose disk has no end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import maintenance, repositories
from app.stores.s3 import S3Blobs
from app.verification import Verification
from tests.disk.index import entries
from tests.disk.test_eviction import SIZE, evictor_of, noise
from tests.http.node import Node, body
from tests.seaweed import Bucket
from tests.upstreams import Upstream


@pytest.fixture
def node(
    remotes: dict[str, Any], tmp_path: Path, database_url: str, redis_url: str, s3_bucket: Bucket
) -> Iterator[Node]:
    settings = {"STORAGE_URL": s3_bucket.url, "S3_ENDPOINT_URL": s3_bucket.endpoint}
    with Node(tmp_path, database_url, redis_url, remotes, **settings).running() as node:
        yield node


def digest(name: str) -> str:
    return hashlib.sha256(noise(name)).hexdigest()


def test_the_disk_of_a_bucket(node: Node, upstream: Upstream, tmp_path: Path) -> None:
    blobs = node.carrier.engine.shelf.blobs
    catalog = node.carrier.engine.shelf.catalog
    assert isinstance(blobs, S3Blobs)
    for name in ("a", "b", "c"):
        upstream.put(f"/{name}", noise(name))
        assert body(node.get(f"/repository/up/{name}")) == noise(name)
    node.idle()
    assert node.admin("PUT", "/repository/team/mine", noise("mine")).status_code == 201
    garbage = tmp_path / "garbage"
    garbage.write_bytes(noise("garbage"))
    blobs.adopt(garbage, digest("garbage"))
    assert maintenance.collect(catalog.index, blobs).removed == 0
    assert maintenance.collect(catalog.index, blobs, grace=-2).removed == 1  # S3 dates in whole seconds
    assert not blobs.exists(digest("garbage"))

    blobs._s3.ask("put_object", Key=blobs.key(digest("b")), Body=noise("other"))
    known = repositories.load(node.settings.config_path)
    found = list(Verification(catalog, blobs, known, lambda _: None).run(None))
    assert [(each.digest, each.missing, len(each.forgotten)) for each in found] == [(digest("b"), False, 1)]
    assert entries(node) == {"up": {"a", "c"}, "team": {"mine"}}

    evictor = evictor_of(node, most=SIZE)
    evictor.young = -2
    assert evictor.round().entries == 2
    assert entries(node) == {"team": {"mine"}}
    assert {each for each, _ in blobs.walk()} == {digest("mine")}
    assert body(node.get("/repository/team/mine")) == noise("mine")
