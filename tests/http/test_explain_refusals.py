"""GET /api/v1/explain: refusals as clients hear them, repositories by every name, stores that are down, no trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from app.supervisor.embedded import Valkey
from app.web import explain
from tests.http.conftest import QUICK
from tests.http.explained import Explainer
from tests.http.images import OCI, digest
from tests.http.node import ADMIN, Node
from tests.upstreams import Upstream

A = "/repository/up/dir/a.txt"
BODY = b"first " * 100
SECRET = "not-for-anyones-eyes"


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    each = {"base_url": upstream.url, "cache": {"mutable_ttl": 100}, "upstream": QUICK}
    some = {"package": "generic", "immutable_patterns": ["^no/", r"^ok/.*\.bin$"], **each}
    images = {
        "hub": {"package": "docker", "serves": ["docker.io"], **each},
        "quay": {"package": "docker", "hosts": ["quay.example"], **each},
        "any": {"package": "docker", "default": True, "immutable_patterns": ["^team/"], **each},
        "banned": {"package": "docker", "ban_tags_enabled": True, "ban_tags": ["latest"], **each},
    }
    login = {"username": "robot", "password": SECRET, "upstream": {**QUICK, "headers": {"X-Api-Key": SECRET}}}
    more = {
        "some": some,
        "login": {"package": "generic", **each, **login},
        "mirrored": {"package": "rpm", "mirrorlist": f"{upstream.url}/list?key={SECRET}"},
        **images,
    }
    return {**remotes, "remotes": {**remotes["remotes"], **more}}


@pytest.fixture
def explainer(node: Node, upstream: Upstream) -> Explainer:
    return Explainer(node, upstream)


# -- refusals -----------------------------------------------------------------------------------------------------


REFUSED = {
    "unknown": ("/repository/nope/a.txt", 404, "unknown_repository"),
    "unknown-api": ("/api/v1/remote/nope/a.txt", 404, "unknown_repository"),
    "unknown-local": ("/api/v1/local/up/a.txt", 404, "unknown_repository"),
    "unknown-ns": ("/v2/nobody/app/manifests/1?ns=nobody.example", 404, "NAME_UNKNOWN"),
    "not-docker": ("/v2/up/app/manifests/1?ns=nobody.example", 400, "NAME_INVALID"),
    "blocked": ("/repository/some/ok/a.txt", 403, "blocked_by_pattern"),
    "blocked-image": ("/v2/any/library/x/manifests/1", 403, "DENIED"),
    "banned-tag": ("/v2/banned/team/app/manifests/latest", 403, "DENIED"),
    "bad-path": ("/repository/up/a/../../b", 400, "bad_path"),
    "bad-path-encoded": ("/repository/up/a%2f%2e%2e%2fb", 400, "bad_path"),
    "bad-path-image": ("/repository/hub/v2/a/../manifests/1", 400, "NAME_INVALID"),
    "not-a-pull": ("/v2/hub/team/app/uploads/1", 404, "UNSUPPORTED"),
    "bad-digest": ("/v2/hub/team/app/blobs/sha256:abc", 400, "DIGEST_INVALID"),
    "outside-v2": ("/repository/hub/team/app", 404, "not_found"),
    "no-route": ("/api/v1/nothing/x/y", 404, "not_found"),
    "wrong-method": ("/cache/flush", 405, "method_not_allowed"),
}


def test_refused(explainer: Explainer) -> None:
    for name, (url, status, code) in REFUSED.items():
        reply = explainer.check(f"refused-{name}", url)
        said = json.loads(reply.get_data())
        told = said["errors"][0]["code"] if "errors" in said else said["error"]
        assert (reply.status_code, told) == (status, code), name
        assert not explainer.document(url)["answer"]["served"]


def test_what_is_no_client_url(explainer: Explainer) -> None:
    for url in ("/", "/health", "/config", "ftp://a/b", "alma/9/x.rpm", "", "http:/repository/up/a"):
        answer = explainer.node.admin("GET", f"/api/v1/explain?url={url}")
        assert (answer.status_code, answer.get_json()["error"]) == (400, "not_a_client_url"), url


def test_it_is_the_admins(explainer: Explainer) -> None:
    assert explainer.node.get(f"/api/v1/explain?url={A}").status_code == 401


# -- which repository, and by which rule --------------------------------------------------------------------------


BY_NAME = "its name is in the path"
NAMED = {
    "http://any.example:81/repository/up/a%20b?x=1#y": ("up", BY_NAME),
    "https://me:pass@any.example/api/v1/remote/up/a": ("up", BY_NAME),
    "/repository/up/\u00fc b": ("up", BY_NAME),
    "/api/v1/local/team/a": ("team", BY_NAME),
    "/v2/hub/team/app/manifests/1": ("hub", BY_NAME),
    "/v2/team/app/manifests/1?ns=docker.io": ("hub", "it serves docker.io"),
    "http://Quay.Example:5000/v2/team/app/manifests/1": ("quay", "quay.example is among its hosts"),
    "http://127.0.0.1/v2/team/app/manifests/1": ("any", "it is the default"),
    "/repository/hub/v2/team/app/manifests/1": ("hub", BY_NAME),
}


def test_which_repository(explainer: Explainer) -> None:
    for url, (name, because) in NAMED.items():
        told = explainer.document(url)
        assert (told["repository"]["name"], told["repository"]["because"]) == (name, because), url
        assert "pass" not in json.dumps(told)


def test_an_image_by_the_name_of_its_host(explainer: Explainer, upstream: Upstream) -> None:
    path = f"/v2/team/app/blobs/{digest(BODY)}"
    upstream.put(path, BODY)
    assert explainer.check("image-by-host", path, host="quay.example:5000").headers["X-Cache"] == "MISS"
    assert explainer.check("image-by-default", path.replace("app", "tool"), OCI).status_code == 404


def test_pages_of_this_server(explainer: Explainer) -> None:
    for url in ("/v2/", "/v2", "/v2/_catalog", "/repository/hub/v2/", "/repository/hub/v2/_catalog"):
        told = explainer.document(url)
        assert (told["answer"]["served"], told["answer"]["upstream_asked"], told["repository"]) == (True, False, None)
        assert explainer.node.get(url).status_code == told["answer"]["cases"][0]["status"] == 200


def test_every_route_of_a_repository_is_explained(explainer: Explainer) -> None:
    rules = [rule for rule in explainer.node.app.url_map.iter_rules() if "rest" in rule.arguments]
    assert {rule.endpoint for rule in rules if "GET" in (rule.methods or ())} == set(explain.TARGETS)


# -- stores that are down -----------------------------------------------------------------------------------------


@pytest.fixture
def alone(remotes: dict[str, Any], tmp_path: Path, database_url: str, own_valkey: Valkey) -> Iterator[Node]:
    """A node whose Redis may be stopped."""
    with Node(tmp_path, database_url, own_valkey.url, remotes).running() as node:
        yield node


def block(database_url: str) -> None:
    """The test's database takes no connection and has none."""
    name = database_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(database_url.replace(f"/{name}", "/postgres", 1), autocommit=True) as administrator:
        administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        administrator.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def fill(node: Node, upstream: Upstream) -> Explainer:
    """A is stored, and Redis has a copy of it."""
    explainer = Explainer(node, upstream)
    upstream.put("/dir/a.txt", BODY)
    for _ in range(2):
        node.get(A)
        node.idle()
    return explainer


def test_postgres_is_down(node: Node, upstream: Upstream, database_url: str) -> None:
    explainer = fill(node, upstream)
    node.clock.forward(400)
    block(database_url)
    assert explainer.check("down-postgres", A).status_code == 200


def test_redis_is_down(alone: Node, upstream: Upstream, own_valkey: Valkey) -> None:
    explainer = fill(alone, upstream)
    own_valkey.stop()
    assert explainer.check("down-redis", A).headers["X-Cache"] == "HIT"


def test_both_are_down(alone: Node, upstream: Upstream, own_valkey: Valkey, database_url: str) -> None:
    explainer = fill(alone, upstream)
    own_valkey.stop()
    block(database_url)
    assert explainer.check("down-both", A).headers["X-Cache"] == "MISS"
    assert explainer.check("down-both-local", "/repository/team/a").status_code == 503


def test_the_bytes_are_out_of_reach(node: Node, upstream: Upstream) -> None:
    explainer = fill(node, upstream)
    (node.settings.layout.blobs / "sha256").rename(node.root / "elsewhere")
    assert explainer.check("down-storage", A).headers["X-Cache"] == "MISS"
    upstream.stop()
    assert explainer.check("down-storage", A).status_code == 503


def test_a_breaker_is_open(node: Node, upstream: Upstream) -> None:
    """What is stored is stale, what is not is refused until upstream may be asked again."""
    explainer = fill(node, upstream)
    node.clock.forward(101)
    upstream.stop()
    for n in range(6):
        node.get(f"/repository/up/{n}")
        node.idle()
    refused = explainer.check("breaker-missing", A.replace("a.txt", "b.txt"))
    assert (refused.status_code, refused.get_json()["error"]) == (503, "upstream_breaker_open")
    assert explainer.check("breaker-expired", A).headers["X-Cache"] == "STALE"


# -- no trace -----------------------------------------------------------------------------------------------------


def remembered(url: str) -> dict[bytes, bytes | None]:
    with redis.Redis.from_url(url) as client:
        return {key: client.dump(key) for key in client.scan_iter() if not key.endswith(b"counters")}


@pytest.mark.parametrize("seconds", [0, 101, 400])
def test_looking_changes_nothing(node: Node, upstream: Upstream, redis_url: str, seconds: int) -> None:
    """Not even what a request's own look would: old copies are refreshed by it, outlived ones dropped."""
    explainer = fill(node, upstream)
    node.clock.forward(seconds)
    shelf = node.carrier.engine.shelf
    shelf.catalog.index.forget("up", "dir/a.txt")
    node.app.extensions["artifactapi"].memory.distrusted = True
    before = (remembered(redis_url), shelf.catalog.index.listing("up"), sorted(node.blobs()), upstream.count())
    for url in (A, f"{A}.other", "/repository/rpm/repodata/repomd.xml", "/v2/hub/team/app/manifests/latest"):
        explainer.document(url)
    assert before == (
        remembered(redis_url),
        shelf.catalog.index.listing("up"),
        sorted(node.blobs()),
        upstream.count(),
    )
    assert node.spools() == []


def test_secrets_are_nobodys(explainer: Explainer) -> None:
    for url in ("/repository/login/a", "/repository/mirrored/repodata/repomd.xml"):
        told = explainer.node.admin("GET", f"/api/v1/explain?url={url}").get_data(as_text=True)
        assert SECRET not in told
        assert ADMIN["Authorization"].removeprefix("Bearer ") not in told
    assert explainer.document("/repository/mirrored/x.rpm")["resource"]["list"].endswith("/list?***")
