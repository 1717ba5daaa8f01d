"""npm's paths, and its documents: read a member at a time, merged, written anew, searched for a tarball."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import pytest

from app.assembly import Source, stamp
from app.errors import NotFound
from app.formats import FORMATS, npm_packument
from app.formats.npm import NPM
from app.formats.npm_json import PIECE, Reader, members, replaced
from app.resource import HERE, Ask, Digest, Kind, Repository
from tests.formats import made

UP = Repository("up", Kind.REMOTE, "npm", base_urls=("https://example.org/npm",))
TEAM = Repository("team", Kind.LOCAL, "npm")
ALL = Repository("all", Kind.VIRTUAL, "npm", members=("team", "up"), parts=(TEAM, UP))


@pytest.mark.parametrize(
    ("path", "key", "package", "sources", "located"),
    [
        ("tool", "tool/-/full.json", "tool", ["tool/-/full.upstream.json"], ""),
        ("@a/b", "@a/b/-/full.json", "@a/b", ["@a/b/-/full.upstream.json"], ""),
        ("JSONStream", "JSONStream/-/full.json", "JSONStream", ["JSONStream/-/full.upstream.json"], ""),
        ("tool/-/tool-1.0.0.tgz", "tool/-/tool-1.0.0.tgz", "tool", [], "tool/-/short.upstream.json"),
        ("@a/b/-/b-1.0.0.tgz", "@a/b/-/b-1.0.0.tgz", "@a/b", [], "@a/b/-/short.upstream.json"),
        ("@a/b/-/@a/b-1.0.0.tgz", "@a/b/-/@a/b-1.0.0.tgz", "@a/b", [], "@a/b/-/short.upstream.json"),
        ("tool/latest", "tool/latest", "tool", ["tool/-/full.upstream.json"], ""),
        ("@a/b/1.0.0", "@a/b/1.0.0", "@a/b", ["@a/b/-/full.upstream.json"], ""),
        (
            "-/package/@a/b/dist-tags",
            "-/package/@a/b/dist-tags",
            "@a/b",
            ["@a/b/-/short.upstream.json"],
            "",
        ),
        ("-/npm/v1/keys", "-/npm/v1/keys", "", [], ""),
        ("-/npm/v1/attestations/@a/b@1.0.0", "-/npm/v1/attestations/@a/b@1.0.0", "@a/b", [], ""),
        ("-/ping", "-/ping", "", [], ""),
    ],
)
def test_what_a_path_is(path: str, key: str, package: str, sources: list[str], located: str) -> None:
    found = NPM.resolve(UP, Ask("GET", "up", path))
    assert (found.key, NPM.named(path)) == (key, package)
    assert [each.key for each in found.sources] == sources
    assert found.addressed == bool(sources)
    assert (found.named_in.key if found.named_in else "") == located
    assert found.immutable == path.endswith(".tgz")
    virtual = NPM.resolve(ALL, Ask("GET", "all", path))
    assert [each.repository.name for each in virtual.sources or virtual.among] == ["team", "up"]
    assert virtual.package == package


@pytest.mark.parametrize(
    "path", ["", "-", "-/all", "-/whoami", "tool/-/short.json", "tool/-/x", "a/b/c", "@a", "tool/-"]
)
def test_what_no_registry_has(path: str) -> None:
    for repository in (UP, ALL):
        with pytest.raises(NotFound):
            NPM.resolve(repository, Ask("GET", repository.name, path))


def test_questions_are_known_by_their_text() -> None:
    path = "-/npm/v1/security/audits/quick"
    one, two = (NPM.resolve(UP, Ask("POST", "up", path, posted=text)) for text in ("{}", '{"a":1}'))
    assert NPM.asks(path)
    assert not NPM.asks("tool")
    assert (one.path, one.posted, two.posted) == (path, "{}", '{"a":1}')
    assert one.key != two.key
    assert one.ttl is not None
    assert one.ttl <= 300
    found = NPM.resolve(UP, Ask("GET", "up", "-/v1/search", "text=a"))
    assert (found.query, found.key) == ("text=a", "-/v1/search?text=a")


def test_a_scope_is_asked_for_as_npm_does() -> None:
    found = NPM.resolve(UP, Ask("GET", "up", "-/npm/v1/attestations/@a/b@1.0.0"))
    assert found.url == "https://example.org/npm/-/npm/v1/attestations/@a%2Fb@1.0.0"
    assert NPM.resolve(UP, Ask("GET", "up", "-/npm/v1/attestations/b@1.0.0")).url == ""


def read(text: str) -> list[tuple[str, str]]:
    reader = Reader(io.BytesIO(text.encode()))
    found = [(name, reader.value().text) for name in reader.members()]
    reader.end()
    return found


@pytest.mark.parametrize(
    "value",
    ["1", "-1.50", "1e400", '"a\\"}"', "[]", '{"a":[{}]}', "null", "true", pytest.param("9" * 5000, id="long")],
)
def test_a_value_is_kept_as_it_is_written(value: str) -> None:
    assert read(f' {{ "a" : {value} , "b":{value}}} ') == [("a", value), ("b", value)]


def test_a_value_may_lie_across_any_border() -> None:
    for shift in range(12):
        text = "{" + " " * (PIECE - 8 + shift) + '"a":12.5,"\u00e9":"\u2302x"}'
        assert read(text) == [("a", "12.5"), ("\u00e9", '"\u2302x"')]


def test_one_member_is_replaced() -> None:
    text = '{"a": {"b":1} , "b":\u2302, "b" : 2}'.replace("\u2302", '"\u2302"')
    assert replaced(text, "b", "3") == text.replace('"\u2302"', "3").replace(": 2}", ": 3}")
    assert [(name, text[value.start : value.end]) for name, value in members(text)][1] == ("b", '"\u2302"')


def document(*versions: str, **more: Any) -> BinaryIO:
    found = {version: {"dist": {"tarball": f"https://example.org/{version}.tgz"}} for version in versions}
    return io.BytesIO(json.dumps({"name": "tool", "versions": found, **more}).encode())


def written(*files: BinaryIO) -> Mapping[str, Any]:
    desk = io.BytesIO()
    npm_packument.write("tool", [npm_packument.read("up", each) for each in files], desk)  # type: ignore[arg-type]
    found: Mapping[str, Any] = json.loads(desk.getvalue())
    return found


def test_the_first_has_its_way_and_nothing_is_lost() -> None:
    one = document("1.0.0", **{"dist-tags": {"latest": "1.0.0", "old": "0.1.0"}, "readme": "one", "modified": "1"})
    two = document("2.0.0", "1.0.0", **{"dist-tags": {"latest": "2.0.0", "old": "2.0.0"}, "modified": "2"})
    found = written(one, two)
    assert list(found["versions"]) == ["1.0.0", "2.0.0"]
    assert found["dist-tags"] == {"latest": "1.0.0", "old": "2.0.0"}
    assert (found["readme"], found["modified"]) == ("one", "2")
    assert written(document("1.0.0"))["versions"]["1.0.0"]["dist"]["tarball"] == f"{HERE}/tool/-/tool-1.0.0.tgz"


@pytest.mark.parametrize(
    ("latest", "chosen"),
    [
        (("1.4.0", "99.0.0"), "1.4.0"),
        (("2.0.0-rc.2", "2.0.0"), "2.0.0-rc.2"),
        (("1.0.0", "gone"), "1.0.0"),
        (("gone", "1.0.0", "2.0.0"), "1.0.0"),
        (("", "1.0.0"), "1.0.0"),
        (("gone", "gone"), "0.1.0"),
        (("", ""), "0.1.0"),
        (("9" * 5000, "1.0.0"), "1.0.0"),
    ],
    ids=["a stranger's", "release", "not there", "nor there", "none", "all gone", "nobody", "endless"],
)
def test_latest_is_the_first_members(latest: tuple[str, ...], chosen: str) -> None:
    """A stranger's higher one is not what is installed where nobody names a version."""

    def said(version: str) -> BinaryIO:
        there = [] if version in ("", "gone") or len(version) > 256 else [version]
        tags = {"latest": version, "next": version} if version else {}
        return document("0.1.0-rc.1", "0.1.0", "0.0.9", *there, **{"dist-tags": tags})

    found = written(*map(said, latest))["dist-tags"]
    assert found["latest"] == chosen
    named = [each for each in latest if each not in ("", "gone") and len(each) < 256]
    assert found.get("next") == next(iter(named), None), "of others the first that is there"


def test_the_newest_of_what_is_left_is_the_first_members() -> None:
    hidden = {"dist-tags": {"latest": "5.0.0"}}
    assert (
        written(document("1.3.0", "1.2.0", **hidden), document("99.0.0", **hidden))["dist-tags"]["latest"] == "1.3.0"
    )
    assert written(document(**hidden), document("2.0.0", **hidden))["dist-tags"]["latest"] == "2.0.0"
    assert written(document(**hidden))["dist-tags"] == {}


def test_what_a_members_patterns_refuse_is_in_no_merged_document() -> None:
    narrow = replace(UP, immutable_patterns=(re.compile(r"/tool-1\."),))
    other = replace(UP, name="other")
    both = replace(ALL, members=("up", "other"), parts=(narrow, other))
    one = document("1.0.0", "9.9.9", **{"dist-tags": {"latest": "9.9.9"}}).read()
    two = document("2.0.0", **{"dist-tags": {"latest": "2.0.0"}}).read()
    found = json.loads(made.written(both, "tool", {"up": one, "other": two}))
    assert (list(found["versions"]), found["dist-tags"]) == (["1.0.0", "2.0.0"], {"latest": "2.0.0"})
    tags = made.written(both, "-/package/tool/dist-tags", {"up": one, "other": two})
    assert json.loads(tags) == {"latest": "2.0.0"}
    refused = {"up": document("9.9.9", readme="a stranger's").read()}
    for path in ("tool", "tool/9.9.9"):
        with pytest.raises(NotFound):
            made.written(both, path, refused)
    assert "readme" not in json.loads(made.written(both, "tool", {**refused, "other": two}))
    assert list(json.loads(made.written(narrow, "tool", {"up": one}))["versions"]) == ["1.0.0"], "nor in its own"


@pytest.mark.parametrize(
    ("pattern", "latest"),
    [("2", "2.0.0"), ("-1", "1.10.0"), ("rc", "3.0.0-rc.1"), ("[13]", "1.10.0"), ("odd", "odd")],
)
def test_latest_stays_where_its_version_is_hidden(pattern: str, latest: str) -> None:
    """The newest release that is left, else the newest of all; dates of hidden versions go with them."""
    versions = ("1.9.0", "1.10.0", "2.0.0", "3.0.0-rc.1", "odd")
    moments = {"created": "a", **dict.fromkeys(versions, "b"), "0.0.1": "c", "modified": "d"}
    tags = {"latest": "2.0.0", "next": "3.0.0-rc.1"}
    body = document(*versions, **{"dist-tags": tags, "time": moments}).read()
    narrow = replace(UP, immutable_patterns=(re.compile(pattern),))
    for repository in (narrow, replace(ALL, parts=(TEAM, narrow))):
        found = json.loads(made.written(repository, "tool", {"up": body}))
        left = [each for each in versions if re.search(pattern, f"tool-{each}")]
        assert list(found["versions"]) == left
        assert found["dist-tags"]["latest"] == latest
        assert ("next" in found["dist-tags"]) is ("3.0.0-rc.1" in left)
        assert set(found["time"]) == {"created", "modified", "0.0.1", *left}
        assert json.loads(made.written(repository, "tool/latest", {"up": body}))["dist"]


@pytest.mark.parametrize(("package", "path"), [("npm", "tool"), ("cargo", "to/ol/tool"), ("go", "tool/@v/list")])
def test_other_patterns_make_another_document(package: str, path: str) -> None:
    """Of the very same of upstream's: what it was made of says which patterns chose."""
    told = set()
    for pattern in ("a", "b"):
        narrow = replace(made.remote(package), immutable_patterns=(re.compile(pattern),))
        found = FORMATS[package].resolve(narrow, Ask("GET", "r", path))
        told.add(stamp(found, [Source(each, "0" * 64) for each in found.sources]))
    assert len(told) == 2


@pytest.mark.parametrize(
    "manifest",
    [
        '{"a": 1.0, "dist": {"tarball": "x", "b": 1}}',
        '{"keywords": ["tarball"], "dist": {"tarball": "x"}}',
        '{"dependencies": {"tarball": "^1"}, "dist": {"tarball" : "x"}}',
        '{"dependencies": {"a\\"tarball": "^1"}, "dist": {"b": 1, "tarball": "x"}}',
        '{"dist": {"t\\u0061rball": "x"}, "tarball": "y"}',
        '{"dist": {"tarball": "http:\\/\\/x"}}',
        '{"d\\u0069st": {"tarball": "x"}}',
    ],
)
def test_one_url_becomes_another_and_nothing_else(manifest: str) -> None:
    text = f'{{"name": "tool", "versions": {{"1.0.0": {manifest}}}}}'
    wanted = json.loads(manifest)
    wanted["dist"]["tarball"] = f"{HERE}/tool/-/tool-1.0.0.tgz"
    found = written(io.BytesIO(text.encode()))["versions"]["1.0.0"]
    assert json.dumps(found) == json.dumps(wanted)


def test_a_text_that_has_our_mark_keeps_it_escaped() -> None:
    text = f'{{"name": "{HERE}", "versions": {{"1.0.0": {{"{HERE}": "{HERE}", "dist": {{"tarball": "x"}}}}}}}}'
    desk = io.BytesIO()
    npm_packument.write("tool", [npm_packument.read("up", io.BytesIO(text.encode()))], desk)  # type: ignore[arg-type]
    assert desk.getvalue().count(HERE.encode()) == 1
    assert json.loads(desk.getvalue())["name"] == HERE


SHA512 = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="


@pytest.mark.parametrize(
    ("dist", "digest"),
    [
        ({"integrity": SHA512, "shasum": "a" * 40}, "sha512"),
        ({"integrity": f"md5-AAAA sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= {SHA512}?x"}, "sha512"),
        ({"integrity": "sha512-not*base64", "shasum": "A" * 40}, "sha1"),
        ({"shasum": "z" * 40}, ""),
        ({"shasum": 1, "integrity": []}, ""),
    ],
)
def test_the_strongest_checksum_is_expected(dist: dict[str, Any], digest: str) -> None:
    text = json.dumps({"versions": {"1.0.0": {"dist": {"tarball": "t", **dist}}}}).encode()
    found = npm_packument.located("@a/b", "@a/b/-/b-1.0.0.tgz", io.BytesIO(text))
    assert found is not None
    assert (found.digest.algorithm if found.digest else "") == digest
    assert found.digest is None or found.digest == Digest(digest, found.digest.value.lower())


def test_a_tarball_is_found_by_its_version_then_by_its_name_upstream() -> None:
    index = document("1.0.0", "tool-2.0.0")
    for name, wanted in {"tool-1.0.0": "1.0.0", "tool-2.0.0": "tool-2.0.0"}.items():
        index.seek(0)
        found = npm_packument.located("tool", f"tool/-/{name}.tgz", index)
        assert found is not None
        assert found.url == f"https://example.org/{wanted}.tgz"
    index.seek(0)
    assert npm_packument.located("tool", "tool/-/tool-3.0.0.tgz", index) is None
