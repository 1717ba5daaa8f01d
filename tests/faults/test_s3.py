"""S3 that refuses, breaks off, stalls, lies or dies: StoreDown, nothing half stored, and well again by itself."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.retries.standard import ExponentialBackoff

from app.errors import StoreDown
from app.stores import s3_client, s3_upload
from app.stores.blobs import Distant
from app.stores.s3 import S3Blobs
from app.stores.s3_client import S3
from tests.s3_proxy import Proxy, proxied
from tests.seaweed import SECRET, Bucket, SeaweedFS
from tests.seaweed import s3_client as plain_client
from tests.stores.bodies import BODY, DIGEST, Spool, digest_of, noise, spool_in

_NUMBERS = itertools.count()
PART = 5 << 20  # bytes, S3's least
BIG = noise(1 << 20, "faults")
HUGE = noise(PART * 2 + 1000, "parts")


@pytest.fixture(scope="module")
def bucket(seaweed: SeaweedFS) -> Iterator[Bucket]:
    """One for all, because a client takes half a second to make; every test has a prefix of its own."""
    bucket = seaweed.bucket()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment.items():
            patch.setenv(name, value)
        patch.setattr(s3_client, "FAIL_FAST", 0.05)
        patch.setattr(s3_upload, "PART", PART)
        patch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.01)  # of boto3's own second try
        yield bucket


@pytest.fixture(scope="module")
def _shared(bucket: Bucket) -> Iterator[tuple[Proxy, S3]]:
    with proxied(bucket.endpoint) as proxy:
        yield proxy, S3(bucket.name, proxy.url)


@pytest.fixture
def proxy(_shared: tuple[Proxy, S3]) -> Iterator[Proxy]:
    yield _shared[0]
    _shared[0].clear()


@pytest.fixture
def blobs(bucket: Bucket, _shared: tuple[Proxy, S3]) -> S3Blobs:
    """Empty, with S3 behind the proxy; it is asked again soon after a failure."""
    _, s3 = _shared
    s3._breaker.mend()
    return S3Blobs(bucket.name, f"{next(_NUMBERS)}/", s3=s3)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path / "spool")


@pytest.fixture
def stored(blobs: S3Blobs, spool: Spool, proxy: Proxy) -> S3Blobs:
    for body in (BODY, BIG):
        blobs.adopt(spool(body), digest_of(body))
    proxy.clear()
    return blobs


def every_question(blobs: S3Blobs, file: Path) -> list[Callable[[], object]]:
    return [
        lambda: blobs.open(DIGEST),
        lambda: blobs.exists(DIGEST),
        lambda: blobs.adopt(file, DIGEST),
        lambda: blobs.remove(DIGEST),
        lambda: blobs.quarantine(DIGEST),
        lambda: list(blobs.walk()),
        lambda: list(blobs.notes()),
        lambda: blobs.note(f"{1:020}-ab", b"{}"),
        blobs.reap,
        blobs.ping,
        lambda: blobs.ping(writes=False),
    ]


def distant(blobs: S3Blobs, digest: str) -> Distant:
    body: object = blobs.open(digest)
    assert isinstance(body, Distant)
    return body


def recovered(ask: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(StoreDown):
            ask()
            return
        time.sleep(0.02)
    ask()


def unfinished(bucket: Bucket) -> int:
    with plain_client(bucket.endpoint) as client:
        return len(client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", ()))


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (500, "InternalError"),
            (503, "SlowDown"),
            (403, "AccessDenied"),
            (404, "NoSuchBucket"),
            (404, ""),
            (301, ""),
        ],
    )
    def test_every_refusal_is_down_and_never_absence(
        self, stored: S3Blobs, spool: Spool, proxy: Proxy, status: int, code: str
    ) -> None:
        file = spool(BODY)
        for ask in every_question(stored, file):
            proxy.refuse(status, code)
            with pytest.raises(StoreDown) as caught:
                ask()
            assert caught.value.code == "store_unavailable"
            assert SECRET not in caught.value.message
            assert "http" not in caught.value.message
            proxy.clear()
            stored._s3._breaker.mend()
        assert file.exists()
        assert distant(stored, DIGEST).read() == BODY

    @pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown")])
    def test_a_single_failure_is_not_seen(self, stored: S3Blobs, proxy: Proxy, status: int, code: str) -> None:
        proxy.refuse(status, code, times=1)
        assert distant(stored, DIGEST).read() == BODY

    @pytest.mark.parametrize(("status", "code", "method"), [(503, "SlowDown", "GET"), (500, "InternalError", "PUT")])
    def test_one_that_is_busy_or_cannot_be_written_is_read_at_once(
        self, stored: S3Blobs, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, status: int, code: str, method: str
    ) -> None:
        monkeypatch.setattr(stored._s3._breaker, "seconds", 60)
        proxy.refuse(status, code, method, times=2)
        with pytest.raises(StoreDown) as caught:
            stored.ping()
        assert caught.value.retry_after > 0
        assert stored.exists(DIGEST)

    @pytest.mark.parametrize(("status", "code"), [(507, "InsufficientStorage"), (403, "QuotaExceeded")])
    @pytest.mark.parametrize("body", [noise(1000, "full"), HUGE], ids=["small", "parts"])
    def test_a_full_store_says_so_and_is_still_read(
        self, stored: S3Blobs, bucket: Bucket, spool: Spool, proxy: Proxy, status: int, code: str, body: bytes
    ) -> None:
        proxy.refuse(status, code, "PUT")
        file = spool(body)
        with pytest.raises(StoreDown) as caught:
            stored.adopt(file, digest_of(body))
        assert caught.value.code == "storage_full"
        with pytest.raises(StoreDown):
            stored.ping()
        stored.ping(writes=False)
        assert file.exists()
        assert distant(stored, DIGEST).read() == BODY
        assert not stored.exists(digest_of(body))
        assert unfinished(bucket) == 0


class TestBodies:
    def test_a_stream_that_breaks_goes_on_where_it_was(self, stored: S3Blobs, proxy: Proxy) -> None:
        body = distant(stored, digest_of(BIG))
        proxy.clear()
        proxy.cut(300_000)
        proxy.cut(200_000)
        assert b"".join(body.span(0, len(BIG))) == BIG
        starts = [int(each.range.removeprefix("bytes=").partition("-")[0]) for each in proxy.asked]
        assert starts == [65_536, 365_536, 565_536]

    def test_one_that_breaks_time_and_again_ends_well_where_it_gets_on(self, stored: S3Blobs, proxy: Proxy) -> None:
        body = distant(stored, digest_of(BIG))
        proxy.clear()
        proxy.cut(270_000, times=None)
        assert b"".join(body.span(0, len(BIG))) == BIG
        assert len(proxy.asked) == 4

    @pytest.mark.parametrize("after", [0, 10, 100_000])
    def test_one_that_always_breaks_ends_in_an_error(self, stored: S3Blobs, proxy: Proxy, after: int) -> None:
        body = distant(stored, digest_of(BIG))
        proxy.cut(after, times=None)
        came = b""
        with pytest.raises(StoreDown):
            for chunk in body.span(0, len(BIG)):
                came += chunk
        assert BIG.startswith(came)
        assert len(came) < len(BIG)

    def test_a_small_body_that_breaks_is_asked_for_again(self, stored: S3Blobs, proxy: Proxy) -> None:
        proxy.cut(100)
        assert distant(stored, DIGEST).read() == BODY
        proxy.cut(100, times=2)
        with pytest.raises(StoreDown):
            stored.open(DIGEST)

    def test_one_that_stalls_goes_on(self, stored: S3Blobs, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3_client, "READ", 0.3)
        body = distant(stored, digest_of(BIG))
        proxy.stall(100_000)
        assert body.read() == BIG

    @pytest.mark.parametrize("other", [b"", BIG[:-1], BIG + b"x"])
    def test_an_object_that_changed_its_size_breaks_the_stream(
        self, stored: S3Blobs, bucket: Bucket, other: bytes
    ) -> None:
        body = distant(stored, digest_of(BIG))
        with plain_client(bucket.endpoint) as client:
            client.put_object(Bucket=bucket.name, Key=stored.key(digest_of(BIG)), Body=other)
        with pytest.raises(StoreDown):
            body.read()

    def test_one_that_went_breaks_the_stream(self, stored: S3Blobs) -> None:
        body = distant(stored, digest_of(BIG))
        stored.remove(digest_of(BIG))
        with pytest.raises(StoreDown):
            body.read()


class TestUploads:
    @pytest.mark.parametrize("body", [BODY, HUGE], ids=["small", "parts"])
    def test_bytes_that_changed_on_their_way_are_not_stored(
        self, blobs: S3Blobs, bucket: Bucket, spool: Spool, proxy: Proxy, body: bytes
    ) -> None:
        file = spool(body)
        proxy.corrupt()
        with pytest.raises(StoreDown):
            blobs.adopt(file, digest_of(body))
        assert file.exists()
        proxy.clear()
        assert not blobs.exists(digest_of(body))
        assert unfinished(bucket) == 0

    @pytest.mark.parametrize(("method", "part"), [("PUT", "partNumber=2"), ("POST", "uploadId=")])
    def test_an_upload_that_fails_leaves_nothing(
        self, blobs: S3Blobs, bucket: Bucket, spool: Spool, proxy: Proxy, method: str, part: str
    ) -> None:
        file = spool(HUGE)
        proxy.refuse(503, "SlowDown", method, part)
        with pytest.raises(StoreDown):
            blobs.adopt(file, digest_of(HUGE))
        assert file.exists()
        assert list(blobs.walk()) == []
        assert unfinished(bucket) == 0
        proxy.clear()
        blobs.adopt(file, digest_of(HUGE))
        assert distant(blobs, digest_of(HUGE)).read() == HUGE


class TestOutages:
    def test_stopped_and_started_again(
        self, own_seaweed: SeaweedFS, monkeypatch: pytest.MonkeyPatch, spool: Spool
    ) -> None:
        bucket = own_seaweed.bucket()
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        blobs = S3Blobs(bucket.name, bucket.prefix, bucket.endpoint)
        blobs.adopt(spool(BODY), DIGEST)
        own_seaweed.stop()
        file = spool(BIG)
        for ask in every_question(blobs, file):
            with pytest.raises(StoreDown):
                ask()
        own_seaweed.start()
        own_seaweed.await_ready(60)
        recovered(blobs.ping)
        assert distant(blobs, DIGEST).read() == BODY
        blobs.adopt(file, digest_of(BIG))
        assert distant(blobs, digest_of(BIG)).read() == BIG

    def test_one_that_never_answers_is_waited_for_once(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3_client, "READ", 0.2)
        monkeypatch.setattr(s3_client, "FAIL_FAST", 30.0)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            blobs = S3Blobs(bucket.name, "", f"http://127.0.0.1:{silent.getsockname()[1]}")
            with pytest.raises(StoreDown, match="does not answer"):
                blobs.open(DIGEST)
            with pytest.raises(StoreDown, match="a moment ago") as caught:
                blobs.open(DIGEST)
            silent.setblocking(False)
            silent.accept()[0].close()
            with pytest.raises(BlockingIOError):  # nobody waited for a second answer
                silent.accept()
        assert 0 < caught.value.retry_after <= 30

    @pytest.mark.parametrize("ask", [lambda blobs: blobs.open(DIGEST), lambda blobs: list(blobs.walk())])
    def test_one_that_failed_is_awaited_for_a_moment(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, ask: Callable[[S3Blobs], object]
    ) -> None:
        monkeypatch.setattr(s3_client, "PROBE", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as server:
            blobs = S3Blobs(bucket.name, "", f"http://127.0.0.1:{server.getsockname()[1]}")
            breaker = blobs._s3._breaker
            breaker.trip(OSError("gone"))
            time.sleep(0.06)
            with pytest.raises(StoreDown, match="within"):
                ask(blobs)
            server.settimeout(10)
            with server.accept()[0] as late:
                assert late.recv(1 << 16).startswith(b"GET ")
                late.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                blobs._s3._trial.join(10)
            assert not breaker.failing

    @pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    def test_without_keys(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
    ) -> None:
        monkeypatch.delenv(missing)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(StoreDown):
            S3Blobs(bucket.name, "", bucket.endpoint).ping()
