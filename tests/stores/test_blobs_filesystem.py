"""What only a filesystem can get wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app.errors import StoreDown
from app.stores.filesystem import FilesystemBlobs
from tests.stores.bodies import BODY, DAMAGED, DIGEST, Spool, spool_in


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Makes finished spool files on the blobs' filesystem."""
    return spool_in(tmp_path / "spool")


@pytest.fixture
def far_spool() -> Iterator[Spool]:
    """Makes them on another filesystem."""
    far = Path("/dev/shm")
    if not os.access(far, os.W_OK) or far.stat().st_dev == Path.cwd().stat().st_dev:
        pytest.skip("no second filesystem here")
    directory = far / f"artifactapi-test-{os.getpid()}"
    yield spool_in(directory)
    shutil.rmtree(directory)


class TestFilesystem:
    @pytest.fixture
    def disk(self, tmp_path: Path) -> FilesystemBlobs:
        return FilesystemBlobs(tmp_path / "blobs")

    def test_a_failure_is_counted_and_absence_is_none(self, disk: FilesystemBlobs) -> None:
        def counted() -> float:
            return REGISTRY.get_sample_value("artifactapi_store_failures_total", {"store": "storage"}) or 0.0

        before = counted()
        assert disk.open(DIGEST) is None
        disk.ping(writes=False)
        disk.base.rename(disk.base.with_name("unmounted"))
        for writes in (True, False):
            with pytest.raises(StoreDown):
                disk.ping(writes)
        with pytest.raises(StoreDown):
            disk.open(DIGEST)
        assert counted() == before + 3

    def test_layout_and_modes_whatever_the_umask(self, tmp_path: Path, spool: Spool) -> None:
        before = os.umask(0o077)
        try:
            FilesystemBlobs(tmp_path / "blobs").adopt(spool(BODY), DIGEST)
        finally:
            os.umask(before)
        blob = tmp_path / "blobs" / "sha256" / DIGEST[:2] / DIGEST
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (blob, *blob.parents[:3])]
        assert modes == [0o640, 0o711, 0o711, 0o711]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_blobs_belong_to_the_group_of_the_store(self, disk: FilesystemBlobs, spool: Spool) -> None:
        os.chown(disk.base, -1, 12345)
        disk.adopt(spool(BODY), DIGEST)
        assert disk.path(DIGEST).stat().st_gid == 12345

    def test_a_blob_has_a_descriptor_for_sendfile(self, disk: FilesystemBlobs, spool: Spool) -> None:
        disk.adopt(spool(BODY), DIGEST)
        opened = disk.open(DIGEST)
        assert opened is not None
        with opened:
            assert os.pread(opened.fileno(), 4, 0) == BODY[:4]

    def test_an_old_spool_file_is_a_young_blob(self, disk: FilesystemBlobs, spool: Spool) -> None:
        file = spool(BODY)
        os.utime(file, (0, 0))
        disk.adopt(file, DIGEST)
        assert (disk.adopted(DIGEST) or 0) > time.time() - 60

    def test_a_spool_on_another_filesystem(self, disk: FilesystemBlobs, far_spool: Spool) -> None:
        file = far_spool(BODY)
        disk.adopt(far_spool(DAMAGED), DIGEST)
        disk.adopt(file, DIGEST)
        assert not file.exists()
        assert disk.path(DIGEST).read_bytes() == BODY
        assert list(disk.path(DIGEST).parent.iterdir()) == [disk.path(DIGEST)]

    def test_what_a_crash_left_is_reaped_when_it_is_old(self, disk: FilesystemBlobs, spool: Spool) -> None:
        disk.adopt(spool(BODY), DIGEST)
        name = f"{12345:020}-ab"
        disk.note(name, b"{}")
        note = disk.journal / name[:17] / f"{name}.json"
        places = (disk.path(DIGEST), note, disk.base / "probe")
        young, old = ([place.with_name(f".{place.name}.{age}") for place in places] for age in ("young", "old"))
        for each in (*young, *old):
            each.write_bytes(b"half")
        for each in (*old, disk.path(DIGEST), note):
            os.utime(each, (0, 0))
        assert [digest for digest, _ in disk.walk()] == [DIGEST]
        assert list(disk.notes()) == [b"{}"]
        assert disk.reap() == 3
        assert all(each.exists() for each in (*young, disk.path(DIGEST), note))

    def test_room_is_that_of_the_filesystem(self, disk: FilesystemBlobs) -> None:
        found = shutil.disk_usage(disk.base)
        assert disk.room().total == found.total
        assert 0 < disk.room().free <= found.total

    def test_a_note_looks_like_the_rest(self, disk: FilesystemBlobs) -> None:
        disk.note(f"{12345:020}-ab", b"{}")
        [note] = disk.journal.glob("*/*")
        assert note.relative_to(disk.journal) == Path("0" * 15 + "12", f"{12345:020}-ab.json")
        assert [stat.S_IMODE(path.stat().st_mode) for path in (note, *note.parents[:2])] == [0o640, 0o711, 0o711]

    def test_damaged_bytes_can_be_looked_at(self, disk: FilesystemBlobs, spool: Spool) -> None:
        disk.adopt(spool(BODY), DIGEST)
        disk.quarantine(DIGEST)
        assert (disk.aside / DIGEST).read_bytes() == BODY

    def test_an_unmounted_store_is_down_and_not_empty(self, disk: FilesystemBlobs, spool: Spool) -> None:
        shutil.rmtree(disk.base)
        file = spool(BODY)
        for ask in (
            disk.ping,
            lambda: disk.open(DIGEST),
            lambda: disk.exists(DIGEST),
            lambda: disk.adopt(file, DIGEST),
            lambda: list(disk.walk()),
            lambda: disk.note(f"{1:020}-ab", b"{}"),
            lambda: list(disk.notes()),
            lambda: disk.quarantine(DIGEST),
            disk.room,
            disk.reap,
        ):
            with pytest.raises(StoreDown):
                ask()
        assert file.exists()

    def test_a_store_that_cannot_be_written_is_down(self, tmp_path: Path, spool: Spool) -> None:
        (tmp_path / "file").write_bytes(b"")
        disk = FilesystemBlobs(tmp_path / "file")
        with pytest.raises(StoreDown):
            disk.adopt(spool(BODY), DIGEST)

    def test_a_full_disk_is_down_and_nothing_half_is_left(self, far_spool: Spool, tmp_path: Path) -> None:
        small = tmp_path / "small"
        small.mkdir()
        if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=64k tmpfs '{small}' 2>/dev/null"):
            pytest.skip("may not mount here")
        try:
            disk = FilesystemBlobs(small / "blobs")
            big = os.urandom(200_000)
            digest = hashlib.sha256(big).hexdigest()
            file = far_spool(big)
            with pytest.raises(StoreDown) as caught:
                disk.adopt(file, digest)
            assert caught.value.code == "storage_full"
            assert file.exists()
            assert not disk.exists(digest)
            assert list(disk.path(digest).parent.iterdir()) == []
        finally:
            os.system(f"umount '{small}'")
