"""S3_REDIRECT: a stored body over 64 KiB comes from S3 itself, and whoever follows the link gets the right bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import curl, home
from tests.clients.curl import Curl, Reply
from tests.seaweed import SeaweedFS
from tests.stack import Stack, eventually
from tests.upstreams import Upstream

__all__ = ["curl", "home"]  # fixtures by import

BODY = hashlib.shake_256(b"by a link").digest(3 << 20)


@pytest.fixture
def node(
    tmp_path: Path, upstream: Upstream, seaweed: SeaweedFS, database_url: str, redis_url: str
) -> Iterator[Stack]:
    """A node that has /x.rpm and /small in S3."""
    bucket = seaweed.bucket()
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "STORAGE_URL": bucket.url}
    settings = {**stores, **bucket.environment, "S3_REDIRECT": "true", "STORAGE_MIN_FREE": "0"}
    made = Stack(tmp_path / "node", {"remotes": {"up": {"base_url": upstream.url}}}, settings)
    upstream.put("/x.rpm", BODY, Content_Type="application/x-rpm")
    upstream.put("/small", BODY[:1000])
    try:
        made.start()
        for path in ("/x.rpm", "/small"):
            made.get(f"/repository/up{path}")
        yield made
    finally:
        made.close()


def test_a_stored_body_comes_from_s3(node: Stack, seaweed: SeaweedFS, curl: Curl) -> None:
    url = f"{node.url}/repository/up/x.rpm"

    def follow(*options: str) -> Reply:
        return curl(url, "--location", *options)

    eventually(lambda: curl(url, "--head").headers["X-Cache"] == "HIT", "it is recorded")
    told = curl(url)
    assert (told.status, told.body, told.headers["X-Cache"]) == (307, b"", "HIT")
    assert told.headers["Location"].startswith(f"{seaweed.url}/")
    assert told.headers["ETag"] == curl(url, "--head").headers["ETag"]
    found = follow()
    assert (found.status, found.body, found.content_type) == (200, BODY, "application/x-rpm")
    part = follow("--range", "100-199999")
    assert (part.status, part.body) == (206, BODY[100:200000])
    assert curl(url, "--range", "5-9").body == BODY[5:10]  # small enough for this server
    assert curl(url, "--range", "0-9,100000-299999").parts() == [BODY[:10], BODY[100000:300000]]
    assert curl(url, "--header", f"If-None-Match: {told.headers['ETag']}").status == 304
    assert curl(url, "--header", 'If-None-Match: "another"').body == BODY
    assert curl(f"{node.url}/repository/up/small").body == BODY[:1000]
