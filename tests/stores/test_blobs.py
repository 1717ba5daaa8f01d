"""The contract of every Blobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.stores.blobs import Blobs
from app.stores.filesystem import FilesystemBlobs
from app.stores.s3 import S3Blobs
from app.stores.s3_client import S3
from tests.seaweed import SeaweedFS
from tests.stores.bodies import BODY, DAMAGED, DIGEST, Spool, digest_of, noise, spool_in


@pytest.fixture(scope="module")
def s3(seaweed: SeaweedFS) -> Iterator[S3]:
    """One client for all, because it takes half a second to make."""
    bucket = seaweed.bucket()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment.items():
            patch.setenv(name, value)
        yield S3(bucket.name, bucket.endpoint)


@pytest.fixture(params=["filesystem", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "filesystem":
        return FilesystemBlobs(tmp_path / "blobs")
    return S3Blobs("", f"{tmp_path.name}/", s3=request.getfixturevalue("s3"))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path / "spool")


class TestContract:
    def test_nothing_there_is_none_and_not_an_error(self, blobs: Blobs) -> None:
        assert blobs.open(DIGEST) is None
        assert not blobs.exists(DIGEST)
        assert list(blobs.walk()) == []
        blobs.remove(DIGEST)
        blobs.ping()
        blobs.ping(writes=False)

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
        empty = digest_of(b"")
        for _ in range(2):
            blobs.adopt(spool(b""), empty)
        assert blobs.exists(empty)
        opened = blobs.open(empty)
        assert opened is not None
        with opened:
            assert opened.seek(0, 2) == 0
            assert opened.read() == b""

    def test_a_body_of_many_pieces_is_read_from_anywhere(self, blobs: Blobs, spool: Spool) -> None:
        big = noise(17 << 20)
        blobs.adopt(spool(big), digest_of(big))
        opened = blobs.open(digest_of(big))
        assert opened is not None
        with opened:
            assert opened.read() == big
            for start in (0, 65_535, 65_536, 8_388_607, len(big) - 3):
                assert opened.seek(start) == start
                assert opened.read(100_000) == big[start : start + 100_000]
                assert opened.tell() == min(start + 100_000, len(big))
            assert opened.read(1) == b""

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

    @pytest.mark.parametrize("wrong", [DAMAGED, BODY[:7], b""], ids=["other", "lost", "empty"])
    def test_wrong_bytes_are_replaced_and_a_reader_keeps_his(self, blobs: Blobs, spool: Spool, wrong: bytes) -> None:
        blobs.adopt(spool(wrong), DIGEST)
        old = blobs.open(DIGEST)
        blobs.adopt(spool(BODY), DIGEST)
        new = blobs.open(DIGEST)
        assert old is not None
        assert new is not None
        with old, new:
            assert (old.read(), new.read()) == (wrong, BODY)

    def test_removed_is_not_here_but_a_reader_finishes(self, blobs: Blobs, spool: Spool) -> None:
        blobs.adopt(spool(BODY), DIGEST)
        opened = blobs.open(DIGEST)
        assert opened is not None
        with opened:
            blobs.remove(DIGEST)
            assert blobs.open(DIGEST) is None
            assert opened.read() == BODY

    def test_many_adopt_the_same_digest_at_once(self, blobs: Blobs, spool: Spool) -> None:
        files = [spool(BODY) for _ in range(8)]
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

    def test_what_is_damaged_is_put_aside_and_can_be_stored_again(self, blobs: Blobs, spool: Spool) -> None:
        blobs.quarantine(DIGEST)
        blobs.adopt(spool(BODY), DIGEST)
        blobs.quarantine(DIGEST)
        assert blobs.open(DIGEST) is None
        assert not blobs.exists(DIGEST)
        assert list(blobs.walk()) == []
        blobs.adopt(spool(BODY), DIGEST)
        assert blobs.exists(DIGEST)

    def test_nothing_of_the_living_is_reaped(self, blobs: Blobs, spool: Spool) -> None:
        assert blobs.reap() == 0
        blobs.adopt(spool(BODY), DIGEST)
        blobs.note(f"{1:020}-ab", b"{}")
        assert blobs.reap() == 0
        assert blobs.exists(DIGEST)
        assert list(blobs.notes()) == [b"{}"]

    def test_the_journal_is_in_the_order_of_its_names(self, blobs: Blobs) -> None:
        assert list(blobs.notes()) == []
        names = [f"{moment:020}-{mark}" for moment in (7, 2_000, 10**19 + 1) for mark in ("0a", "b1")]
        for name in reversed(names):
            blobs.note(name, name.encode())
        assert [text.decode() for text in blobs.notes()] == names
        assert list(blobs.walk()) == []

    @pytest.mark.parametrize("name", ["", "1-ab", f"{1:020}-", f"{1:020}-AB", f"{1:020}-ab/../x", f"{1:020}-ab\n"])
    def test_a_note_has_a_name_that_sorts(self, blobs: Blobs, name: str) -> None:
        with pytest.raises(ValueError):
            blobs.note(name, b"{}")
