"""What repomd.xml and primary.xml say, from literal ones and from createrepo_c's."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.formats.rpm import RPM
from app.resource import Ask, Digest, Kind, Link, Reading, Repository, Resource, Role
from tests.conftest import require
from tests.formats.endless import Zeros

SHA256, SHA512, SHA1 = "a1" * 32, "b2" * 64, "c3" * 20


def resolve(path: str) -> Resource:
    return RPM.resolve(Repository("r", Kind.REMOTE, "rpm"), Ask("GET", "r", path))


def read(path: str, body: bytes) -> Reading:
    return RPM.read(resolve(path), io.BytesIO(body))


def links(path: str, body: bytes) -> tuple[Link, ...]:
    return tuple(read(path, body).links)


def data(href: str, kind: str = "primary", checksum: str = SHA256, algorithm: str = "sha256", base: str = "") -> str:
    return (
        f'<data type="{kind}"><checksum type="{algorithm}">{checksum}</checksum>'
        f'<open-checksum type="sha256">{"0" * 64}</open-checksum>'
        f'<location {base}href="{href}"/><size>9</size></data>'
    )


def repomd(*rows: str) -> bytes:
    space = "http://linux.duke.edu/metadata/repo"
    return f'<?xml version="1.0"?>\n<repomd xmlns="{space}"><revision>1</revision>{"".join(rows)}</repomd>'.encode()


def package(href: str, checksum: str = SHA256, algorithm: str = "sha256", base: str = "") -> str:
    return (
        f'<package type="rpm"><name>n</name><checksum type="{algorithm}" pkgid="YES">{checksum}</checksum>'
        f'<summary>checksum</summary><location {base}href="{href}"/>'
        f'<format><rpm:provides><rpm:entry name="n"/></rpm:provides><file>/x</file></format></package>\n'
    )


def primary(*rows: str) -> bytes:
    return f'<metadata xmlns="c" xmlns:rpm="r" packages="{len(rows)}">\n{"".join(rows)}</metadata>'.encode()


HEADS = {
    f"os/repodata/{SHA256}-primary.xml.gz": "index os/repodata#primary",
    f"repodata/{SHA256}-primary.xml.zst": "index repodata#primary",
    f"repodata/{SHA256}-primary.xml": "index repodata#primary",
    "os/repodata/primary.xml.xz": "index os/repodata#primary",
    "os/repodata/primary.xml": "index os/repodata#primary",
    f"os/repodata/{SHA256}-primary.sqlite.bz2": "",
    f"os/repodata/{SHA256}-primary.xml.zck": "",
    f"os/repodata/{SHA256}-filelists.xml.gz": "",
    "os/repodata/updateinfo.xml.gz": "",
    "os/repodata/repomd.xml.asc": "",
    "os/repodata/repomd.xml.key": "",
}


@pytest.mark.parametrize(("path", "facts"), HEADS.items())
def test_what_belongs_to_a_repomd_says_so(path: str, facts: str) -> None:
    found = resolve(path)
    assert (found.index, found.switched, found.listed) == (bool(facts), False, True)
    assert found.listing == facts.removeprefix("index ")
    assert found.root == path[: path.index("repodata/")] + "repodata/repomd.xml"


def test_a_repomd_heads_its_own_set() -> None:
    found = resolve("os/repodata/repomd.xml")
    assert (found.index, found.switched, found.listed) == (True, True, False)
    assert (found.listing, found.root) == (found.path, found.path)


@pytest.mark.parametrize("path", ["os/Packages/b/bash-5-1.x86_64.rpm", "bash.drpm"])
def test_a_package_is_listed_and_heads_nothing(path: str) -> None:
    found = resolve(path)
    assert (found.index, found.switched, found.listed, found.listing, found.root) == (False, False, True, "", "")


def test_a_hosted_repomd_is_a_plain_file() -> None:
    found = RPM.resolve(Repository("r", Kind.LOCAL, "rpm"), Ask("GET", "r", "repodata/repomd.xml"))
    assert (found.index, found.switched, found.listing) == (False, False, "")


COMPANIONS = (
    Link("os/repodata/repomd.xml.asc", None, Role.MEMBER, ".asc", signs=True),
    Link("os/repodata/repomd.xml.key", None, Role.MEMBER, ".key"),
)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (data("repodata/x"), Link("os/repodata/x", Digest("sha256", SHA256), Role.MEMBER, "primary")),
        (data("./repodata/x"), Link("os/repodata/x", Digest("sha256", SHA256), Role.MEMBER, "primary")),
        (data("repodata/x", "group_gz"), Link("os/repodata/x", Digest("sha256", SHA256), Role.MEMBER, "group_gz")),
        (data("repodata/x", checksum=SHA1, algorithm="sha"), Link("os/repodata/x", Digest("sha1", SHA1))),
        (data("repodata/x", checksum=SHA512, algorithm="sha512"), Link("os/repodata/x", Digest("sha512", SHA512))),
        (data("repodata/x", checksum=f" {SHA256.upper()}\n"), Link("os/repodata/x", Digest("sha256", SHA256))),
        (data("repodata/x", checksum="d4" * 16, algorithm="md5"), Link("os/repodata/x")),
        (data("repodata/x", checksum="nonsense"), Link("os/repodata/x")),
        (data("repodata/a&amp;b"), Link("os/repodata/a&b", Digest("sha256", SHA256))),
        (data("repodata/x", base='xml:base="http://127.0.0.1/" '), None),
        (data("http://127.0.0.1/x"), None),
        (data("/etc/passwd"), None),
        (data("../repodata/x"), None),
        (data(""), None),
        ('<data type="primary"/>', None),
        ('<location href="repodata/x"/>', None),
    ],
)
def test_a_row_of_a_repomd(row: str, expected: Link | None) -> None:
    found = links("os/repodata/repomd.xml", repomd(row))
    assert found[-2:] == COMPANIONS
    assert [(each.path, each.digest, each.role) for each in found[:-2]] == (
        [] if expected is None else [(expected.path, expected.digest, Role.MEMBER)]
    )
    if expected is not None and expected.slot:
        assert found[0].slot == expected.slot


def test_one_row_does_not_leak_into_the_next() -> None:
    found = links("repodata/repomd.xml", repomd(data("a"), '<data type="b"><location href="b"/></data>', "<data/>"))
    assert [(each.path, each.digest) for each in found[:2]] == [("a", Digest("sha256", SHA256)), ("b", None)]
    assert len(found) == 4


def test_two_rows_that_name_one_file_are_two_links() -> None:
    found = links("repodata/repomd.xml", repomd(data("a", "group"), data("a", "group_gz")))
    assert [(each.path, each.slot) for each in found[:2]] == [("a", "group"), ("a", "group_gz")]


def test_a_set_has_no_more_members_than_any_has() -> None:
    row = '<data type="a"><location href="a"/></data>'
    assert len(links("repodata/repomd.xml", repomd(row * 1_000))) == 1_002
    with pytest.raises(ValueError, match="more than 200000"):
        links("repodata/repomd.xml", repomd(row * 200_000))


def test_a_list_has_a_last_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.formats.rpm.MOST_LISTED", 2)
    assert len(links("repodata/primary.xml", primary(package("a"), package("b")))) == 2
    with pytest.raises(ValueError, match="more than 2"):
        links("repodata/primary.xml", primary(package("a"), package("b"), package("c")))


def test_no_codec_is_chosen_by_the_document() -> None:
    body = b'<?xml version="1.0" encoding="x-none"?>' + repomd().partition(b"\n")[2]
    assert tuple(links("os/repodata/repomd.xml", body)) == COMPANIONS


BOMB = b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><repomd>&b;</repomd>'
BROKEN = {
    "empty": b"",
    "a page": b"<!doctype html><html><body>Sign in</body></html>",
    "another root": b"<metadata></metadata>",
    "no xml": b"\x00\xff not xml",
    "cut": repomd(data("repodata/x"))[:-20],
    "more after its end": repomd() + b"<x/>",
    "entities": BOMB,
    "a document type": b'<!DOCTYPE repomd SYSTEM "file:///etc/passwd"><repomd/>',
    "an unknown entity": b"<repomd>&nbsp;</repomd>",
    "deep": b"<repomd>" + b"<a>" * 100_000,
    "a long text": repomd(data("x", checksum="a" * 100_000)),
    "another encoding": b'<?xml version="1.0" encoding="latin-1"?><repomd>\xe9</repomd>',
    "bad utf-8": b"<repomd>\xff\xfe</repomd>",
    "cut gzip": gzip.compress(repomd())[:-4],
    "too long": repomd(" " * (17 << 20)),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_no_repomd_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        links("repodata/repomd.xml", body)


def test_a_primary_lists_packages_by_their_path_in_the_repository() -> None:
    rows = (
        package("Packages/a.rpm"),
        package("b.rpm", SHA1, "sha"),
        package("md5.rpm", "d4" * 16, "md5"),
        package("elsewhere.rpm", base='xml:base="http://127.0.0.1/" '),
        package("../outside.rpm"),
        package("Packages/c++~1^2.rpm", SHA512, "sha512"),
    )
    assert links("os/repodata/primary.xml.gz", gzip.compress(primary(*rows))) == (
        Link("os/Packages/a.rpm", Digest("sha256", SHA256), Role.LISTED),
        Link("os/b.rpm", Digest("sha1", SHA1), Role.LISTED),
        Link("os/Packages/c++~1^2.rpm", Digest("sha512", SHA512), Role.LISTED),
    )


def test_a_primary_without_packages_is_a_list_nevertheless() -> None:
    found = read("repodata/primary.xml", primary()).links
    assert found != ()
    assert list(found) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html/>", primary(package("a"))[:-5], repomd(), gzip.compress(primary(package("a")))[:-9], b"PK\x03\x04"],
)
def test_what_is_no_primary_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        links("repodata/primary.xml", body)


def test_a_tag_without_an_end_is_bounded() -> None:
    class Quote(Zeros):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size).replace(b"\0", b"a")

    with pytest.raises(ValueError, match="without an end"):
        list(RPM.read(resolve("repodata/primary.xml"), Quote(b'<metadata><package x="')).links)


def test_fifty_thousand_packages_in_the_memory_of_a_few() -> None:
    body = io.BytesIO(gzip.compress(b"".join(_rows(50_000)), compresslevel=1))
    tracemalloc.start()
    try:
        count = sum(1 for _ in RPM.read(resolve("repodata/primary.xml.gz"), body).links)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_000
    assert peak < 4 << 20


def _rows(count: int) -> Iterator[bytes]:
    yield b'<metadata xmlns="c" xmlns:rpm="r">'
    for number in range(count):
        yield package(f"Packages/p{number}.rpm", f"{number:064x}").encode()
    yield b"</metadata>"


@pytest.mark.parametrize(
    "options",
    [(), ("--simple-md-filenames",), ("--compress-type=xz",), ("--compress-type=bz2",), ("--checksum=sha",)],
    ids=["default", "unhashed", "xz", "bz2", "sha"],
)
def test_what_createrepo_writes_is_read_as_it_is_on_disk(tmp_path: Path, options: tuple[str, ...]) -> None:
    createrepo = require("createrepo_c")
    _build(tmp_path, "Packages/h/hello.rpm")
    subprocess.run([createrepo, "--quiet", *options, str(tmp_path)], check=True, timeout=60)
    found = links("repodata/repomd.xml", (tmp_path / "repodata/repomd.xml").read_bytes())
    assert {each.slot for each in found} >= {"primary", "filelists", "other", ".asc", ".key"}
    assert all(_holds(tmp_path, each) for each in found[:-2])
    path = next(each.path for each in found if each.slot == "primary")
    assert resolve(path).listing == "repodata#primary"
    (listed,) = links(path, (tmp_path / path).read_bytes())
    assert listed.path == "Packages/h/hello.rpm"
    assert _holds(tmp_path, listed)


def _holds(root: Path, link: Link) -> bool:
    assert link.digest is not None
    return hashlib.new(link.digest.algorithm, (root / link.path).read_bytes()).hexdigest() == link.digest.value


def _build(root: Path, path: str) -> None:
    spec = root / "hello.spec"
    spec.write_text(
        "Name: hello\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n%files\n"
    )
    command = [require("rpmbuild"), "-bb", "--quiet", f"--define=_topdir {root}/top", f"--define=_rpmdir {root}/out"]
    subprocess.run([*command, str(spec)], check=True, timeout=60, capture_output=True)
    (root / path).parent.mkdir(parents=True)
    next((root / "out").rglob("*.rpm")).rename(root / path)
