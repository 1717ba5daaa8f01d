"""Virtual repositories: which member a file comes from, who may read what of it, and who owns a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import repositories
from app.problems import ConfigError
from tests.http.documents import Fleet, fleet
from tests.http.explained import Explainer
from tests.http.node import ADMIN, Node
from tests.upstreams import Upstream


@pytest.fixture
def here(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Fleet]:
    with fleet(tmp_path, database_url, redis_url) as found:
        yield found


def lines(answer: bytes) -> list[str]:
    return answer.decode().splitlines()[1:]


def test_a_file_is_the_first_members(here: Fleet) -> None:
    here.two.put("/x/a.bin", b"two")
    assert here.ask("/repository/both/x/a.bin") == (200, "MISS", b"two")
    here.node.idle()
    assert here.ask("/repository/both/x/a.bin") == (200, "HIT", b"two")
    assert here.node.head("/repository/both/x/a.bin").status_code == 200
    assert here.ask("/repository/both/x/none.bin")[0] == 404
    here.one.put("/base/x/b.bin", b"one")
    here.two.put("/x/b.bin", b"two")
    assert here.ask("/repository/both/x/b.bin")[2] == b"one"
    here.one.stop()
    assert here.ask("/repository/both/x/c.bin")[0] in (502, 503)
    here.two.put("/x/d.bin", b"d")
    answer = here.node.get("/repository/both/x/d.bin")
    assert (answer.status_code, answer.data) == (200, b"d")
    assert "one did not answer" in answer.headers["Warning"]
    assert here.ask("/repository/both/x/b.bin")[1:] == ("HIT", b"one"), "what is stored of it is still the first"
    here.one.start()
    here.node.clock.forward(301)
    assert "Warning" not in here.node.get("/repository/both/x/a.bin").headers


def test_what_a_members_list_names_is_those_bytes_or_an_error(here: Fleet) -> None:
    def line(name: str, data: bytes) -> str:
        return f"{name} {name}.bin {hashlib.sha256(data).hexdigest()}\n"

    names = ("kept", "near", "gone", "same")
    here.one.put("/base/pages/lib", "".join([*(line(each, b"one") for each in names), "bare bare.bin\n"]).encode())
    ours = [line("same", b"one"), *(line(each, b"two") for each in ("near", "gone", "late"))]
    here.two.put("/pages/lib", "".join([*ours, "bare bare.bin\n"]).encode())
    for name in ("near", "gone", "late", "bare"):
        here.two.put(f"/pages/{name}.bin", b"two")
    here.two.put("/pages/same.bin", b"one")
    here.one.put("/base/pages/kept.bin", b"one")
    assert here.ask("/repository/both/pages/lib")[0] == 200
    for name in ("near", "gone", "bare"):  # the other member's is stored, and quickly had
        assert here.ask(f"/repository/two/files/lib/{name}")[2] == b"two"
    for _ in range(2):
        assert here.ask("/repository/both/files/lib/gone")[0] == 404, "its mirror lags behind its list"
        assert here.ask("/repository/both/files/lib/late")[2] == b"two", "its list says that it has none"
    assert here.ask("/repository/both/files/lib/kept")[2] == b"one"
    here.node.idle()
    here.one.stop()
    explainer = Explainer(here.node, here.one)
    for name in ("near", "bare"):
        assert here.node.head(f"/repository/both/files/lib/{name}").status_code in (502, 503)
        answer = explainer.ask(f"/repository/both/files/lib/{name}")
        assert answer.status_code in (502, 503), "no stranger's bytes under that digest"
    answer = explainer.ask("/repository/both/files/lib/same")
    assert (answer.status_code, answer.data) == (200, b"one"), (
        "of the very same bytes it does not matter whose they are"
    )
    assert "one did not answer" in answer.headers["Warning"]
    assert here.ask("/repository/both/files/lib/late")[2] == b"two"
    assert here.ask("/repository/both/files/lib/kept") == (200, "HIT", b"one")


METADATA = "<metadata><versioning><versions><version>1.0</version></versions></versioning></metadata>"
PAGE = '<html><body><a href="/lib-1.0-py3-none-any.whl#sha256={0}">lib-1.0-py3-none-any.whl</a></body></html>'


@pytest.mark.parametrize(
    ("package", "index", "said", "file", "there"),
    [
        ("maven", "g/lib/maven-metadata.xml", METADATA, "g/lib/1.0/lib-1.0.pom", "g/lib/1.0/lib-1.0.pom"),
        ("go", "e.org/lib/@v/list", "v1.0.0\n", "e.org/lib/@v/v1.0.0.mod", "e.org/lib/@v/v1.0.0.mod"),
        ("pypi", "simple/lib/", PAGE, "packages/lib/lib-1.0-py3-none-any.whl", "lib-1.0-py3-none-any.whl"),
    ],
    ids=["maven", "go", "pypi"],
)
def test_who_was_shown_in_an_index_answers(
    tmp_path: Path, database_url: str, redis_url: str, package: str, index: str, said: str, file: str, there: str
) -> None:
    servers = {"one": Upstream(), "two": Upstream()}
    try:
        for name, server in servers.items():
            server.put(f"/{index}", said.format(hashlib.sha256(name.encode()).hexdigest()).encode())
            server.put(f"/{there}", name.encode())
        known = {
            "remotes": {name: {"package": package, "base_url": each.url} for name, each in servers.items()},
            "virtuals": {"all": {"package": package, "members": ["one", "two"]}},
        }
        with Node(tmp_path, database_url, redis_url, known).running() as node:
            assert node.get(f"/repository/all/{index}").status_code == 200
            assert node.get(f"/repository/two/{file}").data == b"two", "and is stored"
            servers["one"].stop()
            for method in ("HEAD", "GET"):
                assert node.ask(method, f"/repository/all/{file}").status_code in (502, 503), method
            servers["one"].start()
            node.clock.forward(301)
            assert node.get(f"/repository/all/{file}").data == b"one"
            servers["one"].stop()
            assert node.get(f"/repository/all/{file}").data == b"one"
    finally:
        for server in servers.values():
            server.stop()


def test_the_kind_specific_form(here: Fleet) -> None:
    here.two.put("/x/a.tgz", b"two")
    answer = here.node.get("/api/v1/virtual/both/x/a.tgz")
    assert (answer.status_code, answer.data) == (200, b"two")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.tgz"'
    assert answer.headers["Content-Type"] == "application/gzip"
    head = here.node.head("/api/v1/virtual/both/x/a.tgz")
    assert (head.status_code, head.headers["Allow"]) == (405, "GET")
    assert here.node.get("/api/v1/virtual/one/x/a.tgz").status_code == 404
    assert here.node.get("/api/v1/virtual/none/x").status_code == 404
    for method in ("PUT", "DELETE"):
        assert here.node.admin(method, "/api/v1/virtual/both/x/a.tgz").status_code == 400
        assert here.node.admin(method, "/api/v1/virtual/none/x").status_code == 404
        assert here.node.admin(method, "/repository/both/x/a.tgz").status_code == 405
    assert {"both", "mixed", "partly"} <= set(here.node.get("/").get_json()["virtuals"])
    shown = here.node.admin("GET", "/config").get_json()["virtuals"]["both"]
    assert (shown["members"], shown["package"]) == (["one", "two"], "generic")
    listed = {
        each["name"]: each for each in here.node.admin("GET", "/api/v1/repositories").get_json()["repositories"]
    }
    assert listed["both"]["kind"] == "virtual"


def put(here: Fleet, repository: str, path: str, data: bytes) -> None:
    answer = here.node.admin("PUT", f"/repository/{repository}/{path}", data)
    assert answer.status_code in (200, 201), answer.data


def test_a_name_that_a_local_holds_is_looked_up_nowhere_else(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"v1 v1.bin\n")
    here.one.put("/base/pages/v1.bin", b"public")
    here.two.put("/pages/lib", b"v9 v9.bin\n")
    assert lines(here.ask("/repository/mixed/pages/lib")[2]) == ["v1 v1.bin", "v9 v9.bin"]
    assert here.ask("/repository/mixed/files/lib/v1")[2] == b"public"
    put(here, "team", "files/lib/v2", b"ours")
    here.one.requests.clear()
    here.two.requests.clear()
    for method in ("GET", "HEAD"):
        for path, status in (("files/lib/v2", 200), ("files/lib/v1", 404), ("files/lib/v9", 404), ("pages/lib", 404)):
            answer = here.node.ask(method, f"/repository/mixed/{path}")
            assert answer.status_code == status, (method, path)
    put(here, "team", "pages/lib", b"v2 v2\n")
    assert lines(here.ask("/repository/mixed/pages/lib")[2]) == ["v2 v2"]
    assert here.one.requests == here.two.requests == [], "nobody outside hears of the name"
    assert here.ask("/repository/one/files/lib/v1")[2] == b"public", "the remote by itself is as it was"
    assert here.ask("/repository/both/pages/lib")[0] == 200
    assert here.node.admin("DELETE", "/repository/team/files/lib/v2").status_code in (200, 204)
    assert here.node.admin("DELETE", "/repository/team/pages/lib").status_code in (200, 204)
    assert lines(here.ask("/repository/mixed/pages/lib")[2]) == ["v1 v1.bin", "v9 v9.bin"], "nobody holds it any more"


def test_a_name_that_a_member_owns(here: Fleet) -> None:
    here.one.put("/base/pages/ours-lib", b"evil evil.bin\n")
    here.two.put("/pages/ours-lib", b"good good.bin\n")
    assert lines(here.ask("/repository/both/pages/ours-lib")[2]) == ["good good.bin"]
    assert here.ask("/repository/both/files/ours-lib/evil")[0] == 404
    assert here.one.requests == []
    assert lines(here.ask("/repository/mixed/pages/ours-lib")[2]) == ["good good.bin"]
    here.two.stop()
    assert here.ask("/repository/both/pages/ours-new")[0] in (502, 503)
    assert here.one.requests == [], "not even while its owner is down"


def test_a_private_member(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"public p.bin\n")
    here.two.put("/hidden/pages/lib", b"hidden h.bin\n")
    here.two.put("/hidden/pages/h.bin", b"secret bytes")
    here.one.put("/base/pages/p.bin", b"public bytes")
    path = "/repository/partly/pages/lib"
    known, stranger = here.node.get(path, **ADMIN), here.node.get(path)
    assert (lines(known.data), lines(stranger.data)) == (["hidden h.bin", "public p.bin"], ["public p.bin"])
    for _ in range(2):
        assert lines(here.node.get(path, **ADMIN).data) == ["hidden h.bin", "public p.bin"]
        assert lines(here.node.get(path).data) == ["public p.bin"]
    assert here.pages.makes == ["partly"] * 2
    for answer in (known, stranger, here.node.get(path)):
        assert answer.headers["Cache-Control"] == "private"
    assert here.node.get("/repository/partly/files/lib/hidden").status_code == 404
    assert here.node.get("/repository/partly/files/lib/hidden", **ADMIN).data == b"secret bytes"
    assert here.node.get("/repository/partly/files/lib/hidden").status_code == 404
    for headers in ({}, ADMIN):
        for _ in range(2):
            answer = here.node.get("/repository/partly/files/lib/public", **headers)
            assert (answer.data, answer.headers["Cache-Control"]) == (b"public bytes", "private")
    assert "Cache-Control" not in here.node.get("/repository/one/files/lib/public").headers
    assert here.node.get("/repository/closed/pages/lib").status_code == 401, "there is nothing for a stranger"
    assert lines(here.node.get("/repository/closed/pages/lib", **ADMIN).data) == ["hidden h.bin"]


def test_what_was_made_of_a_private_member_is_told_to_nobody_else(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"public p.bin\n")
    here.two.put("/hidden/pages/lib", b"hidden h.bin\n")
    assert here.node.get("/repository/partly/pages/lib", **ADMIN).status_code == 200
    here.node.idle()
    parts = {
        each: f"parts/lib/{hashlib.sha256(each).hexdigest()}"
        for each in (b"hidden h.bin\npublic p.bin\n", b"public p.bin\n")
    }
    (all_of_it, whole), (rest, some) = parts.items()
    for _ in range(2):
        assert here.node.get(f"/repository/partly/{whole}").status_code == 404
        assert here.node.get(f"/repository/partly/{whole}", **ADMIN).data == all_of_it
        assert here.node.get(f"/repository/partly/{some}").data == rest
    people = here.node.app.extensions["artifactapi"].accounts
    _, secret = people.make_token(people.store.add_user("a@example.org", "", "", False).id, "few", ("read:one",))
    few = {"Authorization": f"Bearer {secret}"}
    for path in (
        "repositories/partly/entries?prefix=",
        "repositories/partly/entries?folder=",
        "artifacts?repository=partly",
    ):
        assert here.node.get(f"/api/v1/{path}", **few).get_json()["error"] == "not_every_member"
        assert here.node.get(f"/api/v1/{path}", **ADMIN).status_code == 200
    for query in ("q=parts", f"digest={hashlib.sha256(all_of_it).hexdigest()}"):
        found = [here.node.get(f"/api/v1/artifacts?{query}", **each).get_json()["artifacts"] for each in (ADMIN, few)]
        assert [any(each["repository"] == "partly" for each in some) for some in found] == [True, False]


def test_a_member_that_may_not_be_read_owns_its_names_all_the_same(here: Fleet) -> None:
    here.one.put("/base/pages/inner-lib", b"evil evil.bin\n")
    here.one.put("/base/pages/tool", b"evil evil.bin\n")
    put(here, "secret", "files/tool/v1", b"ours")
    for name in ("inner-lib", "tool"):
        for path in (f"pages/{name}", f"files/{name}/evil"):
            assert here.node.get(f"/repository/partly/{path}").status_code == 404
    assert here.one.requests == []
    assert here.node.get("/repository/partly/files/tool/v1", **ADMIN).data == b"ours"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"members": ["one", "nobody"]}, '"nobody" is no remote and no local'),
        ({"members": ["one", "both"]}, '"both" is a virtual'),
        ({"members": ["one", "one"]}, '"one" is named twice'),
        ({"members": []}, "members"),
        ({"members": ["plain"]}, "plain is of package generic"),
        ({}, "members"),
        ({"members": ["one"], "base_url": "http://example.org"}, "belongs to its members"),
        ({"members": ["one"], "package": "terrible"}, "terrible"),
    ],
    ids=["missing", "virtual", "twice", "empty", "package", "none", "key", "format"],
)
def test_what_is_wrong_with_a_virtual(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    told = {
        "remotes": {
            "one": {"package": "go", "base_url": "http://127.0.0.1:1"},
            "plain": {"base_url": "http://127.0.0.1:1"},
        },
        "virtuals": {"both": {"package": "go", "members": ["one"]}, "wrong": {"package": "go"} | changed},
    }
    path = tmp_path / "remotes.json"
    path.write_text(json.dumps(told))
    with pytest.raises(ConfigError) as raised:
        repositories.load(path)
    assert "virtuals.wrong" in str(raised.value)
    assert said in str(raised.value)
