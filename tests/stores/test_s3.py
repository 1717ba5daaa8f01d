"""What only S3 can get wrong: keys, requests, parts, ages, pages, connections, memory."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import StoreDown
from app.stores import s3, s3_upload
from app.stores.blobs import Distant
from app.stores.s3 import S3Blobs
from app.stores.s3_body import Found
from app.stores.s3_client import S3
from tests.s3_proxy import Proxy, proxied
from tests.seaweed import Bucket, SeaweedFS, s3_client
from tests.stack import ROOT
from tests.stores.bodies import BODY, DIGEST, Spool, digest_of, noise, spool_in

PART = 5 << 20  # bytes, S3's least
BIG = noise(3 << 20, "big")
HUGE = noise(PART * 2 + 1000, "huge")


@pytest.fixture(scope="module")
def bucket(seaweed: SeaweedFS) -> Iterator[Bucket]:
    bucket = seaweed.bucket()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bucket.environment.items():
            patch.setenv(name, value)
        patch.setattr(s3_upload, "PART", PART)
        yield bucket


@pytest.fixture(scope="module")
def _shared(bucket: Bucket) -> Iterator[tuple[Proxy, S3]]:
    with proxied(bucket.endpoint) as proxy:
        yield proxy, S3(bucket.name, proxy.url)


@pytest.fixture
def proxy(_shared: tuple[Proxy, S3]) -> Iterator[Proxy]:
    _shared[0].clear()
    yield _shared[0]
    _shared[0].clear()


@pytest.fixture
def blobs(bucket: Bucket, _shared: tuple[Proxy, S3], request: pytest.FixtureRequest) -> S3Blobs:
    return S3Blobs(bucket.name, f"{request.node.name}/", s3=_shared[1])


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path / "spool")


@pytest.fixture
def client(bucket: Bucket) -> Iterator[Any]:
    with s3_client(bucket.endpoint) as client:
        yield client


def distant(blobs: S3Blobs, digest: str) -> Distant:
    body: object = blobs.open(digest)
    assert isinstance(body, Distant)
    return body


def keys(client: Any, bucket: Bucket, prefix: str) -> list[str]:
    return [each["Key"] for each in client.list_objects_v2(Bucket=bucket.name, Prefix=prefix).get("Contents", ())]


def test_keys_and_their_limits(blobs: S3Blobs, spool: Spool, client: Any, bucket: Bucket) -> None:
    blobs.adopt(spool(BODY), DIGEST)
    name = f"{5:020}-{'a' * 64}"
    blobs.note(name, b"{}")
    blobs.ping()
    blobs.ping(writes=False)
    expected = [f"{blobs.prefix}journal/{name}.json", f"{blobs.prefix}sha256/{DIGEST[:2]}/{DIGEST}"]
    assert keys(client, bucket, blobs.prefix) == expected
    assert all(len(part.encode()) <= 255 for key in expected for part in key.split("/"))
    blobs.quarantine(DIGEST)
    assert keys(client, bucket, blobs.prefix) == [expected[0], f"{blobs.prefix}quarantine/{DIGEST}"]


def test_prefixes_of_one_bucket_do_not_see_each_other(blobs: S3Blobs, spool: Spool, client: Any) -> None:
    other = S3Blobs("", f"{blobs.prefix}other/", s3=blobs._s3)
    other.adopt(spool(BODY), DIGEST)
    client.put_object(Bucket=blobs._s3.bucket, Key=f"{blobs.prefix}sha256/ab/notes.txt", Body=b"")
    client.put_object(Bucket=blobs._s3.bucket, Key=f"{blobs.prefix}sha256/00/{DIGEST}", Body=b"")
    assert blobs.open(DIGEST) is None
    assert list(blobs.walk()) == []
    assert [digest for digest, _ in other.walk()] == [DIGEST]


class TestReading:
    def test_a_small_body_is_one_request(self, blobs: S3Blobs, spool: Spool, proxy: Proxy) -> None:
        blobs.adopt(spool(BODY), DIGEST)
        proxy.clear()
        with distant(blobs, DIGEST) as body:
            assert body.seek(0, 2) == len(BODY)
            body.seek(0)
            assert body.read() == BODY
            assert b"".join(body.span(5, 10)) == BODY[5:15]
        assert [(each.method, each.range) for each in proxy.asked] == [("GET", "bytes=0-65535")]

    def test_a_range_is_not_read_from_zero(self, blobs: S3Blobs, spool: Spool, proxy: Proxy) -> None:
        blobs.adopt(spool(BIG), digest_of(BIG))
        proxy.clear()
        body = distant(blobs, digest_of(BIG))
        start = 2 << 20
        assert b"".join(body.span(start, 1000)) == BIG[start : start + 1000]
        assert [each.range for each in proxy.asked] == ["bytes=0-65535", f"bytes={start}-{start + 999}"]
        assert proxy.passed == 65_536 + 1000

    def test_who_reads_everything_gives_the_connection_back(self, blobs: S3Blobs, spool: Spool, proxy: Proxy) -> None:
        blobs.adopt(spool(BIG), digest_of(BIG))
        before = proxy.connections
        for _ in range(5):
            assert distant(blobs, digest_of(BIG)).read() == BIG
        assert proxy.connections <= before + 1

    def test_who_stops_early_leaks_none(self, blobs: S3Blobs, spool: Spool, bucket: Bucket) -> None:
        blobs.adopt(spool(BIG), digest_of(BIG))
        blobs = S3Blobs(bucket.name, blobs.prefix, bucket.endpoint)  # the proxy's own sockets are in this process
        blobs.ping()
        sockets = [len(list(Path("/proc/self/fd").iterdir()))]
        for _ in range(10):
            with distant(blobs, digest_of(BIG)) as body:
                assert body.read(70_000) == BIG[:70_000]
            distant(blobs, digest_of(BIG)).read(70_000)  # dropped
            sockets.append(len(list(Path("/proc/self/fd").iterdir())))
        gc.collect()  # a socket that nobody closed is a ResourceWarning, and those are errors
        assert max(sockets) <= sockets[0] + 4

    def test_a_link_needs_no_keys_and_has_the_type(self, blobs: S3Blobs, spool: Spool) -> None:
        blobs.adopt(spool(BODY), DIGEST)
        link = distant(blobs, DIGEST).link(60, "application/x-rpm; charset=x")
        with urllib.request.urlopen(link) as response:
            assert response.read() == BODY
            assert response.headers["Content-Type"] == "application/x-rpm; charset=x"
        with pytest.raises(urllib.request.HTTPError) as refused:
            urllib.request.urlopen(link.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))
        refused.value.close()
        assert refused.value.code == 403


class TestWriting:
    @pytest.mark.parametrize("body", [BODY, HUGE], ids=["whole", "parts"])
    def test_what_is_here_is_made_young_and_a_reader_goes_on(self, blobs: S3Blobs, spool: Spool, body: bytes) -> None:
        digest = digest_of(body)
        blobs.adopt(spool(body), digest)
        young = blobs.adopted(digest)
        assert young is not None
        time.sleep(1.1)  # S3 counts seconds
        reader = distant(blobs, digest)
        start = reader.read(100_000)
        blobs.adopt(spool(body), digest)
        younger = blobs.adopted(digest)
        assert younger is not None
        assert younger > young
        assert start + reader.read() == body

    @pytest.mark.parametrize("wrong", [bytes(len(HUGE)), HUGE[:-1]], ids=["other", "lost"])
    def test_wrong_bytes_of_many_parts_are_replaced(self, blobs: S3Blobs, spool: Spool, wrong: bytes) -> None:
        blobs.adopt(spool(wrong), digest_of(HUGE))
        blobs.adopt(spool(HUGE), digest_of(HUGE))
        assert distant(blobs, digest_of(HUGE)).read() == HUGE

    @pytest.mark.parametrize("more", [-1, 0, 1])
    def test_either_side_of_one_part(self, blobs: S3Blobs, spool: Spool, proxy: Proxy, more: int) -> None:
        body = HUGE[: PART + more]
        blobs.adopt(spool(body), digest_of(body))
        assert distant(blobs, digest_of(body)).read() == body
        assert sum("partNumber" in each.path for each in proxy.asked) == (2 if more > 0 else 0)

    @pytest.mark.parametrize("size", [1, 16 << 20, (16 << 20) + 1, 10_000 * (16 << 20) + 1, 1 << 40, 5 << 40])
    def test_parts_suffice(self, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3_upload, "PART", 16 << 20)
        part = s3_upload.part_size(size)
        assert part * s3_upload.PARTS >= size
        assert part % (1 << 20) == 0
        assert 5 << 20 <= part <= 5 << 30

    @pytest.mark.parametrize(
        ("answer", "md5"),
        [
            ({"ETag": f'"{"0a" * 16}"'}, "0a" * 16),
            ({"ETag": f'"{"0a" * 16}"', "ServerSideEncryption": "AES256"}, "0a" * 16),
            ({"ETag": f'"{"0a" * 16}"', "ServerSideEncryption": "aws:kms"}, None),
            ({"ETag": f'"{"0a" * 16}-2"'}, None),
            ({}, None),
        ],
    )
    def test_which_etags_are_md5s(self, answer: dict[str, str], md5: str | None) -> None:
        assert s3_upload._stored_md5(answer) == md5

    def test_damaged_bytes_of_many_parts_are_put_aside(self, blobs: S3Blobs, spool: Spool, client: Any) -> None:
        blobs.adopt(spool(HUGE), digest_of(HUGE))
        blobs.quarantine(digest_of(HUGE))
        kept = client.get_object(Bucket=blobs._s3.bucket, Key=f"{blobs.prefix}quarantine/{digest_of(HUGE)}")
        assert kept["Body"].read() == HUGE

    @pytest.mark.parametrize("body", [BODY, HUGE], ids=["whole", "parts"])
    def test_what_came_instead_of_damaged_bytes_stays(
        self, blobs: S3Blobs, spool: Spool, monkeypatch: pytest.MonkeyPatch, body: bytes
    ) -> None:
        blobs.adopt(spool(body), digest_of(body))
        monkeypatch.setattr(s3, "look", lambda *_: Found(len(body), f'"{"0" * 32}"'))
        blobs.quarantine(digest_of(body))
        assert distant(blobs, digest_of(body)).read() == body

    def test_a_spool_file_that_is_gone(self, blobs: S3Blobs, tmp_path: Path) -> None:
        with pytest.raises(StoreDown):
            blobs.adopt(tmp_path / "gone", DIGEST)


class TestUpkeep:
    def test_lists_of_many_pages(self, blobs: S3Blobs, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "PAGE", 2)
        bodies = [str(number).encode() for number in range(7)]
        for body in bodies:
            blobs.adopt(spool(body), digest_of(body))
        assert {digest for digest, _ in blobs.walk()} == {digest_of(body) for body in bodies}

    @pytest.mark.parametrize("prefix", ["", "own/"])
    def test_what_nobody_finishes_is_removed_once_it_is_old(
        self, blobs: S3Blobs, bucket: Bucket, client: Any, monkeypatch: pytest.MonkeyPatch, prefix: str
    ) -> None:
        blobs.prefix = prefix
        ours = [*(blobs.key(each * 64) for each in "abc"), f"{prefix}quarantine/{'d' * 64}"]
        theirs = [f"{prefix}elsewhere/x", "sha256.tar"]
        for key in (*ours, *theirs):
            client.create_multipart_upload(Bucket=bucket.name, Key=key)
        for name in ("0" * 16, "notes"):
            client.put_object(Bucket=bucket.name, Key=f"{prefix}probe/{name}", Body=b"1")
        assert blobs.reap() == 0
        monkeypatch.setattr(s3, "ABANDONED", -60.0)
        monkeypatch.setattr(s3, "PAGE", 2)
        assert blobs.reap() == len(ours) + 1
        assert keys(client, bucket, f"{prefix}probe/") == [f"{prefix}probe/notes"]
        left = client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
        assert {each["Key"] for each in left} >= set(theirs)


def run(code: str, *arguments: str) -> str:
    """A process of its own; the environment has the keys."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


MEMORY = """
import sys
from pathlib import Path
from app.stores.s3 import S3Blobs

def peak():  # MiB; of this program, not of what started it as getrusage(2) has it
    [line] = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM")]
    return int(line.split()[1]) // 1024

blobs = S3Blobs(*sys.argv[1:4])
blobs.ping()
before = peak()
digest, size = "f" * 64, int(sys.argv[5])
spool = Path(sys.argv[4])
with spool.open("wb") as file:
    for at in range(0, size, 1 << 20):
        file.seek(at)
        file.write(b"%d" % at)
    file.truncate(size)
blobs.adopt(spool, digest)
body = blobs.open(digest)
assert sum(len(chunk) for chunk in body.span(0, size)) == size
total = 0
while chunk := body.read(1 << 20):
    total += len(chunk)
assert total == size
print(before, peak())
"""


def test_memory_does_not_grow_with_the_body(bucket: Bucket, tmp_path: Path) -> None:
    place = (bucket.name, "memory/", bucket.endpoint)
    before, peak = (int(each) for each in run(MEMORY, *place, str(tmp_path / "spool"), str(64 << 20)).split())
    assert peak < before + 32  # MiB
    assert peak < 120


FORK = """
import os, sys
from app.stores.s3 import S3Blobs

blobs = S3Blobs(*sys.argv[1:4])
blobs.ping()
first = blobs._s3.client(5.0)
if (child := os.fork()) == 0:
    blobs.ping()
    os._exit(blobs._s3.client(5.0) is first)
assert os.waitpid(child, 0)[1] == 0
blobs.ping()
assert blobs._s3.client(5.0) is first
"""


def test_a_forked_process_has_its_own_client(bucket: Bucket) -> None:
    run(FORK, bucket.name, "fork/", bucket.endpoint)


@pytest.mark.parametrize(
    ("region", "name", "endpoint", "start"),
    [
        ("us-east-1", "bucket", None, "https://bucket.s3.amazonaws.com/k?"),
        ("eu-west-1", "bucket", None, "https://bucket.s3.eu-west-1.amazonaws.com/k?"),
        ("eu-west-1", "with.dots", None, "https://s3.eu-west-1.amazonaws.com/with.dots/k?"),
        ("eu-west-1", "bucket", "https://s3.example.org", "https://s3.example.org/bucket/k?"),
        ("eu-west-1", "bucket", "http://127.0.0.1:8333", "http://127.0.0.1:8333/bucket/k?"),
    ],
)
def test_the_host_that_links_name(
    monkeypatch: pytest.MonkeyPatch, region: str, name: str, endpoint: str | None, start: str
) -> None:
    """nginx must send the very same one (docs/operating.md), and Amazon's other regions refuse the first one's."""
    for variable, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", region)):
        monkeypatch.setenv(f"AWS_{variable}", value)
    assert S3(name, endpoint).link(600, Key="k", ResponseContentType="a/b").startswith(start)
