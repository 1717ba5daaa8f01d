"""The audit trail: every write and every login, one row each, and never a secret."""

from __future__ import annotations

import logging

import pytest

from tests.api.asking import PASSWORD, People, Person, refused
from tests.http.node import Node
from tests.http.variant import NOBODY, worker


def trail(people: People, query: str = "") -> list[tuple[str, str, str, int]]:
    events = people.root.get(f"/audit?{query}").get_json()["events"]
    return [(each["user"], each["action"], each["path"], each["status"]) for each in reversed(events)]


def test_writes_and_logins_are_in_it(people: People, node: Node) -> None:
    ada = people.user("ada")
    Person(node).post("/auth/login", {"email": "Ada@example.org", "password": "wrong wrong wrong"})
    ada.post("/projects", {"name": "tools"})
    ada.post("/repositories", {"name": "ours", "project": "tools"})
    ada.upload("ours/a.txt", b"a")
    people.nobody.upload("ours/b.txt", b"b")
    ada.get("/projects")
    people.root.delete("/repositories/ours/entries?path=a.txt")
    node.admin("PUT", "/cache/flush?remote=up")
    node.admin("POST", "/api/v1/edges/one", b'{"cursor": 0}')
    assert trail(people) == [
        ("admin", "POST", "/api/v1/users", 201),
        ("ada@example.org", "login", "/api/v1/auth/login", 200),
        ("Ada@example.org", "login", "/api/v1/auth/login", 401),
        ("ada@example.org", "POST", "/api/v1/projects", 201),
        ("ada@example.org", "POST", "/api/v1/repositories", 201),
        ("ada@example.org", "PUT", "/repository/ours/a.txt", 201),
        ("admin", "DELETE", "/api/v1/repositories/ours/entries", 204),
        ("admin", "PUT", "/cache/flush", 200),
    ]
    whole = people.root.get("/audit").get_data(as_text=True)
    for secret in (PASSWORD, ada.token, "wrong wrong"):
        assert secret not in whole


def test_it_is_paged_and_filtered(people: People) -> None:
    ada = people.user("ada")
    ada.post("/projects", {"name": "tools"})
    people.root.upload("team/a", b"a")
    assert trail(people, "user=ada@example.org&action=POST") == [("ada@example.org", "POST", "/api/v1/projects", 201)]
    people.root.post("/repositories/team/reindex")
    told = [each[2] for each in trail(people, "repository=team")]
    assert told == ["/repository/team/a", "/api/v1/repositories/team/reindex"]
    first = people.root.get("/audit?limit=2").get_json()
    second = people.root.get(f"/audit?limit=2&before={first['before']}").get_json()
    numbers = [each["id"] for each in (*first["events"], *second["events"])]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 4
    one = first["events"][0]
    assert one["at"].endswith("Z")
    assert one["request_id"]
    refused(ada.get("/audit"), 403, "not_an_administrator")


def test_what_was_done_stands_there_and_no_secret(people: People) -> None:
    ada = people.user("ada")
    mine = ada.get("/auth/me").get_json()["id"]
    ada.post("/projects", {"name": "tools"})
    people.root.upload("team/a", b"a")
    for person, method, path, body in (
        (ada, "POST", "/tokens", {"name": "ci", "scopes": ["write:team"], "expires_in": 3600}),
        (
            ada,
            "POST",
            "/repositories",
            {"name": "x", "project": "tools", "access": "authenticated"},
        ),
        (ada, "PATCH", "/repositories/x", {"access": "everybody", "signing_key": None}),
        (ada, "PUT", "/projects/tools/members/ada@example.org", {"role": "owner"}),
        (people.root, "DELETE", "/repositories/team/entries?path=a", None),
        (people.root, "PATCH", f"/users/{mine}", {"admin": True, "password": "a secret phrase"}),
    ):
        assert person.ask(method, path, body).status_code < 300, path
    people.node.admin("PUT", "/cache/flush?remote=up&path=a/&mode=expire")
    found = people.root.get("/audit?limit=7").get_json()["events"]
    assert [(each["repository"], each["detail"]) for each in reversed(found)] == [
        ("", 'expires_in=3600, name="ci", scopes=["write:team"]'),
        ("x", 'access="authenticated", name="x", project="tools"'),
        ("x", 'access="everybody", signing_key'),
        ("", 'role="owner"'),
        ("team", "a"),
        ("", "admin=true, password"),
        ("up", 'mode="expire", path="a/"'),
    ]


def test_a_token_in_a_path_is_not(people: People) -> None:
    token = "aapi_" + "x" * 43
    people.root.upload(f"team/-/user/token/{token}", b"a")
    assert trail(people)[-1][2] == "/repository/team/-/user/token/***"


def test_a_trail_that_cannot_be_written_undoes_nothing(
    people: People, node: Node, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.errors import StoreDown

    def refuse(events: object) -> None:
        raise StoreDown("no room")

    store = node.app.extensions["artifactapi"].accounts.store
    monkeypatch.setattr(store, "record", refuse)
    assert people.root.upload("team/a", b"a").status_code == 201
    found = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "/repository/team/a" in found[0].getMessage()


def test_a_flush_without_postgres_fails_by_itself(node: Node) -> None:
    with worker(node, database_url=NOBODY["database_url"]) as client:
        assert client.put("/cache/flush").status_code in (401, 503)
