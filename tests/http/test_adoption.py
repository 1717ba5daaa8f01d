"""Bytes that are here already under another name: who may vouch for them, and that nothing else tells of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.http.conftest import QUICK
from tests.http.images import OCI, digest, image
from tests.http.node import Node, body
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import LOGIN_PAGE, Fault, Upstream

SECRET = b"a private layer that nobody may see" * 1000
DIGEST = digest(SECRET)
BLOB = f"/v2/x/blobs/{DIGEST}"
HERE = f"/pub{BLOB}"  # as upstream sees it
ASKED = f"/v2/pub/x/blobs/{DIGEST}"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    hub = {"package": "docker", "upstream": QUICK, "cache": {"mutable_ttl": 100}}
    remotes["remotes"] |= {
        "priv": hub | {"base_url": f"{upstream.url}/priv"},
        "pub": hub
        | {"base_url": f"{upstream.url}/pub", "upstream": QUICK | {"max_connections": 1, "stall_timeout": 20}},
    }
    return remotes


def seed(node: Node, upstream: Upstream) -> None:
    """The bytes are here, of an image that only others may have."""
    upstream.put(f"/priv{BLOB}", SECRET)
    assert body(node.get(f"/v2/priv/x/blobs/{DIGEST}")) == SECRET
    node.idle()
    upstream.reset()


def to_head(answer: Fault) -> Fault:
    """HEAD is answered so, GET as before."""
    return lambda reply, seen: answer(reply, seen) if seen.method == "HEAD" else reply


def saying(status: int, content: bytes = b"", **headers: str) -> Fault:
    return lambda *_: whole(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def unframed(reply: Reply, _: Seen) -> Reply:
    return replace(whole(200, {}, b""), framing="chunked")


def told(reply: TestResponse) -> tuple[Any, ...]:
    """All that a client can tell of an answer, but for what differs each time."""
    differs = {"Date", "X-Request-Id", "Content-Length", "Last-Modified", "ETag"}
    shown = sorted((name, value) for name, value in reply.headers if name not in differs)
    error = reply.get_json()["errors"][0] if reply.is_json else {}
    return reply.status_code, shown, error.get("code"), error.get("message")


TYPE = "application/octet-stream"
REFUSALS = (400, 401, 403, 404, 405, 429, 501, 503)

NOT_THESE = {
    "html": saying(200, LOGIN_PAGE, Content_Type="text/html"),
    "html of just that length": saying(200, b"<" * len(SECRET), Content_Type="text/html"),
    "another length": saying(200, b"{}", Content_Type=TYPE),
    "one byte more": saying(200, SECRET + b"!", Content_Type=TYPE),
    "no length": unframed,
    "another digest": saying(200, SECRET, Docker_Content_Digest=digest(b"other")),
    "a digest of another sort": saying(200, b"", Docker_Content_Digest=DIGEST),
    "nothing to compare": saying(204),
    "a redirect to a login": saying(302, Location="/login"),
    "a redirect to nowhere": saying(302),
    **{str(status): saying(status) for status in REFUSALS},
}


# -- upstream's HEAD ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, DIGEST], ids=["length", "length and digest"])
def test_a_head_that_announces_just_these_bytes_vouches_for_good(
    node: Node, upstream: Upstream, said: str | None
) -> None:
    seed(node, upstream)
    upstream.put(HERE, SECRET, Content_Type=TYPE)
    upstream.headers(HERE, Docker_Content_Digest=said)
    first = node.get(ASKED)
    assert (first.status_code, first.headers["X-Cache"], body(first)) == (200, "REVALIDATED", SECRET)
    assert [(seen.method, seen.path) for seen in upstream.requests] == [("HEAD", HERE)]
    node.idle()
    upstream.stop()
    again = node.get(ASKED)
    assert (again.headers["X-Cache"], body(again)) == ("HIT", SECRET)


@pytest.mark.parametrize("head", NOT_THESE.values(), ids=NOT_THESE.keys())
def test_any_other_head_leaves_it_to_a_get_that_finds_nothing(node: Node, upstream: Upstream, head: Fault) -> None:
    """And the answer is the same as where the bytes are not here."""
    upstream.put("/login", LOGIN_PAGE, Content_Type="text/html")
    upstream.fault(to_head(head), HERE)
    before = told(node.get(ASKED))
    node.idle()
    upstream.clear()
    node.admin("PUT", "/cache/flush?remote=pub")
    seed(node, upstream)
    upstream.fault(to_head(head), HERE)
    after = node.get(ASKED)
    assert (after.status_code, SECRET in body(after)) == (404, False)
    assert told(after) == before
    assert upstream.count(HERE, "GET") == 1


@pytest.mark.parametrize("head", NOT_THESE.values(), ids=NOT_THESE.keys())
def test_any_other_head_leaves_it_to_a_get_that_has_them(node: Node, upstream: Upstream, head: Fault) -> None:
    seed(node, upstream)
    upstream.put("/login", LOGIN_PAGE, Content_Type="text/html")
    upstream.put(HERE, SECRET)
    upstream.fault(to_head(head), HERE)
    reply = node.get(ASKED)
    assert (reply.status_code, reply.headers["X-Cache"], body(reply)) == (200, "MISS", SECRET)


def test_truncated_bytes_are_nobodys_to_adopt(node: Node, upstream: Upstream) -> None:
    seed(node, upstream)
    damage(node, SECRET[:1000])
    upstream.put(HERE, SECRET)
    for state in ("MISS", "HIT"):
        reply = node.get(ASKED)
        assert (reply.headers["X-Cache"], body(reply)) == (state, SECRET)
        node.idle()
    assert body(node.get(f"/v2/priv/x/blobs/{DIGEST}")) == SECRET, "healed under its first name too"


def test_a_client_s_head_tells_nothing_of_bytes_that_are_here(node: Node, upstream: Upstream) -> None:
    seed(node, upstream)
    assert node.head(ASKED).status_code == 404
    assert node.head(ASKED.replace("/x/", "/y/")).status_code == 404
    upstream.stop()
    assert node.head(ASKED).status_code == 502


def test_a_head_of_bytes_by_digest_says_their_length(node: Node, upstream: Upstream) -> None:
    upstream.put(HERE, SECRET, Docker_Content_Digest=DIGEST)
    for prefix in ("/v2/pub", "/repository/pub/v2"):
        head = node.head(f"{prefix}/x/blobs/{DIGEST}")
        assert (head.status_code, body(head)) == (200, b"")
        assert head.headers["Content-Length"] == str(len(SECRET))
        assert head.headers["Docker-Content-Digest"] == DIGEST
    upstream.fault(to_head(unframed), HERE)
    assert "Content-Length" not in node.head(ASKED).headers
    assert upstream.count(HERE, "GET") == len(node.blobs()) == 0


# -- a stored index, while upstream cannot be asked ----------------------------------------------------------------


def prime(node: Node, upstream: Upstream, name: str = "x", **layer: Any) -> None:
    """The bytes are here, and so is a manifest of that image of `pub` that lists them."""
    seed(node, upstream)
    upstream.put(f"/pub/v2/{name}/manifests/1", image(SECRET, **layer), Content_Type=OCI)
    assert node.get(f"/v2/pub/{name}/manifests/1").status_code == 200
    node.idle()
    upstream.reset()


def hang(reply: Reply, _: Seen) -> Reply:
    return replace(reply, hang=True)


def reset(reply: Reply, _: Seen) -> Reply:
    return replace(reply, reset=True)


CANNOT_BE_ASKED = {"500": saying(500), "502": saying(502), "503": saying(503), "429": saying(429), "reset": reset}


@pytest.mark.parametrize("trouble", [*CANNOT_BE_ASKED.values(), hang], ids=[*CANNOT_BE_ASKED, "hang"])
def test_a_stored_index_vouches_for_once_while_upstream_cannot_be_asked(
    node: Node, upstream: Upstream, trouble: Fault
) -> None:
    prime(node, upstream)
    upstream.fault(trouble, HERE)
    for _ in range(2):
        reply = node.get(ASKED)
        assert (reply.status_code, reply.headers["X-Cache"], body(reply)) == (200, "HIT", SECRET)
        node.idle()
    upstream.clear()
    assert node.get(ASKED).status_code == 404, "nothing was recorded of it"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_stored_index_does_not_vouch_where_upstream_says_no(node: Node, upstream: Upstream, status: int) -> None:
    prime(node, upstream)
    upstream.status(status, HERE)
    assert node.get(ASKED).status_code == 404


def test_a_stored_index_does_not_vouch_where_this_server_is_busy(node: Node, upstream: Upstream) -> None:
    prime(node, upstream)
    other = b"another layer" * 100_000
    upstream.put(f"/pub/v2/x/blobs/{digest(other)}", other)
    upstream.stall(len(other) // 2, f"/pub/v2/x/blobs/{digest(other)}")
    reply = node.stream(f"/v2/pub/x/blobs/{digest(other)}")
    upstream.wait_for(f"/pub/v2/x/blobs/{digest(other)}")
    try:
        busy = node.get(ASKED)
        assert (busy.status_code, SECRET in body(busy)) == (504, False)
    finally:
        upstream.clear()
        reply.close()


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("x", {"mediaType": FOREIGN, "urls": ["https://layers.example/"]}),
        ("x", {"digest": digest(b"other"), "annotations": {"not": DIGEST}}),
        ("x/y", {}),
        ("y", {}),
    ],
    ids=["a layer that is elsewhere", "a word that looks like it", "an image below it", "another image"],
)
@pytest.mark.parametrize("trouble", [saying(429), reset], ids=["429", "reset"])
def test_what_does_not_vouch(
    node: Node, upstream: Upstream, name: str, layer: dict[str, Any], trouble: Fault
) -> None:
    prime(node, upstream, name, **layer)
    upstream.fault(trouble, HERE)
    reply = node.get(ASKED)
    assert reply.status_code in (429, 502)
    assert SECRET not in body(reply)


def test_a_stored_index_does_not_vouch_for_other_bytes_of_that_length(node: Node, upstream: Upstream) -> None:
    prime(node, upstream)
    damage(node, b"?" * len(SECRET))
    upstream.stop()
    assert node.get(ASKED).status_code == 502


def damage(node: Node, content: bytes) -> None:
    """Other bytes on the shelf under the secret's digest."""
    [blob] = [path for path in node.blobs() if DIGEST.endswith(path.name)]
    blob.chmod(0o640)
    blob.write_bytes(content)
