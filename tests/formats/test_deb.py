"""What Release files and lists of packages say, from literal ones and from apt-ftparchive's."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from app.formats.deb import DEB
from app.resource import Ask, Digest, Kind, Link, Reading, Repository, Resource, Role
from tests.conftest import require
from tests.formats.endless import Zeros

SHA256, SHA512, SHA1, MD5 = "a1" * 32, "b2" * 64, "c3" * 20, "d4" * 16
BINARY = "debian/dists/stable/main/binary-amd64"


def resolve(path: str) -> Resource:
    return DEB.resolve(Repository("r", Kind.REMOTE, "deb"), Ask("GET", "r", path))


def read(path: str, body: bytes) -> Reading:
    return DEB.read(resolve(path), io.BytesIO(body))


def links(path: str, body: bytes) -> list[Link]:
    return list(read(path, body).links)


# -- what a path is to its set ------------------------------------------------------------------------------

LISTS = {
    f"{BINARY}/Packages": (f"{BINARY}/#Packages", "debian/dists/stable/InRelease"),
    f"{BINARY}/Packages.xz": (f"{BINARY}/#Packages", "debian/dists/stable/InRelease"),
    f"{BINARY}/by-hash/SHA256/{SHA256}": (f"{BINARY}/#Packages", "debian/dists/stable/InRelease"),
    "dists/s/updates/main/binary-all/Packages.gz": (
        "dists/s/updates/main/binary-all/#Packages",
        "dists/s/updates/InRelease",
    ),
    f"dists/s/main/source/by-hash/SHA512/{SHA512}": ("dists/s/main/source/#Sources", "dists/s/InRelease"),
    "dists/s/main/source/Sources.bz2": ("dists/s/main/source/#Sources", "dists/s/InRelease"),
    f"m/dists/x/dists/s/main/binary-all/by-hash/SHA256/{SHA256}": (
        "m/dists/x/dists/s/main/binary-all/#Packages",
        "m/dists/x/dists/s/InRelease",
    ),
    "dists/s/main/debian-installer/binary-amd64/Packages.gz": (
        "dists/s/main/debian-installer/binary-amd64/#Packages",
        "dists/s/InRelease",
    ),
    "flat/Packages.zst": ("flat/#Packages", "flat/InRelease"),
    "Sources": ("#Sources", "InRelease"),
}


@pytest.mark.parametrize(("path", "expected"), LISTS.items())
def test_a_list_of_packages_belongs_to_a_suite(path: str, expected: tuple[str, str]) -> None:
    found = resolve(path)
    assert (found.index, found.switched, found.listed) == (True, False, True)
    assert (found.listing, found.root) == expected


@pytest.mark.parametrize(
    "path", ["debian/dists/stable/InRelease", "dists/stable/Release", "flat/Release", "InRelease"]
)
def test_a_release_heads_its_own_set(path: str) -> None:
    found = resolve(path)
    assert (found.index, found.switched, found.listed, found.listing, found.root) == (True, True, False, path, path)


def test_a_signature_belongs_to_the_release_beside_it() -> None:
    found = resolve("debian/dists/stable/Release.gpg")
    assert (found.index, found.switched, found.listed, found.root) == (
        False,
        False,
        True,
        "debian/dists/stable/Release",
    )


@pytest.mark.parametrize(
    "path",
    [
        f"{BINARY}/Release",
        f"{BINARY}/Packages.diff/Index",
        f"{BINARY}/Packages.diff/by-hash/SHA256/{SHA256}",
        f"dists/s/main/i18n/by-hash/SHA256/{SHA256}",
        "dists/s/main/Contents-amd64.gz",
        "pool/main/b/bash/bash_5_amd64.deb",
    ],
)
def test_the_rest_is_listed_and_no_list(path: str) -> None:
    found = resolve(path)
    assert (found.index, found.switched, found.listed, found.listing) == (False, False, True, "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"SHA256/{SHA256}", Digest("sha256", SHA256)),
        (f"SHA512/{SHA512}", Digest("sha512", SHA512)),
        (f"SHA1/{SHA1}", Digest("sha1", SHA1)),
        (f"MD5Sum/{MD5}", None),
        (f"SHA256/{SHA512}", None),
    ],
)
def test_a_name_by_hash_is_expected_of_the_body(name: str, expected: Digest | None) -> None:
    assert resolve(f"{BINARY}/by-hash/{name}").expected == expected


# -- Release ------------------------------------------------------------------------------------------------

RELEASE = f"""\
Origin: tests
Suite: stable
Date: Sat, 21 Nov 2026 06:00:00 UTC
Valid-Until: Sat, 28 Nov 2026 06:00:00 UTC
Acquire-By-Hash: yes
Description: several
 lines: of it
MD5Sum:
 {MD5} 9 main/binary-amd64/Packages
 {MD5} 9 main/only-md5
SHA1:
 {SHA1} 9 main/only-sha1
SHA256:
 {SHA256}      1234 main/binary-amd64/Packages
 {"0" * 64} 20 Contents-all.gz
 {SHA256} 9 ../outside
 {SHA256} 9 /etc/passwd
 nonsense 9 main/unproven
SHA512:
 {SHA512} 1234 main/binary-amd64/Packages
"""


def signed(text: str) -> bytes:
    """As gpg --clear-sign writes it; nobody here checks the signature."""
    escaped = "".join(f"- {line}" if line.startswith("-") else line for line in text.splitlines(keepends=True))
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{escaped}"
        "-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCgAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n"
    ).encode()


def by_slot(found: list[Link]) -> dict[str, tuple[str, str]]:
    assert {each.role for each in found} <= {Role.MEMBER}
    return {each.slot: (each.path, each.digest.algorithm if each.digest else "") for each in found}


IN_RELEASE = {
    "main/binary-amd64/Packages": ("d/dists/stable/main/binary-amd64/Packages", "sha256"),
    "Contents-all.gz": ("d/dists/stable/Contents-all.gz", "sha256"),
    "main/only-sha1": ("d/dists/stable/main/only-sha1", "sha1"),
    "main/binary-amd64/Packages by-hash/SHA256": (
        f"d/dists/stable/main/binary-amd64/by-hash/SHA256/{SHA256}",
        "sha256",
    ),
    "main/binary-amd64/Packages by-hash/SHA512": (
        f"d/dists/stable/main/binary-amd64/by-hash/SHA512/{SHA512}",
        "sha512",
    ),
    "Contents-all.gz by-hash/SHA256": (f"d/dists/stable/by-hash/SHA256/{'0' * 64}", "sha256"),
    "main/only-sha1 by-hash/SHA1": (f"d/dists/stable/main/by-hash/SHA1/{SHA1}", "sha1"),
}


def test_an_inrelease_names_its_members_plainly_and_by_hash() -> None:
    found = read("d/dists/stable/InRelease", signed(RELEASE))
    assert by_slot(list(found.links)) == IN_RELEASE
    assert found.until == 1795845600.0


def test_a_release_says_the_same_and_has_a_companion() -> None:
    companion = {".gpg": ("d/dists/stable/Release.gpg", "")}
    found = links("d/dists/stable/Release", RELEASE.encode())
    assert by_slot(found) == IN_RELEASE | companion
    assert [each.slot for each in found if each.signs] == [".gpg"]


def test_a_byte_of_another_encoding_spoils_nothing_but_its_own_line() -> None:
    body = RELEASE.encode().replace(b"several", b"d\xe9j\xe0 vu")
    assert by_slot(links("d/dists/stable/InRelease", body)) == IN_RELEASE
    named = f"SHA256:\n {SHA256} 1 caf".encode() + b"\xe9\n" + f" {SHA256} 1 x\n \u00e9 1 y\n".encode()
    assert [each.path for each in links("InRelease", named)] == ["x"]


def test_files_of_one_content_have_one_name_by_hash_and_a_slot_each() -> None:
    body = f"Acquire-By-Hash: yes\nSHA256:\n {SHA256} 0 a/x\n {SHA256} 0 a/y\n {SHA256} 0 ./a/y\n"
    found = [each for each in links("InRelease", body.encode()) if "by-hash" in each.path]
    assert {each.path for each in found} == {f"a/by-hash/SHA256/{SHA256}"}
    assert [each.slot.split()[0] for each in found] == ["a/x", "a/y", "./a/y"]


def test_a_name_by_hash_is_made_of_hex_alone() -> None:
    assert links("InRelease", f"Acquire-By-Hash: yes\nSHA256:\n {'../' * 21}x 1 a\n".encode()) == []


def test_a_suite_has_no_more_members_than_any_has() -> None:
    text = "SHA1:\n" + "".join(f" {SHA1} 1 {number}\n" for number in range(200_001))
    assert len(links("InRelease", text[: text.rindex(" " + SHA1)].encode())) == 200_000
    with pytest.raises(ValueError, match="more than 200000"):
        links("InRelease", text.encode())


@pytest.mark.parametrize("line", ["", "Acquire-By-Hash: no\n"])
def test_without_acquire_by_hash_there_are_plain_names_alone(line: str) -> None:
    found = links("flat/InRelease", signed(RELEASE.replace("Acquire-By-Hash: yes\n", line)))
    assert set(by_slot(found)) == {"main/binary-amd64/Packages", "Contents-all.gz", "main/only-sha1"}


def test_what_a_signature_escapes_is_unescaped_and_what_follows_it_ignored() -> None:
    text = f"SHA256:\n {SHA256} 1 ./Packages\n-x: y\n"
    found = links("InRelease", signed(text) + f"SHA256:\n {SHA256} 1 Later\n".encode())
    assert [(each.path, each.slot) for each in found] == [("Packages", "./Packages")]


def test_line_ends_of_another_system() -> None:
    assert by_slot(links("d/dists/stable/InRelease", signed(RELEASE).replace(b"\n", b"\r\n"))) == IN_RELEASE


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Sat, 28 Nov 2026 06:00:00 UTC", 1795845600.0),
        ("Sat, 28 Nov 2026 06:00:00 GMT", 1795845600.0),
        ("Sat, 28 Nov 2026 07:00:00 +0100", 1795845600.0),
        ("Sat, 28 Nov 2026 06:00:00", 1795845600.0),
        ("Thu, 1 Jan 1970 0:00:09 Z", 9.0),
    ],
)
def test_the_end_of_its_validity_is_a_time_in_utc(date: str, expected: float) -> None:
    body = f"Valid-Until: {date}\nMD5Sum:\n".encode()
    assert read("InRelease", body).until == expected


BROKEN = {
    "empty": b"",
    "a page": b"<!doctype html>\n<html><body>Sign in</body></html>",
    "fields without files": b"Origin: tests\nSuite: stable\n",
    "no fields": b"hello\nworld\n",
    "a line that is no field": RELEASE.replace("Suite: stable", "Suite stable").encode(),
    "a file without a size": f"SHA256:\n {SHA256} main/x\n".encode(),
    "no date": b"Valid-Until: tomorrow\nSHA256:\n",
    "no such date": b"Valid-Until: Sat, 99 Nov 2026 06:00:00 UTC\nSHA256:\n",
    "a year without end": b"Valid-Until: Sat, 28 Nov 99999999999999999999 06:00:00 UTC\nSHA256:\n",
    "a signature cut": signed(RELEASE)[:-20],
    "a signature cut before it": signed(RELEASE)[: len(RELEASE) // 2],
    "no text": b"\xff\xfe 1 x\n",
    "too long": b"SHA256:\n" + b"x" * (17 << 20),
    "cut gzip": gzip.compress(RELEASE.encode())[:-4],
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_no_release_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        links("dists/stable/InRelease", body)


# -- Packages and Sources -----------------------------------------------------------------------------------


def stanza(filename: str, **sums: str) -> str:
    lines = "".join(f"{name}: {value}\n" for name, value in (sums or {"SHA256": SHA256}).items())
    return f"Package: p\nDescription: d\n Filename: not/this\nFilename: {filename}\nSize: 9\n{lines}\n"


@pytest.mark.parametrize("path", [f"{BINARY}/Packages", f"{BINARY}/by-hash/SHA256/{SHA256}"])
def test_packages_are_listed_by_their_path_in_the_archive(path: str) -> None:
    body = "".join(
        (
            stanza("pool/main/a/a_1_amd64.deb"),
            stanza("./pool/b.deb", MD5sum=MD5, SHA1=SHA1, SHA512=SHA512),
            stanza("pool/c.deb", sha1=SHA1),
            stanza("pool/md5.deb", MD5sum=MD5),
            stanza("pool/bad.deb", SHA256="abc"),
            stanza("../outside.deb"),
            "Package: installed\nStatus: ok\n\n",
            stanza("pool/d.deb").rstrip("\n"),
        )
    )
    assert links(path, body.encode()) == [
        Link("debian/pool/main/a/a_1_amd64.deb", Digest("sha256", SHA256), Role.LISTED),
        Link("debian/pool/b.deb", Digest("sha512", SHA512), Role.LISTED),
        Link("debian/pool/c.deb", Digest("sha1", SHA1), Role.LISTED),
        Link("debian/pool/d.deb", Digest("sha256", SHA256), Role.LISTED),
    ]


@pytest.mark.parametrize(
    ("path", "filename", "expected"),
    [
        ("Packages", "./a.deb", ["a.deb"]),
        ("flat/Packages", "a.deb", ["flat/a.deb"]),
        ("flat/Packages", "flat/a.deb", ["flat/flat/a.deb", "flat/a.deb"]),
        ("r/x/y/Packages", "./x/y/a.deb", ["r/x/y/x/y/a.deb", "r/x/y/a.deb"]),
        ("flat/Packages", "pool/a.deb", ["flat/pool/a.deb", "pool/a.deb"]),
        ("flat/Packages", "other/a.deb", ["flat/other/a.deb"]),
        ("dists/flat/Packages", "a.deb", ["a.deb"]),
        ("m/dists/d/dists/s/main/binary-all/Packages", "pool/a.deb", ["m/dists/d/pool/a.deb"]),
    ],
)
def test_where_a_path_counts_from(path: str, filename: str, expected: list[str]) -> None:
    assert [each.path for each in links(path, stanza(filename).encode())] == expected


def test_sources_are_listed_by_their_directory() -> None:
    body = (
        f"Package: hello\nFiles:\n {MD5} 9 hello_1.dsc\nChecksums-Sha1:\n {SHA1} 9 hello_1.dsc\n"
        f"Checksums-Sha256:\n {SHA256} 9 hello_1.dsc\n {'0' * 64} 9 hello_1.orig.tar.xz\n"
        f"Directory: pool/main/h/hello\n\n"
        f"Package: b\nDirectory: pool/b\nChecksums-Sha512:\n {SHA512} 9 b_1.dsc\n\nPackage: none\n"
    )
    assert links("dists/s/main/source/Sources.xz", body.encode()) == [
        Link("pool/main/h/hello/hello_1.dsc", Digest("sha256", SHA256)),
        Link("pool/main/h/hello/hello_1.orig.tar.xz", Digest("sha256", "0" * 64)),
        Link("pool/b/b_1.dsc", Digest("sha512", SHA512)),
    ]
    assert links("flat/Sources", f"Package: x\nChecksums-Sha256:\n {SHA256} 9 x.dsc".encode())[0].path == "flat/x.dsc"


@pytest.mark.parametrize("body", [b"", gzip.compress(b"", mtime=0)])
@pytest.mark.parametrize("name", ["Packages", f"by-hash/SHA256/{SHA256}"])
def test_an_empty_list_is_a_list(name: str, body: bytes) -> None:
    found = read(f"{BINARY}/{name}", body).links
    assert found != ()
    assert list(found) == []


@pytest.mark.parametrize(
    "body",
    [b"Archive: stable\nComponent: main\n", b"\x04\x22\x4d\x18 lz4", b"<html/>", gzip.compress(b"other", mtime=0)],
)
def test_what_is_no_list_says_nothing_by_hash_and_is_an_error_by_name(body: bytes) -> None:
    assert read(f"{BINARY}/by-hash/SHA256/{SHA256}", body).links == ()
    with pytest.raises(ValueError, match="no list"):
        read(f"{BINARY}/Packages", body)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(stanza("pool/a.deb").encode())[:-3],
        b"Package: a\n" + b"x" * (3 << 20),
    ],
    ids=["cut", "endless"],
)
def test_a_broken_list_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        links(f"{BINARY}/Packages", body)


def test_a_name_of_another_encoding_is_left_out() -> None:
    body = stanza("pool/caf#.deb").encode().replace(b"#", b"\xe9") + stanza("pool/a.deb").encode()
    assert [each.path for each in links(f"{BINARY}/Packages", body)] == ["debian/pool/a.deb"]
    sources = f"Package: x\nDirectory: pool/#\nChecksums-Sha256:\n {SHA256} 9 x.dsc\n".encode()
    assert links("flat/Sources", sources.replace(b"#", b"\xe9")) == []
    assert links("flat/Sources", sources.replace(b"x.dsc", b"\xe9.dsc")) == []


def test_a_list_has_a_last_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.formats.deb.MOST_LISTED", 2)
    assert len(links(f"{BINARY}/Packages", (stanza("pool/a.deb") * 2).encode())) == 2
    with pytest.raises(ValueError, match="more than 2"):
        links(f"{BINARY}/Packages", (stanza("pool/a.deb") * 3).encode())


def test_a_stanza_without_an_end_is_bounded() -> None:
    with pytest.raises(ValueError, match="without an end"):
        list(DEB.read(resolve(f"{BINARY}/Packages"), Zeros(b"Package: a\n")).links)


def test_fifty_thousand_packages_in_the_memory_of_a_few() -> None:
    text = "".join(stanza(f"pool/p{number}.deb", SHA256=f"{number:064x}") for number in range(50_000))
    body = io.BytesIO(gzip.compress(text.encode(), compresslevel=1))
    tracemalloc.start()
    try:
        count = sum(1 for _ in DEB.read(resolve(f"{BINARY}/Packages.gz"), body).links)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_000
    assert peak < 4 << 20


# -- what apt's own tools write -----------------------------------------------------------------------------


def test_what_apt_ftparchive_writes_is_read_as_it_is_on_disk(tmp_path: Path) -> None:
    _deb(tmp_path, "pool/main/h/hello/hello_1_all.deb")
    lists = tmp_path / "dists/s/main/binary-amd64"
    lists.mkdir(parents=True)
    packages = _ftparchive(tmp_path, "packages", "pool")
    (lists / "Packages").write_bytes(packages)
    (lists / "Packages.gz").write_bytes(gzip.compress(packages))
    release = _ftparchive(tmp_path / "dists/s", "-oAPT::FTPArchive::Release::Acquire-By-Hash=yes", "release", ".")
    found = links("dists/s/Release", release)
    plain = [each for each in found if "by-hash" not in each.slot and each.slot != ".gpg"]
    assert {each.slot for each in plain} == {"main/binary-amd64/Packages", "main/binary-amd64/Packages.gz"}
    assert {each.slot.rpartition("/")[2] for each in found if "by-hash" in each.slot} == {"SHA1", "SHA256", "SHA512"}
    for member in plain:
        assert _holds(tmp_path, member)
        (listed,) = links(member.path, (tmp_path / member.path).read_bytes())
        assert listed.path == "pool/main/h/hello/hello_1_all.deb"
        assert _holds(tmp_path, listed)


def test_what_gpg_signs_is_read(tmp_path: Path) -> None:
    gpg = [require("gpg"), "--homedir", str(tmp_path), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "tests@example.org", "ed25519"], check=True, timeout=60)
    done = subprocess.run([*gpg, "--clear-sign"], input=RELEASE.encode(), capture_output=True, check=True, timeout=60)
    subprocess.run([require("gpgconf"), "--homedir", str(tmp_path), "--kill", "all"], check=True, timeout=60)
    assert by_slot(links("d/dists/stable/InRelease", done.stdout)) == IN_RELEASE


def _holds(root: Path, link: Link) -> bool:
    assert link.digest is not None
    return hashlib.new(link.digest.algorithm, (root / link.path).read_bytes()).hexdigest() == link.digest.value


def _ftparchive(root: Path, *arguments: str) -> bytes:
    done = subprocess.run(
        [require("apt-ftparchive"), *arguments], cwd=root, stdout=subprocess.PIPE, check=True, timeout=60
    )
    return done.stdout


def _deb(root: Path, path: str) -> None:
    control = root / "built" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: d\n"
    )
    (root / path).parent.mkdir(parents=True)
    command = [require("dpkg-deb"), "--build", "--root-owner-group", str(root / "built"), str(root / path)]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
