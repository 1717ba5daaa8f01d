"""The registry's API through gunicorn and the fills process: what a client library's own server would hide."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.http.raw import Reply, exchange, parse, request
from tests.stack import StackFactory
from tests.upstreams import Upstream

TYPE = "application/vnd.oci.image.manifest.v1+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
LAYER = b"0123456789" * 40_000  # more than a worker sends itself
DIGEST = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
BLOB = {"mediaType": "application/octet-stream", "digest": DIGEST, "size": len(LAYER)}
MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": TYPE, "layers": [{"digest": DIGEST, "size": 400_000}]}
).encode()


@pytest.fixture
def port(stack_factory: StackFactory, upstream: Upstream) -> int:
    """A node whose docker remote answers for the host that raw requests name."""
    upstream.put("/v2/library/x/manifests/1", MANIFEST, Content_Type=TYPE)
    upstream.put(f"/v2/library/x/blobs/{DIGEST}", LAYER)
    hub = {"package": "docker", "base_url": upstream.url, "hosts": ["node"]}
    return stack_factory({"remotes": {"hub": hub}}, "registry").start().port


def say(port: int, method: str, target: str, *lines: str) -> Reply:
    sent = request(method, target, *lines)
    return parse(exchange(port, sent), sent)


def test_a_pull_through_real_processes(port: int, upstream: Upstream) -> None:
    accept = (f"Accept: {TYPE}", f"Accept: {LIST}", "Accept: */*")
    for base in ("/v2/library/x", "/v2/hub/library/x", "/repository/hub/v2/library/x"):
        manifest = say(port, "GET", f"{base}/manifests/1", *accept)
        assert (manifest.status, manifest.body, manifest.headers["content-type"]) == (200, MANIFEST, TYPE)
        layer = say(port, "GET", f"{base}/blobs/{DIGEST}")
        assert (layer.status, layer.body, layer.headers["docker-content-digest"]) == (200, LAYER, DIGEST)
        missing = say(port, "GET", f"{base}/manifests/2", *accept)
        assert (missing.status, missing.json["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")
        assert missing.headers["docker-distribution-api-version"] == "registry/2.0"
        head = say(port, "HEAD", f"{base}/manifests/3", *accept)
        assert (head.status, head.body, head.headers["content-type"]) == (404, b"", "application/json")
    asked = next(seen for seen in upstream.requests if seen.path.endswith("/manifests/1"))
    assert {TYPE, LIST} <= {each.strip() for each in asked.headers["accept"].split(",")}  # every line of it
    assert upstream.count(f"/v2/library/x/blobs/{DIGEST}", "GET") == 1


def test_an_absolute_target_and_one_that_is_not_plain(port: int) -> None:
    assert say(port, "GET", "http://node/v2/").body == b"{}"
    for target in (
        "/v2/library/../x/manifests/1",
        "/v2//",
        "/v2/library/x/manifests/%00",
        "/v2/library/x/blobs/%ff",
    ):
        refused = say(port, "GET", target)
        assert refused.status == 400, target
        assert refused.json["errors"][0]["code"] == "NAME_INVALID", target


def test_a_request_that_is_no_http_is_refused_in_this_form_where_its_path_is_known(port: int) -> None:
    for lines in ("Content-Length: abc", "Transfer-Encoding: gzip"):
        refused = say(port, "GET", "/v2/library/x/manifests/1", lines)
        assert (refused.status, len(refused.json["errors"])) == (400, 1), lines
        assert refused.headers["docker-distribution-api-version"] == "registry/2.0"
        assert say(port, "GET", "/health", lines).json["error"] == "bad_request"


def test_an_accept_of_any_length(port: int) -> None:
    lines = [f"Accept: {TYPE}", *("Accept: " + "\xff" * 8000 for _ in range(90))]
    for name in ("manifests/1", f"blobs/{DIGEST}"):
        assert say(port, "GET", f"/v2/library/x/{name}", *lines).status == 200
