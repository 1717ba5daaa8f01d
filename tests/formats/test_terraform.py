"""terraform: what each path is, the documents that are made, and what a broken upstream does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.errors import Forbidden
from app.formats.terraform import _hosts
from app.resource import Kind, Repository
from tests.formats.proxied import resolved, serving
from tests.upstreams import Upstream

BASE = "https://registry.example.org"
ONE = "v1/providers/team/stone/1.0.0/download/linux/amd64"

# I immutable, M mutable, D made of upstream's; O the format's own path; N named in a package's document
TABLE = {
    ".well-known/terraform.json": "D O",
    "v1/providers/team/stone/versions": "M O N",
    ONE: "D O",
    f"{ONE}/archive/terraform-provider-stone_1.0.0_linux_amd64.zip": "I N",
    f"{ONE}/sums/SHA256SUMS": "M O N",
    f"{ONE}/signature/SHA256SUMS.sig": "M O N",
    "mirror/registry.example.org/team/stone/index.json": "D O",
    "mirror/Registry.example.org/team/stone/1.0.0.json": "D O",
    "mirror/other.example.org/team/stone/index.json": "M O",
    "mirror/other.example.org/team/stone/stone_1.0.0.zip": "I",
    "v1/modules/team/stone/versions": "M",
}


@pytest.mark.parametrize(("path", "facts"), TABLE.items())
def test_a_path(path: str, facts: str) -> None:
    found = resolved("terraform", path, base=BASE)
    assert (found.immutable, bool(found.sources), bool(found.named_in)) == ("I" in facts, "D" in facts, "N" in facts)
    assert (found.key, found.path) == (path, path)
    for source in (*found.sources, *([found.named_in] if found.named_in else [])):
        assert (source.index, source.immutable) == (True, False)
        assert source.key != path
    if "O" in facts:
        assert resolved("terraform", path, base=BASE, allow="^nothing$").path == path
    else:
        with pytest.raises(Forbidden):
            resolved("terraform", path, base=BASE, allow="^nothing$")


def test_a_host_without_a_port_has_one_name() -> None:
    for base, port in ((BASE, ""), (f"{BASE}:8443", ":8443")):
        repository = Repository("r", Kind.REMOTE, "terraform", base_urls=(base,))
        assert _hosts(repository) == ("registry.example.org", f"registry.example.org{port}")


@pytest.mark.parametrize(
    ("base", "host", "made", "otherwise"),
    [
        ("http://127.0.0.1:81", "127.0.0.1", True, False),
        ("http://127.0.0.1:81", "registry.example.org", False, True),
        ("http://[::1]:81", "registry.example.org", False, True),
        ("http://localhost:81", "registry.example.org", False, True),
        (BASE, "other.example.org", False, False),
        ("http://127.example.org", "other.example.org", False, False),
        ("http://registry:81", "other.example.org", False, False),
    ],
)
def test_only_an_upstream_without_a_name_has_others_providers(
    base: str, host: str, made: bool, otherwise: bool
) -> None:
    found = resolved("terraform", f"mirror/{host}/team/stone/index.json", base=base)
    assert (bool(found.sources), found.otherwise is not None) == (made, otherwise)
    if found.otherwise is not None:
        assert found.otherwise.key != found.key
        assert [each.path for each in found.otherwise.sources] == ["v1/providers/team/stone/versions"]


def _offer(upstream: Upstream, root: str = "", **changed: Any) -> None:
    body = b"PK a provider"
    upstream.put("/stone.zip", body)
    upstream.put("/sums", b"the sums")
    told = {
        "filename": "stone_1.0.0.zip",
        "download_url": "/stone.zip",
        "shasums_url": f"{upstream.url}/sums",
        "shasum": hashlib.sha256(body).hexdigest(),
        "signing_keys": {"gpg_public_keys": [{"key_id": "\u2302", "ascii_armor": "-"}]},
        **changed,
    }
    registry = f"{root}/v1/providers"
    upstream.put(f"{root}/{ONE}", json.dumps(told).encode())
    platforms = [{"os": "linux", "arch": "amd64"}, {"os": "plan9", "arch": "386"}]
    listed = {"versions": [{"version": "1.0.0", "platforms": platforms}, {"version": "0.9.0"}]}
    upstream.put(f"{registry}/team/stone/versions", json.dumps(listed).encode())


def _json(answer: TestResponse) -> Any:
    return json.loads(answer.data)


def test_the_documents_that_are_made(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "terraform") as (node, upstream):
        _offer(upstream)
        told = _json(node.get(f"/repository/r/{ONE}"))
        assert (told["download_url"], told["shasums_url"]) == (
            "amd64/archive/stone_1.0.0.zip",
            "amd64/sums/SHA256SUMS",
        )
        assert "shasums_signature_url" not in told
        assert told["signing_keys"]["gpg_public_keys"][0]["key_id"] == "\u2302"
        assert node.get(f"/repository/r/{ONE}/archive/stone_1.0.0.zip").data == b"PK a provider"
        assert node.get(f"/repository/r/{ONE}/sums/SHA256SUMS").data == b"the sums"
        for strange in ("archive/other.zip", "signature/SHA256SUMS.sig", "archive/SHA256SUMS"):
            assert node.get(f"/repository/r/{ONE}/{strange}").status_code == 404, strange
        mirror = "/repository/r/mirror/127.0.0.1/team/stone"
        assert _json(node.get(f"{mirror}/index.json")) == {"versions": {"1.0.0": {}, "0.9.0": {}}}
        archives = _json(node.get(f"{mirror}/1.0.0.json"))["archives"]
        assert archives == {
            "linux_amd64": {
                "url": f"../../../../{ONE}/archive/stone_1.0.0.zip",
                "hashes": [f"zh:{hashlib.sha256(b'PK a provider').hexdigest()}"],
            }
        }
        assert node.get(f"{mirror}/1.0.0.json").headers["X-Cache"] == "HIT"
        assert _json(node.get(f"{mirror}/0.9.0.json")) == {"archives": {}}
        assert node.get(f"{mirror}/2.0.0.json").status_code == 404
        other = "/repository/r/mirror/registry.example.org/team/stone"
        assert _json(node.get(f"{other}/index.json")) == {"versions": {"1.0.0": {}, "0.9.0": {}}}
        assert _json(node.get(f"{other}/1.0.0.json"))["archives"] == archives
        assert node.get("/repository/r/mirror/registry.example.org/team/none/index.json").status_code == 404
        upstream.put("/mirror/other.example.org/team/stone/index.json", b'{"versions": {"3.0.0": {}}}')
        own = node.get("/repository/r/mirror/other.example.org/team/stone/index.json")
        assert _json(own) == {"versions": {"3.0.0": {}}}, "a mirror's own comes first"


def test_a_registry_is_where_its_discovery_says(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """As a path from the root, or on another host, which hears no credentials; relative addresses are there."""
    discovery, files = "/base/.well-known/terraform.json", Upstream()
    login = {"username": "u", "password": "p"}
    try:
        with serving(tmp_path, database_url, redis_url, "terraform", "/base", **login) as (node, upstream):
            _offer(upstream, "/api")
            upstream.put(discovery, b'{"providers.v1": "/api/v1/providers"}')
            listed = node.get("/repository/r/v1/providers/team/stone/versions")
            assert [each["version"] for each in _json(listed)["versions"]] == ["1.0.0", "0.9.0"]
            upstream.put("/api/v1/providers/team/stone/1.0.0/download/linux/stone.zip", b"PK a provider")
            _offer(upstream, "/api", download_url="stone.zip")
            assert node.get(f"/repository/r/{ONE}/archive/stone_1.0.0.zip").data == b"PK a provider"
            mirror = _json(node.get("/repository/r/mirror/127.0.0.1/team/stone/1.0.0.json"))
            assert mirror["archives"]["linux_amd64"]["url"] == f"../../../../{ONE}/archive/stone_1.0.0.zip"
            told = _json(node.get("/repository/r/.well-known/terraform.json"))
            assert (told, upstream.count(discovery)) == ({"providers.v1": "../v1/providers/"}, 1)
            _offer(files, "/moved")
            upstream.put(discovery, json.dumps({"providers.v1": f"{files.url}/moved/v1/providers/"}).encode())
            upstream.status(404, "/api/v1/providers/team/stone/versions")
            node.clock.forward(101)
            again = node.get("/repository/r/v1/providers/team/stone/versions")
            assert (again.status_code, again.headers["X-Cache"]) == (200, "REVALIDATED")
            assert files.count("/moved/v1/providers/team/stone/versions") == 1
            assert all("authorization" not in each.headers for each in files.requests)
            assert all("authorization" in each.headers for each in upstream.requests)
    finally:
        files.stop()


def test_a_registry_whose_discovery_leads_astray(tmp_path: Path, database_url: str, redis_url: str) -> None:
    discovery, listed = "/.well-known/terraform.json", "v1/providers/team/stone/versions"
    with serving(tmp_path, database_url, redis_url, "terraform") as (node, upstream):
        _offer(upstream)
        for body in (
            b'{"providers.v1": 1}',
            b"<html>",
            b'{"providers.v1": "http://10.0.0.1/"}',
            b'{"providers.v1": "x:y"}',
        ):
            upstream.put(discovery, body)
            assert node.get(f"/repository/r/{listed}").status_code == 502, body
            node.clock.forward(101)
        for said in (b"{}", b'{"modules.v1": "/m/"}'):
            upstream.put(discovery, said)
            node.clock.forward(101)
            assert node.get(f"/repository/r/{listed}").status_code == 200
        upstream.status(403, discovery)
        node.clock.forward(101)
        assert node.get(f"/repository/r/{listed}").headers["X-Cache"] == "REVALIDATED"


@pytest.mark.parametrize("status", [200, 400, 405])
def test_an_upstream_that_has_no_discovery(tmp_path: Path, database_url: str, redis_url: str, status: int) -> None:
    """Sites that answer any path that they do not know with a page, or as if it were asked wrongly; but a registry
    that once said where it is has not forgotten it."""
    discovery, listed = "/.well-known/terraform.json", "/repository/r/v1/providers/team/stone/versions"

    def blurt() -> None:
        upstream.put(discovery, b"<div>Sign in</div>", Content_Type="text/html")
        if status != 200:
            upstream.status(status, discovery)

    with serving(tmp_path, database_url, redis_url, "terraform") as (node, upstream):
        _offer(upstream)
        blurt()
        for _ in range(7):
            assert node.get(listed).status_code == 200
            assert node.get(f"/repository/r/{ONE}/archive/stone_1.0.0.zip").data == b"PK a provider"
            node.clock.forward(101)
        upstream.clear()
        for body in (b"{", b"[]"):
            upstream.put(discovery, body)
            assert node.get(f"{listed.replace('stone', 'none')}").status_code == 502, body
        upstream.put(discovery, b'{"providers.v1": "/api/v1/providers"}')
        _offer(upstream, "/api")
        assert node.get(f"{listed.replace('stone', 'none')}").status_code == 404
        blurt()
        upstream.status(404, "/v1/providers/team/stone/versions")
        node.clock.forward(101)
        assert node.get(listed).headers["X-Cache"] in ("EXPIRED", "REVALIDATED")
        assert upstream.count("/api/v1/providers/team/stone/versions") == 1


BROKEN: dict[str, dict[str, Any]] = {
    "no address": {"download_url": None},
    "no checksum": {"shasum": "abc"},
    "a name with a directory": {"filename": "../stone.zip"},
    "no name": {"filename": 1},
}


def test_what_a_broken_upstream_says_is_not_kept(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "terraform") as (node, upstream):
        for said, changed in BROKEN.items():
            _offer(upstream, **changed)
            answer = node.get(f"/repository/r/{ONE}")
            assert (answer.status_code, _json(answer)["error"]) == (502, "upstream_invalid"), said
        for body in (b"[]", b'{"versions": {}}', b'{"versions": [{"version": "a/b"}]}', b"<html>"):
            upstream.put("/v1/providers/team/stone/versions", body)
            for path in ("v1/providers/team/stone/versions", "mirror/127.0.0.1/team/stone/index.json"):
                assert node.get(f"/repository/r/{path}").status_code == 502, (path, body)
        _offer(upstream, download_url="http://10.0.0.1/stone.zip")
        refused = node.get(f"/repository/r/{ONE}/archive/stone_1.0.0.zip")
        assert (refused.status_code, _json(refused)["error"]) == (502, "upstream_redirect_refused")
        _offer(upstream)
        upstream.put("/stone.zip", b"PK another")
        node.clock.forward(101)
        assert node.get(f"/repository/r/{ONE}").status_code == 200
        assert node.get(f"/repository/r/{ONE}/archive/stone_1.0.0.zip").status_code == 502
        upstream.put("/stone.zip", b"PK a provider")
        assert node.get(f"/repository/r/{ONE}/archive/stone_1.0.0.zip").data == b"PK a provider"
