"""Every format as a table: path -> what it is taken for."""

from __future__ import annotations

import ast
import io
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import app.formats
from app.errors import Forbidden, NotFound
from app.formats import FORMATS
from app.formats.base import PathRules, at_most, checksum, within
from app.paths import LONGEST
from app.resource import Ask, Digest, Kind, Link, Repository, Resource

SHA256, SHA512, SHA1, MD5 = "a1" * 32, "b2" * 64, "c3" * 20, "d4" * 16


def resolve(
    package: str, path: str, *, kind: Kind = Kind.REMOTE, immutable: str = "", mutable: str = "", query: str = ""
) -> Resource:
    """What `path` is in a repository with at most one pattern of each sort."""
    repository = Repository(
        name="r",
        kind=kind,
        package=package,
        immutable_patterns=(re.compile(immutable),) if immutable else (),
        mutable_patterns=(re.compile(mutable),) if mutable else (),
        mutable_ttl=60.0,
    )
    return FORMATS[package].resolve(repository, Ask("GET", "r", path, query))


# path -> what is said of it where the repository has no pattern:
# I immutable, M mutable; O the format's own path; H may be HTML; N a 404 is not remembered
TABLE = {
    "generic": {
        "a.txt": "M H",
        "dir/": "M H",
        "": "M H",
        "index.html": "M H",
        "noextension": "M H",
        "tool-1.2.tar.gz": "M",
        "x.rpm": "M",
        "x.iso": "M",
        "x.whl": "M",
        "x.tar.gz.asc": "M",
        "SHA256SUMS": "M H",
    },
    "rpm": {
        "9/BaseOS/x86_64/os/repodata/repomd.xml": "M O N",
        "repodata/repomd.xml": "M O N",
        "repodata/repomd.xml.asc": "M O N",
        "repodata/repomd.xml.key": "M O N",
        f"os/repodata/{SHA256}-primary.xml.gz": "I O N",
        f"os/repodata/{SHA256}-comps-BaseOS.x86_64.xml": "I O N",
        f"os/repodata/{SHA512}-filelists.xml.zck": "I O N",
        f"os/repodata/{SHA1}-primary.sqlite.bz2": "I O N",
        f"os/repodata/{MD5}-other.xml.gz": "I O N",
        "os/repodata/primary.xml.gz": "M O N",
        f"os/repodata/{SHA256[:-1]}-primary.xml.gz": "M O N",
        "os/repodata/updateinfo.xml.zst": "M O N",
        "os/Packages/b/bash-5.1-1.el9.x86_64.rpm": "I",
        "os/drpms/bash.drpm": "I",
        "RPM-GPG-KEY-AlmaLinux-9": "M O",
        "9/RPM-GPG-KEY-AlmaLinux-9": "M O",
        "9/almalinux.repo": "M O",
        "os/media.1/media": "M O",
        "os/.treeinfo": "M O",
        "os/treeinfo": "M O",
        "os/extra_files.json": "M O",
        "os/images/pxeboot/vmlinuz": "M H",
        "metadata.json": "M H",
        "os/repodata/": "M H",
        "notrepodata/x": "M H",
    },
    "deb": {
        "debian/dists/bookworm/InRelease": "M O N",
        "dists/bookworm-security/updates/Release": "M O N",
        "dists/bookworm/Release.gpg": "M O N",
        "InRelease": "M O N",
        "Release.gpg": "M O N",
        "dists/bookworm/main/binary-amd64/Packages.xz": "M O N",
        "dists/bookworm/main/binary-amd64/Packages.lz4": "M O N",
        "dists/bookworm/main/binary-amd64/Release": "M O N",
        "dists/bookworm/main/source/Sources.gz": "M O N",
        "dists/bookworm/main/Contents-amd64.gz": "M O N",
        "dists/bookworm/main/i18n/Translation-en.bz2": "M O N",
        "dists/bookworm/main/dep11/Components-amd64.yml.gz": "M O N",
        "dists/bookworm/main/dep11/icons-64x64.tar.gz": "M O N",
        "dists/bookworm/main/cnf/Commands-amd64.xz": "M O N",
        "dists/bookworm/main/installer-amd64/current/images/netboot/mini.iso": "M O N",
        f"dists/bookworm/main/binary-amd64/by-hash/SHA256/{SHA256}": "I O N",
        f"dists/bookworm/main/i18n/by-hash/SHA512/{SHA512}": "I O N",
        f"dists/bookworm/main/source/by-hash/SHA1/{SHA1}": "I O N",
        f"flat/by-hash/MD5Sum/{MD5}": "I O N",
        f"dists/bookworm/main/binary-amd64/by-hash/SHA256/{SHA1}": "M O N",
        f"by-hash/SHA256/{SHA1}": "M H",
        "dists/sid/main/binary-amd64/Packages.diff/Index": "M O N",
        "dists/sid/main/binary-amd64/Packages.diff/T-2026-11-20-1402.13-F-2026-11-19-0802.20.gz": "I O N",
        f"dists/sid/main/binary-amd64/Packages.diff/by-hash/SHA256/{SHA256}": "I O N",
        "flat/Packages.gz": "M O N",
        "Packages": "M O N",
        "Sources.zst": "M O N",
        "pool/main/b/bash/bash_5.2.15-2+b2_amd64.deb": "I",
        "pool/main/d/di/di_1_amd64.udeb": "I",
        "pool/main/d/di/di-dbgsym_1_amd64.ddeb": "I",
        "pool/main/b/bash/bash_5.2.15-2.dsc": "I",
        "pool/main/b/bash/bash_5.2.15.orig.tar.xz": "I",
        "pool/main/b/bash/bash_5.2.15.orig.tar.xz.asc": "I",
        "pool/main/b/bash/bash_5.2.15-2.debian.tar.xz": "I",
        "pool/main/b/bash/bash_5.2.15-2.diff.gz": "I",
        "dists/stable/main/binary-amd64/tool_1_all.deb": "I",
        "flat/tool_1_all.deb": "I",
        "archive-key.asc": "M O",
        "gpg.key": "M O",
        "keys/team.gpg": "M O",
        "README": "M H",
        "dists/": "M H",
        "dists/bookworm/": "M H",
        "dists/bookworm/main/installer-amd64/current/doc/index.html": "M H",
        "ls-lR.gz": "M",
        "source.tar.gz": "M",
    },
    "apk": {
        "v3.20/main/x86_64/APKINDEX.tar.gz": "M O N",
        "APKINDEX.tar.gz": "M O N",
        "v3/x86_64/Packages.adb": "M O N",
        "24.10/packages/packages.adb": "M O N",
        "v3.20/main/x86_64/busybox-1.36.1-r0.apk": "I",
        "keys/alpine-devel@lists.alpinelinux.org-4a6a0840.rsa.pub": "M O",
        "v3.20/releases/x86_64/latest-releases.yaml": "M O",
        "MIRRORS.txt": "M O",
        "v3.20/releases/x86_64/alpine-virt.iso": "M",
        "v3.20/": "M H",
        "xAPKINDEX.tar.gz": "M",
    },
}
FILES = [name for name, each in FORMATS.items() if isinstance(each, PathRules)]
ROWS = [(package, path, facts) for package, table in TABLE.items() for path, facts in table.items()]


@pytest.mark.parametrize(("package", "path", "facts"), ROWS)
def test_a_path_without_patterns(package: str, path: str, facts: str) -> None:
    found = resolve(package, path)
    assert (found.key, found.path) == (path, path)
    assert found.immutable is ("I" in facts)
    assert found.ttl == (None if "I" in facts else 60.0)
    assert found.html is ("H" in facts)
    assert found.remember_missing is ("N" not in facts)


@pytest.mark.parametrize(("package", "path", "facts"), ROWS)
def test_only_own_paths_bypass_the_patterns(package: str, path: str, facts: str) -> None:
    if "O" in facts:
        assert resolve(package, path, immutable="^nothing$").immutable is ("I" in facts)
        assert resolve(package, path, mutable="").immutable is ("I" in facts)
        return
    with pytest.raises(Forbidden) as caught:
        resolve(package, path, immutable="^nothing$")
    assert (caught.value.status, caught.value.code) == (403, "blocked_by_pattern")


@pytest.mark.parametrize(
    ("immutable", "mutable", "path", "expected"),
    [
        ("", "", "a/x86_64/b.rpm", "immutable"),
        (r".*/x86_64/.*\.rpm$", "", "a/x86_64/b.rpm", "immutable"),
        (r".*/x86_64/.*\.rpm$", "", "a/aarch64/b.rpm", "forbidden"),
        (r".*/x86_64/.*\.rpm$", r"metadata\.json$", "a/metadata.json", "mutable"),
        (r".*/x86_64/.*\.rpm$", r"metadata\.json$", "a/metadata.json.bak", "forbidden"),
        (r"\.rpm$", r"/testing/", "a/testing/b.rpm", "mutable"),
        ("", r"/testing/", "a/testing/b.rpm", "mutable"),
        ("", r"/testing/", "a/stable/b.rpm", "immutable"),
        ("images/", "", "os/images/boot.img", "immutable"),
        ("^images/", "", "os/images/boot.img", "forbidden"),
        (".*a|b", "", "xb", "immutable"),
        (r"\.txt$", r".*", f"repodata/{SHA256}-primary.xml", "immutable"),
    ],
)
def test_patterns_in_their_order(immutable: str, mutable: str, path: str, expected: str) -> None:
    try:
        found = "immutable" if resolve("rpm", path, immutable=immutable, mutable=mutable).immutable else "mutable"
    except Forbidden:
        found = "forbidden"
    assert found == expected


@pytest.mark.parametrize("package", FILES)
def test_a_hosted_file_is_everything_its_path_says(package: str) -> None:
    found = resolve(package, "repodata/repomd.xml", kind=Kind.LOCAL, immutable="^nothing$")
    assert (found.immutable, found.ttl, found.html, found.expected) == (True, None, True, None)


@pytest.mark.parametrize("package", FILES)
def test_the_query_is_dropped(package: str) -> None:
    with suppress(NotFound):
        assert resolve(package, "a", query="token=1").query == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SHA1, Digest("sha1", SHA1)),
        ("e5" * 28, Digest("sha224", "e5" * 28)),
        (SHA256, Digest("sha256", SHA256)),
        ("f6" * 48, Digest("sha384", "f6" * 48)),
        (SHA512, Digest("sha512", SHA512)),
        (MD5, None),
    ],
)
def test_the_digest_in_a_name_is_expected_of_the_body(value: str, expected: Digest | None) -> None:
    assert resolve("rpm", f"repodata/{value}-primary.xml.gz").expected == expected


def test_a_path_made_to_be_slow_is_not() -> None:
    """Cubic by search at every position: about a minute; the suite's own time limit is the assertion."""
    with pytest.raises(Forbidden):
        resolve("generic", "/x86_64/" * 512, immutable=r".*/x86_64/.*\.rpm$")


REPEATED = [
    "a", "a/", "_", "_.tar.", "_.tar.a", ".", "-", "a.", "by-hash/", f"by-hash/SHA256/{SHA256}/", "debian-installer/",
    "dists/", "dists/a/", "dists/a/b/binary-x/", "dists/a/source/", "dists/a_.tar.x/", "dists/x.diff/", "x.diff/",
    "keys/", "media.1/", "Packages.", "Release/", "repodata/", f"repodata/{SHA256}-", f"{SHA256}-primary.xml",
]  # fmt: skip
ENDS = ["", "x", ".html", ".diff/", "_a.tar.x!", "Packages", "binary-x/Packages", f"by-hash/SHA256/{SHA256}"]


@pytest.mark.parametrize("package", FILES)
@pytest.mark.parametrize("repeated", REPEATED)
def test_no_path_is_slow_to_resolve(package: str, repeated: str) -> None:
    """Sixty-four times longer than any path: what is not linear takes minutes, and meets the suite's time limit."""
    for end in ENDS:
        path = repeated * (64 * LONGEST // len(repeated)) + end
        with suppress(NotFound):  # some ecosystems know every path that there is
            resolve(package, path)


def test_formats_know_nothing_but_the_nouns() -> None:
    """What is not imported cannot be called: no socket, no file, no database."""
    allowed = re.compile(
        r"__future__|re|dataclasses|enum|typing|types|collections|collections\.abc|app\.(resource|repository|errors|paths|formats\..*)"
        r"|datetime|email\.utils|hashlib|html|itertools|json|urllib\.parse|xml\.parsers|bz2|lzma|zlib|zstandard"
        r"|threading|base64|binascii|codecs|contextlib|decimal|functools|html\.parser|ijson|io|msgpack"
        r"|xml\.sax\.saxutils|zipfile|createrepo_c|cryptography\..*|gzip|pysequoia|ryml|tarfile|yaml"
    )
    for file in Path(app.formats.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                inside = node.module in ("app", "app.formats")  # what it takes from there is a module
                names += [f"{node.module}.{each.name}" if inside else str(node.module) for each in node.names]
            assert [name for name in names if not allowed.fullmatch(name)] == [], file


def test_a_format_is_registered_under_its_own_name() -> None:
    assert {name: each.name for name, each in FORMATS.items()} == {name: name for name in FORMATS}
    assert sorted(FORMATS) == [
        "apk", "cargo", "conda", "deb", "docker", "generic", "go", "helm", "maven", "npm", "nuget", "puppet", "pypi",
        "rpm", "rubygems", "terraform",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("directory", "href", "expected"),
    [
        ("", "a/b", "a/b"),
        ("os/", "repodata/x", "os/repodata/x"),
        ("os/", "./x", "os/x"),
        ("os/", "a/./b", "os/a/b"),
        ("os/", "a+b ~^%2f", "os/a+b ~^%2f"),
        ("os/", "../x", None),
        ("os/", "a/../x", None),
        ("os/", "/x", None),
        ("os/", "a//x", None),
        ("os/", "", None),
        ("os/", ".", None),
        ("os/", "a/", None),
        ("os/", "http://127.0.0.1/x", None),
        ("os/", "file:/x", None),
        ("os/", "a\\b", None),
        ("os/", "a\nb", None),
        ("os/", "a\x7fb", None),
        ("os/", "a\udce9b", None),
        ("os/", "./http:/x", None),
        ("os/", "x" * (LONGEST - 3), "os/" + "x" * (LONGEST - 3)),
        ("os/", "x" * (LONGEST - 2), None),
        ("os/", "\u00e9" * (LONGEST // 2), None),
        ("x" * (LONGEST - 1) + "/", "y", None),
        ("os/", "./" * (1 << 20) + "x", "os/x"),
        ("os/", "../" * (1 << 20), None),
        ("os/", "/" * (1 << 20), None),
        ("os/", "a/" * (1 << 20), None),
        ("os/", "a:" * (1 << 20), None),
    ],
)
def test_a_path_in_an_index_stays_in_its_repository(directory: str, href: str, expected: str | None) -> None:
    assert within(directory, href) == expected


@pytest.mark.parametrize(
    ("algorithm", "value", "expected"),
    [
        ("sha1", SHA1, Digest("sha1", SHA1)),
        ("sha256", SHA256.upper(), Digest("sha256", SHA256)),
        ("sha512", SHA512, Digest("sha512", SHA512)),
        ("sha256", SHA512, None),
        ("sha256", "../" * 21 + "x", None),
        ("sha256", "\u0665" * 64, None),
        ("sha256", SHA256[:-1] + "\n", None),
        ("sha256", "", None),
        ("", "", None),
        ("md5", MD5, None),
        ("crc", SHA256, None),
    ],
)
def test_a_checksum_is_one_that_proves_something(algorithm: str, value: str, expected: Digest | None) -> None:
    assert checksum(algorithm, value) == expected


def test_an_index_names_no_more_than_any_could() -> None:
    links = [Link("a"), Link("b"), Link("c")]
    assert list(at_most(3, links)) == links
    assert list(at_most(3, iter(()))) == []
    with pytest.raises(ValueError, match="more than 2"):
        list(at_most(2, links))


METADATA = b"""<metadata><versioning><versions><version>1.0</version></versions>
<snapshot><timestamp>20261121.161714</timestamp><buildNumber>3</buildNumber></snapshot><snapshotVersions>
<snapshotVersion><extension>jar</extension><value>1.1-20261120.101010-2</value></snapshotVersion></snapshotVersions>
</versioning></metadata>"""
DOCUMENT = b'{"name":"a","versions":{"1.0.0":{"dist":{"tarball":"https://example.org/a.tgz"}}}}'
CRATES = f'{{"name":"a","vers":"1.0.0","cksum":"{SHA256}"}}\n{{"name":"b","vers":"2.0.0","cksum":""}}'.encode()
SHORT, LONG = "a/-/short.upstream.json", "a/-/full.upstream.json"
BUILT = "g/a/1.1-SNAPSHOT/a-1.1-2026112"


@pytest.mark.parametrize(
    ("package", "path", "lists", "body", "named"),
    [
        ("go", "e.org/!a/@v/v1.0.0-!r!c1.info", ["e.org/!a/@v/list"], b"v1.0.0-RC1\nv1.0.0\n", True),
        ("go", "e.org/a/@v/v1.0.0.zip", ["e.org/a/@v/list"], b"v1.0.0-RC1\n", False),
        ("go", "e.org/a/@v/master.info", ["e.org/a/@v/list"], b"v1.0.0\n", False),
        ("go", "sumdb/sum.example.org/latest", [], b"", False),
        ("maven", "g/a/1.0/a-1.0.pom", ["g/a/maven-metadata.xml"], METADATA, True),
        ("maven", "g/a/1.0/a-1.0.pom.sha1", ["g/a/maven-metadata.xml"], METADATA, True),
        ("maven", "g/a/2.0/a-2.0.pom", ["g/a/maven-metadata.xml"], METADATA, False),
        ("maven", f"{BUILT}1.161714-3.pom", ["g/a/1.1-SNAPSHOT/maven-metadata.xml"], METADATA, True),
        ("maven", f"{BUILT}0.101010-2.jar", ["g/a/1.1-SNAPSHOT/maven-metadata.xml"], METADATA, True),
        ("maven", f"{BUILT}0.101010-1.jar", ["g/a/1.1-SNAPSHOT/maven-metadata.xml"], METADATA, False),
        ("maven", "archetype-catalog.xml", [], b"", False),
        ("npm", "a/-/a-1.0.0.tgz", [SHORT, LONG], DOCUMENT, True),
        ("npm", "a/-/a-2.0.0.tgz", [SHORT, LONG], DOCUMENT, False),
        ("npm", "-/ping", [], b"", False),
        ("helm", f"charts/a/1.0.0/{SHA256[:16]}/a-1.0.0.tgz", ["index.yaml\x1fupstream"], b"entries: {}\n", False),
        ("cargo", f"api/v1/crates/a/1.0.0/{SHA256}/download", [], b"", False),
        ("cargo", "api/v1/crates/A/1.0.0/download", ["1/a"], CRATES, True),
        ("cargo", "api/v1/crates/a/2.0.0/download", ["1/a"], CRATES, False),
        ("cargo", "api/v1/crates", [], b"", False),
        ("generic", "a.bin", [], b"", False),
    ],
)
def test_what_clients_of_a_virtual_were_told_of_a_file(
    package: str, path: str, lists: list[str], body: bytes, named: bool
) -> None:
    repository = Repository("r", Kind.REMOTE, package, base_urls=("http://127.0.0.1:1",))
    found = FORMATS[package].resolve(repository, Ask("GET", "r", path))
    told = found.format.lists(found)
    assert [each.key for each in told] == lists
    for each in told:
        located = found.format.locate(replace(found, named_in=each), io.BytesIO(body))
        assert (located is not None) == named
    local = FORMATS[package].resolve(replace(repository, kind=Kind.LOCAL), Ask("GET", "r", path))
    assert not local.format.lists(local), "what is hosted is there or is not"
