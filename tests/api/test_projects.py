"""Projects over HTTP: their members, who sees them, whose CI they trust, and the remembered list."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.asking import People, Person, refused
from tests.api.conftest import ISSUER
from tests.http.node import Node


def names(person: Person) -> list[str]:
    return [each["name"] for each in person.get("/projects").get_json()["projects"]]


def test_a_project_from_its_making_to_its_end(people: People) -> None:
    ada = people.user("ada")
    refused(people.nobody.post("/projects", {"name": "tools"}), 401, "unauthorized")
    refused(people.nobody.get("/projects"), 401, "unauthorized")
    refused(people.nobody.get("/projects", headers={"Authorization": "Bearer wrong"}), 401, "unauthorized")
    made = ada.post("/projects", {"name": "tools", "description": "ours"})
    assert made.status_code == 201
    assert (made.get_json()["name"], made.get_json()["role"]) == ("tools", "owner")
    number = made.get_json()["id"]
    (listed,) = ada.get("/projects").get_json()["projects"]
    assert number == ada.get("/projects/tools").get_json()["id"] == listed["id"]
    refused(ada.post("/projects", {"name": "tools"}), 409, "project_exists")
    assert ada.get("/projects/tools").get_json()["description"] == "ours"
    assert ada.patch("/projects/tools", {"description": "all ours"}).get_json()["description"] == "all ours"
    assert ada.get("/projects").get_json()["projects"][0]["description"] == "all ours"
    assert ada.delete("/projects/tools").status_code == 204
    refused(ada.get("/projects/tools"), 404, "unknown_project")
    assert names(ada) == []


@pytest.mark.parametrize("name", ["team_a", "team.a", "9-lives", "a" * 63])
def test_names_as_people_give_them(people: People, name: str) -> None:
    """What images may be called, too (distribution-spec, <name>)."""
    ada = people.user("ada")
    assert ada.post("/projects", {"name": name}).status_code == 201
    assert ada.get(f"/projects/{name}").get_json()["name"] == name
    assert ada.post("/repositories", {"name": "x", "project": name, "package": "generic"}).status_code == 201
    assert ada.get("/repositories/x").get_json()["access"] == name
    assert ada.upload("x/a.txt", b"a").status_code == 201


def test_a_strangers_project_is_not_there(people: People) -> None:
    ada, bob = people.user("ada"), people.user("bob")
    ada.post("/projects", {"name": "tools"})
    known = [(bob.ask(*each).status_code, bob.ask(*each).get_json()["error"]) for each in _every("tools")]
    unknown = [(bob.ask(*each).status_code, bob.ask(*each).get_json()["error"]) for each in _every("nothing")]
    assert known == unknown == [(404, "unknown_project")] * len(known)
    assert names(bob) == []


def _every(name: str) -> list[tuple[str, str, Any]]:
    at = f"/projects/{name}"
    return [
        ("GET", at, None),
        ("PATCH", at, {"description": "x"}),
        ("DELETE", at, None),
        ("GET", f"{at}/members", None),
        ("POST", f"{at}/members", {"email": "bob@example.org", "role": "owner"}),
        ("PUT", f"{at}/members/bob@example.org", {"role": "owner"}),
        ("DELETE", f"{at}/members/ada@example.org", None),
        ("GET", f"{at}/trusts", None),
        ("POST", f"{at}/trusts", {}),
        ("DELETE", f"{at}/trusts/1", None),
    ]


def test_members_and_what_each_may(people: People) -> None:
    ada, bob, eve = people.user("ada"), people.user("bob"), people.user("eve")
    ada.post("/projects", {"name": "tools"})
    assert ada.put("/projects/tools/members/BOB@example.org", {"role": "writer"}).get_json()["role"] == "writer"
    number = eve.get("/auth/me").get_json()["id"]
    refused(ada.put(f"/projects/tools/members/{number}", {"role": "reader"}), 404, "unknown_user")
    assert ada.put("/projects/tools/members/eve@example.org", {"role": "writer"}).status_code == 200
    assert ada.put(f"/projects/tools/members/{number}", {"role": "reader"}).get_json()["email"] == "eve@example.org"
    posted = ada.post("/projects/tools/members", {"email": "Eve@example.org", "role": "reader"})
    assert (posted.status_code, posted.get_json()["id"], posted.get_json()["role"]) == (201, number, "reader")
    told = bob.get("/projects/tools/members").get_json()["members"]
    assert [(each["email"], each["role"]) for each in told] == [
        ("ada@example.org", "owner"),
        ("bob@example.org", "writer"),
        ("eve@example.org", "reader"),
    ]
    assert bob.get("/projects/tools").get_json()["role"] == "writer"
    for refusal in (
        bob.put("/projects/tools/members/eve@example.org", {"role": "owner"}),
        bob.post("/projects/tools/members", {"email": "eve@example.org", "role": "owner"}),
        bob.delete("/projects/tools/members/eve@example.org"),
        bob.patch("/projects/tools", {"description": "x"}),
        bob.delete("/projects/tools"),
        bob.get("/projects/tools/trusts"),
    ):
        refused(refusal, 403, "not_an_owner")
    assert eve.delete("/projects/tools/members/eve@example.org").status_code == 204, "whoever wants to leaves"
    refused(eve.get("/projects/tools"), 404, "unknown_project")
    refused(ada.put("/projects/tools/members/nobody@example.org", {"role": "reader"}), 404, "unknown_user")
    refused(ada.put(f"/projects/tools/members/{2**70}", {"role": "reader"}), 404, "unknown_user")
    refused(ada.put("/projects/tools/members/a%00b", {"role": "reader"}), 404, "unknown_user")
    refused(ada.put("/projects/tools/members/bob@example.org", {"role": "king"}), 422, "invalid")
    refused(ada.post("/projects/tools/members", {"role": "reader"}), 422, "invalid")
    nobody = {"email": "nobody@example.org", "role": "reader"}
    refused(ada.post("/projects/tools/members", nobody), 404, "unknown_user")


def test_a_project_keeps_an_owner(people: People) -> None:
    ada, bob = people.user("ada"), people.user("bob")
    mine = ada.get("/auth/me").get_json()["id"]
    ada.post("/projects", {"name": "tools"})
    refused(ada.delete("/projects/tools/members/ada@example.org"), 409, "last_owner")
    refused(ada.put("/projects/tools/members/ada@example.org", {"role": "writer"}), 409, "last_owner")
    refused(people.root.delete(f"/users/{mine}"), 409, "last_owner")
    assert ada.put("/projects/tools/members/bob@example.org", {"role": "owner"}).status_code == 200
    assert ada.delete("/projects/tools/members/ada@example.org").status_code == 204
    assert people.root.delete(f"/users/{mine}").status_code == 204
    assert names(bob) == ["tools"]


def test_names_that_the_file_gives_rights_to_are_the_administrators(people: People) -> None:
    """Whoever made such a project would publish into what remotes.json says is that project's."""
    ada = people.user("ada")
    refused(ada.post("/projects", {"name": "alpha"}), 409, "project_exists")
    assert people.root.post("/projects", {"name": "alpha"}).status_code == 201
    refused(people.root.delete("/projects/alpha"), 409, "defined_in_file")
    for word in ("authenticated", "everybody", "public", "anonymous"):
        refused(people.root.post("/projects", {"name": word}), 409, "project_exists")
    for name in ("", "Tools", "a b", "-a", "a_", ".", "..", "a" * 64, "a/b", "a\x00", "ä"):
        refused(ada.post("/projects", {"name": name}), 422, "invalid")
    people.root.put("/projects/alpha/members/ada@example.org", {"role": "writer"})
    assert ada.upload("filed/a.txt", b"a").status_code == 201


def test_a_project_that_is_named_as_who_may_read_stays(people: People) -> None:
    """Whoever made the next one of that name would read it."""
    ada, bob = people.user("ada"), people.user("bob")
    for person, project in ((ada, "tools"), (bob, "guests")):
        person.post("/projects", {"name": project})
    unknown = {"name": "x", "project": "tools", "access": "nobodys"}
    assert set(refused(ada.post("/repositories", unknown), 422, "invalid")["fields"]) == {"access"}
    assert ada.post("/repositories", unknown | {"access": "guests"}).status_code == 201
    assert set(refused(ada.patch("/repositories/x", {"access": "nobodys"}), 422, "invalid")["fields"]) == {"access"}
    assert bob.get("/repositories/x").status_code == 200
    assert ada.get("/repositories/x").status_code == 200, "an owner sees what is the project's"
    assert "x" in refused(bob.delete("/projects/guests"), 409, "project_has_repositories")["message"]
    assert ada.patch("/repositories/x", {"access": None}).get_json()["access"] == "tools"
    assert bob.delete("/projects/guests").status_code == 204


@pytest.mark.parametrize("settings", [{"PROJECTS_MAX": "1", "REPOSITORIES_MAX": "1"}])
def test_who_is_no_administrator_makes_no_more_than_that(people: People) -> None:
    ada = people.user("ada")
    assert ada.post("/projects", {"name": "one"}).status_code == 201
    refused(ada.post("/projects", {"name": "two"}), 409, "too_many_projects")
    assert ada.post("/repositories", {"name": "x", "project": "one"}).status_code == 201
    refused(ada.post("/repositories", {"name": "y", "project": "one"}), 409, "too_many_repositories")
    assert people.root.post("/repositories", {"name": "y", "project": "one"}).status_code == 201
    assert people.root.post("/projects", {"name": "two"}).status_code == 201


def test_the_remembered_list_is_ones_own_and_of_now(people: People, node: Node) -> None:
    ada, bob = people.user("ada"), people.user("bob")
    for name in ("one", "two"):
        ada.post("/projects", {"name": name})
    asked: list[object] = []
    store = node.app.extensions["artifactapi"].accounts.store
    original = store.projects
    store.projects = lambda *args: asked.append(args) or original(*args)  # type: ignore[func-returns-value]
    try:
        for _ in range(3):
            assert (names(ada), names(bob)) == (["one", "two"], [])
        assert len(asked) == 2, "one statement for each of them"
        ada.put("/projects/two/members/bob@example.org", {"role": "reader"})
        assert (names(ada), names(bob)) == (["one", "two"], ["two"])
        ada.delete("/projects/two/members/bob@example.org")
        assert names(bob) == []
        assert names(people.root) == ["one", "two"]
    finally:
        store.projects = original


def test_pages_of_projects(people: People) -> None:
    ada = people.user("ada")
    for number in range(3):
        ada.post("/projects", {"name": f"p{number}"})
    first = ada.get("/projects?limit=2").get_json()
    assert first["after"] == "p1"
    assert [each["name"] for each in ada.get("/projects?limit=2&after=p1").get_json()["projects"]] == ["p2"]


def test_whose_ci_is_trusted(people: People) -> None:
    ada = people.user("ada")
    ada.post("/projects", {"name": "tools"})
    good = {"issuer": ISSUER, "audience": "here", "claims": {"sub": "repo:team/tools"}, "role": "writer"}
    made = ada.post("/projects/tools/trusts", good)
    assert made.status_code == 201
    assert made.get_json() == good | {"id": made.get_json()["id"]}
    assert ada.get("/projects/tools/trusts").get_json() == {"trusts": [made.get_json()]}
    wrong: dict[str, Any]
    for claim in ("iss", "aud", "exp", "iat", "nbf"):
        everybodys = {"claims": {claim: "x", "sub": "repo:team/tools"}}
        told = refused(ada.post("/projects/tools/trusts", good | everybodys), 422, "invalid")
        assert list(told["fields"]) == [f"claims.{claim}"], "it tells nobody from anybody else"
    for wrong in ({"claims": {}}, {"claims": {"sub": 1}}, {"role": "owner"}, {"issuer": "https://x.example.org"}):
        told = refused(ada.post("/projects/tools/trusts", good | wrong), 422, "invalid")
        assert [each.partition(".")[0] for each in told["fields"]] == list(wrong)
    assert ada.delete(f"/projects/tools/trusts/{made.get_json()['id']}").status_code == 204
    refused(ada.delete(f"/projects/tools/trusts/{made.get_json()['id']}"), 404, "unknown_trust")


@pytest.mark.parametrize("settings", [{}])
def test_with_redis_away_the_list_is_read_each_time(people: People, node: Node) -> None:
    from tests.http.variant import NOBODY, worker

    ada = people.user("ada")
    ada.post("/projects", {"name": "one"})
    with worker(node, redis_url=NOBODY["redis_url"]) as client:
        answer = client.get("/api/v1/projects", headers={"Authorization": f"Bearer {ada.token}"})
        assert [each["name"] for each in answer.get_json()["projects"]] == ["one"]
