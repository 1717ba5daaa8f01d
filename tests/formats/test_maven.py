"""Maven's rules as tables, metadata merged, checksums of metadata; what a node makes of bad answers."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from app.errors import NotFound
from app.formats.maven import MAVEN
from app.formats.maven_metadata import Metadata, merge, read
from app.hosting.maven_metadata import of_home
from app.resource import Ask, Digest, Found, Kind, Repository
from tests.formats import made
from tests.formats.proxied import resolved, serving
from tests.http.node import Node
from tests.upstreams import Upstream

HOME = "org/example/lib"
BUILD = "lib-1.1-20261121.161714-3"

# path -> I immutable, M mutable; O the format's own path; H may be HTML
PATHS = {
    f"{HOME}/maven-metadata.xml": "M O",
    f"{HOME}/1.1-SNAPSHOT/maven-metadata.xml": "M O",
    f"{HOME}/maven-metadata.xml.asc": "M O",
    f"{HOME}/1.0/lib-1.0.jar": "I",
    f"{HOME}/1.0/lib-1.0.pom": "I",
    f"{HOME}/1.0/lib-1.0-sources.jar": "I",
    f"{HOME}/1.0/lib-1.0.jar.sha1": "I",
    f"{HOME}/1.0/lib-1.0.jar.asc": "I",
    f"{HOME}/1.0/lib-1.0.jar.asc.md5": "I",
    f"{HOME}/1.0/lib-1.0.module": "I",
    f"{HOME}/1.0/lib-1.0-report.html": "I H",
    f"{HOME}/1.1-SNAPSHOT/{BUILD}.jar": "I",
    f"{HOME}/1.1-SNAPSHOT/{BUILD}-sources.jar.sha1": "I",
    f"{HOME}/1.1-SNAPSHOT/lib-1.1-SNAPSHOT.jar": "M",
    f"{HOME}/1.1-SNAPSHOT/lib-1.1-SNAPSHOT.jar.sha1": "M",
    f"{HOME}/SNAPSHOT/lib-SNAPSHOT.pom": "M",
    f"{HOME}/1.0/other-1.0.jar": "M",
    f"{HOME}/1.0/other-1.0.txt": "M H",
    "archetype-catalog.xml": "M O",
    "archetype-catalog.xml.sha1": "M O",
    ".index/nexus-maven-repository-index.gz": "M O",
    f"{HOME}/": "M H",
}


@pytest.mark.parametrize(("path", "facts"), PATHS.items())
def test_a_path(path: str, facts: str) -> None:
    found = resolved("maven", path)
    assert (found.immutable, found.html) == ("I" in facts, "H" in facts)
    if "O" in facts:
        assert resolved("maven", path, allow="^nothing$").immutable is ("I" in facts)


NAMES = {
    f"{HOME}/1.0/lib-1.0.jar": "org.example:lib",
    f"{HOME}/1.0/lib-1.0.jar.asc.sha1": "org.example:lib",
    f"{HOME}/maven-metadata.xml": "org.example:lib",
    f"{HOME}/maven-metadata.xml.sha512": "org.example:lib",
    f"{HOME}/1.1-SNAPSHOT/maven-metadata.xml": "org.example:lib",
    f"{HOME}/1.1-SNAPSHOT/{BUILD}.pom": "org.example:lib",
    "junit/junit/maven-metadata.xml": "junit:junit",
    "junit/maven-metadata.xml": "",
    "maven-metadata.xml": "",
    "archetype-catalog.xml": "",
    "": "",
}


@pytest.mark.parametrize(("path", "name"), NAMES.items())
def test_a_path_is_about_an_artifact(path: str, name: str) -> None:
    assert MAVEN.named(path) == name


SHA1, SHA256 = "c3" * 20, "a1" * 32


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"X-Checksum-Sha1": SHA1}, Digest("sha1", SHA1)),
        ({"X-Checksum-Sha1": SHA1, "X-Checksum-Sha256": SHA256.upper()}, Digest("sha256", SHA256)),
        ({"X-Checksum-Sha1": "none"}, None),
        ({"X-Goog-Meta-Checksum-Sha1": SHA1}, Digest("sha1", SHA1)),
        ({"ETag": f'"{{SHA1{{{SHA1}}}}}"'}, Digest("sha1", SHA1)),
        ({"ETag": f'"{SHA1}"'}, None),
        (
            {"X-Goog-Hash": f"crc32c=n03x6A==, md5={base64.b64encode(bytes(16)).decode()}"},
            Digest("md5", "00" * 16),
        ),
        ({"X-Goog-Hash": "md5=?"}, None),
    ],
)
def test_what_upstream_tells_of_a_release(headers: dict[str, str], expected: Digest | None) -> None:
    assert MAVEN.promised(resolved("maven", f"{HOME}/1.0/lib-1.0.jar"), headers) == expected
    assert MAVEN.promised(resolved("maven", f"{HOME}/maven-metadata.xml"), headers) is None


# -- merging ------------------------------------------------------------------------------------------------


def written(*versions: str, latest: str = "", release: str = "", updated: str = "", more: str = "") -> Metadata:
    parts = [f"<{name}>{text}</{name}>" for name, text in (("latest", latest), ("release", release)) if text]
    parts += (
        [f"<versions>{''.join(f'<version>{each}</version>' for each in versions)}</versions>"] if versions else []
    )
    parts += [f"<lastUpdated>{updated}</lastUpdated>"] if updated else []
    head = "<groupId>org.example</groupId><artifactId>lib</artifactId>"
    return read(io.BytesIO(f"<metadata>{head}<versioning>{''.join(parts)}{more}</versioning></metadata>".encode()))


def texts(body: bytes, *paths: str) -> list[list[str]]:
    return [[each.text or "" for each in ElementTree.fromstring(body).findall(path)] for path in paths]


def test_versions_of_all_are_in_mavens_order() -> None:
    one = written("1.0", "1.10", latest="1.10", release="1.10", updated="20261101000000")
    other = written("1.2", "1.10", "2.0-SNAPSHOT", latest="2.0-SNAPSHOT", release="1.2", updated="20261102000000")
    merged = merge([one, other])
    assert texts(merged, ".//version", ".//latest", ".//release", ".//lastUpdated", "groupId") == [
        ["1.0", "1.2", "1.10", "2.0-SNAPSHOT"],
        ["2.0-SNAPSHOT"],
        ["1.10"],
        ["20261102000000"],
        ["org.example"],
    ]
    assert merge([other, one]) == merged
    assert merge([read(io.BytesIO(merged))]) == merged


def build(number: int, stamp: str, *files: tuple[str, str, str]) -> Metadata:
    listed = "".join(
        f"<snapshotVersion>{f'<classifier>{classifier}</classifier>' if classifier else ''}"
        f"<extension>{extension}</extension><value>1-{stamp}-{number}</value><updated>{updated}</updated>"
        "</snapshotVersion>"
        for classifier, extension, updated in files
    )
    wrapped = f"<snapshotVersions>{listed}</snapshotVersions>" if files else ""
    snapshot = f"<snapshot><timestamp>{stamp}</timestamp><buildNumber>{number}</buildNumber></snapshot>"
    return written(more=snapshot + wrapped)


def test_of_a_snapshot_the_newest_build_and_the_newest_of_each_file() -> None:
    one = build(9, "20261101.000000", ("", "jar", "20261101000000"), ("docs", "jar", "20261101000000"))
    other = build(2, "20261102.000000", ("", "jar", "20261102000000"))
    merged = merge([one, other])
    assert texts(merged, ".//timestamp", ".//buildNumber") == [["20261102.000000"], ["2"]]
    assert texts(merged, ".//snapshotVersion/value", ".//classifier") == [
        ["1-20261101.000000-9", "1-20261102.000000-2"],
        ["docs"],
    ]


def test_files_of_an_older_build_do_not_hide_one_that_lists_none() -> None:
    merged = merge([build(1, "20261101.000000", ("", "jar", "20261101000000")), build(2, "20261102.000000")])
    assert texts(merged, ".//buildNumber", ".//snapshotVersion") == [["2"], []]


def narrow(pattern: str) -> Repository:
    one = replace(made.remote("maven", "one"), immutable_patterns=(re.compile(pattern),))
    return made.virtual("maven", one, made.remote("maven", "two"))


def test_versions_that_a_members_patterns_refuse_are_in_no_merged_metadata() -> None:
    where, path = narrow(r"/lib-1[.-]|/lib-2-[0-9.]+-[0-9]+\."), f"{HOME}/maven-metadata.xml"
    one = of_home(HOME, ["1.0", "2-SNAPSHOT", "3-SNAPSHOT", "9.9"], [], 0) or b""
    merged = made.written(where, path, {"one": one, "two": of_home(HOME, ["1.5"], [], 0) or b""})
    assert texts(merged, ".//version", ".//release") == [["1.0", "1.5", "2-SNAPSHOT"], ["1.5"]]
    assert texts(made.written(where, path, {"one": one}), ".//release") == [[]]
    with pytest.raises(NotFound):
        made.written(where, path, {"one": of_home(HOME, ["9.9"], [], 0) or b""})


def test_builds_that_a_members_patterns_refuse_are_in_no_merged_metadata() -> None:
    path = f"{HOME}/1-SNAPSHOT/maven-metadata.xml"
    said = [
        f"<snapshotVersion><extension>{each}</extension><value>1-{stamp}-{number}</value></snapshotVersion>"
        for each, stamp, number in (("jar", "20261101.000000", 9), ("pom", "20261102.000000", 2))
    ]
    form = (
        "<metadata><versioning><snapshot><timestamp>{0}</timestamp><buildNumber>{1}</buildNumber></snapshot>"
        "<snapshotVersions>{2}</snapshotVersions></versioning></metadata>"
    )
    bodies = {
        "one": form.format("20261109.000000", 9, said[0]).encode(),
        "two": form.format("20261102.000000", 2, said[1]).encode(),
    }
    wanted = [["2"], ["pom"]]
    for pattern in ("^com/", r"\.war$"):
        assert texts(made.written(narrow(pattern), path, bodies), ".//buildNumber", ".//extension") == wanted
    allowed = narrow(r"/lib-1-20261101\.000000-9\.jar$")
    assert texts(made.written(allowed, path, bodies), ".//extension") == [["jar", "pom"]]
    with pytest.raises(NotFound):
        made.written(narrow("^com/"), path, {"one": bodies["one"]})


def plugin(artifact: str, prefix: str) -> str:
    return f"<plugin><prefix>{prefix}</prefix><artifactId>{artifact}</artifactId></plugin>"


def test_a_groups_plugins_are_those_of_who_may_name_them() -> None:
    owner = Repository("owner", Kind.REMOTE, "maven", owned=("org.tools:own-*",))
    team, stranger = Repository("team", Kind.LOCAL, "maven"), Repository("stranger", Kind.REMOTE, "maven")
    said = [
        (stranger, plugin("own-plugin", "own") + plugin("team-plugin", "team") + plugin("free-plugin", "free")),
        (team, plugin("team-plugin", "t")),
        (owner, plugin("own-plugin", "o") + plugin("other-plugin", "free")),
    ]
    body = io.BytesIO()
    found = [
        Found(
            MAVEN.resolve(member, Ask("GET", member.name, "org/tools/maven-metadata.xml")),
            file=io.BytesIO(f"<metadata><plugins>{plugins}</plugins></metadata>".encode()),
        )
        for member, plugins in said
    ]
    resource = resolved("maven", "org/tools/maven-metadata.xml")
    made = MAVEN.make(resource, found, type("Desk", (), {"write": body.write})())
    assert texts(body.getvalue(), ".//prefix", ".//artifactId") == [
        ["free", "t", "o"],
        ["free-plugin", "team-plugin", "own-plugin"],
    ]
    assert f"X-Checksum-Sha1: {hashlib.sha1(body.getvalue()).hexdigest()}" in made.kept


@pytest.mark.parametrize(
    "body",
    [
        b"<html/>",
        b"{}",
        b"<metadata>",
        b'<!DOCTYPE m [<!ENTITY a "aa">]><metadata>&a;</metadata>',
        b"<metadata>" + b"<a>" * 100,
        b"<metadata><versioning><versions>" + b"<version>1</version>" * 100_001,
        b"<metadata><versioning><latest>" + b"1" * 300 + b"</latest></versioning></metadata>",
        b"<metadata>" + b"<x></x>" * 700_000 + b"</metadata>",
    ],
    ids=["html", "json", "cut", "dtd", "deep", "many", "long", "large"],
)
def test_what_is_no_metadata_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"is|has|says"):
        read(io.BytesIO(body))


CATALOG = b"<archetype-catalog><archetypes>%s</archetypes></archetype-catalog>"


@pytest.mark.parametrize("body", [b"<bro", b"<html/>", CATALOG[:-3] % b""], ids=["broken", "html", "cut"])
def test_what_is_no_catalog_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="is"):
        MAVEN.read(resolved("maven", "archetype-catalog.xml"), io.BytesIO(body))


def test_a_catalog_may_be_long() -> None:
    known = b"<archetype><groupId>org.example</groupId></archetype>" * 100_000
    assert MAVEN.read(resolved("maven", "archetype-catalog.xml"), io.BytesIO(CATALOG % known)).kept == ""


# -- served -------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[tuple[Node, Upstream]]:
    with serving(tmp_path, database_url, redis_url, "maven") as found:
        yield found


def metadata(*versions: str) -> bytes:
    return of_home(HOME, versions, [], 0) or b""


def test_a_login_page_is_no_jar(served: tuple[Node, Upstream]) -> None:
    """However it begins, and in however small pieces it comes."""
    node, upstream = served
    for number, start in enumerate((b"\xef\xbb\xbf<!doctype html>", b"<!-- (c) --><html>", b"<head>")):
        path = f"/{HOME}/{number}/lib-{number}.jar"
        upstream.put(path, start + b"<p>Sign in</p>" * 100, Content_Type="application/octet-stream")
        upstream.rate(5_000)
        assert [node.get(f"/repository/r{path}").status_code for _ in range(2)] == [502, 502], start
        node.idle()
        assert upstream.count(path) == 2


def test_metadata_and_its_checksums_are_of_one_edition(served: tuple[Node, Upstream]) -> None:
    """Whatever upstream's checksum says: it is never asked for."""
    node, upstream = served
    where = f"/repository/r/{HOME}/maven-metadata.xml"
    for edition in (metadata("1.0"), metadata("1.0", "2.0")):
        upstream.put(f"/{HOME}/maven-metadata.xml", edition)
        upstream.put(f"/{HOME}/maven-metadata.xml.sha1", b"0" * 40)
        for name in ("sha1", "sha256", "md5", "sha512"):
            told = node.get(f"{where}.{name}")
            assert (told.status_code, told.data.decode()) == (200, hashlib.new(name, edition).hexdigest())
        answer = node.get(where)
        assert (answer.data, answer.headers["X-Checksum-Sha1"]) == (edition, hashlib.sha1(edition).hexdigest())
        assert node.head(f"{where}.sha1").headers["Content-Length"] == "40"
        node.clock.forward(101)
    assert upstream.count(f"/{HOME}/maven-metadata.xml") == 2
    assert upstream.count(f"/{HOME}/maven-metadata.xml.sha1") == 0
    upstream.stop()
    assert node.get(f"{where}.sha1").data.decode() == hashlib.sha1(metadata("1.0", "2.0")).hexdigest()
    assert node.get(f"/repository/r/{HOME}/other/maven-metadata.xml.sha1").status_code == 502


def test_a_jar_is_verified_by_what_upstream_tells_with_it(served: tuple[Node, Upstream]) -> None:
    node, upstream = served
    path, body = f"/{HOME}/1.0/lib-1.0.jar", b"PK a jar"
    upstream.put(path, body, X_Checksum_Sha1=hashlib.sha1(b"another").hexdigest())
    assert node.get(f"/repository/r{path}").status_code == 502
    assert node.blobs() == []
    upstream.put(path, body, X_Checksum_Sha1=hashlib.sha1(body).hexdigest())
    for _ in range(2):
        answer = node.get(f"/repository/r{path}")
        assert (answer.data, answer.headers["X-Checksum-Sha1"]) == (body, hashlib.sha1(body).hexdigest())


def test_bad_answers_are_502_and_what_is_stored_stays(served: tuple[Node, Upstream]) -> None:
    node, upstream = served
    path = f"/{HOME}/maven-metadata.xml"
    upstream.put(path, metadata("1.0"))
    assert node.get(f"/repository/r{path}").status_code == 200
    upstream.put(path, b"<metadata>")
    upstream.put(f"/{HOME}/1.0/lib-1.0.jar.sha1", b'{"error": "no such file"}')
    upstream.put(f"/{HOME}/1.0/lib-1.0.jar", b"")
    upstream.html(f"/{HOME}/1.0/lib-1.0.jar")
    node.clock.forward(101)
    answer = node.get(f"/repository/r{path}")
    assert (answer.data, answer.headers["X-Cache"]) == (metadata("1.0"), "STALE")
    for name in ("1.0/lib-1.0.jar", "1.0/lib-1.0.jar.sha1"):
        answer = node.get(f"/repository/r/{HOME}/{name}")
        assert (answer.status_code, answer.json["error"]) == (502, "upstream_invalid"), name  # type: ignore[index]


@pytest.fixture
def virtual(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[tuple[Node, Upstream]]:
    """`all`: the local `team`, and `r`."""
    upstream = Upstream()
    document = {
        "locals": {"team": {"package": "maven"}},
        "remotes": {"r": {"package": "maven", "base_url": upstream.url, "cache": {"mutable_ttl": 100}}},
        "virtuals": {"all": {"package": "maven", "members": ["r", "team"]}},
    }
    try:
        with Node(tmp_path, database_url, redis_url, document).running() as node:
            yield node, upstream
    finally:
        upstream.stop()


def test_a_virtual_tells_checksums_of_what_it_has_from_anywhere(virtual: tuple[Node, Upstream]) -> None:
    node, upstream = virtual
    shared = "org/shared/lib"
    body = b"published here, and larger than a worker sends by itself" * 2000
    assert node.admin("PUT", f"/repository/team/{HOME}/1.0/lib-1.0.txt", body).status_code == 201
    upstream.put(f"/{HOME}/1.0/lib-1.0.txt", b"a stranger's")
    for name in ("sha1", "md5", "sha256", "sha512"):
        told = node.get(f"/repository/all/{HOME}/1.0/lib-1.0.txt.{name}")
        assert (told.status_code, told.data.decode()) == (200, hashlib.new(name, body).hexdigest())
    assert node.get(f"/repository/all/{HOME}/1.0/lib-1.0.txt").data == body
    assert node.get(f"/repository/all/{HOME}/2.0/lib-2.0.jar.sha1").status_code == 404
    assert upstream.requests == []
    upstream.put(f"/{shared}/maven-metadata.xml", metadata("1.0"))
    for path in (f"{shared}/maven-metadata.xml", f"{HOME}/maven-metadata.xml"):
        answer = node.get(f"/repository/all/{path}")
        assert (answer.status_code, answer.headers["X-Checksum-Md5"]) == (200, hashlib.md5(answer.data).hexdigest())
        assert node.get(f"/repository/all/{path}.sha1").data.decode() == hashlib.sha1(answer.data).hexdigest()


def test_a_groups_plugins_are_of_all_who_own_its_name(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """What is hosted of them stands for all, but where the name of the group's metadata is the others', too."""
    upstream, where = Upstream(), "org/tools/maven-metadata.xml"
    form, shared = "<metadata><plugins>{0}</plugins></metadata>", {"package": "maven", "owned": ["org:tools"]}
    known = {
        "remotes": {"r": {**shared, "base_url": upstream.url}},
        "locals": {"team": shared},
        "virtuals": {"all": {"package": "maven", "members": ["team", "r"]}},
    }
    upstream.put(f"/{where}", form.format(plugin("free-plugin", "free") + plugin("own-plugin", "mine")).encode())
    try:
        with Node(tmp_path, database_url, redis_url, known).running() as node:
            ours = form.format(plugin("own-plugin", "own")).encode()
            assert node.admin("PUT", f"/repository/team/{where}", ours).status_code == 201
            merged = node.get(f"/repository/all/{where}").data
            assert texts(merged, ".//prefix", ".//artifactId") == [["own", "free"], ["own-plugin", "free-plugin"]]
    finally:
        upstream.stop()


def test_the_server_of_a_chain_is_believed(served: tuple[Node, Upstream]) -> None:
    """What this server tells of a file is what one in front of it verifies that by."""
    node, upstream = served
    upstream.put(f"/{HOME}/1.0/lib-1.0.pom", b"<project/>")
    node.get(f"/repository/r/{HOME}/1.0/lib-1.0.pom")
    told = node.get(f"/repository/r/{HOME}/1.0/lib-1.0.pom").headers
    promised = MAVEN.promised(resolved("maven", f"{HOME}/1.0/lib-1.0.pom"), dict(told))
    assert promised == Digest("sha256", hashlib.sha256(b"<project/>").hexdigest())
