"""GET /api/v1/explain, a golden answer for every row of the state table, each held against a real GET right after."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app import sets
from app.stores.redis import RedisMemory
from tests.hosting.debian import Debian
from tests.http.conftest import QUICK
from tests.http.explained import Explainer
from tests.http.images import OCI, digest, image
from tests.http.moments import overtaken, until
from tests.http.node import Node
from tests.http.sets import REPOMD, SUITE, URL, Edition, Suite, prime, valid_until
from tests.upstreams import Upstream

A = "/repository/up/dir/a.txt"
BODY, NEWER = b"first " * 100, b"second " * 100
LAYER = b"a layer" * 100
IMAGE = image(LAYER)
HUB = "/repository/hub"
TAG = f"{HUB}/v2/team/app/manifests/latest"


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    each = {"base_url": upstream.url, "cache": {"mutable_ttl": 100}, "upstream": QUICK}
    more = {
        "deb": {"package": "deb", **each},
        "hub": {"package": "docker", **each},
        "wary": {"package": "generic", "verify_on_read": True, **each},
        "off": {"package": "generic", "offline": True, **each},
    }
    locals_ = {**remotes["locals"], "debs": {"package": "deb"}}
    return {**remotes, "remotes": {**remotes["remotes"], **more}, "locals": locals_}


@pytest.fixture
def explainer(node: Node, upstream: Upstream) -> Explainer:
    return Explainer(node, upstream)


@pytest.fixture
def stored(node: Node, upstream: Upstream, explainer: Explainer) -> Explainer:
    """With A on the shelf."""
    upstream.put("/dir/a.txt", BODY)
    assert node.get(A).headers["X-Cache"] == "MISS"
    node.idle()
    return explainer


def push(upstream: Upstream, name: str = "team/app") -> None:
    for reference in ("latest", digest(IMAGE)):
        path = f"/v2/{name}/manifests/{reference}"
        upstream.put(path, IMAGE, Content_Type=OCI, Docker_Content_Digest=digest(IMAGE))
    upstream.put(f"/v2/{name}/blobs/{digest(LAYER)}", LAYER, Docker_Content_Digest=digest(LAYER))


# -- fresh, resting -----------------------------------------------------------------------------------------------


def test_fresh(stored: Explainer) -> None:
    stored.node.clock.forward(30)
    assert stored.check("fresh", A).headers["X-Cache"] == "HIT"


def test_fresh_for_ever(explainer: Explainer, upstream: Upstream) -> None:
    upstream.put("/x.rpm", BODY)
    explainer.node.get("/repository/up/x.rpm")
    explainer.node.idle()
    explainer.node.clock.forward(1e6)
    assert explainer.check("fresh-for-ever", "/repository/up/x.rpm").headers["X-Cache"] == "HIT"


@pytest.mark.parametrize(("name", "headers"), [("resting", {}), ("resting-retry-after", {"Retry-After": "77"})])
def test_upstream_failed_a_moment_ago(stored: Explainer, name: str, headers: dict[str, str]) -> None:
    stored.node.clock.forward(101)
    stored.upstream.status(503, headers=headers)
    assert stored.node.get(A).headers["X-Cache"] == "STALE"
    stored.node.idle()
    stored.node.clock.forward(20)
    assert stored.check(name, A).headers["X-Cache"] == "STALE"


def test_gone_upstream(stored: Explainer) -> None:
    stored.node.clock.forward(101)
    stored.upstream.remove("/dir/a.txt")
    assert stored.node.get(A).headers["X-Upstream-Status"] == "404"
    stored.node.idle()
    assert stored.check("resting-gone", A).headers["X-Cache"] == "STALE"


# -- expired ------------------------------------------------------------------------------------------------------


EXPIRED: dict[str, Callable[[Upstream, str], object]] = {
    "REVALIDATED": lambda upstream, path: None,
    "EXPIRED": lambda upstream, path: upstream.put(path, NEWER),
    "STALE": lambda upstream, path: upstream.status(503, path),
    "STALE 404": lambda upstream, path: upstream.status(404, path),
    "STALE 401": lambda upstream, path: upstream.status(401, path),
    "STALE unreachable": lambda upstream, path: upstream.stop(),
}


def test_expired(explainer: Explainer, upstream: Upstream) -> None:
    node, paths = explainer.node, [f"/dir/{n}.txt" for n in range(len(EXPIRED))]
    for path in paths:
        upstream.put(path, BODY)
        node.get(f"/repository/up{path}")
    node.idle()
    node.clock.forward(101)
    explainer("expired", "/repository/up/dir/0.txt")
    for path, (state, happens) in zip(paths, EXPIRED.items(), strict=True):
        happens(upstream, path)
        assert explainer.ask(f"/repository/up{path}").headers["X-Cache"] == state.partition(" ")[0], state


def test_expired_where_what_is_gone_is_dropped(explainer: Explainer, upstream: Upstream) -> None:
    upstream.put("/dir/a.txt", BODY)
    explainer.node.get("/repository/drop/dir/a.txt")
    explainer.node.idle()
    explainer.node.clock.forward(101)
    upstream.status(410)
    assert explainer.check("expired-drop", "/repository/drop/dir/a.txt").status_code == 410


def test_expired_by_a_flush(stored: Explainer) -> None:
    stored.node.admin("PUT", "/cache/flush?remote=up&mode=expire")
    assert stored.check("expired-flushed", A).headers["X-Cache"] == "REVALIDATED"


def test_expired_and_lost(stored: Explainer) -> None:
    stored.node.clock.forward(101)
    with overtaken(stored.node, stored.upstream, "/repository/up", "/dir/a.txt"):
        told = stored("expired-lost", A)
        heard = stored.upstream.count()
        stored.holds(told, stored.node.get(A), heard)


def test_expired_and_offline(stored: Explainer) -> None:
    """A remote that was taken off line when it had something."""
    node = stored.node
    with node.app.app_context():
        shelf = node.app.extensions["artifactapi"].shelf
        entry = shelf.catalog.find("up", "dir/a.txt").entry
        shelf.catalog.commit("off", "a.txt", "a.txt", entry, 0, lambda: True)
    node.clock.forward(101)
    assert stored.check("expired-offline", "/repository/off/a.txt").headers["X-Cache"] == "STALE"


def test_a_new_edition(node: Node, upstream: Upstream, explainer: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "QUIET", 0.0)
    prime(node, upstream, Edition({"filelists": b"old"}), "primary")
    Edition({"filelists": b"new"}).publish(upstream)
    node.clock.forward(101)
    assert explainer.check("expired-switched", URL + REPOMD).headers["X-Cache"] == "UPDATING"


def test_a_moved_tag_and_one_that_is_gone(node: Node, upstream: Upstream, explainer: Explainer) -> None:
    push(upstream)
    node.get(TAG, Accept=OCI)
    node.idle()
    node.clock.forward(101)
    assert explainer.check("expired-tag", TAG, OCI).headers["X-Cache"] == "REVALIDATED"
    node.clock.forward(101)
    upstream.remove("/v2/team/app/manifests/latest")
    assert explainer.check("expired-tag-again", TAG, OCI).status_code == 404


# -- missing ------------------------------------------------------------------------------------------------------


MISSING: dict[tuple[int, str | None], Callable[[Upstream, str], object]] = {
    (200, "MISS"): lambda upstream, path: upstream.put(path, BODY),
    (404, "NEGATIVE"): lambda upstream, path: None,
    (502, None): lambda upstream, path: upstream.status(403, path),
    (502, ""): lambda upstream, path: upstream.status(500, path),
    (504, None): lambda upstream, path: upstream.hang(path),
    (502, "no"): lambda upstream, path: upstream.stop(),
}


def test_missing(explainer: Explainer, upstream: Upstream) -> None:
    explainer("missing", A)
    for n, ((status, state), happens) in enumerate(MISSING.items()):
        happens(upstream, f"/dir/{n}.txt")
        reply = explainer.ask(f"/repository/up/dir/{n}.txt")
        assert reply.status_code == status
        assert status != 200 or reply.headers["X-Cache"] == state


def test_missing_and_lost(explainer: Explainer, upstream: Upstream) -> None:
    node = explainer.node
    upstream.put("/dir/a.txt", BODY)
    client = node.app.test_client()
    with ThreadPoolExecutor(1) as pool:
        with overtaken(node, upstream, "/repository/up", "/dir/a.txt"):
            told = explainer("missing-lost", A)
            second = pool.submit(lambda: client.get(A, buffered=True))
            until(lambda: len([each for each in threading.enumerate() if each.name == "carry"]) > 1)
            time.sleep(0.2)  # until it has joined, too
        explainer.holds(told, second.result(), 1)
    assert second.result().headers["X-Cache"] == "JOINED"


def test_missing_and_another_node_downloads_it(explainer: Explainer, upstream: Upstream, redis_url: str) -> None:
    upstream.put("/dir/a.txt", BODY)
    other = RedisMemory(redis_url, address="http://127.0.0.9:1")
    held = other.lock("up@0/dir/a.txt")
    assert held is not None
    told = explainer("missing-elsewhere", A)
    held.release()
    other.close()
    assert "MISS" in {case["x_cache"] for case in told["answer"]["cases"]}


def test_missing_and_remembered(explainer: Explainer) -> None:
    explainer.node.get(A)
    explainer.node.idle()
    explainer.node.clock.forward(10)
    assert explainer.check("missing-remembered", A).status_code == 404


def test_a_404_that_only_counts_while_upstream_cannot_be_asked(explainer: Explainer, upstream: Upstream) -> None:
    explainer.node.get(URL + REPOMD)
    explainer.node.idle()
    upstream.stop()
    assert explainer.check("missing-told-before", URL + REPOMD).headers["X-Cache"] == "NEGATIVE"


def test_missing_and_offline(explainer: Explainer) -> None:
    assert explainer.check("missing-offline", "/repository/off/a.txt").get_json()["error"] == "offline"


def test_a_document_by_the_variants_of_its_accept(node: Node, upstream: Upstream, explainer: Explainer) -> None:
    push(upstream)
    assert explainer.check("missing-document", TAG, OCI).headers["X-Cache"] == "MISS"
    assert explainer.check("fresh-document", TAG, OCI).headers["X-Cache"] == "HIT"
    assert explainer.document(TAG)["answer"]["row"] == "missing, won: upstream is asked"


def test_a_document_that_upstream_denies(explainer: Explainer, upstream: Upstream) -> None:
    upstream.status(401)
    assert explainer.check("missing-document", TAG, OCI).status_code == 404


def test_what_stands_for_nothing(explainer: Explainer, upstream: Upstream) -> None:
    push(upstream)
    path = f"{HUB}/v2/team/app/referrers/{digest(IMAGE)}"
    assert explainer.check("missing-otherwise", path).headers["X-Cache"] == "MISS"
    assert explainer.check("missing-blank", path).headers["X-Cache"] == "MISS"


@pytest.mark.parametrize("down", [False, True])
def test_bytes_that_are_here_under_another_name(explainer: Explainer, upstream: Upstream, down: bool) -> None:
    push(upstream)
    push(upstream, "team/next")
    for path in (f"/v2/team/app/blobs/{digest(LAYER)}", "/v2/team/next/manifests/latest"):
        explainer.node.get(HUB + path, Accept=OCI)
    explainer.node.idle()
    if down:
        upstream.stop()
    reply = explainer.check("missing-vouched", f"{HUB}/v2/team/next/blobs/{digest(LAYER)}")
    assert reply.headers["X-Cache"] == ("HIT" if down else "REVALIDATED")


def test_outdated(explainer: Explainer, upstream: Upstream) -> None:
    path, clock = f"/repository/deb{SUITE}InRelease", explainer.node.clock
    clock.now, explainer.began = 2e9, 2_000_000_000  # so that the body, which has a date, is always the same
    Suite(lines=valid_until(clock() + 50)).publish(upstream, "InRelease")
    explainer.ask(path)
    clock.forward(51)
    Suite(lines=valid_until(clock() + 50)).publish(upstream, "InRelease")
    assert explainer.check("outdated", path).headers["X-Cache"] == "MISS"


def test_a_copy_without_its_bytes(stored: Explainer) -> None:
    (blob,) = stored.node.blobs()
    blob.unlink()
    assert stored.check("blob-missing", A).headers["X-Cache"] == "MISS"
    blob.write_bytes(BODY[:-1])
    assert stored.check("blob-damaged", A).headers["X-Cache"] == "MISS"


def test_damage_that_only_hashing_finds(explainer: Explainer, upstream: Upstream) -> None:
    upstream.put("/a.txt", BODY)
    assert explainer.ask("/repository/wary/a.txt").headers["X-Cache"] == "MISS"
    (blob,) = explainer.node.blobs()
    blob.chmod(0o600)
    blob.write_bytes(b"F" + BODY[1:])
    assert explainer.check("fresh-hashed", "/repository/wary/a.txt").headers["X-Cache"] == "MISS"


# -- local --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["/repository", "/api/v1/local", "/api/v1/remote"])
def test_a_hosted_file_by_the_path_that_it_was_sent_to(explainer: Explainer, form: str) -> None:
    """Which is not the one at which it is kept."""
    node, path = explainer.node, f"{form}/debs/hello_1.0-1_amd64.deb"
    assert node.admin("PUT", path, Debian("hello").body).status_code == 201
    told, heard = explainer.document(path), explainer.upstream.count()
    assert told["resource"]["key"] == "pool/stable/main/hello_1.0-1_amd64.deb"
    explainer.holds(told, node.get(path), heard)
    assert told["answer"]["served"] is True
    assert explainer.document(f"{form}/debs/none_1.0-1_amd64.deb")["answer"]["served"] is False


def test_hosted_files(explainer: Explainer) -> None:
    node, path = explainer.node, "/api/v1/local/team/tool.txt"
    assert explainer.check("local-missing", path).get_json()["error"] == "file_not_found"
    assert node.admin("PUT", path, BODY).status_code == 201
    assert explainer.check("local", path).headers["X-Cache"] == "HIT"
    (blob,) = node.blobs()
    blob.write_bytes(b"")
    assert explainer.check("local-damaged", path).status_code == 503
