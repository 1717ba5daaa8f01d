"""The whole way on S3: what the filesystem gives by descriptors, S3 gives by spans."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.web.node import EXTENSION
from tests.http.node import Node, body
from tests.http.recording import pulls, sha256
from tests.http.variant import worker
from tests.seaweed import Bucket
from tests.upstreams import Upstream

UP = "/repository/up"
LARGE = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture
def node(remotes: dict[str, Any], tmp_path: Path, database_url: str, redis_url: str, s3_url: str) -> Iterator[Node]:
    settings = {"STORAGE_URL": s3_url, "S3_ENDPOINT_URL": os.environ["S3_ENDPOINT_URL"], "ACCEL_REDIRECT": "/_s3/"}
    with Node(tmp_path, database_url, redis_url, remotes, **settings).running() as node:
        yield node


@pytest.mark.parametrize("content", [b"", b"small", LARGE[:65_536], LARGE[:65_537], LARGE], ids=len)
def test_miss_then_hit(node: Node, upstream: Upstream, content: bytes) -> None:
    upstream.put("/a.rpm", content)
    first = node.get(f"{UP}/a.rpm")
    assert (first.headers["X-Cache"], body(first)) == ("MISS", content)
    node.idle()
    again = node.get(f"{UP}/a.rpm")
    assert (again.headers["X-Cache"], body(again)) == ("HIT", content)
    assert again.headers["Content-Length"] == str(len(content))
    assert node.spools() == []
    assert upstream.count("/a.rpm", "GET") == 1


def test_ranges_of_a_hit(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.rpm", LARGE)
    body(node.get(f"{UP}/a.rpm"))
    node.idle()
    for first, last in ((0, 0), (70_000, 70_009), (1_000_000, 1_999_999), (len(LARGE) - 5, len(LARGE) - 1)):
        answer = node.get(f"{UP}/a.rpm", Range=f"bytes={first}-{last}")
        assert (answer.status_code, body(answer)) == (206, LARGE[first : last + 1])
    several = node.get(f"{UP}/a.rpm", Range="bytes=0-9,500000-500009")
    assert several.status_code == 206
    assert LARGE[:10] in body(several)
    assert node.get(f"{UP}/a.rpm", If_None_Match=several.headers["ETag"]).status_code == 304
    head = node.head(f"{UP}/a.rpm")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(LARGE)))


def test_an_index_is_read_from_there(node: Node, upstream: Upstream) -> None:
    """A checksum that repomd.xml names is expected of the file it names."""
    upstream.put("/repodata/repomd.xml", b"<repomd xmlns='http://linux.duke.edu/metadata/repo'></repomd>")
    assert node.get("/repository/rpm/repodata/repomd.xml").status_code == 200
    node.idle()
    assert node.get("/repository/rpm/repodata/repomd.xml").headers["X-Cache"] == "HIT"


@pytest.mark.parametrize("content", [b"small", LARGE], ids=len)
def test_hosted_files(node: Node, content: bytes) -> None:
    assert node.admin("PUT", "/repository/team/x", content).status_code == 201
    assert body(node.get("/repository/team/x")) == content
    assert node.admin("PUT", "/repository/team/x", content).status_code == 409
    assert node.admin("DELETE", "/repository/team/x").status_code == 204
    assert node.get("/repository/team/x").status_code == 404


def test_an_expired_copy_outlives_upstream(node: Node, upstream: Upstream) -> None:
    upstream.put("/index.txt", LARGE)
    body(node.get(f"{UP}/index.txt"))
    node.idle()
    node.clock.forward(101)
    assert node.get(f"{UP}/index.txt").headers["X-Cache"] == "REVALIDATED"
    node.clock.forward(101)
    upstream.stop()
    answer = node.get(f"{UP}/index.txt")
    assert (answer.headers["X-Cache"], body(answer)) == ("STALE", LARGE)


def test_a_blob_that_is_gone_from_the_bucket_is_fetched_again(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.rpm", LARGE)
    body(node.get(f"{UP}/a.rpm"))
    node.idle()
    blobs = node.carrier.engine.shelf.blobs
    for digest, _ in list(blobs.walk()):
        blobs.remove(digest)
    answer = node.get(f"{UP}/a.rpm")
    assert (answer.headers["X-Cache"], body(answer)) == ("MISS", LARGE)


def test_what_was_there_a_moment_ago_and_is_gone_is_fetched_again(node: Node, upstream: Upstream) -> None:
    """The worker has not asked S3 again, the fills process finds it out before it has answered."""
    upstream.put("/a.rpm", LARGE)
    body(node.get(f"{UP}/a.rpm"))
    node.idle()
    assert body(node.get(f"{UP}/a.rpm")) == LARGE
    blobs = node.carrier.engine.shelf.blobs
    for digest, _ in list(blobs.walk()):
        blobs.remove(digest)
    answer = node.get(f"{UP}/a.rpm")
    assert (answer.status_code, answer.headers["X-Cache"], body(answer)) == (200, "MISS", LARGE)


def test_what_only_the_fills_process_took_for_stored_is_fetched_again(node: Node, upstream: Upstream) -> None:
    """A worker that has not seen it asks S3, and hands over what is not there; the fills process saw it lately."""
    upstream.put("/a.rpm", LARGE)
    body(node.get(f"{UP}/a.rpm"))
    node.idle()
    shelf = node.carrier.engine.shelf
    [(digest, _)] = list(shelf.blobs.walk())
    served = shelf.blobs.open(digest)  # so that this process thinks that it knows
    assert served is not None
    served.close()
    with worker(node) as client:  # removed by somebody else, and by a worker of its own
        blobs = client.application.extensions[EXTENSION].shelf.blobs
        blobs.remove(digest)
        answer = client.get(f"{UP}/a.rpm")
        assert (answer.status_code, answer.get_data() == LARGE) == (200, True)
    assert body(node.get(f"{UP}/a.rpm")) == LARGE


def test_what_is_fetched_again_is_recorded_as_what_it_is_now(node: Node, upstream: Upstream) -> None:
    upstream.put("/index.txt", LARGE)
    body(node.get(f"{UP}/index.txt"))
    node.idle()
    assert body(node.get(f"{UP}/index.txt")) == LARGE
    blobs = node.carrier.engine.shelf.blobs
    for digest, _ in list(blobs.walk()):
        blobs.remove(digest)
    upstream.put("/index.txt", LARGE[::-1])
    assert body(node.get(f"{UP}/index.txt")) == LARGE[::-1]
    told = {each["digest"]: each["requests"] for each in pulls(node)}
    assert told == {sha256(LARGE): 2, sha256(LARGE[::-1]): 1}


@pytest.mark.parametrize("wanted", [{}, {"Range": "bytes=70000-"}, {"Range": "bytes=-200000"}])
def test_what_nginx_is_to_ask_s3_for(
    node: Node, upstream: Upstream, s3_bucket: Bucket, wanted: dict[str, str]
) -> None:
    """nginx sends that target, the endpoint's own Host and the client's Range, and nothing else."""
    upstream.put("/a.rpm", LARGE)
    body(node.get(f"{UP}/a.rpm"))
    node.idle()
    answer = node.get(f"{UP}/a.rpm", X_Sendfile_Type="X-Accel-Redirect", **wanted)
    target = answer.headers["X-Accel-Redirect"].removeprefix("/_s3")
    with closing(http.client.HTTPConnection(urlsplit(s3_bucket.endpoint).netloc, timeout=10)) as s3:
        s3.request("GET", target, headers=wanted)
        sent = s3.getresponse()
        assert (sent.status, sent.headers["Content-Type"]) == (answer.status_code, answer.headers["Content-Type"])
        assert sent.headers["Content-Length"] == answer.headers["Content-Length"]
        assert sent.headers.get("Content-Range") == answer.headers.get("Content-Range")
        assert sent.read() == body(node.get(f"{UP}/a.rpm", **wanted))


def test_health(node: Node) -> None:
    assert node.get("/health").get_json()["checks"]["storage"] == "healthy"
    assert node.get("/health/ready").status_code == 200
