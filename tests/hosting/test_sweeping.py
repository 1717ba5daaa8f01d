"""Indexes that nobody built: found by the sweep; one that cannot be built rests; files that no index knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.hosting.index import Indexer
from app.hosting.sweeping import Sweep, behind
from app.resource import Entry, Kind, Repository
from app.shelf import Shelf
from app.stores.catalog import Catalog
from app.stores.filesystem import FilesystemBlobs
from app.stores.postgres import PostgresIndex
from app.stores.publications import Description
from app.stores.redis import RedisMemory
from tests.hosting import charts
from tests.stores.values import publish

HELM = Repository("helm", Kind.LOCAL, "helm")
GENERIC = Repository("generic", Kind.LOCAL, "generic")
NPM = Repository("npm", Kind.LOCAL, "npm")
KNOWN = {each.name: each for each in (HELM, GENERIC, NPM)}


@pytest.fixture
def indexer(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Indexer]:
    index, memory = PostgresIndex(database_url, connections=4), RedisMemory(redis_url)
    (tmp_path / "spool").mkdir()
    yield Indexer(Shelf(Catalog(index, memory), FilesystemBlobs(tmp_path / "blobs")), tmp_path / "spool")
    index.close()
    memory.close()


def stored(indexer: Indexer, tmp_path: Path, body: bytes) -> Entry:
    """Its bytes are in the store."""
    file = tmp_path / "spool" / "file"
    file.write_bytes(body)
    digest = hashlib.sha256(body).hexdigest()
    indexer.shelf.blobs.adopt(file, digest)
    return Entry(digest, len(body))


def test_what_was_left_behind_is_built_and_only_of_known_repositories(indexer: Indexer, tmp_path: Path) -> None:
    hosted = indexer.shelf.catalog.index.hosted
    for number in range(120):  # more than a page of what nobody knows comes first
        publish(hosted, f"a-{number:03d}", "x", description=Description("", "{}"))
    publish(hosted, "helm", "a-1.0.0.tgz", stored(indexer, tmp_path, charts.plain("a", "1.0.0")))
    assert indexer.describe(HELM) == 1
    assert Sweep(indexer, KNOWN.get).once() == 1
    built = indexer.shelf.catalog.find("helm", "index.yaml").entry
    assert built is not None
    assert (name := {name for name, _, _ in behind(hosted)}) and "helm" not in name
    assert Sweep(indexer, KNOWN.get).once() == 0


def test_one_that_cannot_be_built_rests(indexer: Indexer, caplog: pytest.LogCaptureFixture) -> None:
    hosted = indexer.shelf.catalog.index.hosted
    publish(hosted, "npm", "a/-/a-1.0.0.tgz", description=Description("a", "this is no description"))
    sweep = Sweep(indexer, KNOWN.get)
    assert [sweep.once() for _ in range(3)] == [0, 0, 0]
    assert len([record for record in caplog.records if "is behind" in record.message]) == 1
    assert [name for name, _, _ in behind(hosted)] == ["npm"]


def test_what_is_no_package_stands_in_no_index(indexer: Indexer, tmp_path: Path) -> None:
    hosted = indexer.shelf.catalog.index.hosted
    publish(hosted, "helm", "bad-1.0.0.tgz", stored(indexer, tmp_path, b"no chart"))
    publish(hosted, "helm", "lost-1.0.0.tgz")  # its bytes are not here
    publish(hosted, "helm", "good-1.0.0.tgz", stored(indexer, tmp_path, charts.plain("good", "1.0.0")))
    publish(hosted, "generic", "any", stored(indexer, tmp_path, b"any"))
    assert (indexer.describe(HELM), indexer.describe(GENERIC)) == (1, 0)
    assert Sweep(indexer, KNOWN.get).once() == 1
    assert [path for path, _ in hosted.undescribed("helm")] == ["bad-1.0.0.tgz", "lost-1.0.0.tgz"]
    with hosted.items("helm", "") as (_, found):
        [item] = found
    assert (item.path, "good" in json.dumps(item.about)) == ("good-1.0.0.tgz", True)
    assert list((tmp_path / "spool").iterdir()) == []
