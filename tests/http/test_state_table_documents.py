"""The engine's rows for documents and for bytes named by a digest, shown with container images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.http.conftest import QUICK
from tests.http.images import OCI, digest, image
from tests.http.node import Node, body
from tests.upstreams import Upstream

LAYER = b"a layer" * 20_000
ONE, TWO = image(LAYER, annotations={"n": "one"}), image(LAYER, annotations={"n": "two"})
TAG = "/v2/team/app/manifests/latest"
BLOB = f"/v2/team/app/blobs/{digest(LAYER)}"


@pytest.fixture
def node(upstream: Upstream, tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Node]:
    hub = {"package": "docker", "base_url": upstream.url, "cache": {"mutable_ttl": 100}, "upstream": QUICK}
    document: dict[str, Any] = {"remotes": {"hub": hub, "other": hub}}
    with Node(tmp_path, database_url, redis_url, document).running() as node:
        yield node


def offer(upstream: Upstream, manifest: bytes, name: str = "team/app") -> None:
    """Push, as it were: the tag, the digest and the layer."""
    for reference in ("latest", digest(manifest)):
        path = f"/v2/{name}/manifests/{reference}"
        upstream.put(path, manifest, Content_Type=OCI, Docker_Content_Digest=digest(manifest))
    upstream.put(f"/v2/{name}/blobs/{digest(LAYER)}", LAYER, Docker_Content_Digest=digest(LAYER))


def hub(path: str) -> str:
    return f"/repository/hub{path}"


def prime(node: Node, upstream: Upstream) -> None:
    offer(upstream, ONE)
    for path in (TAG, BLOB):
        assert node.get(hub(path)).status_code == 200
    node.idle()
    upstream.reset()


def test_a_head_of_a_missing_document_is_as_a_get(node: Node, upstream: Upstream) -> None:
    offer(upstream, ONE)
    head = node.head(hub(TAG))
    got = node.get(hub(TAG))
    assert (head.headers["X-Cache"], got.headers["X-Cache"], body(got)) == ("MISS", "HIT", ONE)
    for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
        assert head.headers[name] == got.headers[name], name
    assert got.headers["Docker-Content-Digest"] == digest(ONE)
    assert [seen.method for seen in upstream.requests] == ["GET"]


def test_a_tags_answer_makes_its_digest_servable(node: Node, upstream: Upstream) -> None:
    offer(upstream, ONE)
    assert node.head(hub(TAG)).status_code == 200
    upstream.stop()
    by_digest = node.get(hub(f"/v2/team/app/manifests/{digest(ONE)}"))
    assert (by_digest.headers["X-Cache"], body(by_digest)) == ("HIT", ONE)


def test_an_expired_tag_costs_a_head_while_it_stays(node: Node, upstream: Upstream) -> None:
    prime(node, upstream)
    node.clock.forward(101)
    again = node.get(hub(TAG))
    assert (again.headers["X-Cache"], body(again)) == ("REVALIDATED", ONE)
    assert [seen.method for seen in upstream.requests] == ["HEAD"]


def test_a_moved_tag_costs_one_get(node: Node, upstream: Upstream) -> None:
    prime(node, upstream)
    offer(upstream, TWO)
    node.clock.forward(101)
    head = node.head(hub(TAG))
    assert (head.headers["X-Cache"], head.headers["Docker-Content-Digest"]) == ("EXPIRED", digest(TWO))
    node.idle()
    assert body(node.get(hub(TAG))) == TWO
    assert [seen.method for seen in upstream.requests] == ["HEAD", "GET"]
    assert body(node.get(hub(f"/v2/team/app/manifests/{digest(ONE)}"))) == ONE


def test_a_deleted_tag_is_a_404_and_its_digest_stays(node: Node, upstream: Upstream) -> None:
    prime(node, upstream)
    upstream.remove(TAG)
    upstream.remove(f"/v2/team/app/manifests/{digest(ONE)}")
    node.clock.forward(101)
    assert node.get(hub(TAG)).status_code == 404
    node.idle()
    assert node.get(hub(TAG)).status_code == 404
    assert body(node.get(hub(f"/v2/team/app/manifests/{digest(ONE)}"))) == ONE


@pytest.mark.parametrize("code", [429, 500, 503, 401])
def test_an_upstream_that_refuses_leaves_the_stored_tag(node: Node, upstream: Upstream, code: int) -> None:
    prime(node, upstream)
    upstream.status(code, headers={"Retry-After": "7"})
    node.clock.forward(101)
    for _ in range(2):
        stale = node.get(hub(TAG))
        assert (stale.status_code, stale.headers["X-Cache"], body(stale)) == (200, "STALE", ONE)
        node.idle()
    assert upstream.count(TAG, "GET") == 0


def test_a_document_that_lies_about_its_digest_is_refused(node: Node, upstream: Upstream) -> None:
    offer(upstream, ONE)
    upstream.headers(TAG, Docker_Content_Digest=digest(TWO))
    assert node.get(hub(TAG)).status_code == 502
    upstream.clear()
    assert body(node.get(hub(TAG))) == ONE


def test_a_document_that_is_none_is_refused_and_not_stored(node: Node, upstream: Upstream) -> None:
    upstream.put(TAG, b"<maintenance/>", Content_Type="application/json")
    assert node.get(hub(TAG)).status_code == 502
    offer(upstream, ONE)
    assert body(node.get(hub(TAG))) == ONE


def test_a_herd_asks_for_a_document_once(node: Node, upstream: Upstream) -> None:
    offer(upstream, ONE)
    upstream.latency(0.3)
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda n: (node.get if n % 2 else node.head)(hub(TAG)), range(20)))
    assert {reply.headers["Docker-Content-Digest"] for reply in replies} == {digest(ONE)}
    assert upstream.count() == 1


# -- bytes that are here already -----------------------------------------------------------------------------------


def test_upstreams_head_vouches_for_a_second_name(node: Node, upstream: Upstream) -> None:
    prime(node, upstream)
    offer(upstream, TWO, "team/next")
    path = f"/v2/team/next/blobs/{digest(LAYER)}"
    reply = node.get(hub(path))
    assert (reply.headers["X-Cache"], body(reply)) == ("REVALIDATED", LAYER)
    assert [(seen.method, seen.path) for seen in upstream.requests] == [("HEAD", path)]
    node.idle()
    assert len({path.name for path in node.blobs()}) == 2


def test_a_guessed_digest_is_no_key(node: Node, upstream: Upstream) -> None:
    prime(node, upstream)
    assert node.get(f"/repository/other/v2/team/next/blobs/{digest(LAYER)}").status_code == 404
    assert node.get(hub(f"/v2/team/next/blobs/{digest(LAYER)}")).status_code == 404


def test_a_stored_index_vouches_while_upstream_is_down(node: Node, upstream: Upstream) -> None:
    prime(node, upstream)
    offer(upstream, TWO, "team/next")
    assert node.get(hub("/v2/team/next/manifests/latest")).status_code == 200
    node.idle()
    upstream.stop()
    assert body(node.get(hub(f"/v2/team/next/blobs/{digest(LAYER)}"))) == LAYER
    assert node.get(hub(f"/v2/team/third/blobs/{digest(LAYER)}")).status_code == 502


# -- where nothing there is an answer -------------------------------------------------------------------------------


def test_what_upstream_lacks_is_asked_for_otherwise_and_then_blank(node: Node, upstream: Upstream) -> None:
    offer(upstream, ONE)
    path = f"/v2/team/app/referrers/{digest(ONE)}"
    blank = node.get(hub(path))
    assert (blank.status_code, json.loads(body(blank))["manifests"]) == (200, [])
    assert node.head(hub(path)).headers["Content-Length"] == blank.headers["Content-Length"]
    node.clock.forward(101)
    node.admin("PUT", "/cache/flush?remote=hub")
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    fallback = json.dumps({**index, "annotations": {"a": "b"}}).encode()
    upstream.put(f"/v2/team/app/manifests/{digest(ONE).replace(':', '-')}", fallback)
    assert body(node.get(hub(path))) == fallback


def test_kept_headers_are_the_same_on_a_hit(node: Node, upstream: Upstream) -> None:
    link = '</v2/team/app/tags/list?n=1&last=a>; rel="next"'
    upstream.put("/v2/team/app/tags/list", b'{"name":"team/app","tags":["a"]}', Link=link)
    cold = node.get(hub("/v2/team/app/tags/list?n=1"))
    node.idle()
    warm = node.get(hub("/v2/team/app/tags/list?n=1"))
    assert (cold.headers["X-Cache"], warm.headers["X-Cache"]) == ("MISS", "HIT")
    assert cold.headers["Link"] == warm.headers["Link"]
    assert cold.headers["Link"].startswith("</repository/hub/v2/team/app/tags/list?")


def test_upstreams_quota_is_a_metric(node: Node, upstream: Upstream) -> None:
    offer(upstream, ONE)
    upstream.headers(RateLimit_Limit="100;w=21600", RateLimit_Remaining="76;w=21600")
    assert node.get(hub(TAG)).status_code == 200
    text = node.get("/metrics").get_data(as_text=True)
    assert 'artifactapi_upstream_quota{repository="hub",what="remaining"} 76.0' in text
