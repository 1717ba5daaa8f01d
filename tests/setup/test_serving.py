"""GET /setup: which files there are, whose address stands in them, who may read them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.node import ADMIN, Node
from tests.upstreams import Upstream


@pytest.fixture
def node(tmp_path: Path, database_url: str, redis_url: str, upstream: Upstream) -> Iterator[Node]:
    document = {
        "remotes": {"alma": {"package": "rpm", "base_url": upstream.url}},
        "locals": {"inside": {"package": "pypi", "access": "authenticated"}},
    }
    with Node(tmp_path, database_url, redis_url, document, TRUSTED_PROXIES="127.0.0.1").running() as found:
        yield found


def test_the_repositories_that_there_are_files_for(node: Node) -> None:
    """Those that one may read, each with where its files are listed."""
    assert node.get("/setup/", Host="one.example.org:8080").get_json() == {
        "repositories": [
            {"repository": "alma", "package": "rpm", "url": "http://one.example.org:8080/setup/alma/"},
        ]
    }
    listed = node.get("/setup/", **ADMIN).get_json()["repositories"]
    assert [each["repository"] for each in listed] == ["alma", "inside"]
    assert [node.get(each["url"], **ADMIN).status_code for each in listed] == [200, 200]


def test_setup(node: Node) -> None:
    listed = node.get("/setup/alma/", Host="one.example.org:8080").get_json()
    assert listed == {
        "repository": "alma",
        "package": "rpm",
        "files": [
            {"name": name, "url": f"http://one.example.org:8080/setup/alma/{name}"}
            for name in ("alma.repo", "curl.txt")
        ],
    }
    path = "/setup/alma/alma.repo?path=9/BaseOS&key=RPM-GPG-KEY"
    answer = node.get(path, Host="p.example.org", X_Forwarded_Proto="https")
    assert answer.mimetype == "text/plain"
    assert "baseurl=https://p.example.org/repository/alma/9/BaseOS/\n" in answer.text
    assert node.get("/setup/alma/alma.repo?path=../x").status_code == 422
    assert node.get("/setup/alma/alma.repo?pth=x").status_code == 422
    assert node.get("/setup/alma/other").status_code == 404
    assert node.get("/setup/alma/company.repo").text == node.get("/setup/alma/alma.repo").text
    assert node.get("/setup/alma/alma.sources").status_code == 404
    for name, rest in itertools.product(("nowhere", "inside"), ("", "pip.conf")):
        assert node.get(f"/setup/{name}/{rest}").status_code == 401
        known = node.get(f"/setup/{name}/{rest}", **ADMIN).status_code
        assert known == (200 if name == "inside" else 404)
    text = node.get("/setup/inside/pip.conf", **ADMIN).text
    assert "://token:TOKEN@localhost/repository/inside/simple/" in text
    assert ADMIN["Authorization"].split()[1] not in text


def test_the_readmes_examples_work_with_the_shipped_file(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """Whoever has typed the two commands types these next."""
    root = Path(__file__).parents[2]
    document, readme = json.loads((root / "remotes.json").read_text()), (root / "README.md").read_text()
    files = re.findall(r"http://127\.0\.0\.1:8080(/setup/[^\s'`]*)", readme)
    assert len(files) >= 3
    with Node(tmp_path, database_url, redis_url, document).running() as node:
        assert [path for path in files if node.get(path).status_code != 200] == []
    fetched = re.findall(r"\$.*artifactapi prefetch (\S+)", readme)
    assert fetched
    assert set(fetched) <= {*document["remotes"], *document["virtuals"]}


def test_where_an_upstream_is_strangers_are_not_told(
    tmp_path: Path, database_url: str, redis_url: str, upstream: Upstream
) -> None:
    """Nor is what somebody is told kept for them."""
    document = {"remotes": {"inner": {"package": "docker", "base_url": upstream.url}}}
    host = upstream.url.partition("://")[2]
    with Node(tmp_path, database_url, redis_url, document).running() as node:
        for file, about in (("hosts.toml", "certs.d"), ("registries.conf", "location")):
            stranger, known = (node.get(f"/setup/inner/{file}", **headers) for headers in ({}, ADMIN))
            assert (host in stranger.text, about in stranger.text, host in known.text) == (False, True, True)
            assert {each.headers["Vary"] for each in (stranger, known)} == {"Host, Authorization"}
            assert known.headers["Cache-Control"] == "private, no-cache"
            assert f'"{host}"' in node.get(f"/setup/inner/{file}?registry={host}").text or file == "hosts.toml"
