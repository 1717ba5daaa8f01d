"""What once went wrong with documents and bytes by digest, or nearly: damage, odd tags, old kinds, odd addresses."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import unquote

import psycopg
import pytest

from app import making
from tests.http.conftest import QUICK
from tests.http.images import OCI, digest, image
from tests.http.node import Node, body
from tests.http.variant import without_database
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Upstream

V2 = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
LAYER = b"a layer" * 1000
IMAGE = image(LAYER)
TAGS = "/v2/x/tags/list"
HUB = "/v2/hub/x"
ELSEWHERE = "http://other.example"


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    hub = {"package": "docker", "base_url": upstream.url, "cache": {"mutable_ttl": 100}, "upstream": QUICK}
    remotes["remotes"]["hub"] = hub
    remotes.setdefault("virtuals", {})["all"] = {"package": "docker", "members": ["hub"]}
    return remotes


def offer(upstream: Upstream) -> None:
    for reference in ("1", digest(IMAGE)):
        upstream.put(f"/v2/x/manifests/{reference}", IMAGE, Content_Type=OCI, Docker_Content_Digest=digest(IMAGE))
    upstream.put(f"/v2/x/blobs/{digest(LAYER)}", LAYER, Docker_Content_Digest=digest(LAYER))


def tag(upstream: Upstream, *tags: str) -> None:
    upstream.put(TAGS, json.dumps({"name": "x", "tags": tags}).encode(), Content_Type="application/json")


def tag_in_pages(upstream: Upstream, last: int) -> None:
    """A tag a page, whatever is asked for; there is no end where `last` is below 0."""

    def answer(_: Reply, seen: Seen) -> Reply:
        number = int(seen.query.partition("page=")[2] or 0)
        more = {} if number == last else {"Link": f'<{TAGS}?n=1000&page={number + 1}>; rel="next"'}
        text = json.dumps({"name": "x", "tags": [f"t{number}"]}).encode()
        return whole(200, {"Content-Type": "application/json", **more}, text)

    tag(upstream)
    upstream.fault(answer, TAGS)


def test_a_virtual_s_list_has_the_last_of_many_pages(node: Node, upstream: Upstream) -> None:
    tag_in_pages(upstream, 20)
    reply = node.get("/v2/all/x/tags/list")
    assert (reply.status_code, len(reply.get_json()["tags"])) == (200, 21)
    assert node.get("/v2/all/x/tags/list").headers["X-Cache"] == "HIT"
    assert upstream.count(TAGS) == 21


def test_a_list_without_an_end_is_no_list(node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_ROUNDS", 5)
    tag_in_pages(upstream, -1)
    assert node.get("/v2/all/x/tags/list").status_code == 502
    assert upstream.count(TAGS) == 6


def test_a_page_that_is_no_list_of_tags_is_not_kept(node: Node, upstream: Upstream) -> None:
    upstream.put(TAGS, b"<html>", Content_Type="application/json")
    assert node.get("/v2/all/x/tags/list").status_code == 502
    node.idle()
    assert node.blobs() == []


# -- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content"),
    [("manifests/1", IMAGE), (f"manifests/{digest(IMAGE)}", IMAGE), (f"blobs/{digest(LAYER)}", LAYER)],
    ids=["tag", "manifest", "layer"],
)
@pytest.mark.parametrize("left", [0, 20])
def test_what_is_truncated_on_disk_is_fetched_again(
    node: Node, upstream: Upstream, path: str, content: bytes, left: int
) -> None:
    offer(upstream)
    assert body(node.get(f"{HUB}/{path}")) == content
    node.idle()
    [blob] = node.blobs()
    blob.chmod(0o640)
    blob.write_bytes(content[:left])
    for state in ("MISS", "HIT"):
        reply = node.get(f"{HUB}/{path}")
        assert (reply.headers["X-Cache"], body(reply)) == (state, content)
        node.idle()


def test_without_an_index_documents_are_passed_through_and_pages_cut(
    node: Node, upstream: Upstream, postgres_url: str
) -> None:
    offer(upstream)
    tag(upstream, "c", "b", "a")
    with without_database(node, postgres_url):
        for path in ("manifests/1", f"manifests/{digest(IMAGE)}"):
            reply = node.get(f"{HUB}/{path}")
            assert (reply.headers["Docker-Content-Digest"], body(reply)) == (digest(IMAGE), IMAGE)
        page = node.get(f"{HUB}/tags/list?n=1")
        assert page.get_json()["tags"] == ["a"]
        assert page.headers["Link"] == f'<{HUB}/tags/list?last=a&n=1>; rel="next"'
        assert body(node.get(f"{HUB}/blobs/{digest(LAYER)}")) == LAYER


# -- lists ---------------------------------------------------------------------------------------------------------


def test_tags_that_no_client_could_pull_by_break_no_page(node: Node, upstream: Upstream) -> None:
    """Neither what latin-1 cannot say, nor what would end a header."""
    tag(upstream, "a", "日本", "b", "\r\nX-Odd: 1", "é", "c")
    for _ in range(2):
        found, path = [], f"{HUB}/tags/list?n=1"
        while path:
            page = node.get(path)
            assert page.status_code == 200, path
            assert "X-Odd" not in page.headers
            found += page.get_json()["tags"]
            path = page.headers.get("Link", "").partition(">")[0].removeprefix("<")
            node.idle()
        assert found == ["a", "b", "c"]


def test_a_parameter_that_means_nothing_is_not_sent_kept_or_logged(
    node: Node, upstream: Upstream, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    tag(upstream, "a")
    caplog.set_level(logging.DEBUG)
    for query in ("token=HUSH1", "last=0&token=HUSH2", "n=5&X-Amz-Signature=HUSH3"):
        assert node.get(f"{HUB}/tags/list?{query}").status_code == 200
        node.idle()
    upstream.status(503)
    assert node.get(f"{HUB}/manifests/2?token=HUSH4").status_code == 502
    node.idle()
    assert not [seen for seen in upstream.requests if "HUSH" in seen.query]
    assert not [record for record in caplog.records if "HUSH" in repr(record.__dict__)]
    with psycopg.connect(database_url) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM entries")]
    assert keys
    assert not [key for key in keys if "HUSH" in key]


# -- kinds of manifest ---------------------------------------------------------------------------------------------


def only_schema1(reply: Reply, seen: Seen) -> Reply:
    """An old image: there where a client takes its kind, a 404 for others."""
    old = {"schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": [], "signatures": []}
    if SCHEMA1 not in seen.headers.get("accept", ""):
        return whole(404, {}, b"")
    return whole(200, {"Content-Type": SCHEMA1}, json.dumps(old).encode())


def test_a_client_is_never_given_a_kind_that_it_does_not_take(node: Node, upstream: Upstream) -> None:
    upstream.fault(only_schema1, "/v2/x/manifests/1")
    both = node.get(f"{HUB}/manifests/1", Accept=f"{V2}, {SCHEMA1}")
    assert (both.status_code, both.headers["Content-Type"]) == (200, SCHEMA1)
    node.idle()
    assert node.get(f"{HUB}/manifests/1", Accept=V2).status_code == 404


def test_a_404_of_one_kind_is_none_of_another(node: Node, upstream: Upstream) -> None:
    upstream.fault(only_schema1, "/v2/x/manifests/1")
    assert node.get(f"{HUB}/manifests/1", Accept=V2).status_code == 404
    node.idle()
    both = node.get(f"{HUB}/manifests/1", Accept=f"{V2}, {SCHEMA1}")
    assert (both.status_code, both.headers["Content-Type"]) == (200, SCHEMA1)


# -- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("//v2/hub/x/tags/list", 400),
        ("//v2//", 400),
        ("/v2/.", 400),
        ("/v2/./", 400),
        ("/v2/hub//x/tags/list", 400),
        ("/%76%32/hub/x/tags/list", 400),
        ("/v2%2fhub/x/tags/list", 400),
        ("/v2/hub/x/blobs/uploads", 400),
        (f"/v2/hub/{'a' * 300}/tags/list", 400),
        (f"/v2/hub/{'a/' * 1500}tags/list", 400),
        (f"/v2/hub/x/tags/list?n={'9' * 30}", 400),
        (f"/v2/_catalog?last={'a' * 5000}", 400),
        ("/v2/hub/x/tags/list/", 404),
        ("/v2/hub/x/manifests/1/", 404),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_odd_address_is_refused_in_the_form_of_oci(node: Node, upstream: Upstream, raw: str, status: int) -> None:
    """As it stood on the wire, before a server in between or a framework tidied it."""
    got, head = (ask_raw(node, method, raw) for method in ("GET", "HEAD"))
    assert (got[0], head) == (status, (status, b""))
    [error] = json.loads(got[1])["errors"]
    assert error["code"]
    assert upstream.connections == 0


@pytest.mark.parametrize("raw", ["/V2/", "/v2;a/", "/./v2/", "/x/../v2/"])
def test_an_address_that_is_not_below_v2_is_nothing(node: Node, upstream: Upstream, raw: str) -> None:
    assert ask_raw(node, "GET", raw)[0] in (400, 404)
    assert upstream.connections == 0


def test_a_whole_url_means_its_path(node: Node) -> None:
    """RFC 9112, 3.2.2: a server must take the absolute form too."""
    assert ask_raw(node, "GET", f"{ELSEWHERE}/v2/_catalog") == (200, b'{"repositories": []}')


def ask_raw(node: Node, method: str, raw: str) -> tuple[int, bytes]:
    """Ask with a request line as gunicorn hands it on, as it was beside its decoded path."""
    path, _, query = raw.removeprefix(ELSEWHERE).partition("?")
    line = {"RAW_URI": raw, "PATH_INFO": unquote(path, "latin-1"), "QUERY_STRING": query}
    reply = node.client.open("/", method=method, environ_overrides=line, buffered=True)
    return reply.status_code, body(reply)
