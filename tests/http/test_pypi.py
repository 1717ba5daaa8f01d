"""Python package indexes behind remotes and virtuals: pages made, files found elsewhere, and what goes wrong."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from werkzeug.test import TestResponse

from app.formats import pypi_made, pypi_read
from app.formats.pypi import ACCEPT, HTML, HTML_V1, JSON_V1
from app.formats.pypi_pages import Listed
from tests.hosting import wheels
from tests.http.node import Node
from tests.http.node import body as whole
from tests.upstreams import LOGIN_PAGE, Upstream

TOOL = "tool-1.0-py3-none-any.whl"
BODY = wheels.wheel("tool", "1.0")[1]
SHA = hashlib.sha256(BODY).hexdigest()
QUICK = {"connect_timeout": 1, "first_byte_timeout": 1, "stall_timeout": 1}


@dataclass
class Place:
    """A node with remotes `one` and `two` (mutable_ttl 100 s), and `all` of both; files are on a third server."""

    node: Node
    one: Upstream
    two: Upstream
    files: Upstream

    def page(self, repository: str = "one", accept: str = JSON_V1, path: str = "simple/tool/") -> TestResponse:
        return self.node.get(f"/repository/{repository}/{path}", Accept=accept)

    def file(self, name: str = TOOL, repository: str = "one") -> TestResponse:
        return self.node.get(f"/repository/{repository}/packages/tool/{name}")

    def has(self, name: str = TOOL, body: bytes = BODY, **more: object) -> dict[str, object]:
        """What a page says of that file."""
        self.files.put(f"/f/{name}", body)
        sha = hashlib.sha256(body).hexdigest()
        said = {key.replace("_", "-"): value for key, value in more.items()}
        return {"filename": name, "url": f"{self.files.url}/f/{name}", "hashes": {"sha256": sha}, **said}

    def put(self, *files: dict[str, object], upstream: Upstream | None = None, **more: object) -> None:
        said = {"meta": {"api-version": "1.1"}, "name": "tool", "versions": ["1.0"], "files": files, **more}
        (upstream or self.one).put("/simple/tool/", json.dumps(said).encode(), Content_Type=JSON_V1)

    def names(self, repository: str = "one") -> list[str]:
        return [each["filename"] for each in json.loads(self.page(repository).data)["files"]]


@pytest.fixture
def place(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Place]:
    one, two, files = Upstream(), Upstream(), Upstream()
    remotes: dict[str, dict[str, Any]] = {
        name: {"package": "pypi", "base_url": each.url, "cache": {"mutable_ttl": 100}, "upstream": QUICK}
        for name, each in (("one", one), ("two", two))
    }
    remotes["one"] |= {"username": "me", "password": "secret"}
    remotes["two"]["owned"] = ["mine-*"]
    remotes["direct"] = {"package": "pypi", "base_url": f"{one.url}/simple/"}
    remotes["either"] = {
        "package": "pypi",
        "base_urls": [f"{one.url}/simple", f"{two.url}/simple"],
        "upstream": QUICK,
    }
    config = {"remotes": remotes, "virtuals": {"all": {"package": "pypi", "members": ["one", "two"]}}}
    try:
        with Node(tmp_path, database_url, redis_url, config).running() as node:
            yield Place(node, one, two, files)
    finally:
        for each in (one, two, files):
            each.stop()


def test_a_page_in_its_three_forms_and_a_file_elsewhere(place: Place) -> None:
    place.files.put("/p", b"{}", Content_Type="application/json")
    place.put(place.has(provenance=f"{place.files.url}/p"))
    found = {kind: place.page(accept=kind) for kind in (HTML, HTML_V1, JSON_V1)}
    for kind, answer in found.items():
        assert (answer.status_code, answer.headers["Vary"]) == (200, "Accept")
        assert answer.headers["Content-Type"].partition(";")[0] == kind
        assert place.page(accept=kind).headers["X-Cache"] == "HIT"
        again = place.node.get("/repository/one/simple/tool/", Accept=kind, If_None_Match=answer.headers["ETag"])
        assert (again.status_code, again.data) == (304, b"")
        head = place.node.head("/repository/one/simple/tool/", Accept=kind)
        assert head.headers["Content-Length"] == str(len(answer.data))
    assert place.page(path=f"simple/tool/?format={HTML_V1}").data == found[HTML_V1].data
    assert f'href="../../packages/tool/{TOOL}#sha256={SHA}"'.encode() in found[HTML].data
    assert place.one.count() == 1
    assert place.one.requests[0].headers["accept"] == ACCEPT
    assert (place.file().headers["X-Cache"], place.file().data) == ("MISS", BODY)
    place.node.idle()
    assert place.file().headers["X-Cache"] == "HIT"
    assert (place.one.count(), place.files.count()) == (1, 1)
    assert place.file(f"{TOOL}.provenance").data == b"{}"
    assert "authorization" in place.one.requests[0].headers
    assert "authorization" not in place.files.requests[0].headers


def test_a_page_has_one_address(place: Place) -> None:
    place.put(place.has())
    for repository in ("one", "all"):
        for path, target in (("simple/Tool/?a=b", "../tool/?a=b"), ("simple/TOOL", "tool/"), ("simple", "simple/")):
            answer = place.node.get(f"/repository/{repository}/{path}")
            assert (answer.status_code, answer.headers["Location"]) == (301, target)
            assert answer.headers.get("X-Cache") is None
        assert place.node.get(f"/repository/{repository}/other").status_code == 404
    assert place.one.count() == 0
    assert place.page("direct").status_code == 200
    assert place.file(repository="direct").data == BODY


def test_what_the_page_does_not_list_is_not_asked_for(place: Place) -> None:
    place.put(place.has())
    for name in ("tool-2.0.zip", f"{TOOL}.metadata", f"{TOOL}.provenance"):
        assert place.file(name).status_code == 404
    assert place.files.count() == 0
    place.files.put(f"/f/{TOOL}.asc", b"signature")
    assert place.file(f"{TOOL}.asc").data == b"signature"
    assert place.node.get("/repository/one/packages/other/a-1.0.zip").status_code == 404


def test_a_file_that_came_since(place: Place) -> None:
    place.put(place.has())
    assert place.names() == [TOOL]
    place.put(place.has(), place.has("tool-2.0.zip", b"PK two"))
    assert place.file("tool-3.0.zip").status_code == 404
    asked = place.one.count()
    place.node.clock.forward(31)
    assert place.file("tool-2.0.zip").data == b"PK two"
    assert place.one.count() == asked + 1


def test_a_file_that_was_replaced(place: Place) -> None:
    place.put(place.has())
    assert place.names() == [TOOL]
    assert place.file().data == BODY
    other = wheels.wheel("tool", "1.0", "Keywords: other")[1]
    place.put(place.has(body=other))
    place.node.clock.forward(101)
    assert place.page().headers["X-Cache"] == "EXPIRED"
    place.node.idle()
    assert place.file().data == other


NO_PAGES = {
    "cut": (b'{"files": [{"filename": "tool-1.0.zip", "url"', JSON_V1),
    "error": (b'{"error": "sign in"}', JSON_V1),
    "deep": (b'{"files": [], "x": ' + 100_000 * b"[", JSON_V1),
    "login": (LOGIN_PAGE, "text/html"),
    "script": (b"<html><script>location='/login'</script></html>", "text/html"),
}


def test_a_page_that_is_none(place: Place) -> None:
    good = json.dumps({"files": [place.has()]}).encode()
    for name, (body, kind) in NO_PAGES.items():
        place.one.put(f"/simple/{name}/", body, Content_Type=kind)
        for repository in ("one", "all"):
            refused = place.page(repository, path=f"simple/{name}/")
            assert (refused.status_code, refused.json["error"]) == (502, "upstream_invalid"), name  # type: ignore[index]
        place.one.put(f"/simple/{name}/", good, Content_Type=JSON_V1)
    place.node.clock.forward(601)
    for name, (body, kind) in NO_PAGES.items():
        assert place.page(path=f"simple/{name}/").data.count(TOOL.encode()) == 2, name
        place.one.put(f"/simple/{name}/", body, Content_Type=kind)
    place.node.clock.forward(101)
    for name in NO_PAGES:
        kept = place.page(path=f"simple/{name}/")
        assert (kept.status_code, kept.data.count(TOOL.encode())) == (200, 2), name
        assert kept.headers["X-Cache"] in ("STALE", "REVALIDATED"), name  # (where that took long)


def test_a_file_that_is_another(place: Place) -> None:
    place.put(place.has(), place.has("tool-2.0.zip", LOGIN_PAGE), place.has("tool-3.0.zip"))
    place.files.put(f"/f/{TOOL}", BODY[:-1] + b"x")
    for name in (TOOL, "tool-2.0.zip"):
        assert [place.file(name).status_code for _ in range(2)] == [502, 502], name
    assert place.file("tool-3.0.zip").data == BODY


NO_PLACES = {
    "http://10.1.2.3/f/": 502,
    "http://169.254.169.254/f/": 502,
    "http://0x0a010203/f/": 502,
    "//10.1.2.3/": 502,
    "file:///etc/": 404,
    "ftp://127.0.0.1/": 404,
}


def test_where_a_page_may_not_lead(place: Place) -> None:
    files = {f"tool-{number}.zip": (base, status) for number, (base, status) in enumerate(NO_PLACES.items())}
    said: list[dict[str, object]] = [{"filename": name, "url": files[name][0] + name, "hashes": {}} for name in files]
    place.put(*said)
    for name, (base, status) in files.items():
        assert place.file(name).status_code == status, base
        page = f'<title>Links for tool</title><base href="{base}"><a href="{name}">x</a>'.encode()
        place.two.put("/simple/tool/", page, Content_Type="text/html")
        place.node.clock.forward(101)
        assert place.page("two").status_code == 200
        assert place.file(name, "two").status_code in (status, 404), base
    assert place.files.count() == 0


def test_promised_metadata_is_to_be_had(place: Place) -> None:
    metadata = wheels.metadata("tool", "1.0").encode()
    sha = hashlib.sha256(metadata).hexdigest()
    place.put(place.has(core_metadata={"sha256": sha}))
    answer = place.file(f"{TOOL}.metadata")
    assert (answer.status_code, answer.data) == (200, metadata)
    assert (place.files.count(f"/f/{TOOL}.metadata"), place.files.count(f"/f/{TOOL}")) == (1, 1)
    answer = place.file(f"{TOOL}.metadata", "all")
    assert (answer.status_code, answer.data) == (200, metadata)
    place.put(place.has(core_metadata={"sha256": 64 * "0"}), upstream=place.two)
    assert place.file(f"{TOOL}.metadata", "two").status_code == 502


def test_an_older_apis_answer_passes_through(place: Place) -> None:
    place.one.put("/pypi/tool/json", b'{"info": {"name": "tool"}, "urls": []}', Content_Type="application/json")
    answer = place.node.get("/repository/one/pypi/Tool/json")
    assert (answer.status_code, answer.json["info"]) == (200, {"name": "tool"})  # type: ignore[index]
    assert place.node.get("/repository/direct/pypi/tool/json").data == answer.data
    place.one.put("/pypi/tool/1.0/json", b'{"info": ', Content_Type="application/json")
    refused = place.node.get("/repository/one/pypi/tool/1.0/json")
    assert (refused.status_code, refused.json["error"]) == (502, "upstream_invalid")  # type: ignore[index]


def test_an_older_apis_answer_is_the_next_indexs_where_the_first_is_down(place: Place) -> None:
    place.two.put("/pypi/tool/json", b'{"info": {}}', Content_Type="application/json")
    place.one.stop()
    answer = place.node.get("/repository/either/pypi/tool/json")
    place.one.start()
    assert (answer.status_code, answer.data) == (200, b'{"info": {}}')


def test_a_long_list_of_all_is_sent_while_it_is_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one remote; the next form of it is made of the same list, and what is stored has an ETag."""
    gate, listed = threading.Event(), pypi_read.names

    def slow(body: BinaryIO) -> Iterator[Listed]:
        for number, each in enumerate(listed(body)):
            if number == 90_000:
                assert gate.wait(30)
            yield each

    monkeypatch.setattr(pypi_made, "names", slow)
    page = b"".join(b'<a href="/simple/n%d/">n%d</a>\n' % (number, number) for number in range(100_000))
    place.one.put("/simple/", page, Content_Type="text/html")
    first = place.node.stream("/repository/one/simple/", Accept="text/html")
    told = (first.status_code, first.headers["X-Cache"], first.headers["Content-Type"], first.headers.get("ETag"))
    begun = not gate.is_set()
    gate.set()
    assert (told, begun) == ((200, "MISS", "text/html; charset=utf-8", None), True)
    assert whole(first).count(b"<a href=") == 100_000 and whole(first).endswith(b"</html>\n")
    place.node.idle()
    again = place.page(path="simple/", accept="text/html")
    assert (again.headers["X-Cache"], whole(again)) == ("HIT", whole(first))
    assert again.headers["ETag"]
    assert len(json.loads(whole(place.page(path="simple/")))["projects"]) == 100_000
    assert place.one.count("/simple/") == 1


def test_a_long_list_that_ends_in_the_middle_is_cut(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, listed = threading.Event(), pypi_read.names

    def broken(body: BinaryIO) -> Iterator[Listed]:
        for number, each in enumerate(listed(body)):
            if number == 90_000:
                assert gate.wait(30)
                raise ValueError("is broken")
            yield each

    monkeypatch.setattr(pypi_made, "names", broken)
    page = b"".join(b'<a href="/simple/n%d/">n%d</a>\n' % (number, number) for number in range(100_000))
    place.one.put("/simple/", page, Content_Type="text/html")
    first = place.node.stream("/repository/one/simple/", Accept="text/html")
    gate.set()
    with pytest.raises(http.client.IncompleteRead):
        whole(first)
    place.node.idle()
    assert place.page(path="simple/", accept="text/html").status_code == 502


def test_a_virtual_is_complete_and_the_first_wins(place: Place) -> None:
    place.put(place.has())
    place.put(place.has("tool-2.0.zip", b"PK two"), upstream=place.two, versions=["1.0", "2.0"])
    assert place.names("all") == [TOOL, "tool-2.0.zip"]
    assert json.loads(place.page("all").data)["versions"] == ["1.0", "2.0"]
    assert place.file("tool-2.0.zip", "all").data == b"PK two"
    place.two.stop()
    place.node.clock.forward(101)
    answer = place.page("all")
    assert (answer.headers["X-Cache"], place.names("all")) == ("STALE", [TOOL, "tool-2.0.zip"])
    place.two.start()


def test_a_member_that_owns_a_name_is_asked_alone(place: Place) -> None:
    for upstream in (place.one, place.two):
        upstream.put("/simple/mine-x/", b'{"files": [], "meta": {"api-version": "1.0"}}', Content_Type=JSON_V1)
        listed = {"meta": {"api-version": "1.1"}, "projects": [{"name": "Mine.X"}, {"name": f"b{upstream.port}"}]}
        upstream.put("/simple/", json.dumps(listed).encode(), Content_Type=JSON_V1)
    assert place.page("all", path="simple/mine-x/").status_code == 200
    assert (place.one.count("/simple/mine-x/"), place.two.count("/simple/mine-x/")) == (0, 1)
    assert place.node.head("/repository/all/packages/mine-x/mine-x-1.0.zip").status_code == 404
    assert place.one.count() == 0
    told = json.loads(place.page("all", path="simple/").data)["projects"]
    assert [each["name"] for each in told] == [f"b{place.one.port}", "Mine.X", f"b{place.two.port}"]


def test_an_index_that_cannot_be_reached(place: Place) -> None:
    place.one.stop()
    assert place.page().status_code == 502
    assert place.page(path="simple/").status_code == 502
    assert place.file().status_code == 502
    place.one.start()
