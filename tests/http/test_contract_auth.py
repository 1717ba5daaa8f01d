"""API.md on who may do what: reading is anonymous, what writes, flushes or shows configuration needs the token."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest

from tests.http.node import ADMIN, TOKEN, Node, body
from tests.http.variant import worker
from tests.upstreams import Upstream

GUARDED = [
    ("GET", "/config"),
    ("GET", "/api/v1/may-write"),
    ("PUT", "/cache/flush"),
    ("PUT", "/cache/flush?remote=nope"),
    ("PUT", "/cache/flush?mode=garbage"),
    ("PUT", "/repository/team/a"),
    ("DELETE", "/repository/team/a"),
    ("PUT", "/repository/up/a"),
    ("PUT", "/repository/nope/a"),
    ("DELETE", "/repository/nope/a"),
    ("PUT", "/api/v1/remote/team/a"),
    ("DELETE", "/api/v1/remote/up/a"),
    ("PUT", "/api/v1/local/team/a"),
    ("DELETE", "/api/v1/local/nope/a"),
]
OPEN = ["/", "/health", "/health/live", "/health/ready", "/metrics", "/metrics?format=json", "/repository/team/x"]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


WRONG = [
    "",
    "Bearer",
    "Bearer ",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    f"bearer{TOKEN}",
    f"Token {TOKEN}",
    TOKEN,
    "Basic",
    "Basic !!!",
    "Basic " + base64.b64encode(TOKEN.encode()).decode(),  # no colon: neither a user nor a password
    basic(TOKEN, ""),
    basic(TOKEN, "x"),
    basic("admin", ""),
    basic("admin", TOKEN + " "),
    f'Digest username="admin", response="{TOKEN}"',
    "Bearer \xff\xfe",
    "Basic \xff\xfe",
]
RIGHT = [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic("admin", TOKEN), basic("", TOKEN), basic("a@b.c", TOKEN)]


def test_what_writes_flushes_or_shows_configuration_needs_a_token(node: Node) -> None:
    for method, path in GUARDED:
        answer = node.ask(method, path)
        assert (answer.status_code, answer.get_json()["error"]) == (401, "unauthorized"), (method, path)
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="artifactapi", charset="UTF-8"'
    assert node.get("/repository/team/a").status_code == 404


def test_what_is_anonymous(node: Node) -> None:
    for path in OPEN:
        assert node.get(path).status_code in (200, 404), path


def test_only_the_token_opens(node: Node) -> None:
    for credentials in WRONG:
        assert node.get("/config", Authorization=credentials).status_code == 401, credentials
    for credentials in RIGHT:
        assert node.get("/config", Authorization=credentials).status_code == 200, credentials
        assert node.get("/api/v1/may-write", Authorization=credentials).status_code == 204, credentials


@pytest.fixture
def virtual(remotes: dict[str, Any]) -> None:
    remotes["virtuals"] = {"all": {"package": "generic", "members": ["team", "up"]}}


@pytest.mark.usefixtures("virtual")
def test_a_proxy_is_told_of_an_upload_before_it_comes(node: Node) -> None:
    def told(method: str, path: str, length: str = "", **more: str) -> tuple[int, str]:
        said = {"X_Original_Method": method, "X_Original_URI": path, "X_Original_Length": length}
        answer = node.get("/api/v1/may-write", **said, **{"Authorization": RIGHT[0], **more})
        return answer.status_code, (answer.get_json() or {}).get("error", "")

    for path in ("/repository/team/a?x=1", "/api/v1/local/team/a", "/api/v1/remote/team/a", "/repository/team/a%20b"):
        assert told("PUT", path, "100") == (204, ""), path
        assert told("PUT", path, "100", Authorization="") == (401, "unauthorized")
    for path in ("/repository/up/a", "/repository/all/a"):
        assert told("PUT", path) == (405, "method_not_allowed")
    assert told("PUT", "/api/v1/remote/up/a") == (400, "not_local"), "as that route says itself"
    assert told("PUT", "/api/v1/virtual/all/a", "100") == (400, "not_local")
    assert told("PUT", "/api/v1/virtual/up/a") == (404, "unknown_repository")
    assert told("PUT", "/v2/none/a/blobs/uploads/") == (404, "unknown_repository")
    assert told("PUT", "/repository/none/a") == (404, "unknown_repository")
    assert told("PUT", "/repository/team/%2e%2e/a")[0] == 400
    assert told("PUT", "/") == (405, "method_not_allowed")
    assert told("GET", "/repository/team/a") == (413, "too_large")
    assert told("POST", "/api/v1/users", "70000") == (413, "too_large")
    for strange in ("*", "", "http://a/b", "/\xff%ff%"):
        assert told("PUT", strange)[0] in (204, 400, 404, 405), strange
    assert told("PUT", "/repository/team/a", "-1") == (204, "")
    foreign = {"Authorization": RIGHT[2], "Sec_Fetch_Site": "cross-site"}
    assert told("PUT", "/repository/team/a", **foreign) == (401, "unauthorized")


def test_one_who_only_reads_has_no_proxy_take_an_upload(node: Node) -> None:
    people = node.app.extensions["artifactapi"].accounts
    _, secret = people.make_token(people.store.add_user("reader@example.org", "", "").id, "test")
    said = {"X_Original_Method": "PUT", "X_Original_URI": "/repository/team/a", "Authorization": f"Bearer {secret}"}
    assert node.get("/api/v1/may-write", **said).status_code == 403
    with worker(node, upload_max=1000) as client:
        headers = {name.replace("_", "-"): value for name, value in said.items()} | ADMIN
        for length, status in (("1000", 204), ("1001", 413)):
            answer = client.get("/api/v1/may-write", headers=headers | {"X-Original-Length": length})
            assert answer.status_code == status


def test_a_refused_upload_stores_nothing(node: Node) -> None:
    for credentials in WRONG:
        assert node.ask("PUT", "/repository/team/a", b"body", Authorization=credentials).status_code == 401
    assert (node.blobs(), node.spools()) == ([], [])


def test_an_open_node_needs_no_token(node: Node) -> None:
    with worker(node, auth="open") as client:
        assert client.get("/config").status_code == 200
        assert client.get("/api/v1/may-write").status_code == 204
        assert client.put("/repository/team/a", data=b"a").status_code == 201
        assert client.put("/api/v1/remote/up/a", data=b"a").status_code == 400
        assert client.put("/cache/flush").status_code == 200
        assert client.delete("/repository/team/a").status_code == 204
        wrong = {"Authorization": "Bearer nonsense"}
        assert client.get("/config", headers=wrong).status_code == 200, "unknown credentials are ignored"


def test_a_node_without_a_token_opens_for_nobody(node: Node) -> None:
    with worker(node, admin_token=None) as client:
        for credentials in ("", "Bearer ", basic("", ""), "Bearer None"):
            assert client.get("/config", headers={"Authorization": credentials}).status_code == 401


def test_credentials_of_readers_are_ignored_and_go_nowhere(
    node: Node, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.put("/a.txt", b"a")
    cookie = "session=s3cret-cookie"
    for credentials in (basic("alice", "s3cret-password"), "Bearer s3cret-token", basic("alice", TOKEN), "garbage"):
        for form in ("/repository/up", "/api/v1/remote/up"):
            node.admin("PUT", "/cache/flush?remote=up")
            for _ in range(2):
                answer = node.get(f"{form}/a.txt", Authorization=credentials, Cookie=cookie, X_Api_Key="s3cret-key")
                assert (answer.status_code, body(answer)) == (200, b"a"), credentials
                node.idle()
        assert node.head("/repository/up/b.txt", Authorization=credentials).status_code == 404
        assert node.head("/repository/up/a.txt", Authorization=credentials).status_code == 200
    assert upstream.count() >= 12
    for seen in upstream.requests:
        assert not {"authorization", "cookie", "x-api-key", "proxy-authorization"} & set(seen.headers)
        assert "s3cret" not in repr(seen)
    logged = "".join(repr(vars(record)) for record in caplog.records)
    assert "a.txt" in logged
    for word in ("s3cret", TOKEN, basic("alice", "s3cret-password")[6:], basic("alice", TOKEN)[6:]):
        assert word not in logged


def test_a_query_reaches_neither_upstream_nor_the_log(
    node: Node, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.put("/a.txt", b"a")
    assert body(node.get("/repository/up/a.txt?token=s3cret")) == b"a"
    node.idle()
    assert node.get("/repository/up/a.txt?token=other").headers["X-Cache"] == "HIT"
    assert [seen.query for seen in upstream.requests] == [""]
    assert "s3cret" not in "".join(repr(vars(record)) for record in caplog.records)
