"""Repositories and their entries over HTTP: made, changed, removed, browsed, searched; statistics."""

from __future__ import annotations

import hashlib

from tests.api.asking import People, Person, refused
from tests.http.node import Node
from tests.upstreams import Upstream


def shown(person: Person) -> list[str]:
    return [each["name"] for each in person.get("/repositories").get_json()["repositories"]]


def owner(people: People, name: str = "ada", project: str = "tools") -> Person:
    person = people.user(name)
    assert person.post("/projects", {"name": project}).status_code == 201
    return person


def test_a_repository_from_its_making_to_its_end(people: People, node: Node) -> None:
    ada, bob = owner(people), people.user("bob")
    made = ada.post("/repositories", {"name": "ours", "project": "tools", "description": "x"})
    assert made.status_code == 201, made.get_data(as_text=True)
    told = made.get_json()
    assert (told["access"], told["project"], told["defined_in"], told["kind"]) == ("tools", "tools", "api", "local")
    assert told["url"].endswith("/repository/ours")
    assert ada.upload("ours/a/b.txt", b"b").status_code == 201
    assert node.get("/repository/ours/a/b.txt", Authorization=f"Bearer {ada.token}").data == b"b"
    assert (shown(ada), shown(bob)) == (["up", "team", "inside", "ours"], ["up", "team", "inside"])
    refused(bob.get("/repositories/ours"), 404, "unknown_repository")
    refused(bob.get("/repositories/ours/entries"), 404, "unknown_repository")
    refused(bob.delete("/repositories/ours"), 404, "unknown_repository")
    for public in ("", "everybody"):
        told = ada.patch("/repositories/ours", {"access": public, "overwrite": True}).get_json()
        assert (told["access"], told["overwrite"]) == ("everybody", True)
    assert "ours" in shown(bob)
    refused(bob.patch("/repositories/ours", {"overwrite": False}), 404, "unknown_project")
    refused(ada.delete("/projects/tools"), 409, "project_has_repositories")
    assert ada.delete("/repositories/ours").status_code == 204
    refused(ada.get("/repositories/ours"), 404, "unknown_repository")
    assert node.get("/repository/ours/a/b.txt", Authorization=f"Bearer {ada.token}").status_code in (401, 404)


def test_what_the_file_defines_is_read_only(people: People) -> None:
    for method, body in (("PATCH", {"overwrite": True}), ("DELETE", None)):
        refused(people.root.ask(method, "/repositories/team", body), 409, "defined_in_file")
    people.root.post("/projects", {"name": "tools"})
    refused(people.root.post("/repositories", {"name": "up", "project": "tools"}), 409, "name_taken")


def test_a_bad_definition_names_each_field(people: People) -> None:
    ada = owner(people)
    for given, wrong in (
        ({}, {"name", "project"}),
        ({"name": "a b", "project": "tools"}, {"name"}),
        ({"name": "x", "project": "tools", "package": "zip"}, {"package"}),
        ({"name": "x", "project": "tools", "base_url": "http://127.0.0.1"}, {"base_url"}),
        ({"name": "x", "project": "tools", "signing_key": {"env": "HOME"}}, {"signing_key"}),
        ({"name": "x", "project": "tools", "overwrite": "yes", "access": "A"}, {"overwrite", "access"}),
        ({"name": "x", "project": "tools", "access": "public"}, {"access"}),
    ):
        assert set(refused(ada.post("/repositories", given), 422, "invalid")["fields"]) == wrong, given
    refused(ada.post("/repositories", {"name": "x", "project": "nothing"}), 404, "unknown_project")
    refused(people.root.post("/repositories", {"name": "x", "project": "nothing"}), 404, "unknown_project")
    refused(people.user("bob").post("/repositories", {"name": "x", "project": "tools"}), 404, "unknown_project")
    assert ada.post("/repositories", {"name": "x", "project": "tools"}).status_code == 201
    refused(ada.patch("/repositories/x", {"name": "y"}), 422, "invalid")
    refused(ada.patch("/repositories/x", {"overwrite": 1}), 422, "invalid")
    refused(ada.patch("/repositories/x", {"package": "rpm"}), 422, "invalid")


def test_entries_by_folder_prefix_and_part(people: People) -> None:
    ada = people.user("ada")
    for path in ("a/1.txt", "a/2.txt", "a/deep/3.txt", "b.txt", "a%25/_.txt"):
        assert people.root.upload(f"team/{path}", path.encode()).status_code == 201
    at = "/repositories/team/entries"

    def found(query: str) -> tuple[list[str], list[str], object]:
        told = ada.get(f"{at}?{query}").get_json()
        return [each["path"] for each in told["entries"]], told["folders"], told["after"]

    assert found("") == (["a%/_.txt", "a/1.txt", "a/2.txt", "a/deep/3.txt", "b.txt"], [], None)
    assert found("prefix=a/") == (["a/1.txt", "a/2.txt", "a/deep/3.txt"], [], None)
    assert found("search=2.t") == (["a/2.txt"], [], None)
    assert found("search=%25") == (["a%/_.txt"], [], None)
    assert found("folder=") == (["b.txt"], ["a%/", "a/"], None)
    assert found("folder=a") == (["a/1.txt", "a/2.txt"], ["a/deep/"], None)
    paths, after = found("limit=2")[0], "a/1.txt"
    while after:
        page, _, following = found(f"limit=2&after={after}")
        paths, after = paths + page, str(following or "")
    assert paths == found("")[0]
    one = ada.get(f"{at}?search=b.txt").get_json()["entries"][0]
    assert (one["size"], len(one["sha256"]), one["gone"]) == (5, 64, None)
    refused(people.nobody.get(at), 401, "unauthorized")
    refused(ada.get(f"{at}?folder=a&search=x"), 400, "bad_parameter")
    for query in ("after=%00", "search=%0a", "limit=1e3", "unknown=1", "prefix=" + "x" * 9000):
        refused(ada.get(f"{at}?{query}"), 422, "invalid")


def test_when_an_entry_was_used_last(people: People, node: Node, upstream: Upstream) -> None:
    """As eviction goes by it, wherever entries are told of."""
    upstream.put("/in/u.txt", b"u")
    node.get("/repository/up/in/u.txt")
    node.idle()
    digest = hashlib.sha256(b"u").hexdigest()
    index = node.carrier.engine.shelf.catalog.index
    index.used({("up", "in/u.txt"): 4_000_000_000.0}, 0)
    at, everywhere = "/repositories/up/entries", "/artifacts"
    for query in (f"{at}?folder=in", f"{at}?search=u.t", f"{everywhere}?q=u.t", f"{everywhere}?digest={digest}"):
        told = people.root.get(query).get_json()
        (one,) = told.get("entries") or told["artifacts"]
        assert one["used"] == "2096-10-02T07:06:40Z", query


def test_one_entry_goes(people: People, node: Node, upstream: Upstream) -> None:
    ada = people.user("ada")
    people.root.upload("team/a.txt", b"a")
    at = "/repositories/team/entries?path="
    refused(ada.delete(f"{at}a.txt"), 403, "not_a_writer")
    assert people.root.delete(f"{at}a.txt").status_code == 204
    refused(people.root.delete(f"{at}a.txt"), 404, "file_not_found")
    refused(people.root.delete(f"{at}../a.txt"), 400, "bad_path")
    upstream.put("/u.txt", b"u")
    node.get("/repository/up/u.txt")
    node.idle()
    at = "/repositories/up/entries?path="
    refused(ada.delete(f"{at}u.txt"), 403, "not_an_administrator")
    refused(people.root.delete(f"{at}u.tx"), 404, "entry_not_found")
    assert people.root.delete(f"{at}u.txt").status_code == 204
    assert node.get("/repository/up/u.txt").headers["X-Cache"] == "MISS"


def test_an_entry_of_an_image_goes_by_its_path(people: People, node: Node) -> None:
    people.root.post("/projects", {"name": "tools"})
    made = people.root.post(
        "/repositories", {"name": "images", "project": "tools", "package": "docker", "access": ""}
    )
    assert made.status_code == 201, made.get_data(as_text=True)
    body = b"a layer"
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    sent = node.admin("POST", f"/v2/images/app/blobs/uploads/?digest={digest}", body)
    assert sent.status_code == 201, sent.get_data(as_text=True)
    paths = [each["path"] for each in people.root.get("/repositories/images/entries").get_json()["entries"]]
    assert len(paths) == 1
    assert people.root.delete(f"/repositories/images/entries?path={paths[0]}").status_code == 204
    assert people.root.get("/repositories/images/entries").get_json()["entries"] == []


def test_indexes_are_built_again_on_demand(people: People) -> None:
    ada = people.user("ada")
    assert people.root.post("/repositories/team/reindex").status_code == 202
    refused(ada.post("/repositories/team/reindex"), 403, "not_a_writer")
    refused(people.root.post("/repositories/up/reindex"), 422, "not_local")


def test_statistics(people: People, node: Node, upstream: Upstream) -> None:
    upstream.put("/u.txt", b"same")
    node.get("/repository/up/u.txt")
    node.idle()
    node.get("/repository/up/u.txt")
    people.root.upload("team/t.txt", b"same")
    for finish in (node.carrier.finish, node.app.extensions["artifactapi"].finish):
        finish.tally.flush()
    told = people.root.get("/statistics").get_json()
    assert told["totals"] == {"entries": 2, "blobs": 1, "bytes": 4, "hits": 1, "misses": 1}
    assert told["repositories"]["up"] == {"entries": 1, "bytes": 4, "hits": 1, "misses": 1}
    assert set(told["repositories"]) == {"up", "team", "filed", "inside"}
    refused(people.user("ada").get("/statistics"), 403, "not_an_administrator")
