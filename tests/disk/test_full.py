"""A disk that is full: a clear 503, nothing left behind, hits go on, and no restart once there is room."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import StoreDown
from app.fills import spool
from app.fills.spool import Head, Spool
from app.stores.filesystem import FilesystemBlobs
from tests.disk.small import SmallDisk
from tests.http.node import Node, body
from tests.upstreams import Upstream

KIB, MIB = 1 << 10, 1 << 20


def noise(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


@pytest.fixture(autouse=True)
def _room_again() -> Iterator[None]:
    yield
    spool.full.clear()


@pytest.fixture
def disk(small_disk: Callable[[str, str], SmallDisk]) -> SmallDisk:
    """Where the node of the same test has its DATA_DIR."""
    return small_disk("d", "12m")


@pytest.fixture
def full(
    disk: SmallDisk, tmp_path: Path, database_url: str, redis_url: str, remotes: dict[str, Any]
) -> Iterator[Node]:
    with Node(tmp_path, database_url, redis_url, remotes).running() as node:
        yield node


def refused(answer: Any) -> None:
    assert (answer.status_code, answer.json["error"]) == (503, "storage_full")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_download_that_has_no_room_is_refused_before_its_first_byte(
    full: Node, disk: SmallDisk, upstream: Upstream
) -> None:
    upstream.put("/stored", noise("stored", 100 * KIB))
    upstream.put("/cold", noise("cold", 2 * MIB))
    assert body(full.get("/repository/up/stored")) == noise("stored", 100 * KIB)
    full.idle()
    disk.fill(left=MIB)
    for _ in range(2):
        refused(full.get("/repository/up/cold"))
    assert spool.full.is_set()
    assert full.spools() == []
    hit = full.get("/repository/up/stored")
    assert (hit.headers["X-Cache"], body(hit)) == ("HIT", noise("stored", 100 * KIB))
    disk.relieve()
    assert body(full.get("/repository/up/cold")) == noise("cold", 2 * MIB)
    full.idle()
    assert full.get("/repository/up/cold").headers["X-Cache"] == "HIT"


def test_a_download_of_unknown_length_is_cut_and_never_looks_whole(
    full: Node, disk: SmallDisk, upstream: Upstream
) -> None:
    upstream.put("/cold", noise("cold", 4 * MIB))
    upstream.chunked("/cold")
    disk.fill(left=MIB)
    answer = full.stream("/repository/up/cold")
    with pytest.raises(Exception, match=r"(?i)incomplete|cut|broke"):
        answer.get_data()
    answer.close()
    full.idle()
    assert (full.spools(), full.blobs()) == ([], [])
    disk.relieve()
    assert body(full.get("/repository/up/cold")) == noise("cold", 4 * MIB)


def test_an_expired_copy_is_served_while_its_successor_has_no_room(
    full: Node, disk: SmallDisk, upstream: Upstream
) -> None:
    upstream.put("/doc", noise("old", 100 * KIB))
    full.get("/repository/up/doc")
    full.idle()
    full.clock.forward(200)
    upstream.put("/doc", noise("new", MIB))
    disk.fill(left=512 * KIB)
    stale = full.get("/repository/up/doc")
    assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", noise("old", 100 * KIB))
    disk.relieve()
    full.clock.forward(200)
    assert body(full.get("/repository/up/doc")) == noise("new", MIB)


def test_an_upload_that_has_no_room_leaves_nothing(full: Node, disk: SmallDisk) -> None:
    disk.fill(left=MIB)
    refused(full.admin("PUT", "/repository/team/file", noise("file", 2 * MIB)))
    assert (full.spools(), full.blobs()) == ([], [])
    assert full.get("/repository/team/file").status_code == 404
    disk.relieve()
    assert full.admin("PUT", "/repository/team/file", noise("file", 2 * MIB)).status_code == 201
    assert body(full.get("/repository/team/file")) == noise("file", 2 * MIB)


def test_a_full_node_is_unwell_and_stays_in_rotation(full: Node, disk: SmallDisk) -> None:
    """All nodes of a fleet share their store: not one of them would be left to serve what is stored."""
    assert full.admin("PUT", "/repository/team/file", b"mine").status_code == 201
    disk.fill()
    assert full.get("/health").get_json()["checks"]["storage"] == "unhealthy"
    assert full.get("/health/ready").status_code == 200
    hit = full.get("/repository/team/file")
    assert (hit.headers["X-Cache"], body(hit)) == ("HIT", b"mine")
    disk.relieve()
    assert full.get("/health").status_code == 200


def test_no_room_for_a_single_block(full: Node, disk: SmallDisk, upstream: Upstream) -> None:
    """Not even for a sidecar or the note of a lock."""
    upstream.put("/cold", noise("cold", 100))
    disk.fill()
    refused(full.get("/repository/up/cold"))
    full.idle()
    assert full.spools() == []
    disk.relieve()
    assert body(full.get("/repository/up/cold")) == noise("cold", 100)


def test_a_spool_on_a_full_disk(disk: SmallDisk) -> None:
    disk.fill()
    with spool.noted(disk.place, "a lock", "a-token"):
        written = Spool(disk.place, "name", 1)
        with pytest.raises(StoreDown) as no_length:
            written.describe(Head("text/plain", None))
        with pytest.raises(StoreDown) as no_room:
            written.write(bytes(MIB))
        written.close()
    assert (no_length.value.code, no_room.value.code) == ("storage_full", "storage_full")
    assert spool.full.is_set()
    assert list(disk.place.iterdir()) == [disk.ballast]


def test_a_store_on_a_full_disk_keeps_nothing_half_made(disk: SmallDisk, tmp_path: Path) -> None:
    """The spool is on another filesystem here, so its bytes have to be copied."""
    blobs = FilesystemBlobs(disk.place)
    whole = noise("body", MIB)
    digest = hashlib.sha256(whole).hexdigest()
    file = tmp_path / "spooled"
    file.write_bytes(whole)
    disk.fill(left=256 * KIB)
    with pytest.raises(StoreDown) as no_blob:
        blobs.adopt(file, digest)
    with pytest.raises(StoreDown) as no_note:
        blobs.note(f"{1:020d}-ab", bytes(MIB))
    assert (no_blob.value.code, no_note.value.code) == ("storage_full", "storage_full")
    assert file.read_bytes() == whole
    assert not blobs.exists(digest)
    assert [path for path in disk.place.rglob("*") if path.is_file()] == [disk.ballast]
    disk.relieve()
    blobs.adopt(file, digest)
    blobs.note(f"{1:020d}-ab", b"{}")
    assert list(blobs.notes()) == [b"{}"]
    assert blobs.exists(digest)
