"""nuget: what each path is, how addresses are rewritten, and what a broken upstream does."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.errors import BadRequest, Forbidden, NotFound
from app.resource import HERE
from tests.formats.proxied import resolved, serving
from tests.upstreams import Upstream

# path -> key; I immutable, M mutable, D made of upstream's; O the format's own path
TABLE = {
    "index.json": ("index.json", "D O"),
    "registration/stone/index.json": ("registration/stone/index.json", "D O"),
    "registration-gz/Stone/page/1.0.0/2.0.0-Beta.json": ("registration-gz/stone/page/1.0.0/2.0.0-Beta.json", "D O"),
    "registration-gz-semver2/stone/1.0.0.json": ("registration-gz-semver2/stone/1.0.0.json", "D O"),
    "flatcontainer/Stone/index.json": ("flatcontainer/stone/index.json", "M O"),
    "flatcontainer/Stone/1.0.0-RC/Stone.1.0.0-RC.nupkg": ("flatcontainer/stone/1.0.0-rc/stone.1.0.0-rc.nupkg", "I"),
    "flatcontainer/stone/1.0.0/stone.nuspec": ("flatcontainer/stone/1.0.0/stone.nuspec", "I"),
    "flatcontainer/stone/1.0.0/icon": ("flatcontainer/stone/1.0.0/icon", "M"),
    "flatcontainer/catalog/1.0.0/catalog.1.0.0.nupkg": ("flatcontainer/catalog/1.0.0/catalog.1.0.0.nupkg", "I"),
    "catalog/data/2026.11.01.00.00.00/Stone.1.0.0.json": ("catalog/data/2026.11.01.00.00.00/Stone.1.0.0.json", "D O"),
    "v3/index.json": ("v3/index.json", "D O"),
    "api/V3/registration/Stone/index.json": ("api/V3/registration/stone/index.json", "D O"),
    "v3/flatcontainer/Query/1.0.0/Query.1.0.0.nupkg": ("v3/flatcontainer/query/1.0.0/query.1.0.0.nupkg", "I"),
}


@pytest.mark.parametrize(("path", "key", "facts"), [(path, *said) for path, said in TABLE.items()])
def test_a_path(path: str, key: str, facts: str) -> None:
    found = resolved("nuget", path)
    assert (found.key, found.immutable, bool(found.sources)) == (key, "I" in facts, "D" in facts)
    assert found.addressed is bool(found.sources)
    if not found.sources:
        assert found.named_in is not None
        directory = path.partition("flatcontainer/")[0]
        assert (found.named_in.path, found.named_in.immutable) == (f"{directory}index.json", False)
    if "O" in facts:
        assert resolved("nuget", path, allow="^nothing$").key == key
    else:
        with pytest.raises(Forbidden):
            resolved("nuget", path, allow="^nothing$")


@pytest.mark.parametrize(
    "path", ["v3/registration5-semver1/stone/index.json", "registration5/stone/index.json", "query/index.json"]
)
def test_what_would_lead_past_this_server_is_not_there(path: str) -> None:
    with pytest.raises(NotFound):
        resolved("nuget", path)


@pytest.mark.parametrize("path", ["", "registration", "flatcontainer", "query/x", "catalog", "catalog0/page1.json"])
def test_other_paths_are_plain_files(path: str) -> None:
    found = resolved("nuget", path)
    assert (found.sources, found.named_in) == ((), None)


def test_a_search_is_known_by_what_it_says() -> None:
    found = resolved("nuget", "query", "take=20&q=a%20b&semVerLevel=2.0.0&x=1&take=3")
    assert found.key == "query?q=a%20b&semVerLevel=2.0.0&take=20"
    assert found.sources[0].query == "q=a%20b&semVerLevel=2.0.0&take=20"
    assert resolved("nuget", "autocomplete", "id=Stone").key == "autocomplete?id=Stone"
    assert resolved("nuget", "v3/query", "take=20").sources[0].key == "v3/query?take=20\x1fupstream"
    with pytest.raises(NotFound):
        resolved("nuget", "autocomplete?id=Stone")
    for query in ("take=x", "skip=-1", "q=" + "a" * 2100, "q=%ff", "&".join(["q=1"] * 70)):
        with pytest.raises(BadRequest):
            resolved("nuget", "query", query)


def _json(answer: TestResponse) -> Any:
    return json.loads(answer.data)


def _service(upstream: Upstream, **types: str) -> None:
    named = {kind.replace("_", "/").replace("V", "."): url for kind, url in types.items()}
    resources = [{"@id": url, "@type": kind} for kind, url in named.items()]
    upstream.put("/index.json", json.dumps({"version": "3.0.0", "resources": resources}).encode())


def test_addresses_are_this_servers(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "nuget") as (node, upstream):
        flat, listed = f"{upstream.url}/flat/", f"{upstream.url}/reg"
        resources: list[dict[str, Any]] = [
            {"@id": listed, "@type": "RegistrationsBaseUrl/3.6.0", "comment": f"{HERE} é"},
            {"@id": listed, "@type": ["RegistrationsBaseUrl/Versioned", "Odd"], "clientVersion": "4.3.0-alpha"},
            {"@id": flat, "@type": "PackageBaseAddress/3.0.0"},
            {"@id": f"{upstream.url}/second/", "@type": "PackageBaseAddress/3.0.0"},
            {"@id": f"{upstream.url}/publish", "@type": "PackagePublish/2.0.0"},
        ]
        upstream.put("/index.json", b"\xef\xbb\xbf" + json.dumps({"resources": resources}).encode())
        here = "http://localhost/repository/r"
        index = node.get("/repository/r/index.json")
        assert [(each["@id"], each["@type"]) for each in _json(index)["resources"]] == [
            (f"{here}/registration-gz-semver2/", "RegistrationsBaseUrl/3.6.0"),
            (f"{here}/registration-gz-semver2/", "RegistrationsBaseUrl/Versioned"),
            (f"{here}/flatcontainer/", "PackageBaseAddress/3.0.0"),
        ]
        assert _json(index)["resources"][0]["comment"] == f"{HERE} é"
        document: dict[str, Any] = {
            "@id": f"{listed}/stone/index.json#page",
            "packageContent": f"{flat}stone/1.0.0/stone.1.0.0.nupkg",
            "projectUrl": f"{upstream.url}/elsewhere",
            "https": listed.replace("http", "https") + "/x",
            "text": f"{HERE} {listed}/",
            "numbers": [1, -2.50, 1e300, True, None, [], {}],
        }
        packed = gzip.compress(json.dumps(document).encode())
        upstream.put("/reg/stone/index.json", packed, Content_Encoding="gzip")
        answer = node.get("/repository/r/registration-gz-semver2/Stone/index.json")
        assert answer.json == {
            **document,
            "@id": f"{here}/registration-gz-semver2/stone/index.json#page",
            "packageContent": f"{here}/flatcontainer/stone/1.0.0/stone.1.0.0.nupkg",
            "https": f"{here}/registration-gz-semver2/x",
        }
        assert "Content-Encoding" not in answer.headers
        other = node.get("/repository/r/registration-gz-semver2/stone/index.json", Host="other.example.org")
        assert _json(other)["packageContent"].startswith("http://other.example.org/repository/r/flatcontainer/")
        assert (other.headers["X-Cache"], other.headers["ETag"] != answer.headers["ETag"]) == ("HIT", True)
        asked = node.get("/repository/r/registration/stone/index.json")
        assert asked.status_code == 404  # upstream has no such service


def test_an_id_is_never_upstreams_address(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """The catalog's, though nobody is told of that; and one that is below no service."""
    with serving(tmp_path, database_url, redis_url, "nuget") as (node, upstream):
        here, data = "http://localhost/repository/r", "data/2026.11.01/Stone.1.0.0.json"
        context = {"@vocab": "http://schema.example.org#", "a": {"@id": "http://schema.example.org/a"}}
        entry = {"@id": f"{upstream.url}/cat/{data}", "dependencyGroups": [{"@id": f"{upstream.url}/cat/{data}#net"}]}
        document = {
            "@id": f"{upstream.url}/odd/x?y#z",
            "catalogEntry": entry,
            "@context": context,
            "licenseUrl": upstream.url,
        }
        upstream.put("/reg/stone/index.json", json.dumps(document).encode())
        upstream.put(f"/cat/{data}", json.dumps({"@id": f"{upstream.url}/cat/{data}"}).encode())
        services = {"RegistrationsBaseUrl": f"{upstream.url}/reg/"}
        _service(upstream, **services, Catalog_3V0V0=f"{upstream.url}/cat/index.json")
        assert len(_json(node.get("/repository/r/index.json"))["resources"]) == 1
        registration = "/repository/r/registration/stone/index.json"
        told = _json(node.get(registration))
        assert told["catalogEntry"] == {
            "@id": f"{here}/catalog/{data}",
            "dependencyGroups": [{"@id": f"{here}/catalog/{data}#net"}],
        }
        assert _json(node.get(f"/repository/r/catalog/{data}")) == {"@id": f"{here}/catalog/{data}"}
        odd = f"{here}/registration/stone/index.json#odd/x%3Fy%23z"
        assert (told["@id"], told["@context"], told["licenseUrl"]) == (odd, context, upstream.url)
        _service(upstream, **services)
        node.clock.forward(101)
        told = _json(node.get(registration))["catalogEntry"]
        assert told["@id"] == f"{here}/registration/stone/index.json#cat/{data}"
        assert node.get("/repository/r/catalog/data/other.json").status_code == 404


@pytest.mark.parametrize("base", ["", "/nuget"])
def test_a_service_index_may_be_in_a_directory(tmp_path: Path, database_url: str, redis_url: str, base: str) -> None:
    with serving(tmp_path, database_url, redis_url, "nuget", base) as (node, upstream):
        services = {"RegistrationsBaseUrl": "reg", "PackageBaseAddress/3.0.0": "flat/", "SearchQueryService": "find"}
        resources = [{"@id": f"{upstream.url}/{url}", "@type": kind} for kind, url in services.items()]
        upstream.put(f"{base}/v3/index.json", json.dumps({"resources": resources}).encode())
        upstream.put("/reg/stone/index.json", json.dumps({"x": f"{upstream.url}/flat/stone/"}).encode())
        upstream.put("/find", json.dumps({"x": f"{upstream.url}/reg/stone/index.json"}).encode())
        upstream.put("/flat/stone/1.0.0/stone.1.0.0.nupkg", b"PK a package")
        here = "http://localhost/repository/r/v3"
        listed = _json(node.get("/repository/r/v3/index.json"))["resources"]
        assert [each["@id"] for each in listed] == [
            f"{here}/registration/",
            f"{here}/flatcontainer/",
            f"{here}/query",
        ]
        registration = f"{here}/registration/stone/index.json"
        assert _json(node.get(registration.removeprefix("http://localhost"))) == {"x": f"{here}/flatcontainer/stone/"}
        assert _json(node.get("/repository/r/v3/query?q=stone")) == {"x": registration}
        nupkg = "/repository/r/v3/flatcontainer/Stone/1.0.0/Stone.1.0.0.nupkg"
        assert node.get(nupkg).data == b"PK a package"
        assert node.get("/repository/r/index.json").status_code == 404


BROKEN = {
    "no json": b"{",
    "a list": b"[]",
    "no resources": b"{}",
    "no address": b'{"resources": [{"@type": "x"}]}',
    "deep": b'{"resources": ' + b"[" * 100_000,
    "no text": b'{"resources": "\xff"}',
}


def test_a_broken_service_index(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "nuget") as (node, upstream):
        for said, body in BROKEN.items():
            upstream.put("/index.json", body)
            for path in ("index.json", "registration/stone/index.json", "flatcontainer/stone/1/stone.1.nupkg"):
                answer = node.get(f"/repository/r/{path}")
                assert (answer.status_code, _json(answer)["error"]) == (502, "upstream_invalid"), (said, path)
        _service(upstream, PackageBaseAddress_3V0V0=f"{upstream.url}/flat/")
        assert node.get("/repository/r/index.json").headers["X-Cache"] == "MISS"


def test_what_a_broken_upstream_sends_is_not_kept(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "nuget") as (node, upstream):
        _service(
            upstream,
            RegistrationsBaseUrl=f"{upstream.url}/reg/",
            PackageBaseAddress_3V0V0=f"{upstream.url}/flat/",
            SearchQueryService="http://10.0.0.1/search",
        )
        nupkg = "/repository/r/flatcontainer/stone/1.0.0/stone.1.0.0.nupkg"
        upstream.html("/flat/stone/1.0.0/stone.1.0.0.nupkg", times=1)
        upstream.put("/flat/stone/1.0.0/stone.1.0.0.nupkg", b"PK a package")
        assert node.get(nupkg).status_code == 502
        assert node.get(nupkg).data == b"PK a package"
        registration = "/repository/r/registration/stone/index.json"
        upstream.put("/reg/stone/index.json", b'{"count": 1}')
        assert node.get(registration).json == {"count": 1}
        for body in (b'{"count": ', b"[" * 1000, b'{"a":' * 100 + b"1" + b"}" * 100, b'{} {"more": 1}', b"<html>"):
            upstream.put("/reg/stone/index.json", body)
            node.clock.forward(1001)
            answer = node.get(registration)
            assert (answer.status_code, answer.json, answer.headers["X-Cache"]) == (200, {"count": 1}, "STALE")
        refused = node.get("/repository/r/query?q=stone")
        assert (refused.status_code, _json(refused)["error"]) == (502, "upstream_redirect_refused")
