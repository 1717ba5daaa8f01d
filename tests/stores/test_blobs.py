"""The contract of every Blobs, then what only a filesystem can get wrong."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.errors import StoreDown
from app.stores.base import Blobs
from app.stores.filesystem import FilesystemBlobs

BODY = b"some bytes\n" * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()

IMPLEMENTATIONS: dict[str, Callable[[Path], Blobs]] = {"filesystem": lambda tmp: FilesystemBlobs(tmp / "blobs")}

Spool = Callable[[bytes], Path]


@pytest.fixture(params=IMPLEMENTATIONS)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return IMPLEMENTATIONS[request.param](tmp_path)


def _spool_in(directory: Path) -> Spool:
    directory.mkdir()
    numbers = itertools.count()

    def spool(body: bytes) -> Path:
        file = directory / f"fill.{next(numbers)}"
        file.write_bytes(body)
        return file

    return spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Makes finished spool files on the blobs' filesystem."""
    return _spool_in(tmp_path / "spool")


@pytest.fixture
def far_spool() -> Iterator[Spool]:
    """Makes them on another filesystem."""
    far = Path("/dev/shm")
    if not os.access(far, os.W_OK) or far.stat().st_dev == Path.cwd().stat().st_dev:
        pytest.skip("no second filesystem here")
    directory = far / f"artifactapi-test-{os.getpid()}"
    yield _spool_in(directory)
    shutil.rmtree(directory)


class TestContract:
    def test_nothing_there_is_none_and_not_an_error(self, blobs: Blobs) -> None:
        assert blobs.open(DIGEST) is None
        assert not blobs.exists(DIGEST)
        assert list(blobs.walk()) == []
        blobs.remove(DIGEST)
        blobs.ping()

    def test_an_adopted_body_is_here_whole_and_the_spool_file_is_gone(self, blobs: Blobs, spool: Spool) -> None:
        file = spool(BODY)
        blobs.adopt(file, DIGEST)
        assert not file.exists()
        assert blobs.exists(DIGEST)
        opened = blobs.open(DIGEST)
        assert opened is not None
        with opened:
            assert opened.read(4) == BODY[:4]
            assert opened.seek(0, 2) == len(BODY)
            opened.seek(5)
            assert opened.read(5) == BODY[5:10]

    def test_an_empty_body_is_a_body(self, blobs: Blobs, spool: Spool) -> None:
        empty = hashlib.sha256().hexdigest()
        blobs.adopt(spool(b""), empty)
        assert blobs.exists(empty)

    def test_equal_bytes_are_stored_once_and_the_age_starts_again(self, blobs: Blobs, spool: Spool) -> None:
        blobs.adopt(spool(BODY), DIGEST)
        [(_, first)] = blobs.walk()
        second = spool(BODY)
        blobs.adopt(second, DIGEST)
        assert not second.exists()
        [(digest, again)] = blobs.walk()
        assert digest == DIGEST
        assert again >= first
        assert abs(again - time.time()) < 60

    def test_removed_is_not_here_but_a_reader_finishes(self, blobs: Blobs, spool: Spool) -> None:
        blobs.adopt(spool(BODY), DIGEST)
        opened = blobs.open(DIGEST)
        assert opened is not None
        with opened:
            blobs.remove(DIGEST)
            assert blobs.open(DIGEST) is None
            assert opened.read() == BODY

    def test_many_adopt_the_same_digest_at_once(self, blobs: Blobs, spool: Spool) -> None:
        files = [spool(BODY) for _ in range(16)]
        threads = [threading.Thread(target=blobs.adopt, args=(file, DIGEST)) for file in files]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [digest for digest, _ in blobs.walk()] == [DIGEST]
        assert not any(file.exists() for file in files)

    @pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
    def test_only_a_digest_names_a_blob(self, blobs: Blobs, digest: str) -> None:
        with pytest.raises(ValueError):
            blobs.open(digest)


class TestFilesystem:
    @pytest.fixture
    def disk(self, tmp_path: Path) -> FilesystemBlobs:
        return FilesystemBlobs(tmp_path / "blobs")

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

    def test_the_one_that_is_here_is_not_touched(self, disk: FilesystemBlobs, spool: Spool) -> None:
        disk.adopt(spool(BODY), DIGEST)
        inode = disk.path(DIGEST).stat().st_ino
        disk.adopt(spool(BODY), DIGEST)
        assert disk.path(DIGEST).stat().st_ino == inode

    def test_one_that_lost_bytes_is_replaced(self, disk: FilesystemBlobs, spool: Spool) -> None:
        disk.adopt(spool(BODY), DIGEST)
        os.truncate(disk.path(DIGEST), 7)
        disk.adopt(spool(BODY), DIGEST)
        assert disk.path(DIGEST).read_bytes() == BODY

    def test_a_spool_on_another_filesystem(self, disk: FilesystemBlobs, far_spool: Spool) -> None:
        file = far_spool(BODY)
        disk.adopt(file, DIGEST)
        assert not file.exists()
        assert disk.path(DIGEST).read_bytes() == BODY
        assert list(disk.path(DIGEST).parent.iterdir()) == [disk.path(DIGEST)]

    def test_a_copy_that_a_crash_left_is_swept_when_it_is_old(self, disk: FilesystemBlobs, spool: Spool) -> None:
        disk.adopt(spool(BODY), DIGEST)
        young, old = (disk.path(DIGEST).with_name(f".{DIGEST}.{age}") for age in ("young", "old"))
        young.write_bytes(b"half")
        old.write_bytes(b"half")
        os.utime(old, (0, 0))
        assert [digest for digest, _ in disk.walk()] == [DIGEST]
        assert young.exists()
        assert not old.exists()

    def test_an_unmounted_store_is_down_and_not_empty(self, disk: FilesystemBlobs, spool: Spool) -> None:
        shutil.rmtree(disk.base)
        file = spool(BODY)
        for ask in (
            disk.ping,
            lambda: disk.open(DIGEST),
            lambda: disk.exists(DIGEST),
            lambda: disk.adopt(file, DIGEST),
            lambda: list(disk.walk()),
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
            with pytest.raises(StoreDown):
                disk.adopt(file, digest)
            assert file.exists()
            assert not disk.exists(digest)
            assert list(disk.path(digest).parent.iterdir()) == []
        finally:
            os.system(f"umount '{small}'")
