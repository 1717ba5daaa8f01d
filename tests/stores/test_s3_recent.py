"""What was found in S3 a moment ago is opened without asking again, and not a moment longer than it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import StoreDown
from app.stores import s3_recent
from app.stores.blobs import Distant
from app.stores.s3 import S3Blobs
from app.stores.s3_client import S3
from app.stores.s3_recent import LATELY, Recent
from tests.s3_proxy import Proxy, proxied
from tests.seaweed import Bucket, SeaweedFS
from tests.stores.bodies import BODY, DIGEST, Spool, digest_of, noise, spool_in

BIG = noise(1 << 20, "recent")
HERE = digest_of(BIG)


@pytest.fixture(scope="module")
def bucket(seaweed: SeaweedFS) -> Iterator[Bucket]:
    bucket = seaweed.bucket()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment.items():
            patch.setenv(name, value)
        yield bucket


@pytest.fixture(scope="module")
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    with proxied(bucket.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def s3(bucket: Bucket, proxy: Proxy) -> S3:
    return S3(bucket.name, proxy.url)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path / "spool")


@pytest.fixture
def blobs(s3: S3, proxy: Proxy, spool: Spool, request: pytest.FixtureRequest) -> S3Blobs:
    """With a small and a large body, the large one just found."""
    s3._breaker.mend()
    blobs = S3Blobs("", f"{request.node.name}/", s3=s3)
    for body in (BODY, BIG):
        blobs.adopt(spool(body), digest_of(body))
    distant(blobs).close()
    proxy.clear()
    return blobs


def distant(blobs: S3Blobs, digest: str = HERE) -> Distant:
    body: object = blobs.open(digest)
    assert isinstance(body, Distant)
    return body


def ranges(proxy: Proxy) -> list[str]:
    return [each.range for each in proxy.asked]


def test_one_request_brings_all_of_a_large_body(blobs: S3Blobs, proxy: Proxy) -> None:
    body = distant(blobs)
    assert (body.size, ranges(proxy)) == (len(BIG), [])
    assert b"".join(body.span(0, body.size)) == BIG
    assert ranges(proxy) == [f"bytes=0-{len(BIG) - 1}"]


def test_a_small_body_is_asked_for_every_time(blobs: S3Blobs, proxy: Proxy) -> None:
    assert [distant(blobs, DIGEST).read() for _ in range(2)] == [BODY, BODY]
    assert len(proxy.asked) == 2


def test_what_another_process_has_found(blobs: S3Blobs, s3: S3, proxy: Proxy) -> None:
    other = S3Blobs("", blobs.prefix, s3=s3)
    assert b"".join(other.reopen(HERE, len(BIG)).span(500_000, 10)) == BIG[500_000:500_010]
    assert ranges(proxy) == ["bytes=500000-500009"]


def test_gone_is_an_error_once_and_then_none(blobs: S3Blobs, s3: S3) -> None:
    S3Blobs("", blobs.prefix, s3=s3).remove(HERE)
    body = distant(blobs)
    with pytest.raises(StoreDown):
        next(body.span(0, body.size))
    assert blobs.open(HERE) is None


def test_what_is_removed_here_is_forgotten(blobs: S3Blobs) -> None:
    blobs.remove(HERE)
    assert blobs.open(HERE) is None


def test_it_is_not_waited_for_a_store_that_fails(blobs: S3Blobs, proxy: Proxy) -> None:
    """Whoever opened it has not begun to answer: the engine can still do without the store."""
    proxy.refuse(500, "InternalError")
    body = distant(blobs)
    with pytest.raises(StoreDown):
        next(body.span(0, body.size))
    assert len(proxy.asked) == 2  # boto3's own second try
    proxy.clear()


def test_a_connection_that_breaks_at_once_is_made_again(blobs: S3Blobs, proxy: Proxy) -> None:
    proxy.cut(0)
    body = distant(blobs)
    assert b"".join(body.span(0, body.size)) == BIG
    proxy.clear()


def test_a_few_bytes_ask_for_no_window(blobs: S3Blobs, proxy: Proxy) -> None:
    with distant(blobs) as body:
        body.seek(300_000)
        assert body.read(10) == BIG[300_000:300_010]
    assert ranges(proxy) == [f"bytes=300000-{300_000 + (64 << 10) - 1}"]


def test_reading_on_asks_for_ever_more(blobs: S3Blobs, proxy: Proxy) -> None:
    with distant(blobs) as body:
        assert b"".join(iter(lambda: body.read(1000), b"")) == BIG
    starts = [int(each.removeprefix("bytes=").partition("-")[0]) for each in ranges(proxy)]
    assert [start >> 16 for start in starts] == [0, 1, 3, 7, 15]  # in 64 KiB


def test_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_recent, "MOST", 2)
    now = [100.0]
    recent = Recent(lambda: now[0])
    recent.found("a", 1)
    assert (recent.size("a"), recent.size("b")) == (1, None)
    now[0] += LATELY - 1
    recent.found("b", 2)
    assert (recent.size("a"), recent.size("b")) == (1, 2)
    now[0] += 1
    assert (recent.size("a"), recent.size("b")) == (None, 2)
    recent.found("c", 3)  # more than it remembers
    assert (recent.size("b"), recent.size("c")) == (None, 3)
