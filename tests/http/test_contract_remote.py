"""API.md, "Remote, kind-specific form" and the client URL of a remote, line by line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.conftest import QUICK
from tests.http.node import Node, body
from tests.upstreams import Upstream

API, URL = "/api/v1/remote", "/repository"


@pytest.fixture
def remotes(remotes: dict[str, Any], upstream: Upstream) -> dict[str, Any]:
    plain = {"package": "generic", "base_url": upstream.url, "upstream": QUICK, "cache": {"mutable_ttl": 100}}
    remotes["remotes"] |= {
        "plain": plain,
        "strict": plain | {"immutable_patterns": [r"\.rpm$"], "mutable_patterns": [r"^index\.json$"]},
        "rpms": plain | {"package": "rpm", "immutable_patterns": [r"^x86_64/.*\.rpm$"]},
        "apks": plain | {"package": "apk", "immutable_patterns": [r"^v3/.*\.apk$"]},
    }
    return remotes


# -- which paths are served ----------------------------------------------------------------------------------

GATES = [
    # remote, path, what a GET says where upstream has everything
    ("nope", "x.rpm", 404),
    ("strict", "x.rpm", 200),
    ("strict", "index.json", 200),
    ("strict", "deep/index.json", 403),
    ("strict", "x.rpm.sig", 403),
    ("strict", "", 403),
    ("plain", "anything/at/all", 200),
    ("rpms", "x86_64/a.rpm", 200),
    ("rpms", "aarch64/a.rpm", 403),
    ("rpms", "repodata/repomd.xml", 200),
    ("rpms", "repodata/repomd.xml.asc", 200),
    ("rpms", "repodata/primary.xml.gz", 200),
    ("rpms", "RPM-GPG-KEY-team", 200),
    ("rpms", "notes.txt", 403),
    ("apks", "v3/a.apk", 200),
    ("apks", "v2/a.apk", 403),
    ("apks", "x86_64/APKINDEX.tar.gz", 200),
]


def test_patterns_gate_a_get_and_a_head(node: Node, upstream: Upstream) -> None:
    for remote, path, status in GATES:
        upstream.put(f"/{path}", b"<repomd/>" if path.endswith("repomd.xml") else b"body")
        for form in (API, URL):
            answer = node.get(f"{form}/{remote}/{path}")
            assert answer.status_code == status, (form, remote, path)
            if status == 403:
                assert answer.get_json()["error"] == "blocked_by_pattern"
        assert node.head(f"{URL}/{remote}/{path}").status_code == status, (remote, path)
        node.idle()
    blocked = {f"/{path}" for _, path, status in GATES if status != 200} - {"/x.rpm"}
    assert not blocked & {seen.path for seen in upstream.requests}, "what is refused is not asked for"


def test_a_generic_remote_without_patterns_is_never_forever(node: Node, upstream: Upstream) -> None:
    for path in ("/a.rpm", "/a.tar.gz", "/a"):
        upstream.put(path, b"old")
        body(node.get(f"{API}/plain{path}"))
        node.idle()
        upstream.put(path, b"new")
        node.clock.forward(101)
        assert body(node.get(f"{API}/plain{path}")) == b"new", path


def test_immutable_is_forever(node: Node, upstream: Upstream) -> None:
    upstream.put("/a.rpm", b"old")
    body(node.get(f"{API}/strict/a.rpm"))
    node.idle()
    node.clock.forward(10 * 365 * 86400)
    assert (node.get(f"{API}/strict/a.rpm").headers["X-Cache"], upstream.count()) == ("HIT", 1)


# -- what a response says --------------------------------------------------------------------------------------


def test_fetched_and_stored_say_so(node: Node, upstream: Upstream) -> None:
    upstream.put("/dir/tool-1.0.tar.gz", b"0123456789", Content_Type="application/x-upstream")
    for form, disposition, kind in (
        (API, 'attachment; filename="tool-1.0.tar.gz"', "application/gzip"),
        (URL, None, "application/x-upstream"),
    ):
        node.admin("PUT", "/cache/flush")
        for source in ("remote", "cache"):
            answer = node.get(f"{form}/plain/dir/tool-1.0.tar.gz")
            assert (answer.status_code, body(answer)) == (200, b"0123456789")
            told = {name: answer.headers.get(name) for name in ("X-Artifact-Source", "X-Artifact-Size")}
            assert told == {"X-Artifact-Source": source, "X-Artifact-Size": "10"}
            assert answer.headers.get("Content-Disposition") == disposition
            assert (answer.headers["Content-Type"], answer.headers["Content-Length"]) == (kind, "10")
            assert answer.headers["Accept-Ranges"] == "bytes"
            node.idle()


TYPES = {
    "a.rpm": "application/x-rpm",
    "repomd.xml": "application/xml",
    "a.tgz": "application/gzip",
    "a.tar.gz": "application/gzip",
    "index.yaml": "text/yaml",
    "index.yml": "text/yaml",
    "a.gz": "application/x-upstream",
    "a.rpm.sig": "application/x-upstream",
    "tgz": "application/x-upstream",
    "page.html": "application/x-upstream",
}


def test_types_by_suffix_only_under_the_api(node: Node, upstream: Upstream) -> None:
    for name, kind in TYPES.items():
        upstream.put(f"/{name}", b"body", Content_Type="application/x-upstream")
        for _ in ("miss", "hit"):
            assert node.get(f"{API}/plain/{name}").headers["Content-Type"] == kind, name
            node.idle()
        assert node.get(f"{URL}/plain/{name}").headers["Content-Type"] == "application/x-upstream", name


NAMES = {
    "plain.txt": 'attachment; filename="plain.txt"',
    "with%20space.txt": 'attachment; filename="with space.txt"',
    "qu%22ote.txt": "attachment; filename=\"qu_ote.txt\"; filename*=UTF-8''qu%22ote.txt",
    "caf%C3%A9.txt": "attachment; filename=\"caf_.txt\"; filename*=UTF-8''caf%C3%A9.txt",
    "semi;colon.txt": 'attachment; filename="semi;colon.txt"',
}


def test_a_disposition_names_the_last_segment(node: Node) -> None:
    for name, disposition in NAMES.items():
        node.admin("PUT", f"/repository/team/deep/{name}", b"mine")
        answer = node.get(f"/api/v1/local/team/deep/{name}")
        assert (answer.status_code, answer.headers["Content-Disposition"]) == (200, disposition), name


def test_upstreams_validators_are_passed_on(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"body", ETag='W/"weak"', Last_Modified="Sat, 01 Jan 2000 00:00:00 GMT")
    for _ in ("miss", "hit"):
        answer = node.get(f"{API}/plain/a")
        assert answer.headers["ETag"] == 'W/"weak"'
        assert answer.headers["Last-Modified"] == "Sat, 01 Jan 2000 00:00:00 GMT"
        node.idle()


def test_without_upstreams_validators_a_hit_makes_an_etag_and_no_date(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"body", validators=False)
    body(node.get(f"{URL}/plain/a"))
    node.idle()
    warm = node.get(f"{URL}/plain/a")
    assert "Last-Modified" not in warm.headers
    assert node.get(f"{URL}/plain/a", If_None_Match=warm.headers["ETag"]).status_code == 304


# -- methods -----------------------------------------------------------------------------------------------------


def test_head_is_not_served_in_this_form(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"body")
    body(node.get(f"{API}/plain/a"))
    node.idle()
    asked = upstream.count()
    for path in ("a", "missing", ""):
        answer = node.head(f"{API}/plain/{path}")
        assert (answer.status_code, answer.headers["Allow"], body(answer)) == (405, "GET", b"")
    assert node.head(f"{API}/nope/a").status_code == 404
    assert node.head(f"{API}/team/a").status_code == 404
    node.admin("PUT", f"{API}/team/a", b"mine")
    local = node.head(f"{API}/team/a")
    assert (local.status_code, local.headers["Content-Length"], body(local)) == (200, "4", b"")
    assert node.head(f"{URL}/plain/a").status_code == 200
    assert upstream.count() == asked


def test_only_a_local_repository_takes_changes(node: Node, upstream: Upstream) -> None:
    for method in ("PUT", "DELETE"):
        api = node.admin(method, f"{API}/plain/a", b"x")
        assert (api.status_code, api.get_json()["error"]) == (400, "not_local")
        url = node.admin(method, f"{URL}/plain/a", b"x")
        assert (url.status_code, url.headers["Allow"]) == (405, "GET, HEAD")
        for form in (API, URL, "/api/v1/local"):
            unknown = node.admin(method, f"{form}/nope/a", b"x")
            assert (unknown.status_code, unknown.get_json()["error"]) == (404, "unknown_repository")
        assert node.admin(method, "/api/v1/local/plain/a", b"x").status_code == 404
    for method in ("POST", "PATCH"):
        assert [node.admin(method, f"{form}/plain/a").status_code for form in (API, URL)] == [400, 405]
    for method in ("OPTIONS", "TRACE", "LINK"):
        for form in (API, URL):
            assert node.admin(method, f"{form}/plain/a").status_code == 405
    assert (upstream.count(), node.blobs(), node.spools()) == (0, [], [])


def test_both_forms_are_one_copy(node: Node, upstream: Upstream) -> None:
    upstream.put("/a", b"body")
    body(node.get(f"{API}/plain/a"))
    node.idle()
    assert (node.get(f"{URL}/plain/a").headers["X-Cache"], upstream.count()) == ("HIT", 1)


@pytest.fixture
def flat(remotes: dict[str, Any]) -> None:
    """A remote `deb` on the same upstream."""
    remotes["remotes"]["deb"] = remotes["remotes"]["rpm"] | {"package": "deb"}


@pytest.mark.usefixtures("flat")
def test_lone_dots_mean_nothing_where_clients_write_them(node: Node, upstream: Upstream) -> None:
    """apt with `deb URL ./`; everywhere else, and in every other spelling, a dot segment is refused."""
    upstream.put("/flat/x.deb", b"package")
    assert body(node.get("/repository/deb/./flat/./x.deb")) == b"package"
    for refused in ("/repository/deb/flat/../x.deb", "/repository/deb/%2e/x.deb", "/repository/up/./x.deb"):
        assert node.get(refused).status_code == 400, refused
