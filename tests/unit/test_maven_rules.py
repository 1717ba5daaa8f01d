"""Maven's rules: what a path is, which version is newer, what metadata says; pure tables from the specifications."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest

from app.errors import BadRequest, Unprocessable
from app.formats.maven_paths import summed
from app.formats.maven_version import compared, ordered
from app.formats.maven_xml import texts
from app.hosting.base import Described, Item
from app.hosting.maven import HOST
from app.hosting.maven_layout import Artifact, parse
from app.hosting.maven_metadata import Plugin, of_home, of_snapshot, plugins

# maven.apache.org/pom.html, "Version Order Specification": each row from the oldest to the newest
ORDERS = [
    ["1-1.foo-bar-1", "1-1.foo-bar-1baz-.1"],
    ["1-alpha", "1-beta", "1-milestone", "1-rc", "1-snapshot", "1", "1-sp", "1-whatever", "1-1", "1.1"],
    ["1-a1", "1-b1", "1-m1", "1-cr1", "1-1"],
    ["1-foo2", "1-foo10"],
    ["1.foo", "1-1", "1.1"],
    ["1-sp", "1-sp-1", "1-1"],
    ["1.0-SNAPSHOT", "1.0", "1.0.1-alpha-1", "1.0.1", "1.2", "1.10", "2.0-rc1", "2.0-rc2", "2.0", "2.0-sp1"],
    ["1.0.RC2", "1.0-RC3", "1.0.1"],
    ["2.9", "10", "20231121", "99999999999999999999999999"],
]
SAME = [
    ["1", "1.0", "1.0.0", "1-0", "1.ga", "1-FINAL", "1-release", "1-", "1.", "1.0-ga"],
    ["1.0.0-foo.0.0", "1-foo", "1.foo"],
    ["1.0.0-0.0.0", "1"],
    ["1-a1", "1-alpha-1", "1.0-alpha1"],
    ["1-rc", "1-cr"],
    ["1x", "1.0.0-x", "1.0.0-x"],
    ["1-0-2", "1-2"],
]


@pytest.mark.parametrize("versions", ORDERS, ids=lambda versions: versions[0])
def test_versions_are_ordered(versions: list[str]) -> None:
    for older, newer in itertools.combinations(versions, 2):
        assert compared(older, newer) < 0, (older, newer)
        assert compared(newer, older) > 0, (older, newer)
    assert ordered(reversed(versions)) == versions


@pytest.mark.parametrize("versions", SAME, ids=lambda versions: versions[0])
def test_versions_are_the_same(versions: list[str]) -> None:
    for one, other in itertools.permutations(versions, 2):
        assert compared(one, other) == 0, (one, other)


@pytest.mark.parametrize("version", ["", "-", "..", "a", "SNAPSHOT", "1..2", "-1", "0", "9" * 250, "-" * 250, "1_2"])
def test_any_version_can_be_compared(version: str) -> None:
    assert compared(version, version) == 0
    assert compared(version, "1.0") == -compared("1.0", version)


PATHS = {
    "org/example/lib/1.0/lib-1.0.jar": Artifact("org/example/lib", "1.0", "", "jar"),
    "lib/lib/1.0/lib-1.0.pom": Artifact("lib/lib", "1.0", "", "pom"),
    "g/lib/1.0/lib-1.0-sources.jar.asc": Artifact("g/lib", "1.0", "sources", "jar.asc"),
    "g/lib/1.0/lib-1.0-linux-x86_64.tar.gz": Artifact("g/lib", "1.0", "linux-x86_64", "tar.gz"),
    "g/lib/1.0/lib-1.0-jdk1.8.jar": Artifact("g/lib", "1.0", "jdk1.8", "jar"),
    "g/lib/1.0/lib-1.0.tar.gz": Artifact("g/lib", "1.0", "", "tar.gz"),
    "g/lib/1.0/lib-1.0.7z": Artifact("g/lib", "1.0", "", "7z"),
    "g/a.b-c/1.0-rc.1+b/a.b-c-1.0-rc.1+b.module": Artifact("g/a.b-c", "1.0-rc.1+b", "", "module"),
    "g/lib/1-SNAPSHOT/lib-1-SNAPSHOT.jar": Artifact("g/lib", "1-SNAPSHOT", "", "jar"),
    "g/lib/1-SNAPSHOT/lib-1-20261121.161714-3.jar": Artifact(
        "g/lib", "1-SNAPSHOT", "", "jar", ("20261121.161714", 3)
    ),
    "g/lib/1-SNAPSHOT/lib-1-20261121.161714-3-sources.jar": Artifact(
        "g/lib", "1-SNAPSHOT", "sources", "jar", ("20261121.161714", 3)
    ),
    "g/lib/SNAPSHOT/lib-20261121.161714-3.pom": Artifact("g/lib", "SNAPSHOT", "", "pom", ("20261121.161714", 3)),
}


@pytest.mark.parametrize(("path", "artifact"), PATHS.items(), ids=lambda each: str(each)[:60])
def test_a_path_is_an_artifacts(path: str, artifact: Artifact) -> None:
    assert parse(path) == artifact
    assert path.startswith(f"{artifact.home}/{artifact.version}/{artifact.home.rpartition('/')[2]}-{artifact.built}")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "lib-1.0.jar",
        "lib/1.0/lib-1.0.jar",
        "g/lib/1.0/",
        "g/lib/1.0/lib-1.0",
        "g/lib/1.0/lib-1.0.",
        "g/lib/1.0/lib-1.0.1.jar",
        "g/lib/1.0/lib-2.0.jar",
        "g/lib/1.0/other-1.0.jar",
        "g/lib/1.0/lib-1.0-.jar",
        "g/lib/1.0/lib-1.0 .jar",
        "g/lib/1.0/lib-1.0.j\u0430r",
        "g.h/lib/1.0/lib-1.0.jar",
        "-/lib/.0/lib-.0.jar",
        "g/.lib/1.0/.lib-1.0.jar",
        "g/lib-SNAPSHOT/1.0/lib-SNAPSHOT-1.0.jar",
        "g/lib/1-SNAPSHOT/lib-1-20261321.161714-3.jar",
        "g/lib/1-SNAPSHOT/lib-1-20261121.161714-3333333333.jar",
        "g/lib/1-20261121.161714-3/lib-1-20261121.161714-3.jar",
        f"g/lib/1.0/lib-1.0-{'x' * 250}.jar",
        "org/maven-metadata-plugins/lib/1.0/lib-1.0.jar",
        "g/maven-metadata-plugins/1.0/maven-metadata-plugins-1.0.jar",
        "g/lib/maven-metadata-plugins/lib-maven-metadata-plugins.jar",
    ],
)
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(BadRequest, match="a path here is"):
        parse(path)


def test_a_checksum_is_of_a_path() -> None:
    assert summed("a/b.jar.sha512") == ("a/b.jar", "sha512")
    assert summed("a/b.jar.sha3") is None


def test_metadata_of_nothing_is_none() -> None:
    assert of_home("g/lib", [], [], 0) is None
    assert of_snapshot("g/lib/1-SNAPSHOT", [], 0) is None


def test_a_groups_metadata_names_plugins_only() -> None:
    written = of_home("org/tools", [], [Plugin("paint-maven-plugin", "paint", "Paint & Co")], 0) or b""
    assert b"<name>Paint &amp; Co</name>" in written
    assert b"groupId" not in written
    assert plugins(io.BytesIO(written)) == [Plugin("paint-maven-plugin", "paint", "Paint & Co")]


def test_a_snapshots_metadata_has_the_newest_build_of_each_file() -> None:
    home = "g/lib/1-SNAPSHOT"
    names = ["20261121.101010-1.pom", "20261121.101010-1.jar", "20261121.111111-2.pom", "20261121.111111-2-docs.jar"]
    items = [Item(f"{home}/lib-1-{name}", 1, "", 0.0, "") for name in names]
    written = (of_snapshot(home, items, 0) or b"").decode()
    assert written.count("<snapshotVersion>") == 3
    assert "<timestamp>20261121.111111</timestamp>" in written
    assert written.count("<value>1-20261121.111111-2</value>") == 2
    assert written.count("<value>1-20261121.101010-1</value>") == 1  # the jar, which the second build did not bring


@pytest.mark.parametrize(
    "document",
    [
        '<?xml version="1.0" encoding="ISO-8859-1"?><a><b>x</b>\xe9</a>'.encode("latin-1"),
        '<?xml version="1.0" encoding="windows-1252"?><a><b>x</b>\x85</a>'.encode("latin-1"),
        b'<?xml version="1.0" encoding="UTF-8g"?><a><b>x</b></a>',
        '\ufeff<?xml version="1.0" encoding="UTF-8"?><a><b>x</b>é</a>'.encode(),
        "<a><c><b>no</b></c><b> x\n</b></a>".encode("utf-16"),
    ],
)
def test_xml_is_read_in_any_encoding(document: bytes) -> None:
    assert list(texts(io.BytesIO(document), "a", frozenset({"b"}))) == [("b", "x")]


@pytest.mark.parametrize(
    "document",
    [b"", b"<a>", b"<b/>", b"<a>&x;</a>", b"<!DOCTYPE a><a/>", b"<a><b>" + b"x" * 5000 + b"</b></a>", b"<a>" * 70],
)
def test_what_is_no_xml_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"is|has"):
        list(texts(io.BytesIO(document), "a", frozenset({"b"})))


def test_what_is_there_already_is_described_again(tmp_path: Path) -> None:
    """After a restore, say."""
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert HOST.describe("g/lib/1.0/lib-1.0.jar", file) == Described("g/lib", "")
    snapshot = "g/lib/1-SNAPSHOT"
    assert HOST.describe(f"{snapshot}/lib-1-SNAPSHOT.jar", file) == Described(snapshot, "", ("g/lib",))
    with pytest.raises(BadRequest):
        HOST.describe("some/file.txt", file)
    file.write_bytes(of_home("org/tools", [], [Plugin("paint-maven-plugin", "paint")], 0) or b"")
    told = HOST.describe("org/tools/maven-metadata-plugins/paint-maven-plugin.xml", file)
    assert told == Described("org/tools", Plugin("paint-maven-plugin", "paint").to_text())
    file.write_bytes(b"<metadata/>")
    for path, error in (
        ("org/maven-metadata-plugins/x.xml", Unprocessable),
        ("org/maven-metadata-plugins/x/x", BadRequest),
    ):
        with pytest.raises(error):
            HOST.describe(path, file)
