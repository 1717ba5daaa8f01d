"""Indexes that nobody built: found by the sweep; one that cannot be built rests; files that no index knows."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.hosting import index
from app.hosting.helm import Helm
from app.hosting.index import Indexer
from app.hosting.sweeping import Sweep, behind
from app.resource import Entry, Kind, Repository
from app.shelf import Shelf
from app.stores.catalog import SUPERSEDED, Catalog
from app.stores.filesystem import FilesystemBlobs
from app.stores.postgres import PostgresIndex
from app.stores.publications import Description, Indexed
from app.stores.redis import RedisMemory
from tests.hosting import charts
from tests.stores.values import publish, withdraw

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


def test_nobody_waits_for_the_index_of_what_was_removed(indexer: Indexer) -> None:
    begun = time.monotonic()
    assert not indexer.settle(HELM, {"no such scope": 1})
    assert time.monotonic() - begun < index.PATIENCE / 2


def test_a_build_that_changes_nothing_is_tried_again_at_leisure(
    indexer: Indexer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it built is collected at once, again and again."""
    publish(
        indexer.shelf.catalog.index.hosted,
        "helm",
        "a-1.0.0.tgz",
        stored(indexer, tmp_path, charts.plain("a", "1.0.0")),
    )
    assert indexer.describe(HELM) == 1
    asked: list[str] = []
    monkeypatch.setattr(index, "PATIENCE", 1.0)
    monkeypatch.setattr(FilesystemBlobs, "exists", lambda _, digest: asked.append(digest))
    assert not indexer.settle(HELM, {"": 1})
    assert 1 < len(asked) < 12


def test_what_indexes_left_goes(indexer: Indexer) -> None:
    """Files that a scope in which nothing happens any more superseded, and scopes that stay empty."""
    catalog = indexer.shelf.catalog
    publish(catalog, "npm", "a", description=Description("a", "{}"))
    old = Indexed("old", Entry("0" * 64, 1), lasting=True)
    assert catalog.switch_index("npm", "a", 1, [old], lambda _: True)
    withdraw(catalog, "npm", "a")
    assert catalog.switch_index("npm", "a", 2, [], lambda _: True)
    assert catalog.find("npm", "old").entry is not None
    sweep = Sweep(indexer, KNOWN.get)
    sweep.once()
    assert catalog.find("npm", "old").entry is not None
    catalog.clock = lambda: time.time() + SUPERSEDED
    Sweep(indexer, KNOWN.get).once()
    assert catalog.find("npm", "old").entry is None
    assert catalog.index.hosted.scope("npm", "a") == (2, 2)
    sweep.clear()
    sweep.clear()
    assert catalog.index.hosted.scope("npm", "a") == (0, 0)


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


def test_a_file_that_breaks_its_description_keeps_no_other_one_out(
    indexer: Indexer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(host: Helm, path: str, file: Path) -> Description:
        if path.startswith("a-"):
            raise IndexError("a defect")
        return Description("", "b 1.0.0 {}")

    monkeypatch.setattr(Helm, "describe", describe)
    for name in ("a", "b"):
        body = stored(indexer, tmp_path, charts.plain(name, "1.0.0"))
        publish(indexer.shelf.catalog.index.hosted, "helm", f"{name}-1.0.0.tgz", body)
    assert (indexer.describe(HELM), indexer.defects) == (1, 1)
