"""Who may push what, and that no push tells of images that its client may not know of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.accounts.people import People
from app.accounts.rights import Role
from tests.conformance.pushing import digest
from tests.containers.images import Image, image, layer
from tests.http.node import Node

LOCALS = {
    "ours": {"package": "docker", "access": "ours", "project": "ours"},
    "theirs": {"package": "docker", "project": "theirs"},
}
LAYER = layer("secret", 500)
_NUMBERS = itertools.count()


class Client:
    """Who sends requests: a member of a project with a token."""

    def __init__(self, node: Node, project: str, role: Role, *scopes: str) -> None:
        people: People = node.app.extensions["artifactapi"].accounts
        user = people.store.add_user(f"{next(_NUMBERS)}@example.org", "", "", False)
        assert people.store.put_member(project, user.id, role)
        self._node, self._secret = node, people.make_token(user.id, "test", scopes or ("admin",))[1]

    def ask(self, method: str, path: str, data: bytes | None = None, **headers: str) -> TestResponse:
        return self._node.ask(method, path, data, Authorization=f"Bearer {self._secret}", **headers)

    def push(self, name: str, of: Image) -> int:
        for each in of.blobs:
            reply = self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={each.digest}", bytes(each.data))
            if reply.status_code != 201:
                return reply.status_code
        kind = of.manifest.media_type
        return self.ask("PUT", f"/v2/{name}/manifests/v1", bytes(of.manifest.data), Content_Type=kind).status_code


@pytest.fixture
def node(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Node]:
    document: dict[str, Any] = {"locals": LOCALS}
    with Node(tmp_path, database_url, redis_url, document).running() as running:
        for project in ("ours", "theirs"):
            running.app.extensions["artifactapi"].accounts.store.add_project(project, "", 0)
        assert Client(running, "ours", Role.WRITER).push("ours/app", image(LAYER)) == 201
        yield running


@pytest.fixture
def outsider(node: Node) -> Client:
    """A writer of the other project."""
    return Client(node, "theirs", Role.WRITER)


def code(reply: TestResponse) -> str:
    assert reply.json is not None
    return str(reply.json["errors"][0]["code"])


def test_a_blob_is_not_mounted_from_what_is_hidden(node: Node, outsider: Client) -> None:
    """The same answer as for a blob that is nowhere: 202, and bytes to send."""
    known = LAYER.blob.digest
    for query in (f"mount={known}&from=ours/app", f"mount={known}", f"mount={digest(b'x')}&from=ours/app"):
        assert outsider.ask("POST", f"/v2/theirs/app/blobs/uploads/?{query}").status_code == 202
    assert outsider.ask("HEAD", f"/v2/theirs/app/blobs/{known}").status_code == 404
    member = Client(node, "ours", Role.WRITER)
    assert member.ask("POST", f"/v2/ours/again/blobs/uploads/?mount={known}&from=ours/app").status_code == 201
    assert member.ask("POST", f"/v2/ours/third/blobs/uploads/?mount={known}").status_code == 201


def test_naming_what_is_hidden_shows_nothing(outsider: Client) -> None:
    pushed = image(LAYER)
    config = bytes(pushed.config.data)
    assert outsider.ask("POST", f"/v2/theirs/app/blobs/uploads/?digest={digest(config)}", config).status_code == 201
    reply = outsider.ask(
        "PUT", "/v2/theirs/app/manifests/v1", bytes(pushed.manifest.data), Content_Type=pushed.manifest.media_type
    )
    assert (reply.status_code, code(reply)) == (404, "MANIFEST_BLOB_UNKNOWN")


def test_what_is_hidden_is_not_there(node: Node, outsider: Client) -> None:
    """Every request of the API is answered as for a repository of no such name."""
    member = Client(node, "ours", Role.WRITER, "admin", "write")
    upload = member.ask("POST", "/v2/ours/app/blobs/uploads/").headers["Location"].rpartition("/")[2]
    manifest = image(LAYER).manifest.digest
    for method, path in (
        ("GET", "tags/list"),
        ("GET", f"referrers/{manifest}"),
        ("GET", "manifests/v1"),
        ("HEAD", f"blobs/{LAYER.blob.digest}"),
        ("GET", f"blobs/uploads/{upload}"),
        ("PATCH", f"blobs/uploads/{upload}"),
        ("PUT", f"blobs/uploads/{upload}?digest={digest(b'')}"),
        ("POST", "blobs/uploads/"),
        ("PUT", "manifests/v1"),
        ("DELETE", "manifests/v1"),
    ):
        for who in (outsider.ask, node.ask):
            found = [who(method, f"/{form}/app/{path}", b"") for form in ("v2/ours", "v2/nobody")]
            assert {each.status_code for each in found} <= {401, 404}, (method, path)
            assert len({each.status_code for each in found}) == 1
            told = [each.data.partition(b"request_id")[0].replace(b"nobody", b"ours") for each in found]
            assert told[0] == told[1]


# What each asks /v2/ with, as their sources have it (moby, go-containerregistry, kaniko, distribution, helm, oras,
# renovate).
BY_401_ALONE = [
    "docker/28.2.2 go/go1.24.3 git-commit/45873be os/linux arch/amd64 UpstreamClient(Docker-Client/28.2.2)",
    "Docker-Client/28.2.2 (linux)",
    "crane/v0.20.3 go-containerregistry/v0.20.3",
    "ko/v0.17.1 go-containerregistry",
    "kaniko/v1.23.2,skaffold-v2",
    "Go-http-client/1.1",
    "Helm/3.18.0",
    "oras/1.2.3",
    "RenovateBot/41.0.1 (https://github.com/renovatebot/renovate)",
]
ANY_CHALLENGE = [
    "",
    "curl/8.5.0",
    "containers/5.34.0 (github.com/containers/image)",
    "containerd/1.7.24",
    "skopeo/1.9.3",
]


def test_strangers_read_the_root_where_they_may_read_an_image(node: Node) -> None:
    challenge = 'Bearer realm="http://localhost/v2/token",service="artifactapi"'
    for agent in ANY_CHALLENGE:
        for method in ("GET", "HEAD"):
            reply = node.ask(method, "/v2/", User_Agent=agent)
            assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (200, challenge), agent
            assert (reply.headers["Vary"], reply.headers["Docker-Distribution-Api-Version"]) == (
                "Authorization, User-Agent",
                "registry/2.0",
            )


def test_who_sends_credentials_after_a_401_alone_gets_one(node: Node) -> None:
    for agent in BY_401_ALONE:
        reply = node.get("/v2/", User_Agent=agent)
        assert (reply.status_code, code(reply)) == (401, "UNAUTHORIZED"), agent
        assert reply.headers["WWW-Authenticate"].startswith("Bearer realm="), agent
        known = Client(node, "theirs", Role.READER).ask("GET", "/v2/", User_Agent=agent)
        assert (known.status_code, known.headers.get("WWW-Authenticate")) == (200, None), agent


def test_wrong_credentials_are_told_at_the_root(node: Node) -> None:
    assert node.get("/v2/", Authorization="Bearer nonsense").status_code == 401
    given = node.get("/v2/token").get_json()["token"]
    assert node.get("/v2/", Authorization=f"Bearer {given}").status_code == 200


def test_what_is_missing_is_called_what_it_is(node: Node) -> None:
    writer = Client(node, "theirs", Role.WRITER)
    digest_of_none = digest(b"none of that")
    for path, message in (
        ("manifests/v9", "no such manifest"),
        (f"manifests/{digest_of_none}", "no such manifest"),
        (f"blobs/{digest_of_none}", "no such blob"),
    ):
        for method in ("GET", "DELETE"):
            reply = writer.ask(method, f"/v2/theirs/app/{path}")
            assert (reply.status_code, reply.get_json()["errors"][0]["message"]) == (404, message), (method, path)


def test_who_only_reads_pushes_nothing(node: Node) -> None:
    for client in (Client(node, "ours", Role.READER), Client(node, "ours", Role.WRITER, "read")):
        reply = client.ask("POST", "/v2/ours/app/blobs/uploads/")
        assert (reply.status_code, code(reply)) == (403, "DENIED")
        assert client.push("ours/app", image(LAYER)) == 403
        assert client.ask("DELETE", "/v2/ours/app/manifests/v1").status_code == 403
        assert client.ask("GET", "/v2/ours/app/manifests/v1").status_code == 200


def test_a_token_pushes_where_its_scope_says(node: Node) -> None:
    assert Client(node, "ours", Role.WRITER, "write:ours").push("ours/scoped", image(LAYER)) == 201
    assert Client(node, "ours", Role.WRITER, "write:theirs").push("ours/scoped", image(LAYER)) in (403, 404)


def test_an_upload_is_gone_on_with_in_its_repository_alone(node: Node, outsider: Client) -> None:
    member = Client(node, "ours", Role.WRITER)
    place = member.ask("POST", "/v2/ours/app/blobs/uploads/").headers["Location"]
    assert member.ask("PATCH", place, b"secret").status_code == 202
    taken = place.replace("/ours/", "/theirs/")
    assert outsider.ask("GET", taken).status_code == 404
    assert outsider.ask("PUT", f"{taken}?digest={digest(b'secret')}").status_code == 404
