"""API.md, "Docker: /v2/", line by line: routing, errors in the form of OCI, and what is answered without upstream."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.http.conftest import QUICK
from tests.http.node import Node, body
from tests.http.variant import without_database, worker
from tests.upstreams import Upstream

TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
VERSION = "Docker-Distribution-Api-Version"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


LAYER = b"a layer, as it were"
LAYER_DIGEST = sha256(LAYER)
BLOB = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": LAYER_DIGEST, "size": len(LAYER)}
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": TYPE, "config": BLOB, "layers": [BLOB]}).encode()
DIGEST = sha256(MANIFEST)
ABSENT = sha256(b"nowhere")


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    hub = {"package": "docker", "base_url": upstream.url, "upstream": QUICK, "cache": {"mutable_ttl": 100}}
    remotes["remotes"] |= {
        "hub": hub,
        "strict": hub | {"immutable_patterns": ["^crew/", "^one/x/manifests/ok$"]},
        "banning": hub | {"ban_tags_enabled": True, "ban_tags": ["latest"]},
        "served": hub | {"base_url": f"{upstream.url}/served", "serves": ["reg.example", "reg.example:5000"]},
        "hosted": hub | {"base_url": f"{upstream.url}/hosted", "hosts": ["mirror.example", "ported.example:5000"]},
        "v2": {"package": "generic", "base_url": upstream.url, "upstream": QUICK},
    }
    return remotes


@pytest.fixture
def fallback(remotes: dict[str, Any], upstream: Upstream) -> None:
    """A default remote; a test that names this fixture takes it before `node`."""
    remotes["remotes"]["any"] = remotes["remotes"]["hub"] | {"base_url": f"{upstream.url}/any", "default": True}


def offer(upstream: Upstream, name: str, tag: str = "1", base: str = "") -> None:
    """An image of one layer: its manifest by tag and by digest, and its layer."""
    for reference in (tag, DIGEST):
        upstream.put(
            f"{base}/v2/{name}/manifests/{reference}", MANIFEST, Content_Type=TYPE, Docker_Content_Digest=DIGEST
        )
    upstream.put(f"{base}/v2/{name}/blobs/{LAYER_DIGEST}", LAYER, Docker_Content_Digest=LAYER_DIGEST)
    tags = json.dumps({"name": name, "tags": [tag]}).encode()
    upstream.put(f"{base}/v2/{name}/tags/list", tags, Content_Type="application/json")


def refused(answer: TestResponse) -> tuple[int, str]:
    """(status, code) of an error, whose form is checked."""
    told = answer.get_json()
    assert set(told) == {"errors"}
    [error] = told["errors"]
    assert set(error) == {"code", "message", "detail"}
    assert error["message"]
    assert error["detail"]["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers[VERSION] == "registry/2.0"
    assert answer.headers["Content-Type"] == "application/json"
    return answer.status_code, error["code"]


def message(answer: TestResponse) -> str:
    return str(answer.get_json()["errors"][0]["message"])


# -- GET /v2/ ----------------------------------------------------------------------------------------------------


def test_the_base_says_that_this_is_a_registry(node: Node, upstream: Upstream) -> None:
    for path in ("/v2/", "/v2", "/repository/hub/v2/", "/repository/hub/v2", "/v2/hub/", "/v2/?ns=reg.example"):
        answer = node.get(path)
        assert (answer.status_code, body(answer), answer.headers[VERSION]) == (200, b"{}", "registry/2.0"), path
        assert answer.headers["Content-Type"] == "application/json"
        head = node.head(path)
        assert (head.status_code, body(head), head.headers[VERSION]) == (200, b"", "registry/2.0"), path
        assert head.headers["Content-Length"] == "2"
    assert upstream.connections == 0


# -- the pull half, by the repository's name in the path, and below its own address -----------------------------


@pytest.mark.parametrize("base", ["/v2/hub", "/repository/hub/v2"])
def test_an_image_is_pulled(node: Node, upstream: Upstream, base: str) -> None:
    offer(upstream, "library/x")
    for path, content, kind, digest in (
        ("manifests/1", MANIFEST, TYPE, DIGEST),
        (f"manifests/{DIGEST}", MANIFEST, TYPE, DIGEST),
        (f"blobs/{LAYER_DIGEST}", LAYER, "application/octet-stream", LAYER_DIGEST),
    ):
        for _ in range(2):
            answer = node.get(f"{base}/library/x/{path}")
            assert (answer.status_code, body(answer)) == (200, content), path
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["Docker-Content-Digest"] == digest
            assert answer.headers[VERSION] == "registry/2.0"
            node.idle()
        head = node.head(f"{base}/library/x/{path}")
        assert (head.status_code, body(head)) == (200, b""), path
        for name in ("Content-Type", "Content-Length", "Docker-Content-Digest", "ETag", VERSION):
            assert head.headers.get(name) == answer.headers.get(name), (path, name)
    tags = node.get(f"{base}/library/x/tags/list")
    name = "hub/library/x" if base == "/v2/hub" else "library/x"
    assert (tags.status_code, tags.get_json()) == (200, {"name": name, "tags": ["1"]})


def test_a_head_of_what_is_not_stored(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x")
    head = node.head("/v2/hub/library/x/manifests/1")
    assert (head.status_code, body(head)) == (200, b"")
    assert (head.headers["Docker-Content-Digest"], head.headers["Content-Length"]) == (DIGEST, str(len(MANIFEST)))
    assert node.head("/v2/hub/library/x/manifests/2").status_code == 404


def test_referrers_where_upstream_knows_none(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x")
    answer = node.get(f"/v2/hub/library/x/referrers/{DIGEST}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, INDEX)
    assert answer.get_json()["manifests"] == []


def test_a_digest_may_be_percent_encoded(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x")
    encoded = LAYER_DIGEST.replace(":", "%3A")
    for path in (f"library/x/blobs/{encoded}", f"library%2Fx/blobs/{LAYER_DIGEST}"):
        assert body(node.get(f"/v2/hub/{path}")) == LAYER
        node.idle()
    assert upstream.count(f"/v2/library/x/blobs/{LAYER_DIGEST}", "GET") == 1


# -- which repository --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fallback")
def test_the_repository_that_a_path_names_wins(node: Node, upstream: Upstream) -> None:
    offer(upstream, "x")
    answer = node.get("/v2/hub/x/manifests/1?ns=reg.example", Host="mirror.example")
    assert (answer.status_code, body(answer)) == (200, MANIFEST)


@pytest.mark.parametrize("ns", ["reg.example", "REG.Example", "reg.example:5000", "reg.example&n=1"])
def test_ns_names_a_registry_that_a_remote_serves(node: Node, upstream: Upstream, ns: str) -> None:
    offer(upstream, "crew/x", base="/served")
    answer = node.get(f"/v2/crew/x/manifests/1?ns={ns}", Host="mirror.example")
    assert (answer.status_code, body(answer)) == (200, MANIFEST)
    assert {seen.query for seen in upstream.requests} == {""}  # it is between the client and this server


@pytest.mark.usefixtures("fallback")
@pytest.mark.parametrize("ns", ["other.example", "", "reg.example:5001", "127.0.0.1", "reg.example/served"])
def test_ns_of_a_registry_that_nobody_serves_is_never_dialled(node: Node, upstream: Upstream, ns: str) -> None:
    for base in ("", "/any", "/hosted", "/served"):
        offer(upstream, "crew/x", base=base)
    ns = ns.replace("127.0.0.1", f"127.0.0.1:{upstream.port}")
    for path in ("manifests/1", f"blobs/{LAYER_DIGEST}", "tags/list", f"referrers/{DIGEST}"):
        answer = node.get(f"/v2/crew/x/{path}?ns={ns}", Host="mirror.example")
        assert refused(answer) == (404, "NAME_UNKNOWN")
        assert ns in message(answer)
        assert node.head(f"/v2/crew/x/{path}?ns={ns}").status_code == 404
    assert upstream.connections == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("mirror.example", 200),
        ("Mirror.EXAMPLE", 200),
        ("mirror.example:8000", 200),
        ("ported.example:5000", 200),
        ("ported.example", 404),
        ("ported.example:5001", 404),
        ("other.example", 404),
    ],
)
def test_a_host_names_a_remote(node: Node, upstream: Upstream, host: str, status: int) -> None:
    offer(upstream, "crew/x", base="/hosted")
    assert node.get("/v2/crew/x/manifests/1", Host=host).status_code == status


def test_a_host_that_a_proxy_tells_of(node: Node, upstream: Upstream) -> None:
    offer(upstream, "crew/x", base="/hosted")
    told = {"X-Forwarded-Host": "mirror.example"}
    assert node.get("/v2/crew/x/manifests/1", **told).status_code == 404
    body(node.get("/v2/crew/x/manifests/1", Host="mirror.example"))
    node.idle()
    with worker(node, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),)) as client:
        assert client.get("/v2/crew/x/manifests/1", headers=told).status_code == 200


@pytest.mark.usefixtures("fallback")
def test_the_default_remote_has_the_rest(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x", base="/any")
    for path in ("library/x/manifests/1", f"library/x/blobs/{LAYER_DIGEST}", "library/x/tags/list"):
        assert node.get(f"/v2/{path}").status_code == 200
        assert node.head(f"/v2/{path}", Host="other.example").status_code == 200
        node.idle()


def test_nothing_says_which_repository(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x")
    for path in ("library/x/manifests/1", "x/manifests/1", "nope/library/x/tags/list", "nope", "nope/"):
        answer = node.get(f"/v2/{path}")
        assert refused(answer) == (404, "NAME_UNKNOWN"), path
        assert path.partition("/")[0] in message(answer)
        assert node.head(f"/v2/{path}").status_code == 404
    assert upstream.connections == 0


def test_a_repository_of_other_packages(node: Node, upstream: Upstream) -> None:
    for name in ("up", "rpm", "team", "v2"):
        answer = node.get(f"/v2/{name}/library/x/manifests/1")
        assert refused(answer) == (400, "NAME_INVALID")
        assert name in message(answer)
        assert "images" in message(answer)
    assert upstream.connections == 0


@pytest.mark.usefixtures("fallback")
def test_packages_do_not_shade_images(node: Node, upstream: Upstream) -> None:
    """As with the shipped configuration: `alpine/git` through a mirror of Docker Hub, beside packages of Alpine."""
    for base in ("/any", "/served", "/hosted"):
        offer(upstream, "rpm/x", base=base)
        offer(upstream, "team/x", base=base)
    for path in ("rpm/x/manifests/1", f"team/x/blobs/{LAYER_DIGEST}", "rpm/x/tags/list"):
        for more, host in (("", "other.example"), ("?ns=reg.example", "other.example"), ("", "mirror.example")):
            answer = node.get(f"/v2/{path}{more}", Host=host)
            assert answer.status_code == 200, (path, more, host)
            node.idle()
    assert {seen.path.split("/")[1] for seen in upstream.requests} == {"any", "served", "hosted"}
    assert refused(node.get("/v2/rpm/x/manifests/1?ns=other.example")) == (400, "NAME_INVALID")
    assert refused(node.admin("PUT", "/v2/rpm/x/manifests/1", b"x")) == (405, "UNSUPPORTED")


def test_a_generic_repository_may_have_paths_that_read_like_this_api(node: Node, upstream: Upstream) -> None:
    upstream.put("/v2/library/x/manifests/1", b"plain")
    assert body(node.get("/repository/v2/v2/library/x/manifests/1")) == b"plain"
    assert node.get("/repository/v2/v2/_catalog").get_json()["error"] == "not_found"
    assert node.admin("POST", "/repository/v2/v2/x").get_json()["error"] == "method_not_allowed"


def test_nothing_is_beside_the_api_in_a_repository_of_images(node: Node, upstream: Upstream) -> None:
    for path in ("", "x", "v1/library/x/manifests/1", "v2x/library/x/manifests/1"):
        assert node.get(f"/repository/hub/{path}").get_json()["error"] == "not_found"
        assert node.head(f"/repository/hub/{path}").status_code == 404
    for base in ("/v2/hub", "/repository/hub/v2"):
        for path in ("x", "x/files/1", "manifests/1", "x/tags/all", "x/blobs/uploads/"):
            assert refused(node.get(f"{base}/{path}"))[0] in (400, 404), path
    assert upstream.connections == 0


def test_the_kind_specific_form_passes_the_same_paths(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x")
    answer = node.get(f"/api/v1/remote/hub/v2/library/x/blobs/{LAYER_DIGEST}")
    assert (answer.status_code, body(answer)) == (200, LAYER)
    for path in ("", "v2/", "x", "v2/_catalog", "v2/library/x/manifests/2"):
        assert node.get(f"/api/v1/remote/hub/{path}").get_json()["error"], path


# -- gates: 403 with the reason ------------------------------------------------------------------------------------


def test_patterns_gate_manifests_blobs_and_lists_alike(node: Node, upstream: Upstream) -> None:
    offer(upstream, "crew/x")
    offer(upstream, "other/x")
    offer(upstream, "one/x", tag="ok")
    for path in ("manifests/1", f"manifests/{DIGEST}", f"blobs/{LAYER_DIGEST}", "tags/list", f"referrers/{DIGEST}"):
        assert node.get(f"/v2/strict/crew/x/{path}").status_code == 200, path
        for method in ("GET", "HEAD"):
            for base in ("/v2/strict/other/x", "/repository/strict/v2/other/x", "/v2/strict/one/x"):
                answer = node.ask(method, f"{base}/{path}")
                assert answer.status_code == 403, (base, path)
                if method == "GET":
                    assert refused(answer) == (403, "DENIED")
                    assert "pattern" in message(answer)
    assert node.get("/v2/strict/one/x/manifests/ok").status_code == 200
    assert refused(node.get("/v2/strict/other/x/tags/list?n=0")) == (403, "DENIED")


def test_a_banned_tag_is_refused_but_never_a_digest(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x", tag="latest")
    for base in ("/v2/banning", "/repository/banning/v2"):
        answer = node.get(f"{base}/library/x/manifests/latest")
        assert refused(answer) == (403, "DENIED")
        assert "latest" in message(answer)
        assert node.head(f"{base}/library/x/manifests/latest").status_code == 403
    assert upstream.count() == 0
    assert body(node.get(f"/v2/banning/library/x/manifests/{DIGEST}")) == MANIFEST


# -- errors ----------------------------------------------------------------------------------------------------


def test_what_upstream_does_not_have(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x")
    for base in ("/v2/hub", "/repository/hub/v2"):
        for path, code in (
            ("library/x/manifests/2", "MANIFEST_UNKNOWN"),
            (f"library/x/manifests/{ABSENT}", "MANIFEST_UNKNOWN"),
            (f"library/x/blobs/{ABSENT}", "BLOB_UNKNOWN"),
            ("library/y/tags/list", "NAME_UNKNOWN"),
        ):
            for _ in range(2):
                assert refused(node.get(f"{base}/{path}")) == (404, code), path
                node.idle()
            head = node.head(f"{base}/{path}")
            assert (head.status_code, body(head), head.headers[VERSION]) == (404, b"", "registry/2.0")


@pytest.mark.parametrize("status", [401, 403])
def test_what_upstream_denies(node: Node, upstream: Upstream, status: int) -> None:
    """Docker Hub's 401 for what does not exist; a docker client would try a 5xx again and again."""
    for base in ("/v2/hub", "/repository/hub/v2"):
        upstream.status(status)
        for path, code in (
            ("manifests/1", "NAME_UNKNOWN"),
            (f"manifests/{DIGEST}", "NAME_UNKNOWN"),
            ("tags/list", "NAME_UNKNOWN"),
            (f"blobs/{LAYER_DIGEST}", "BLOB_UNKNOWN"),
        ):
            answer = node.get(f"{base}/library/x/{path}")
            assert refused(answer) == (404, code), path
            assert "login" in message(answer)
            head = node.head(f"{base}/library/x/{path}")
            assert (head.status_code, head.headers["X-Upstream-Status"]) == (404, str(status))
            assert "X-Cache" not in head.headers
    denied = node.get("/api/v1/remote/hub/v2/library/x/manifests/1")
    assert (denied.status_code, denied.get_json()["error"]) == (502, "upstream_denied")
    upstream.clear()
    offer(upstream, "library/x")
    for path in ("manifests/1", "tags/list", f"blobs/{LAYER_DIGEST}"):
        assert node.get(f"/v2/hub/library/x/{path}").status_code == 200, "it was remembered"


@pytest.mark.parametrize("base", ["/v2/hub", "/repository/hub/v2"])
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("library/x/blobs/sha256:short", "DIGEST_INVALID"),
        ("library/x/blobs/latest", "DIGEST_INVALID"),
        (f"library/x/manifests/{DIGEST}00", "DIGEST_INVALID"),
        ("library/x/referrers/sha256:short", "DIGEST_INVALID"),
        ("library/x/manifests/-dash", "MANIFEST_INVALID"),
        (f"library/x/manifests/{'a' * 129}", "MANIFEST_INVALID"),
        ("Library/X/manifests/1", "NAME_INVALID"),
        ("library/x_/manifests/1", "NAME_INVALID"),
        ("library/x/tags/list?n=-1", "UNSUPPORTED"),
        ("library/x/tags/list?n=many", "UNSUPPORTED"),
        ("_catalog?n=-1", "UNSUPPORTED"),
        ("_catalog?n=", "UNSUPPORTED"),
        ("_catalog?n=1e3", "UNSUPPORTED"),
        ("_catalog?last=%00", "NAME_INVALID"),
        ("library/../x/manifests/1", "NAME_INVALID"),
        ("library/%2e%2e/x/manifests/1", "NAME_INVALID"),
        ("library//x/manifests/1", "NAME_INVALID"),
        ("library/x/manifests/%00", "NAME_INVALID"),
        ("library/x/manifests/%zz", "NAME_INVALID"),
        ("library/x/manifests/a%5Cb", "NAME_INVALID"),
    ],
)
def test_what_no_registry_could_have(node: Node, upstream: Upstream, base: str, path: str, code: str) -> None:
    assert refused(node.get(f"{base}/{path}")) == (400, code)
    assert node.head(f"{base}/{path}").status_code == 400
    assert upstream.connections == 0


def test_a_harmful_path_is_refused_before_a_repository_is_found(node: Node) -> None:
    for path in ("/v2//", "/v2//hub/x/manifests/1", "/v2/../hub", "/v2/%2e%2e/x", "/v2/hub%00/x", "/v2/%ff/x/y/z"):
        assert refused(node.get(path)) == (400, "NAME_INVALID"), path


@pytest.mark.parametrize("retry_after", [None, "7"])
def test_an_upstream_that_counts_requests(node: Node, upstream: Upstream, retry_after: str | None) -> None:
    offer(upstream, "library/x")
    upstream.status(429, headers={"Retry-After": retry_after} if retry_after else None)
    for path in ("manifests/1", f"blobs/{LAYER_DIGEST}", "tags/list"):
        answer = node.get(f"/v2/hub/library/x/{path}")
        assert refused(answer) == (429, "TOOMANYREQUESTS")
        assert answer.headers["Retry-After"] == (retry_after or "5")
        assert node.head(f"/v2/hub/library/x/{path}").status_code == 429
    upstream.clear()
    node.clock.forward(8)  # past its Retry-After
    assert body(node.get("/v2/hub/library/x/manifests/1")) == MANIFEST
    node.idle()
    upstream.status(429)
    node.clock.forward(101)
    assert body(node.get("/v2/hub/library/x/manifests/1")) == MANIFEST


def test_an_upstream_that_fails(node: Node, upstream: Upstream) -> None:
    for status in (500, 502, 503):
        upstream.clear()
        upstream.status(status)
        assert refused(node.get(f"/v2/hub/library/x/manifests/{status}")) == (502, "UNAVAILABLE")
    upstream.stop()
    assert refused(node.get("/v2/hub/library/x/manifests/1")) == (502, "UNAVAILABLE")


@pytest.mark.usefixtures("fallback")
@pytest.mark.parametrize(("first", "why"), [("nope", "no repository of images is named nope"), ("up", "up has ")])
def test_a_push_to_a_mistyped_repository_is_told_so(node: Node, upstream: Upstream, first: str, why: str) -> None:
    answer = node.admin("POST", f"/v2/{first}/x/blobs/uploads/")
    assert refused(answer) == (405, "UNSUPPORTED")
    said = answer.get_json()["errors"][0]["message"]
    assert said.startswith(why)
    assert "any, which answers for other names, takes no push" in said
    assert upstream.connections == 0


def test_nobody_pushes_here(node: Node, upstream: Upstream) -> None:
    paths = [
        f"{base}/{path}"
        for base in ("/v2/hub", "/repository/hub/v2")
        for path in ("library/x/blobs/uploads/", "library/x/manifests/1", f"library/x/blobs/{DIGEST}")
    ]
    for path in (*paths, "/v2/"):
        for method in ("PUT", "POST", "PATCH", "DELETE"):
            stranger = node.ask(method, path, b"x")
            assert refused(stranger) == (401, "UNAUTHORIZED"), (method, path)
            assert stranger.headers["WWW-Authenticate"].startswith('Bearer realm="http://localhost/v2/token"')
            answer = node.admin(method, path, b"x")
            assert refused(answer) == (405, "UNSUPPORTED"), (method, path)
            assert answer.headers["Allow"] == "GET, HEAD"
    assert refused(node.admin("PUT", "/v2/nope/x/manifests/1", b"x")) == (404, "NAME_UNKNOWN")
    assert refused(node.admin("PUT", "/v2/up/x/manifests/1", b"x")) == (400, "NAME_INVALID")
    for method in ("OPTIONS", "TRACE", "LINK"):
        answer = node.ask(method, "/v2/hub/library/x/manifests/1")
        assert (*refused(answer), answer.headers["Allow"]) == (405, "UNSUPPORTED", "GET, HEAD")
    assert upstream.connections == 0


# -- lists -------------------------------------------------------------------------------------------------------


def test_no_tags_are_asked_for(node: Node, upstream: Upstream) -> None:
    upstream.put("/v2/library/x/tags/list", b'{"name":"library/x","tags":["a","b"]}', Content_Type="application/json")
    for base, name in (("/v2/hub", "hub/library/x"), ("/repository/hub/v2", "library/x")):
        for n in ("n=0", "n=00&last=x"):
            answer = node.get(f"{base}/library/x/tags/list?{n}")
            assert (answer.status_code, answer.get_json()) == (200, {"name": name, "tags": []})
            assert "Link" not in answer.headers
            assert answer.headers[VERSION] == "registry/2.0"
            assert body(node.head(f"{base}/library/x/tags/list?{n}")) == b""
    assert upstream.count() == 1 and node.get("/v2/hub/library/y/tags/list?n=0").status_code == 404


def test_a_list_of_tags_that_is_huge_is_not_cut(node: Node, upstream: Upstream) -> None:
    offer(upstream, "library/x")
    huge = json.dumps({"name": "library/x", "tags": [f"{number:0>100}" for number in range(170_000)]}).encode()
    upstream.put("/v2/library/x/tags/list", huge, Content_Type="application/json")
    for _ in range(2):
        answer = node.get("/v2/hub/library/x/tags/list?n=1")
        assert (answer.status_code, body(answer) == huge) == (200, True)
        node.idle()


def catalog(node: Node, path: str) -> tuple[list[str], str]:
    """(names, the Link) of one page."""
    answer = node.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    told = answer.get_json()
    assert set(told) == {"repositories"}
    return told["repositories"], answer.headers.get("Link", "")


def test_the_catalog_is_what_is_stored(node: Node, upstream: Upstream) -> None:
    assert catalog(node, "/v2/_catalog") == ([], "")
    for name in ("library/x", "a", "team/deep/y"):
        offer(upstream, name)
        body(node.get(f"/v2/hub/{name}/manifests/1"))
    body(node.get(f"/v2/hub/nothing/but/blobs/blobs/{LAYER_DIGEST}"))
    offer(upstream, "library/x", base="/served")
    body(node.get("/v2/served/library/x/manifests/1"))
    upstream.put("/v2/z/manifests/1", b"plain")
    body(node.get("/repository/up/v2/z/manifests/1"))  # a file of that name is no image
    node.idle()
    upstream.stop()
    assert catalog(node, "/v2/_catalog?n=5&last=a") == ([], ""), "read a moment ago"
    node.clock.forward(10.1)
    names = ["a", "library/x", "team/deep/y"]
    everything = [*(f"hub/{name}" for name in names), "served/library/x"]
    for path in ("/v2/_catalog", "/v2/_catalog?ns=reg.example", "/v2/_catalog?n=4", "/v2/_catalog?n=99999999999"):
        assert catalog(node, path) == (everything, "")
    assert catalog(node, "/repository/hub/v2/_catalog") == (names, "")
    assert catalog(node, "/v2/_catalog/") == (everything, "")
    assert catalog(node, "/v2/hub/_catalog/") == catalog(node, "/repository/hub/v2/_catalog/") == (names, "")
    assert catalog(node, "/v2/served/_catalog") == (["library/x"], "")
    assert catalog(node, "/repository/banning/v2/_catalog") == ([], "")
    assert catalog(node, "/v2/_catalog?n=0") == ([], "")
    assert body(node.head("/v2/_catalog")) == b""

    for start, expected in (("/v2/_catalog", everything), ("/repository/hub/v2/_catalog", names)):
        found, path = [], f"{start}?n=1"
        for _ in expected:
            page, link = catalog(node, path)
            assert len(page) == 1
            found += page
            path, _, relation = link.removeprefix("<").partition(">")
            assert relation in ('; rel="next"', "")
            assert path.startswith(f"{start}?n=1&last=") or not path
        assert (found, path) == (expected, "")
    assert catalog(node, "/v2/_catalog?last=hub/b&n=1")[0] == ["hub/library/x"]
    assert catalog(node, "/v2/_catalog?last=zzz") == ([], "")


def test_a_catalog_needs_the_index_and_a_stored_image_does_not(
    node: Node, upstream: Upstream, postgres_url: str
) -> None:
    offer(upstream, "library/x")
    body(node.get(f"/v2/hub/library/x/blobs/{LAYER_DIGEST}"))
    node.idle()
    with without_database(node, postgres_url):
        answer = node.get("/v2/_catalog")
        assert refused(answer) == (503, "UNAVAILABLE")
        assert "test_" not in message(answer)
        assert body(node.get(f"/v2/hub/library/x/blobs/{LAYER_DIGEST}")) == LAYER
