"""Maven: a real `mvn deploy` of a release and of snapshots, builds that use them; then what a client may not do."""

from __future__ import annotations

import hashlib
import io
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.clients.commands import CommandFailedError, run
from tests.conftest import require
from tests.hosting import asked
from tests.hosting.conftest import TOKEN
from tests.hosting.maven import Maven
from tests.stack import Stack

GREETING = 'public class Greeting {{ public static String text() {{ return "{0}"; }} }}'
USER = "public class User { public static void main(String[] a) { System.out.println(Greeting.text()); } }"
POM = "<project><groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version></project>"
PLUGIN = (
    "<metadata><plugins><plugin><prefix>{0}</prefix><artifactId>{0}-maven-plugin</artifactId></plugin></plugins>"
    "</metadata>"
)


def ask(stack: Stack, path: str, body: bytes | None = None, method: str = "") -> tuple[int, bytes]:
    """Status and body of a request with the token; with a body it is a PUT."""
    told = asked.ask(method or ("GET" if body is None else "PUT"), f"{stack.url}/repository/{path}", body)
    return told.status, told.body


def texts(stack: Stack, path: str, *wanted: str) -> list[list[str]]:
    """The texts of elements of the metadata in that directory."""
    status, body = ask(stack, f"{path}/maven-metadata.xml")
    assert status == 200, body
    return [[each.text or "" for each in ElementTree.fromstring(body).findall(name)] for name in wanted]


def jar(text: str = "") -> bytes:
    """The same bytes in every process that collects tests: a member that says when it was written would not be."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(zipfile.ZipInfo("text"), text)
    return body.getvalue()


@pytest.fixture(scope="module")
def maven(tmp_path_factory: pytest.TempPathFactory) -> Maven:
    return Maven(tmp_path_factory.mktemp("maven"), TOKEN)


def said(maven: Maven, user: Path) -> str:
    """What the program prints whose project that is, with what it was compiled against."""
    jars = [str(path) for path in (maven.local / "org/example").rglob("lib*.jar")]
    return run([require("java"), "-cp", ":".join([str(user / "target/classes"), *jars]), "User"], maven.home)


def test_what_is_deployed_is_built_with(hosted: Stack, maven: Maven) -> None:
    """In a private repository: Maven sends its token when it is asked for one."""
    repository = "private-maven"
    url, home = f"{hosted.url}/repository/{repository}", f"{repository}/org/example/lib"
    lib = maven.project(url, "org.example:lib:1.0", GREETING.format("released"))
    maven.run(lib, "deploy")
    maven.project(url, "org.example:lib:1.0", GREETING.format("another"))
    with pytest.raises(CommandFailedError, match="409"):
        maven.run(lib, "deploy")
    for greeting in ("first", "second"):
        maven.run(maven.project(url, "org.example:lib:1.1-SNAPSHOT", GREETING.format(greeting)), "deploy")
    versions = [["1.0", "1.1-SNAPSHOT"], ["1.0"], ["1.1-SNAPSHOT"]]
    assert texts(hosted, home, ".//version", ".//release", ".//latest") == versions
    assert texts(hosted, f"{home}/1.1-SNAPSHOT", ".//buildNumber", ".//extension") == [["2"], ["jar", "pom"]]
    for version, greeting in (("1.0", "released"), ("1.1-SNAPSHOT", "second")):
        maven.forget("org.example")
        user = maven.project(url, "org.example.user:user:1.0", USER, f"org.example:lib:{version}")
        maven.run(user, "compile")
        assert said(maven, user) == f"{greeting}\n"


def test_strangers_learn_nothing_of_what_is_private(hosted: Stack) -> None:
    home = "private-maven/org/secret/lib"
    assert ask(hosted, f"{home}/1.0/lib-1.0.jar", jar("secret"))[0] == 201
    for name in ("1.0/lib-1.0.jar", "1.0/lib-1.0.jar.sha1", "1.0/lib-2.0.jar", "maven-metadata.xml", ""):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            told = asked.ask(
                method, f"{hosted.url}/repository/{home}/{name}", headers={"Authorization": "Basic eDp4"}
            )
            assert told.status == 401, (method, name)


def test_a_release_is_published_once(hosted: Stack) -> None:
    path, body, other = "org/once/lib/1.0/lib-1.0.jar", jar("once"), jar("other")
    assert [ask(hosted, f"maven/{path}", each)[0] for each in (body, body, other)] == [201, 409, 409]
    assert ask(hosted, f"maven/{path}.sha1", hashlib.sha1(body).hexdigest().encode())[0] == 201
    assert [ask(hosted, f"open-maven/{path}", each)[0] for each in (body, body, other)] == [201, 201, 201]
    assert ask(hosted, f"maven/{path}") == (200, body)
    assert ask(hosted, f"open-maven/{path}.sha1")[1].decode() == hashlib.sha1(other).hexdigest()


def test_what_broke_off_is_taken_back_and_deployed_again(hosted: Stack, maven: Maven) -> None:
    url, home = f"{hosted.url}/repository/maven", "maven/org/example/broken"
    lib = maven.project(url, "org.example:broken:1.0", GREETING.format("whole"))
    assert ask(hosted, f"{home}/1.0/broken-1.0.jar", jar("half"))[0] == 201
    with pytest.raises(CommandFailedError, match="409"):
        maven.run(lib, "deploy")
    assert ask(hosted, f"{home}/1.0/", method="DELETE")[0] == 204
    maven.run(lib, "deploy")
    assert texts(hosted, home, ".//version") == [["1.0"]]


def test_every_file_has_its_checksums(hosted: Stack) -> None:
    path, body = "maven/org/sums/lib/1.0/lib-1.0.jar", jar("sums")
    assert ask(hosted, path, body)[0] == 201
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        right = hashlib.new(algorithm, body).hexdigest()
        assert ask(hosted, f"{path}.{algorithm}") == (200, right.encode())
        assert ask(hosted, f"{path}.{algorithm}", f"{right.upper()}  lib-1.0.jar\n".encode())[0] == 201
        wrong = hashlib.new(algorithm, b"else").hexdigest()
        assert ask(hosted, f"{path}.{algorithm}", wrong.encode())[0] == 400
        assert ask(hosted, f"{path}.{algorithm}") == (200, right.encode())
    metadata = ask(hosted, "maven/org/sums/lib/maven-metadata.xml")[1]
    told = ask(hosted, "maven/org/sums/lib/maven-metadata.xml.sha1")[1]
    assert told.decode() == hashlib.sha1(metadata).hexdigest()
    assert ask(hosted, "maven/org/sums/lib/1.0/lib-1.0-sources.jar.sha1")[0] == 404
    assert ask(hosted, "maven/org/sums/lib/1.0/lib-1.0-sources.jar.sha1", b"0" * 40)[0] == 400


def test_the_resolver_is_told_checksums_with_the_body(hosted: Stack) -> None:
    body = jar("told")
    ask(hosted, "maven/org/told/lib/1.0/lib-1.0.jar", body)
    for path in ("org/told/lib/1.0/lib-1.0.jar", "org/told/lib/maven-metadata.xml"):
        with urllib.request.urlopen(f"{hosted.url}/repository/maven/{path}", timeout=30) as answer:
            assert answer.headers["X-Checksum-Sha1"] == hashlib.sha1(answer.read()).hexdigest()


def test_versions_that_are_sent_at_the_same_time_are_all_told_of(hosted: Stack) -> None:
    home, versions = "maven/org/race/lib", [f"1.{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(ask, hosted, f"{home}/{each}/lib-{each}.jar", jar(each)) for each in versions]
    assert {each.result()[0] for each in sent} == {201}
    assert texts(hosted, home, ".//version", ".//release") == [versions, ["1.15"]]


def test_a_clients_metadata_does_not_win(hosted: Stack) -> None:
    home = "maven/org/wins/lib"
    ask(hosted, f"{home}/1.0/lib-1.0.jar", jar())
    mine = b"<metadata><versioning><release>9</release></versioning></metadata>"
    assert ask(hosted, f"{home}/maven-metadata.xml", mine)[0] == 201
    assert ask(hosted, f"{home}/maven-metadata.xml.sha1", hashlib.sha1(mine).hexdigest().encode())[0] == 201
    assert texts(hosted, home, ".//release", ".//version") == [["1.0"], ["1.0"]]


def test_the_plugins_of_a_group_are_kept(hosted: Stack) -> None:
    for prefix in ("paint", "brush", "paint"):
        assert ask(hosted, "maven/org/tools/maven-metadata.xml", PLUGIN.format(prefix).encode())[0] == 201
    ask(hosted, "maven/org/tools/1.0/tools-1.0.jar", jar())  # an artifact whose id is also a part of a group's
    assert texts(hosted, "maven/org/tools", ".//prefix", ".//version") == [["brush", "paint"], ["1.0"]]


def test_a_snapshot_that_is_half_there_is_not_told_of(hosted: Stack) -> None:
    home = "maven/org/half/lib/1-SNAPSHOT"
    first, second = "20261121.101010-1", "20261121.111111-2"
    ask(hosted, f"{home}/lib-1-{first}.jar", jar("1"))
    ask(hosted, f"{home}/lib-1-{first}.pom", POM.format("org.half", "lib", "1-SNAPSHOT").encode())
    ask(hosted, f"{home}/lib-1-{second}.jar", jar("2"))
    assert texts(hosted, home, ".//buildNumber", ".//value") == [["1"], [f"1-{first}", f"1-{first}"]]
    ask(hosted, f"{home}/lib-1-{second}.pom", POM.format("org.half", "lib", "1-SNAPSHOT").encode())
    assert texts(hosted, home, ".//buildNumber", ".//value") == [["2"], [f"1-{second}", f"1-{second}"]]
    for text in ("a", "b"):  # without a number it is the same file again
        assert ask(hosted, f"{home}/lib-1-SNAPSHOT.jar", jar(text))[0] == 201
    assert [ask(hosted, f"{home}/lib-1-{second}.jar", jar(text))[0] for text in "23"] == [409, 409]
    url = f"{hosted.url}/repository/{home}/lib-1-SNAPSHOT.jar"
    assert asked.ask("PUT", url, jar("c"), {"If-None-Match": "*"}).status == 412


def test_what_is_deleted_leaves_the_metadata(hosted: Stack) -> None:
    home = "open-maven/org/gone/lib"
    for version in ("1.0", "1.1", "2-SNAPSHOT"):
        ask(hosted, f"{home}/{version}/lib-{version}.jar", jar())
        ask(hosted, f"{home}/{version}/lib-{version}.pom", POM.format("org.gone", "lib", version).encode())
    assert ask(hosted, f"{home}/1.1/", method="DELETE")[0] == 204
    assert texts(hosted, home, ".//version") == [["1.0", "2-SNAPSHOT"]]
    assert ask(hosted, f"{home}/2-SNAPSHOT/", method="DELETE")[0] == 204
    assert texts(hosted, home, ".//version") == [["1.0"]]
    assert ask(hosted, f"{home}/2-SNAPSHOT/maven-metadata.xml")[0] == 404
    assert ask(hosted, f"{home}/1.0/lib-1.0.jar", method="DELETE")[0] == 204
    assert ask(hosted, f"{home}/1.0/lib-1.0.jar.sha1")[0] == 404
    assert ask(hosted, "open-maven/org/gone/", method="DELETE")[0] == 409
    assert ask(hosted, f"{home}/", method="DELETE")[0] == 204
    assert ask(hosted, f"{home}/maven-metadata.xml")[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("lib-1.0.jar", jar(), 400),
        ("org/lib/1.0/other-1.0.jar", jar(), 400),
        ("org/lib/1.0/lib-1.1.jar", jar(), 400),
        ("org/l%C3%ADb/1.0/l%C3%ADb-1.0.jar", jar(), 400),
        ("org/lib/%2e%2e/lib-1.0.jar", jar(), 400),
        (f"org/lib/1.0/lib-1.0-{'x' * 300}.jar", jar(), 400),
        ("org/lib/1-SNAPSHOT/lib-1-20269999.101010-1.jar", jar(), 400),
        ("org/bad/lib/1.0/lib-1.0.pom", b"no xml at all", 422),
        ("org/bad/lib/1.0/lib-1.0.pom", b"<html>", 422),
        ("org/bad/lib/1.0/lib-1.0.pom", b"<html/>", 422),
        ("org/bad/lib/1.0/lib-1.0.pom", POM.format("org.bad", "lib", "2.0").encode(), 422),
        ("org/bad/lib/1.0/lib-1.0.pom", b"<project><artifactId>other</artifactId></project>", 422),
        ("org/bad/lib/1.0/lib-1.0.pom", b"<project><parent><groupId>other</groupId></parent></project>", 422),
        ("org/bad/lib/1.0/lib-1.0.pom", b'<!DOCTYPE p [<!ENTITY a "aa">]><project>&a;</project>', 422),
        ("org/bad/lib/1.0/lib-1.0.pom", b"<project>" + b"<a>" * 100_000, 422),
        ("org/bad/lib/1.0/lib-1.0.pom", b"<project><groupId>" + b"a" * 100_000, 422),
        ("org/bad/lib/1.0/lib-1.0.jar.sha1", b"no checksum", 400),
        ("org/bad/lib/maven-metadata.xml", b"no metadata", 422),
        ("org/bad/lib/maven-metadata.xml", PLUGIN.format("../x").encode(), 422),
        ("org/bad/lib/maven-metadata.xml", b"<metadata>" + b" " * (2 << 20) + b"</metadata>", 400),
    ],
)
def test_what_is_no_artifact_is_refused(hosted: Stack, path: str, body: bytes, status: int) -> None:
    assert ask(hosted, f"maven/{path}", body)[0] == status
    assert ask(hosted, f"maven/{path}")[0] in (400, 404)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("org/made/up/1.0/up-1.0.jar", b"no zip at all"),
        ("org/made/up/1.0/up-1.0.war", b""),
        ("org/made/up/1.0/up-1.0.pom", b"<project/>"),
        ("org/made/up/1.1/up-1.1.pom", b"<project><parent><version>1.1</version></parent></project>"),
    ],
)
def test_what_says_nothing_wrong_is_taken(hosted: Stack, path: str, body: bytes) -> None:
    assert ask(hosted, f"maven/{path}", body)[0] == 201
    assert ask(hosted, f"maven/{path}") == (200, body)
    assert ask(hosted, f"maven/{path}.sha1")[1].decode() == hashlib.sha1(body).hexdigest()


def test_metadata_of_an_artifact_that_is_called_so_is_no_version(hosted: Stack) -> None:
    """`maven-metadata.xml` of org.maven:metadata reads like version `metadata` of org:maven."""
    path = "maven/org/maven/metadata"
    assert ask(hosted, f"{path}/1.0/metadata-1.0.jar", jar())[0] == 201
    assert ask(hosted, f"{path}/maven-metadata.xml", b"<metadata/>")[0] == 201
