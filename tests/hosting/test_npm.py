"""npm packages: published, tagged, deprecated, unpublished and installed with npm itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from app.formats.npm import FULL, SHORT
from tests.clients.commands import CommandFailedError, run
from tests.conftest import require
from tests.hosting.conftest import TOKEN
from tests.hosting.tarballs import BEARER, put, tarball
from tests.stack import Stack


class Npm:
    """npm with a HOME, a cache and an .npmrc of its own; `repository` is its only registry."""

    def __init__(self, hosted: Stack, home: Path, repository: str = "npm", token: str = TOKEN) -> None:
        self.home = home
        self.registry = f"{hosted.url}/repository/{repository}/"
        self.command = [require("npm")]
        home.mkdir(parents=True)
        quiet = "update-notifier=false\nfund=false\nloglevel=http\n"
        login = f"//{self.registry.partition('//')[2]}:_authToken={token}\n" if token else ""
        (home / ".npmrc").write_text(f"registry={self.registry}\n{login}{quiet}")

    def __call__(self, *arguments: str, cwd: Path | None = None) -> str:
        return run([*self.command, *arguments], self.home, cwd=cwd)

    def project(self, name: str, version: str, **more: Any) -> Path:
        """A directory to publish from."""
        directory = self.home / f"{name.replace('/', '+')}-{version}"
        directory.mkdir()
        document = {"name": name, "version": version, "main": "index.js", "description": "A tool.", **more}
        (directory / "package.json").write_text(json.dumps(document))
        (directory / "index.js").write_text(f"module.exports = {version!r}\n")
        return directory

    def publish(self, name: str, version: str, *arguments: str, **more: Any) -> str:
        return self("publish", *arguments, cwd=self.project(name, version, **more))

    def install(self, *what: str) -> Path:
        """node_modules after it."""
        directory = self.home / f"install{len(list(self.home.iterdir()))}"
        directory.mkdir()
        (directory / "package.json").write_text("{}")
        self("install", "--prefer-online", "--audit", *what, cwd=directory)
        return directory / "node_modules"

    def view(self, *what: str) -> Any:
        return json.loads(self("view", "--json", "--prefer-online", "--loglevel=silent", *what) or "null")


@pytest.fixture
def npm(hosted: Stack, tmp_path: Path) -> Npm:
    return Npm(hosted, tmp_path / "home")


def got(hosted: Stack, path: str, repository: str = "npm", **headers: str) -> requests.Response:
    return requests.get(f"{hosted.url}/repository/{repository}/{path}", headers=headers, timeout=30)


def versions(hosted: Stack, package: str) -> Sequence[str]:
    return list(got(hosted, package).json()["versions"])


def test_npm_publishes_tags_deprecates_unpublishes_and_installs(npm: Npm, hosted: Stack) -> None:
    npm.publish("@team/lib", "2.0.0")
    npm.publish("tool", "1.0.0", bin="index.js", dependencies={"@team/lib": "^2.0.0"})
    modules = npm.install("tool")
    assert (modules / "tool" / "index.js").read_text() == "module.exports = '1.0.0'\n"
    assert (modules / "@team" / "lib" / "package.json").exists()
    assert (modules / ".bin" / "tool").exists()
    npm.publish("tool", "1.1.0")
    npm.publish("tool", "2.0.0-rc.1", "--tag", "next")
    assert npm.view("tool", "dist-tags") == {"latest": "1.1.0", "next": "2.0.0-rc.1"}
    assert "1.1.0" in npm("search", "--parseable", "--loglevel=silent", "tool")
    npm("dist-tag", "add", "tool@1.0.0", "stable")
    assert got(hosted, "-/package/tool/dist-tags").json()["stable"] == "1.0.0"
    npm("dist-tag", "rm", "tool", "stable")
    assert "stable" not in got(hosted, "-/package/tool/dist-tags").json()
    npm("deprecate", "tool@1.0.0", "use 1.1")
    assert npm.view("tool@1.0.0", "deprecated") == "use 1.1"
    npm("deprecate", "tool@1.0.0", "")
    assert npm.view("tool@1.0.0", "deprecated") is None
    npm("unpublish", "tool@1.1.0")
    assert versions(hosted, "tool") == ["1.0.0", "2.0.0-rc.1"]
    npm("unpublish", "--force", "tool")
    assert got(hosted, "tool").status_code == 404


def test_npm_says_who_one_is_and_what_is_refused(npm: Npm, hosted: Stack, tmp_path: Path) -> None:
    assert npm("whoami", "--loglevel=silent").strip() == "admin"
    assert put(hosted, "spoken", "1.0.0").status_code == 201
    with pytest.raises(CommandFailedError, match="previously published"):
        npm.publish("spoken", "1.0.0")
    (npm.home / ".npmrc").write_text(f"registry={npm.registry}\n//{npm.registry.partition('//')[2]}:_authToken=x\n")
    with pytest.raises(CommandFailedError, match="E401"):
        npm.publish("spoken", "1.1.0")
    assert versions(hosted, "spoken") == ["1.0.0"]
    stranger = Npm(hosted, tmp_path / "stranger", token="")
    assert (stranger.install("spoken") / "spoken").exists()  # though it may not ask for advisories


def test_a_private_registry_is_for_who_may_read_it(hosted: Stack, tmp_path: Path) -> None:
    npm = Npm(hosted, tmp_path / "home", "private-npm")
    npm.publish("@team/secret", "1.0.0")
    assert (npm.install("@team/secret") / "@team" / "secret" / "package.json").exists()
    stranger = Npm(hosted, tmp_path / "stranger", "private-npm", token="")
    with pytest.raises(CommandFailedError, match=r"E401|E404"):
        stranger.install("@team/secret")
    for path in (
        "@team/secret",
        "@team%2fsecret",
        "@team/secret/-/secret-1.0.0.tgz",
        "-/v1/search?text=secret",
        "-/whoami",
    ):
        assert got(hosted, path, "private-npm").status_code in (401, 404), path


def test_a_package_has_two_documents(hosted: Stack) -> None:
    more: dict[str, Any] = {
        "dependencies": {"a": "1"},
        "scripts": {"install": "make"},
        "keywords": ["k"],
        "bin": "b.js",
        "_x": 1,
    }
    assert put(hosted, "@forms/two", "1.0.0", **more).status_code == 201
    whole = got(hosted, "@forms%2ftwo", Accept="*/*")
    short = got(hosted, "@forms%2ftwo", Accept=f"{SHORT}; q=1.0, application/json; q=0.8, */*")
    kinds = [each.headers["Content-Type"] for each in (whole, short)]
    assert (kinds, {each.headers["Vary"] for each in (whole, short)}) == ([FULL, SHORT], {"Accept"})
    told, brief = whole.json(), short.json()
    assert (told["_id"], told["time"]["created"], told["dist-tags"]) == (
        "@forms/two",
        told["time"]["1.0.0"],
        {"latest": "1.0.0"},
    )
    manifest = told["versions"]["1.0.0"]
    assert (manifest["bin"], manifest["_id"], "_x" in manifest) == ({"two": "b.js"}, "@forms/two@1.0.0", False)
    assert set(brief) == {"name", "modified", "dist-tags", "versions"}
    kept = {"name", "version", "dependencies", "bin", "dist", "hasInstallScript"}
    assert set(brief["versions"]["1.0.0"]) == kept
    address = f"{hosted.url}/repository/npm/@forms/two/-/two-1.0.0.tgz"
    assert manifest["dist"]["tarball"] == brief["versions"]["1.0.0"]["dist"]["tarball"] == address
    assert requests.get(address, timeout=30).content == tarball("@forms/two", "1.0.0", **more)
    for one in ("1.0.0", "latest"):
        assert got(hosted, f"@forms/two/{one}").json() == manifest
    assert got(hosted, "@forms/two/next").status_code == 404
    for answer in (whole, short):
        headers = {"Accept": answer.headers["Content-Type"], "If-None-Match": answer.headers["ETag"]}
        assert requests.get(answer.url, headers=headers, timeout=30).status_code == 304
        head = requests.head(answer.url, headers=headers | {"If-None-Match": ""}, timeout=30)
        assert head.headers["Content-Length"] == str(len(answer.content))
    assert got(hosted, "no-such-package").status_code == 404


def test_tarballs_are_where_the_client_reached_us(hosted: Stack) -> None:
    for number in range(4):  # so long that the fills process answers
        assert put(hosted, "reached", f"1.0.{number}", description="x" * 20_000).status_code == 201
    for path in ("reached", "reached/-/full.json"):
        told = got(hosted, path, Host="packages.example.org")
        assert len(told.content) > 64 * 1024
        found = {each["dist"]["tarball"].partition("/repository/")[0] for each in told.json()["versions"].values()}
        assert found == {"http://packages.example.org"}


def test_simultaneous_versions_all_end_up_in_the_document(hosted: Stack) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(put, hosted, "crowd", f"1.0.{number}") for number in range(16)]
        assert {each.result().status_code for each in sent} == {201}
    assert sorted(versions(hosted, "crowd")) == sorted(f"1.0.{number}" for number in range(16))


def test_what_is_published_stays_as_it_is(hosted: Stack) -> None:
    assert put(hosted, "fixed", "1.0.0").status_code == 201
    again = put(hosted, "fixed", "1.0.0", description="other")
    assert (again.status_code, again.json()["error"]) == (409, "already_published")
    assert again.json()["message"] == "You cannot publish over the previously published versions: 1.0.0."
    for description in ("one", "two"):
        assert put(hosted, "fixed", "1.0.0", "open-npm", description=description).status_code == 201
    assert got(hosted, "fixed", "open-npm").json()["description"] == "two"


def test_latest_is_what_was_published_as_it_and_always_there(hosted: Stack) -> None:
    def tags() -> Any:
        return got(hosted, "-/package/tagged/dist-tags").json()

    url = f"{hosted.url}/repository/npm"
    assert put(hosted, "tagged", "1.0.0-rc.1", tag="next").status_code == 201
    assert tags() == {"latest": "1.0.0-rc.1", "next": "1.0.0-rc.1"}
    assert put(hosted, "tagged", "1.0.0").status_code == 201
    assert put(hosted, "tagged", "0.9.0", tag="old").status_code == 201
    assert tags() == {"latest": "1.0.0", "next": "1.0.0-rc.1", "old": "0.9.0"}
    bad = [("latest", "9.9.9"), ("1.0.0", "1.0.0"), ("a%20b", "1.0.0"), ("x" * 200, "1.0.0"), ("ok", ["1.0.0"])]
    for tag, version in bad:
        sent = requests.put(f"{url}/-/package/tagged/dist-tags/{tag}", json=version, headers=BEARER, timeout=30)
        assert sent.status_code == 400, tag
    assert requests.delete(f"{url}/-/package/tagged/dist-tags/latest", headers=BEARER, timeout=30).status_code == 400
    assert requests.delete(f"{url}/-/package/tagged/dist-tags/none", headers=BEARER, timeout=30).status_code == 404
    assert requests.delete(f"{url}/tagged/-/tagged-1.0.0.tgz", headers=BEARER, timeout=30).status_code == 200
    assert tags() == {"latest": "0.9.0", "next": "1.0.0-rc.1", "old": "0.9.0"}
    assert requests.delete(f"{url}/tagged/-/tagged-1.0.0.tgz", headers=BEARER, timeout=30).status_code == 404


def test_a_stale_document_unpublishes_nothing(hosted: Stack) -> None:
    assert [put(hosted, "stale", each).status_code for each in ("1.0.0", "1.1.0")] == [201, 201]
    old = got(hosted, "stale").json()
    del old["versions"]["1.0.0"]
    assert put(hosted, "stale", "1.2.0").status_code == 201
    url = f"{hosted.url}/repository/npm/stale"
    answers = [
        requests.put(f"{url}/-rev/{old['_rev']}", json=old, headers=BEARER, timeout=30),
        requests.delete(f"{url}/-rev/{old['_rev']}", headers=BEARER, timeout=30),
        requests.delete(url, headers=BEARER, timeout=30),
        requests.put(f"{url}/-rev/{old['_rev']}", json={"maintainers": []}, headers=BEARER, timeout=30),
        requests.put(
            url, json=old | {"versions": {"1.1.0": {"deprecated": ["no text"]}}}, headers=BEARER, timeout=30
        ),
        requests.put(url, json=old, headers=BEARER, timeout=30),  # deprecates nothing, removes nothing
    ]
    assert [each.status_code for each in answers] == [409, 409, 400, 400, 400, 200]
    assert versions(hosted, "stale") == ["1.0.0", "1.1.0", "1.2.0"]


def test_packages_are_found_by_their_names(hosted: Stack) -> None:
    for name in ("found-one", "found-two", "@found/three"):
        assert put(hosted, name, "1.0.0", description=name).status_code == 201

    def names(query: str) -> list[str]:
        return [each["package"]["name"] for each in got(hosted, f"-/v1/search?{query}").json()["objects"]]

    assert names("text=found&size=10") == ["@found/three", "found-one", "found-two"]
    assert names("text=found+one") == ["found-one"]
    assert names("text=found&size=1&from=1") == ["found-one"]
    assert names("text=none&size=bad") == []


def test_what_npm_asks_beside_is_answered_as_it_tolerates(hosted: Stack) -> None:
    url = f"{hosted.url}/repository/npm/-"
    audit = requests.post(f"{url}/npm/v1/security/advisories/bulk", json={}, headers=BEARER, timeout=30)
    login = requests.put(f"{url}/user/org.couchdb.user:me", json={"name": "me"}, headers=BEARER, timeout=30)
    assert (audit.status_code, login.status_code, "_authToken" in login.json()["message"]) == (404, 400, True)
    assert [got(hosted, each).status_code for each in ("-/ping", "-/whoami", "-/nothing")] == [200, 401, 404]
