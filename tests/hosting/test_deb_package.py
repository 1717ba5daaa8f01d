"""What is read in a Debian package, and which are refused (deb(5), Debian Policy 5)."""

from __future__ import annotations

import io
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from app.hosting.deb_package import read
from tests.conftest import require
from tests.hosting.debian import PACKINGS, Debian, ar, tar

GOOD = Debian("hello")
VERSION, DATA = ("debian-binary", b"2.0\n"), ("data.tar", tar([("./x", b"1")]))
CONTROL = ("control.tar", tar([("./control", GOOD.control)]))


def made(control: bytes) -> bytes:
    """A package with this control file."""
    return ar(VERSION, ("control.tar", tar([("./control", control)])), DATA)


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_packing_of_the_control_part_is_read(packing: str) -> None:
    package = read(io.BytesIO(replace(GOOD, packing=packing).body))
    assert (package.name, package.version, package.arch) == ("hello", "1.0-1", "amd64")
    assert package.stanza.encode() == GOOD.control


def test_the_index_says_what_is_of_the_index() -> None:
    """And no package: neither where it is nor what its checksum is."""
    lies = ("Filename: ../../x", "SIZE: 1", "sha256: 00", " and more", "MD5sum: 0", "Status: installed")
    package = read(io.BytesIO(replace(GOOD, fields=lies).body))
    assert package.stanza.encode() == GOOD.control


@pytest.mark.parametrize(
    ("version", "file"),
    [
        ("1", "hello_1_amd64.deb"),
        ("2:1.0~rc1+b2-1", "hello_1.0~rc1+b2-1_amd64.deb"),
        ("0.0.0", "hello_0.0.0_amd64.deb"),
    ],
)
def test_the_file_is_named_as_dpkg_names_it(version: str, file: str) -> None:
    assert read(io.BytesIO(replace(GOOD, version=version).body)).file == file


def test_what_other_people_add_is_passed_over() -> None:
    added = ("_gpgorigin", b"signature")
    assert read(io.BytesIO(ar(VERSION, added, CONTROL, added, DATA, added, ("extra", b"")))).name == "hello"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no ar archive"),
        (b"PK\x03\x04 a zip", "no ar archive"),
        (ar(), "debian-binary"),
        (ar(("debian-binary", b"0.93\n"), CONTROL, DATA), "debian-binary"),
        (ar(CONTROL, VERSION, DATA), "debian-binary"),
        (ar(("debian-binary", b"2.0\n" * 9), CONTROL, DATA), "more than 16 bytes"),
        (ar(VERSION), "nothing where control.tar"),
        (ar(VERSION, DATA, CONTROL), "data.tar where control.tar"),
        (ar(VERSION, ("control.tar.lzma", b""), DATA), "control.tar.lzma where"),
        (ar(VERSION, CONTROL), "no data.tar"),
        (ar(VERSION, CONTROL, CONTROL, DATA), "no data.tar behind"),
        (ar(VERSION, CONTROL, DATA, CONTROL), "a second control.tar"),
        (ar(VERSION, CONTROL, DATA, DATA), "a second"),
        (GOOD.body[:-1], "in the middle"),
        (GOOD.body[:100], "damaged ar header"),
        (ar(VERSION, ("control.tar.gz", b"no gzip"), DATA), "damaged|unpacked|in the middle"),
        (ar(VERSION, ("control.tar", tar([("./postinst", b"")])), DATA), "no control file"),
        (ar(VERSION, ("control.tar", tar([("./control", b"x: 1\n"), ("control", b"")])), DATA), "2 control files"),
        (ar(VERSION, ("control.tar", tar([("../control", b"")])), DATA), "no path below"),
        (ar(VERSION, ("control.tar", tar([(f"./{n}", b"") for n in range(1001)])), DATA), "more than 1000 members"),
        (
            ar(VERSION, ("control.tar.gz", PACKINGS[".gz"](tar([("./x", b"\0" * (4 << 20))]))), DATA),
            "1000 times its size",
        ),
    ],
)
def test_what_is_no_package_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(io.BytesIO(body))


HEAD = b"Package: hello\nVersion: 1.0\nArchitecture: amd64\n"


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (b"", "several paragraphs"),
        (b"Package: hello\nVersion: 1.0\n", "an architecture"),
        (b"Version: 1.0\nArchitecture: amd64\n", "a name"),
        (b"Package: hello\nArchitecture: amd64\n", "a version"),
        (HEAD.replace(b"hello", b"Hello"), "a name"),
        (HEAD.replace(b"hello", b"../../etc"), "a name"),
        (HEAD.replace(b"hello", b"h" * 129), "a name"),
        (HEAD.replace(b"hello", "h\u00e9llo".encode()), "a name"),
        (HEAD.replace(b"hello", b"hello\n again"), "a name"),
        (HEAD.replace(b"1.0", b"v1.0"), "a version"),
        (HEAD.replace(b"1.0", b"1/0"), "a version"),
        (HEAD.replace(b"1.0", b"1.0\n /../x"), "a version"),
        (HEAD.replace(b"1.0", b"1:2:3"), "a version"),
        (HEAD.replace(b"1.0", b"1" * 200), "a version"),
        (HEAD.replace(b"amd64", b"x86_64"), "an architecture"),
        (HEAD.replace(b"amd64", b"any"), "an architecture"),
        (HEAD + b"Package-Type: udeb\n", "a udeb"),
        (HEAD + b"Package: other\n", "two fields Package"),
        (HEAD + b"version: 2.0\n", "two fields version"),
        (HEAD + b"\nPackage: other\n", "several paragraphs"),
        (HEAD + b" \nPackage: other\n", "several paragraphs"),
        (b" folded\n" + HEAD, "begins in the middle"),
        (HEAD + b"no field\n", "no field"),
        (HEAD + b"# no comment\n", "no field"),
        (HEAD + b"-: x\n", "no field"),
        (HEAD + b"Description: a\rFilename: /x\n", "control character"),
        (HEAD + b"Description: a\0b\n", "control character"),
        (HEAD + b"Description: \xff\xfe\n", "not UTF-8"),
        (HEAD + b"Description: " + b"x" * (512 << 10) + b"\n", "more than 524288 bytes"),
    ],
)
def test_a_control_file_that_would_spoil_an_index_is_refused(control: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(io.BytesIO(made(control)))


TAKEN = (
    *("Depends:", "Depends: a|b", "Depends: a(>=1)|b ( << 2 ),c", "Depends: a\n , b\n , c", "Depends: a (> 1.0), b"),
    *("Depends: a:any (>= 1:2:3-4), A_b.c+d", "Depends: a (1.0)", "Depends: 3a (= 1~)", "Depends: a (=1), b"),
    *(
        "Enhances: a | b",
        "Provides: x (= 1), y (>> 1)",
        "Conflicts: a (<= 1), b:amd64",
        "Multi-Arch:",
        "Essential: Yes",
    ),
)
REFUSED = (
    *("Depends: foo (>= ", "Depends: (((", "Depends: a,", "Depends: a,,b", "Depends: , a", "Depends: a |"),
    *(
        "Depends: a || b",
        "Depends: a b",
        "Depends: a (= 1) b",
        "Depends: a [amd64]",
        "Depends: a <x>",
        "Depends: a )",
    ),
    *("Depends: ${x}", "Depends: a (>= ${v})", "Depends: a (>= 1_2)", "Depends: a (>= 1 2)", "Depends: a (>= 1-)"),
    *("Depends: a (>= x:1)", "Depends: a (>=)", "Depends: a ()", "Depends: a (>= 1", "Depends: a (>= 1))"),
    *("Depends: a (== 1)", "Depends: a:", "Depends: a:b:c", "Depends: -a", "Depends: a;b", "Pre-Depends: ("),
    *("Recommends: a (", "Replaces: ,", "Breaks: a | b", "Conflicts: a | b", "Provides: x | y", "Replaces: a|b"),
    *("Multi-Arch: nonsense", "Essential: maybe", "Protected: x"),
)


@pytest.mark.parametrize("field", [*TAKEN, *REFUSED])
def test_a_field_is_taken_that_dpkg_takes(field: str, tmp_path: Path) -> None:
    package = replace(GOOD, fields=(field,))
    (tmp_path / "tree/DEBIAN").mkdir(parents=True)
    (tmp_path / "tree/DEBIAN/control").write_bytes(package.control)
    build = [require("dpkg-deb"), "-Znone", "--build", "tree", "x.deb"]
    assert (subprocess.run(build, cwd=tmp_path, capture_output=True).returncode == 0) is (field in TAKEN)
    with (
        nullcontext()
        if field in TAKEN
        else pytest.raises(ValueError, match=r"that Debian does not take|alternatives")
    ):
        read(io.BytesIO(package.body))


@pytest.mark.parametrize(
    "field",
    ["Depends: b, a (=1)", "Depends: a ( <1)", "Suggests: a (1)", f"Section: {'s' * 70_000}", "Source: " + "s" * 999],
)
def test_a_field_that_only_apt_cannot_read_is_refused(field: str) -> None:
    """Of apt 2.6: three characters at the end are no version to it, and 64 KiB no section."""
    with pytest.raises(ValueError, match=r"apt cannot read|more than 256"):
        read(io.BytesIO(replace(GOOD, fields=(field,)).body))


def test_lines_that_unicode_ends_are_none_of_the_indexs() -> None:
    """NEL, LS and PS end a line for Python's splitlines, and for no reader of an index."""
    text = "Description: a\u0085Filename: x\u2028Size: 1\u2029b\n"
    assert read(io.BytesIO(made(HEAD + text.encode()))).stanza.endswith(text)
