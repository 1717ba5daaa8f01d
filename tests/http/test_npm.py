"""npm through a whole node: documents made of upstream's, tarballs where those say, virtuals, questions by POST."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.formats.npm import FULL, SHORT
from app.resource import HERE
from tests.http.node import ADMIN, Node
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Upstream

BODY = b"a tarball of one"
ADVICE = "/-/npm/v1/security/advisories/bulk"


def integrity(body: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(body).digest()).decode()


def manifest(name: str, version: str, url: str, body: bytes = BODY, **more: Any) -> dict[str, Any]:
    dist = {"tarball": url, "integrity": integrity(body), "signatures": [{"keyid": "k", "sig": "s"}]}
    return {"name": name, "version": version, "dist": dist, **more}


def document(name: str, *manifests: dict[str, Any], **more: Any) -> bytes:
    versions = {each["version"]: each for each in manifests}
    tags = {"latest": manifests[-1]["version"]} if manifests else {}
    return json.dumps({"name": name, "dist-tags": tags, "versions": versions, **more}).encode()


@pytest.fixture
def node(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[tuple[Node, Upstream, Upstream]]:
    one, two = Upstream(), Upstream()
    try:
        config = {
            "remotes": {
                "one": {"package": "npm", "base_url": one.url, "cache": {"mutable_ttl": 100}},
                "two": {"package": "npm", "base_url": two.url, "cache": {"mutable_ttl": 100}, "owned": ["@team/*"]},
            },
            "locals": {"mine": {"package": "npm"}},
            "virtuals": {"all": {"package": "npm", "members": ["mine", "one", "two"]}},
        }
        with Node(tmp_path, database_url, redis_url, config).running() as found:
            yield found, one, two
    finally:
        one.stop()
        two.stop()


def publish(node: Node, name: str, version: str) -> None:
    from tests.hosting.tarballs import document as published
    from tests.hosting.tarballs import tarball

    sent = json.dumps(published(name, version, tarball(name, version))).encode()
    answer = node.ask("PUT", f"/repository/mine/{name}", sent, **ADMIN, Content_Type=FULL)
    assert answer.status_code == 201, answer.data


def code(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]


def test_a_document_has_the_urls_of_this_server_and_nothing_else_changes(
    node: tuple[Node, Upstream, Upstream],
) -> None:
    here, one, two = node
    url = f"{two.url}/files/tool.tgz"
    odd = f'"n":[1.0,1e400,123456789012345678901234567890,-0.00],"text":"{HERE} \\u2302 /tool/","z":1'
    text = document("tool", manifest("tool", "1.0.0", url, unknown=1)).decode().replace('"unknown": 1', odd)
    one.put("/tool", text.encode(), Content_Type=FULL)
    two.put("/files/tool.tgz", BODY)
    answer = here.get("/repository/one/tool", Accept=FULL)
    assert (answer.status_code, answer.headers["X-Cache"], answer.headers["Vary"]) == (200, "MISS", "Accept")
    mine = "http://localhost/repository/one/tool/-/tool-1.0.0.tgz"
    assert odd.replace(HERE, "\\u2302") in answer.text
    assert json.loads(answer.text.replace(mine, url)) == json.loads(text)
    assert answer.content_length == len(answer.data)
    assert here.get("/repository/one/tool").headers["X-Cache"] == "HIT"
    other = here.get("/repository/one/tool", Host="other.example.org")
    assert "http://other.example.org/repository/one/tool/-/" in other.text
    assert other.headers["ETag"] != answer.headers["ETag"]
    assert here.get("/repository/one/tool", If_None_Match=answer.headers["ETag"]).status_code == 304
    assert here.get("/repository/one/tool/-/tool-1.0.0.tgz").data == BODY
    here.idle()
    assert here.get("/repository/one/tool/-/tool-1.0.0.tgz").headers["X-Cache"] == "HIT"
    assert here.get("/repository/one/tool/-/tool.tgz").data == BODY  # as it is called upstream
    assert here.get("/repository/one/tool/-/tool-2.0.0.tgz").status_code == 404


def test_whole_and_abbreviated_are_asked_for_and_kept_each(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, _ = node
    short = document("@a/b", manifest("@a/b", "1.0.0", f"{one.url}/x.tgz"))
    whole_one = document("@a/b", manifest("@a/b", "1.0.0", f"{one.url}/x.tgz"), time={"1.0.0": "then"})

    def by_accept(reply: Reply, seen: Seen) -> Reply:
        kind = SHORT if SHORT in seen.headers.get("accept", "") else FULL
        return whole(200, {"Content-Type": kind}, short if kind == SHORT else whole_one)

    one.fault(by_accept, "/@a/b")
    npm = f"{SHORT}; q=1.0, application/json; q=0.8, */*"
    for _again in range(2):
        assert "time" not in here.get("/repository/one/@a%2fb", Accept=npm).get_json(force=True)
        assert here.get("/repository/one/@a/b", Accept=FULL).get_json()["time"] == {"1.0.0": "then"}
    assert here.get("/repository/one/@a/b", Accept=npm).headers["Content-Type"] == SHORT
    assert one.count("/@a/b") == 2
    assert here.get("/repository/one/@a/b/latest").get_json()["version"] == "1.0.0"
    assert here.get("/repository/one/@a/b/1.0.0").get_json()["dist"]["tarball"].endswith("/one/@a/b/-/b-1.0.0.tgz")
    assert here.get("/repository/one/@a/b/2.0.0").status_code == 404
    assert here.get("/repository/one/-/package/@a%2fb/dist-tags").get_json() == {"latest": "1.0.0"}
    assert here.get("/repository/one/-/package/c/dist-tags").status_code == 404
    assert here.get("/repository/one/-/all").status_code == 404


BAD = {
    "cut": b'{"name": "tool", "versions": {"1.0.0": {"dist"',
    "nan": b'{"name": "tool", "versions": {"1.0.0": {"n": NaN}}}',
    "number": b'{"name": "tool", "versions": {"1.0.0": {}}, "n": 1.}',
    "latin": b'{"name": "tool", "versions": {"1.0.0": {"n": "\xff"}}}',
    "deep": b'{"name": "tool", "versions": {"1.0.0": {"n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}}",
    "no-url": b'{"name": "tool", "versions": {"1.0.0": {"dist": {"tarball": 1}}}}',
    "no-object": b'{"name": "tool", "versions": {"1.0.0": 1}}',
    "no-versions": b'{"name": "tool", "versions": []}',
    "twice": b'{"name": "tool", "versions": {}, "versions": {}}',
    "more": b'{"name": "tool", "versions": {}} {}',
    "comma": b'{"name": "tool", "versions": {"1.0.0": {},}}',
    "long": b'{"name": "' + b"x" * (9 << 20) + b'"}',
    "error": b'{"error": "not_found"}',
    "list": b'["tool"]',
    "empty": b"",
    "page": b"<html>please log in</html>",
}


def test_what_is_no_document_is_refused_and_the_old_one_served(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, _ = node
    for name, body in BAD.items():
        one.put(f"/{name}", body, Content_Type=FULL)
        answer = here.get(f"/repository/one/{name}")
        assert code(answer) == (502, "upstream_invalid"), name
        assert code(here.get(f"/repository/one/{name}")) == (502, "upstream_invalid"), name  # it was not kept
    one.put("/tool", document("tool", manifest("tool", "1.0.0", "x.tgz")))
    assert here.get("/repository/one/tool").status_code == 200
    here.clock.forward(101)
    one.put("/tool", BAD["cut"], Content_Type=FULL)
    answer = here.get("/repository/one/tool")
    assert (answer.status_code, answer.headers["X-Cache"]) == (200, "STALE")
    assert list(answer.get_json()["versions"]) == ["1.0.0"]


def test_a_tarball_is_what_its_document_says_or_nothing(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, _ = node
    urls = {
        "1.0.0": "http://10.0.0.1/tool.tgz",
        "2.0.0": f"{one.url}/wrong.tgz",
        "3.0.0": f"{one.url}/page.tgz",
        "4.0.0": "file:///etc/passwd",
        "5.0.0": "http://169.254.169.254/latest/meta-data/",
        "6.0.0": "../right.tgz",
    }
    one.put("/tool", document("tool", *(manifest("tool", version, url) for version, url in urls.items())))
    one.put("/wrong.tgz", BODY[::-1])
    one.put("/right.tgz", BODY)
    one.html("/page.tgz")
    found = {version: here.get(f"/repository/one/tool/-/tool-{version}.tgz") for version in urls}
    assert {version: answer.status_code for version, answer in found.items()} == {
        **dict.fromkeys(urls, 502),
        "6.0.0": 200,
    }
    assert code(found["1.0.0"]) == (502, "upstream_redirect_refused")
    assert "10.0.0.1" in found["1.0.0"].get_json()["message"]
    assert code(found["2.0.0"])[1] == code(found["3.0.0"])[1] == "upstream_invalid"
    here.idle()
    assert len(here.blobs()) == 2  # the document, and the one tarball


def test_versions_that_cannot_be_files_are_left_out(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, _ = node
    text = document("tool", *(manifest("tool", version, "x.tgz") for version in ("1.0.0+a", "../../1", "1\\2")))
    one.put("/tool", text)
    found = here.get("/repository/one/tool").get_json()
    assert list(found["versions"]) == ["1.0.0+a"]
    assert found["dist-tags"] == {"latest": "1.0.0+a"}, "what is left, for the one that it was is not"
    assert found["versions"]["1.0.0+a"]["dist"]["tarball"].endswith("/tool/-/tool-1.0.0%2Ba.tgz")


def test_a_virtual_has_the_versions_of_all_members(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    one.put(
        "/tool",
        document(
            "tool",
            manifest("tool", "1.0.0", f"{one.url}/one.tgz", from_one=True),
            time={"created": "2", "modified": "5", "1.0.0": "3"},
            **{"dist-tags": {"latest": "1.0.0", "gone": "0.1.0"}},
        ),
    )
    two.put(
        "/tool",
        document(
            "tool",
            manifest("tool", "1.0.0", f"{two.url}/two.tgz"),
            manifest("tool", "2.0.0", f"{two.url}/two.tgz", BODY + b"2"),
            time={"created": "1", "modified": "4", "1.0.0": "x", "2.0.0": "4"},
            **{"dist-tags": {"latest": "2.0.0", "gone": "1.0.0", "next": "2.0.0"}},
        ),
    )
    one.put("/one.tgz", BODY)
    two.put("/two.tgz", BODY + b"2")
    answer = here.get("/repository/all/tool")
    found = answer.get_json()
    assert found["versions"]["1.0.0"]["from_one"]
    assert found["dist-tags"] == {"latest": "1.0.0", "gone": "1.0.0", "next": "2.0.0"}
    assert found["time"] == {"created": "1", "modified": "5", "1.0.0": "3", "2.0.0": "4"}
    assert found["versions"]["2.0.0"]["dist"]["tarball"] == ("http://localhost/repository/all/tool/-/tool-2.0.0.tgz")
    assert here.get("/repository/all/tool/-/tool-2.0.0.tgz").data == BODY + b"2"
    assert here.get("/repository/all/tool/-/tool-1.0.0.tgz").data == BODY
    assert here.get("/repository/all/-/package/tool/dist-tags").get_json() == found["dist-tags"]
    assert here.get("/repository/all/tool/next").get_json()["version"] == "2.0.0"
    assert here.get("/repository/all/tool").headers["X-Cache"] == "HIT"
    two.stop()
    here.clock.forward(101)
    answer = here.get("/repository/all/tool")
    assert (answer.headers["X-Cache"], list(answer.get_json()["versions"])) == ("STALE", ["1.0.0", "2.0.0"])
    one.put("/lib", document("lib", manifest("lib", "1.0.0", "x.tgz")))
    answer = here.get("/repository/all/lib")
    assert list(answer.get_json()["versions"]) == ["1.0.0"]
    assert "two did not answer" in answer.headers["Warning"]


@pytest.mark.parametrize("accept", [FULL, SHORT])
def test_whose_checksum_was_shown_answers_for_the_tarball(node: tuple[Node, Upstream, Upstream], accept: str) -> None:
    here, one, two = node
    for server, data in ((one, BODY), (two, BODY + b"2")):
        server.put("/tool", document("tool", manifest("tool", "1.0.0", f"{server.url}/tool.tgz", data)))
        server.put("/tool.tgz", data)
    assert here.get("/repository/all/tool", Accept=accept).status_code == 200
    one.stop()
    for method in ("GET", "HEAD"):
        assert here.ask(method, "/repository/all/tool/-/tool-1.0.0.tgz").status_code in (502, 503)
    assert two.count("/tool.tgz") == 0


def test_a_name_that_is_ours_is_looked_for_nowhere_else(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    for each in (one, two):
        for name in ("tool", "@team/lib"):
            each.put(f"/{name}", document(name, manifest(name, "9.0.0", f"{each.url}/x.tgz")))
    publish(here, "tool", "1.0.0")
    answer = here.get("/repository/all/tool")
    found = answer.get_json()
    assert list(found.get("versions", found)) == ["1.0.0"]
    assert found["versions"]["1.0.0"]["dist"]["tarball"].startswith("http://localhost/repository/all/tool/-/")
    assert here.get("/repository/all/tool/-/tool-1.0.0.tgz").status_code == 200
    assert here.get("/repository/all/tool/-/tool-9.0.0.tgz").status_code == 404
    assert here.get("/repository/all/tool/9.0.0").status_code == 404
    assert one.count() == two.count() == 0
    assert list(here.get("/repository/all/@team/lib").get_json()["versions"]) == ["9.0.0"]
    assert (one.count(), two.count()) == (0, 1)
    publish(here, "tool", "1.1.0")
    assert list(here.get("/repository/all/tool").get_json()["versions"]) == ["1.0.0", "1.1.0"]


def advised(reply: Reply, seen: Seen) -> Reply:
    """A registry's answer to an audit."""
    assert "authorization" not in seen.headers
    return whole(200, {"Content-Type": FULL}, b'{"advice": 1}') if seen.method == "POST" else reply


@pytest.mark.parametrize("repository", ["one", "all"])
def test_an_audit_is_upstreams_to_answer(node: tuple[Node, Upstream, Upstream], repository: str) -> None:
    here, one, _ = node
    one.fault(advised, ADVICE)
    url, text = f"/repository/{repository}{ADVICE}", json.dumps({"tool": ["1.0.0"] * 9000}).encode()
    packed = {"Content_Encoding": "gzip", "Content_Type": FULL}
    first = here.ask("POST", url, gzip.compress(text), **packed, **ADMIN)
    assert (first.status_code, first.data, first.headers["X-Cache"]) == (200, b'{"advice": 1}', "MISS")
    here.idle()
    again = here.ask("POST", url, text)
    assert (again.status_code, again.headers["X-Cache"]) == (200, "HIT")
    assert one.count(ADVICE) == 1
    one.stop()
    here.clock.forward(1000)
    assert here.ask("POST", url, text).headers["X-Cache"] == "STALE"
    assert here.ask("POST", url, b'{"other": []}').status_code == 502


def test_what_is_no_question_is_refused(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, _ = node
    url = f"/repository/one{ADVICE}"
    packed = {"Content_Encoding": "gzip"}
    assert here.ask("POST", url, b"").status_code == 400
    assert here.ask("POST", url, b"not gzip", **packed).status_code == 400
    assert here.ask("POST", url, gzip.compress(b"{}")[:-9], **packed).status_code == 400
    assert here.ask("POST", url, gzip.compress(b" " * (5 << 20)), **packed).status_code == 413
    assert here.ask("POST", url, b"{}", Content_Encoding="br").status_code == 415
    packed_rubbish = gzip.compress(b"\1" * (4 << 20))
    assert code(here.ask("POST", url, packed_rubbish, **packed)) == (400, "bad_question")
    assert code(here.ask("POST", url, b'{"tool": ["\0"]}')) == (400, "bad_question")
    assert here.ask("POST", f"/repository/none{ADVICE}", b"{}").status_code == 401
    assert here.ask("POST", "/repository/one/tool", b"{}", **ADMIN).status_code == 405
    assert one.count() == 0
    one.html(ADVICE)
    assert code(here.ask("POST", url, b"{}")) == (502, "upstream_invalid")


def test_search_and_keys_are_upstreams(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, _ = node
    one.put("/-/v1/search", b'{"objects": [], "total": 0}', Content_Type=FULL)
    one.put("/-/npm/v1/keys", b'{"keys": []}', Content_Type=FULL)
    one.put("/-/npm/v1/attestations/@a%2Fb@1.0.0", b'{"attestations": []}', Content_Type=FULL)
    for name in ("one", "all"):
        assert here.get(f"/repository/{name}/-/v1/search?text=tool&size=2").get_json()["total"] == 0
        assert here.get(f"/repository/{name}/-/npm/v1/keys").get_json() == {"keys": []}
        assert here.get(f"/repository/{name}/-/npm/v1/attestations/@a%2fb@1.0.0").status_code == 200
        assert here.get(f"/repository/{name}/-/ping").get_json() == {}
    assert [seen.path for seen in one.requests if "attest" in seen.path] == ["/-/npm/v1/attestations/@a%2Fb@1.0.0"]
    assert [seen.query for seen in one.requests if "search" in seen.path] == ["text=tool&size=2"]
