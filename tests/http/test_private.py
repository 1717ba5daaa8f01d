"""Private repositories: who reads and writes what, and that nothing tells a stranger that they are there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from app.accounts.people import People
from app.accounts.rights import Role
from tests.http.node import ADMIN, Node, body
from tests.http.variant import without_database
from tests.upstreams import Upstream

SECRETS = ("secret", "vault", "images", "members", "hidden")
NOTHING = "none-of-that-name"


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    """Beside the public `up` and `team`: `vault` and `images` for whoever is known, `secret` of project `ours`, all
    remotes; `members` and `hidden` are local and of `ours`."""
    up = remotes["remotes"]["up"]
    docker = {"package": "docker", "base_url": upstream.url}
    remotes["remotes"] |= {
        "vault": up | {"access": "authenticated"},
        "secret": up | {"access": "ours"},
        "images": docker | {"access": "ours", "serves": ["registry.example.org"], "hosts": ["images.example.org"]},
    }
    remotes["locals"] |= {
        "members": {"package": "generic", "access": "ours", "project": "ours"},
        "hidden": {"package": "docker", "access": "ours", "project": "ours"},
    }
    return remotes


class Somebody:
    """A user with a token, as a client sends it."""

    def __init__(
        self, people: People, email: str, role: Role | None = None, *scopes: str, admin: bool = False
    ) -> None:
        self.user = people.store.add_user(email, "", "", admin)
        if role is not None:
            assert people.store.put_member("ours", self.user.id, role)
        self.token, self.secret = people.make_token(self.user.id, "test", scopes or ("admin",))

    @property
    def bearer(self) -> str:
        return f"Bearer {self.secret}"

    @property
    def basic(self) -> str:
        return basic("whoever", self.secret)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def people(node: Node) -> People:
    found: People = node.app.extensions["artifactapi"].accounts
    found.store.add_project("ours", "", 0)
    return found


@pytest.fixture
def filled(node: Node, upstream: Upstream, people: People) -> Iterator[Node]:
    """Something in every repository."""
    upstream.put("/a.rpm", b"bytes of a package")
    for name in ("members", "team"):
        assert node.admin("PUT", f"/repository/{name}/a.rpm", b"bytes of a package").status_code == 201
    for name in ("secret", "vault", "up"):
        assert node.admin("GET", f"/repository/{name}/a.rpm").status_code == 200
    node.idle()
    yield node


def told(answer: TestResponse) -> tuple[int, dict[str, str], object]:
    """All that an answer says, but for what differs between any two requests."""
    document = json.loads(re.sub(rb'"request_id": ?"[^"]*"', b'"request_id": ""', answer.get_data() or b"null"))
    headers = {name: value for name, value in answer.headers.items() if name not in ("X-Request-Id", "Date")}
    return answer.status_code, headers, document


def alike(one: TestResponse, other: TestResponse, name: str) -> int:
    """The status of both, which say the same but for the name in their paths: NOTHING, and `name`."""
    texts = [re.sub(r'"Content-Length": "\d+"', "", json.dumps(told(each))) for each in (one, other)]
    assert texts[0] == texts[1].replace(name, NOTHING)
    return one.status_code


FORMS = [
    "/repository/{}/a.rpm",
    "/repository/{}/./a.rpm",
    "/repository/{}/",
    "/repository/{}/v2/x/manifests/1",
    "/repository/{}/v2/",
    "/api/v1/remote/{}/a.rpm",
    "/api/v1/local/{}/a.rpm",
    "/v2/{}/x/manifests/1",
    "/v2/{}/x/tags/list",
    "/v2/{}/x/blobs/sha256:" + "0" * 64,
    "/v2/{}",
]


class TestStrangers:
    def test_a_private_name_reads_as_one_that_does_not_exist(self, filled: Node, people: People) -> None:
        outsider = Somebody(people, "outsider@example.org")
        weak = Somebody(people, "weak@example.org", Role.OWNER, "read:other", "write:other")
        known = [outsider.basic, weak.bearer]
        strangers = ["", basic("a", "aapi_" + "x" * 43)]
        for credentials in (*strangers, *known):
            for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
                for form in FORMS:
                    names = [name for name in SECRETS if name != "vault" or credentials in strangers]
                    none = filled.ask(method, form.format(NOTHING), Authorization=credentials)
                    for name in names:
                        there = filled.ask(method, form.format(name), Authorization=credentials)
                        status = alike(none, there, name)
                        assert status in ((400, 401, 404, 405) if credentials in strangers else (400, 404, 405)), form

    def test_a_stranger_is_asked_for_credentials_where_a_client_sends_them_only_then(self, filled: Node) -> None:
        for name in (*SECRETS, NOTHING):
            answer = filled.get(f"/repository/{name}/a.rpm")
            assert (answer.status_code, answer.get_json()["error"]) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
            answer = filled.get(f"/v2/{name}/x/y/manifests/1")
            assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")
            assert answer.headers["WWW-Authenticate"] == (
                f'Bearer realm="http://localhost/v2/token",service="artifactapi",scope="repository:{name}/x/y:pull"'
            )
            assert filled.get(f"/api/v1/remote/{name}/a.rpm").status_code == 404
        assert filled.get("/repository/team/none").status_code == 404, "what is public stays as it was"
        assert filled.get("/repository/up/none").status_code == 404

    def test_where_nothing_is_private_unknown_names_are_404(self, filled: Node, tmp_path: Path) -> None:
        parts = filled.app.extensions["artifactapi"]
        public = {name: each for name, each in parts.repositories.filed.remotes.items() if not each.access}
        object.__setattr__(parts.repositories.filed, "remotes", public)
        object.__setattr__(parts.repositories.filed, "locals", {})
        assert filled.get(f"/repository/{NOTHING}/a").status_code == 404
        assert filled.get(f"/v2/{NOTHING}/a/manifests/1").status_code == 404
        assert filled.get("/v2/").status_code == 200

    def test_credentials_that_cannot_be_read_are_none(self, filled: Node) -> None:
        unread = ("/repository/secret/a.rpm", f"/repository/{NOTHING}/a.rpm", "/v2/token", "/v2/images/x/tags/list")
        for path in unread:
            assert filled.get(path, Authorization="Basic \xff").status_code == 401, path
        assert filled.get("/metrics", Authorization="Basic \xff").status_code == 200

    def test_no_page_lists_one(self, filled: Node, people: People) -> None:
        outsider = Somebody(people, "outsider@example.org").bearer
        for path in ("/", "/v2/_catalog", "/metrics", "/metrics?format=json", "/health"):
            for credentials in ("", "Bearer nonsense", outsider):
                said = filled.get(path, Authorization=credentials).get_data(as_text=True)
                found = {name for name in SECRETS if re.search(rf'["/]{name}["/]', said)}
                assert found <= ({"vault"} if credentials == outsider else set()), path
        for path in ("/config", "/api/v1/explain?url=/repository/secret/a.rpm", "/api/v1/pulls?repository=secret"):
            assert filled.get(path).status_code == 401
            assert filled.get(path, Authorization=outsider).status_code == 403
        said = filled.admin("GET", "/").get_json()
        assert {"secret", "vault", "images"} <= set(said["remotes"])
        assert {"members", "hidden"} <= set(said["locals"])

    def test_metrics_of_a_private_one_are_an_administrators(self, filled: Node) -> None:
        def named(text: str) -> set[str]:
            samples = (each for family in text_string_to_metric_families(text) for each in family.samples)
            return {each.labels["repository"] for each in samples if "repository" in each.labels}

        assert named(filled.get("/metrics").get_data(as_text=True)) >= {"up", "team"}
        assert not named(filled.get("/metrics").get_data(as_text=True)) & set(SECRETS)
        assert named(filled.admin("GET", "/metrics").get_data(as_text=True)) >= {"secret", "members", "up"}

    def test_an_administrator_has_one_explained(self, filled: Node) -> None:
        found = filled.admin("GET", "/api/v1/explain?url=/repository/secret/a.rpm").get_json()
        assert found["repository"]["name"] == "secret"


class TestReaders:
    def test_read_what_is_theirs_by_bearer_and_basic(self, filled: Node, people: People) -> None:
        reader = Somebody(people, "reader@example.org", Role.READER)
        narrow = Somebody(people, "narrow@example.org", Role.READER, "read:secret")
        outsider = Somebody(people, "outsider@example.org")
        for credentials in (reader.bearer, reader.basic):
            for path in ("/repository/secret/a.rpm", "/repository/vault/a.rpm", "/repository/members/a.rpm"):
                for method in ("GET", "HEAD"):
                    answer = filled.ask(method, path, Authorization=credentials)
                    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "private"), path
                    assert body(answer) == (b"bytes of a package" if method == "GET" else b"")
        assert filled.get("/api/v1/remote/secret/a.rpm", Authorization=reader.bearer).status_code == 200
        assert filled.get("/repository/secret/a.rpm", Authorization=narrow.bearer).status_code == 200
        assert filled.get("/repository/vault/a.rpm", Authorization=narrow.bearer).status_code == 404
        assert filled.get("/repository/vault/a.rpm", Authorization=outsider.bearer).status_code == 200
        assert "Cache-Control" not in filled.get("/repository/up/a.rpm").headers

    def test_write_where_they_are_writers(self, filled: Node, people: People) -> None:
        reader = Somebody(people, "reader@example.org", Role.READER)
        writer = Somebody(people, "writer@example.org", Role.WRITER)
        looking = Somebody(people, "looking@example.org", Role.WRITER, "read")
        outsider = Somebody(people, "outsider@example.org")
        put = [
            ("", 401),
            ("Bearer nonsense", 401),
            (outsider.bearer, 404),
            (reader.bearer, 403),
            (looking.bearer, 403),
            (writer.basic, 201),
        ]
        for credentials, status in put:
            answer = filled.ask("PUT", "/repository/members/new.bin", b"new", Authorization=credentials)
            assert answer.status_code == status
        for credentials, status in ((reader.bearer, 403), (writer.bearer, 403)):
            answer = filled.ask("PUT", "/repository/team/new.bin", b"new", Authorization=credentials)
            assert answer.status_code == status, "a local without a project is the administrators'"
        assert filled.ask("DELETE", "/repository/members/new.bin", Authorization=reader.bearer).status_code == 403
        assert filled.ask("DELETE", "/repository/members/new.bin", Authorization=writer.bearer).status_code == 204

    def test_a_proxy_is_told_no_more_than_they_would_be(self, filled: Node, people: People) -> None:
        writer = Somebody(people, "writer@example.org", Role.WRITER).bearer
        reader = Somebody(people, "reader@example.org", Role.READER).bearer
        outsider = Somebody(people, "outsider@example.org").bearer
        for method, form in (("PUT", "/repository/{}/a"), ("PATCH", "/v2/{}/x/blobs/uploads/1")):
            for credentials, status in ((writer, 204), (reader, 403), (outsider, 404), ("", 401)):
                said = {"X_Original_Method": method, "Authorization": credentials}
                named = "members" if method == "PUT" else "hidden"
                for name, wanted in ((named, status), (NOTHING, 401 if status == 401 else 404)):
                    asked = filled.get("/api/v1/may-write", X_Original_URI=form.format(name), **said)
                    assert asked.status_code == wanted, (name, credentials)

    def test_an_administrator_may_everything_that_their_token_may(self, filled: Node, people: People) -> None:
        boss = Somebody(people, "boss@example.org", None, "admin", admin=True)
        looking = Somebody(people, "looking@example.org", None, "read", admin=True)
        assert filled.get("/config", Authorization=boss.bearer).status_code == 200
        assert filled.ask("PUT", "/repository/team/b", b"b", Authorization=boss.bearer).status_code == 201
        assert filled.get("/repository/secret/a.rpm", Authorization=looking.bearer).status_code == 200
        assert filled.get("/config", Authorization=looking.bearer).status_code == 403
        assert filled.ask("PUT", "/repository/team/c", b"c", Authorization=looking.bearer).status_code == 403

    def test_the_end_of_a_token_is_at_once(self, filled: Node, people: People) -> None:
        reader = Somebody(people, "reader@example.org", Role.READER)
        path = "/repository/secret/a.rpm"
        assert filled.get(path, Authorization=reader.bearer).status_code == 200
        people.revoke(reader.token.id)
        assert filled.get(path, Authorization=reader.bearer).status_code == 401
        assert filled.get("/repository/up/a.rpm", Authorization=reader.bearer).status_code == 200

    def test_without_postgres_strangers_stay_strangers_and_what_is_public_is_served(
        self, filled: Node, people: People, postgres_url: str
    ) -> None:
        reader, late = Somebody(people, "r@example.org", Role.READER), Somebody(people, "l@example.org", Role.READER)
        path = "/repository/secret/a.rpm"
        assert filled.get(path, Authorization=reader.bearer).status_code == 200
        assert filled.get("/repository/up/a.rpm").status_code == 200
        with without_database(filled, postgres_url):
            assert filled.get(path, Authorization=reader.bearer).status_code == 200, "remembered"
            assert filled.get(path, Authorization=late.bearer).status_code == 503
            assert filled.get(path).status_code == filled.get(f"/repository/{NOTHING}/a").status_code
            for credentials in ("", late.bearer):
                assert filled.get("/repository/up/a.rpm", Authorization=credentials).status_code == 200

    def test_the_log_names_the_user_and_no_token(
        self, filled: Node, people: People, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader = Somebody(people, "reader@example.org", Role.READER)
        caplog.set_level("DEBUG")
        for credentials in (reader.bearer, reader.basic):
            filled.get("/repository/secret/a.rpm", Authorization=credentials)
            filled.get("/repository/secret/missing", Authorization=credentials)
        filled.idle()
        lines = [each.__dict__["fields"] for each in caplog.records if each.getMessage() == "request"]
        assert [each["user"] for each in lines] == ["reader@example.org"] * 4
        logged = "".join(repr(vars(each)) for each in caplog.records)
        assert reader.secret not in logged
        assert reader.basic.removeprefix("Basic ") not in logged


class TestImages:
    def test_the_root_asks_strangers_to_log_in(self, filled: Node, people: People) -> None:
        answer = filled.get("/v2/")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="http://localhost/v2/token",service="artifactapi"'
        assert filled.get("/v2/", **ADMIN).status_code == 200
        assert filled.get("/v2/", Authorization=Somebody(people, "a@example.org").basic).status_code == 200

    def test_a_token_is_given_for_itself(self, filled: Node, people: People) -> None:
        somebody = Somebody(people, "a@example.org")
        given = filled.get("/v2/token?service=artifactapi&account=a", Authorization=somebody.basic)
        assert given.get_json() == {"token": somebody.secret, "access_token": somebody.secret, "expires_in": 3600}
        assert given.headers["Cache-Control"] == "no-store"
        form = {"grant_type": "password", "username": "a", "password": somebody.secret, "service": "artifactapi"}
        posted = filled.client.post("/v2/token", data=form | {"access_type": "offline"})
        assert posted.get_json()["refresh_token"] == somebody.secret
        again = filled.client.post(
            "/v2/token", data={"grant_type": "refresh_token", "refresh_token": somebody.secret}
        )
        assert again.get_json()["access_token"] == somebody.secret
        _, short = people.make_token(somebody.user.id, "short", lifetime=120)
        assert 60 <= filled.get("/v2/token", Authorization=f"Bearer {short}").get_json()["expires_in"] <= 120

    def test_a_stranger_is_given_one_that_opens_nothing(self, filled: Node) -> None:
        given = filled.get("/v2/token?scope=repository:images/x:pull").get_json()["token"]
        assert filled.get("/v2/images/x/manifests/1", Authorization=f"Bearer {given}").status_code == 401
        assert filled.get("/v2/_catalog", Authorization=f"Bearer {given}").status_code == 200

    def test_wrong_credentials_are_refused(self, filled: Node, people: People) -> None:
        gone = Somebody(people, "a@example.org")
        people.revoke(gone.token.id)
        for wrong in (basic("a", "b"), basic("a", ""), gone.basic, "Bearer nonsense", "Basic !!!", "nonsense"):
            answer = filled.get("/v2/token", Authorization=wrong)
            assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (401, "UNAUTHORIZED"), wrong
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        for form, status in (
            ({}, 400),
            ({"grant_type": "authorization_code"}, 400),
            ({"grant_type": "password"}, 401),
            ({"grant_type": "password", "password": gone.secret}, 401),
            ({"grant_type": "refresh_token", "refresh_token": "\0"}, 401),
            ({"grant_type": "password", "password": "x" * 100_000}, 413),
        ):
            assert filled.client.post("/v2/token", data=form).status_code == status, form

    def test_a_private_remote_answers_for_no_registry_or_host_to_strangers(
        self, filled: Node, people: People
    ) -> None:
        path = "/v2/library/x/manifests/1?ns=registry.example.org"
        assert filled.get(path).status_code == 401
        assert filled.get("/v2/library/x/manifests/1", Host="images.example.org").status_code == 401
        outsider = Somebody(people, "outsider@example.org").bearer
        answer = filled.get(path, Authorization=outsider)
        assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
        reader = Somebody(people, "reader@example.org", Role.READER).bearer
        answer = filled.get(path, Authorization=reader)
        assert answer.get_json()["errors"][0]["code"] == "MANIFEST_UNKNOWN", "upstream was asked"

    def test_a_private_name_under_a_default_remote_is_that_remotes_to_strangers(
        self, remotes: dict[str, Any], tmp_path: Path, database_url: str, redis_url: str, upstream: Upstream
    ) -> None:
        """Else the names that upstream is not asked for would be known to be private."""
        remotes["remotes"]["hub"] = {"package": "docker", "base_url": f"{upstream.url}/hub", "default": True}
        digest = "sha256:" + "0" * 64
        with Node(tmp_path, database_url, redis_url, remotes).running() as node:
            people = node.app.extensions["artifactapi"].accounts
            people.store.add_project("ours", "", 0)
            outsider, reader = Somebody(people, "o@example.org"), Somebody(people, "r@example.org", Role.READER)
            for credentials in ("", outsider.bearer):
                answers = [
                    node.get(f"/v2/{name}/x/blobs/{digest}", Authorization=credentials)
                    for name in ("images", NOTHING)
                ]
                assert alike(answers[1], answers[0], "images") == 404
            assert {seen.path for seen in upstream.requests} == {
                f"/hub/v2/{name}/x/blobs/{digest}" for name in ("images", NOTHING)
            }
            upstream.requests.clear()
            assert node.get(f"/v2/images/x/blobs/{digest}", Authorization=reader.bearer).status_code == 404
            assert {seen.path for seen in upstream.requests} == {f"/v2/x/blobs/{digest}"}
            kept = {name: self.kept(node, upstream, name) for name in ("images", NOTHING)}
            assert kept == {"images": False, NOTHING: True}, "a cache in front does not know who asks"

    @staticmethod
    def kept(node: Node, upstream: Upstream, name: str) -> bool:
        """Whether a cache in front may keep what the default remote has under that name."""
        layer = b"of everybody"
        path = f"{name}/x/blobs/sha256:{hashlib.sha256(layer).hexdigest()}"
        upstream.put(f"/hub/v2/{path}", layer)
        for _ in range(2):
            answer = node.get(f"/v2/{path}", X_Edge=f"{int(time.time())}.250")
            assert body(answer) == layer
            node.idle()
        return "X-Accel-Expires" in answer.headers
