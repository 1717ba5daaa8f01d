"""What is read in an Alpine package, and which are refused (apk-v2(5), apk-package(5))."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from dataclasses import dataclass, replace

import pytest

from app.hosting.apk_package import read
from tests.hosting.alpine import Alpine, tar

GOOD = Alpine("hello")


@dataclass(frozen=True, slots=True)
class Spoilt(Alpine):
    """A package whose .PKGINFO is another."""

    text: bytes = b""

    @property
    def pkginfo(self) -> bytes:
        return self.text


def rewritten(old: str, new: str) -> bytes:
    return Spoilt("hello", text=GOOD.pkginfo.replace(old.encode(), new.encode())).body


def parts(*members: tuple[str, bytes]) -> bytes:
    """A package with this control part."""
    return gzip.compress(tar(*members)) + GOOD.data


def test_an_entry_says_what_apk_index_says() -> None:
    """The fields and their order are those of apk_pkg_write_index_entry."""
    info = (
        *("url = https://example.org", "license = MIT AND BSD-2-Clause", "origin = greetings"),
        *(
            "maintainer = Team <team@example.org>",
            "builddate = 1700000000",
            "commit = 0123abc",
            "depend = so:libc.so.1",
        ),
        *("depend = busybox>1.0 other", "provides = cmd:hello=1.0-r0", "install_if = a b", "provider_priority = 10"),
        *("packager = nobody reads this", "triggers = /usr", "replaces = old"),
    )
    package = replace(GOOD, info=info, signed=True)
    identity = base64.b64encode(hashlib.sha1(package.control).digest()).decode()
    assert read(io.BytesIO(package.body)).entry("x86_64").split("\n") == [
        *(f"C:Q1{identity}", "P:hello", "V:1.0-r0", "A:x86_64", f"S:{len(package.body)}", "I:8", "T:of the tests"),
        *("U:https://example.org", "L:MIT AND BSD-2-Clause", "o:greetings", "m:Team <team@example.org>"),
        *("t:1700000000", "c:0123abc", "k:10", "D:so:libc.so.1 busybox>1.0 other", "p:cmd:hello=1.0-r0", "i:a b", ""),
    ]


def test_an_entry_leaves_out_what_apk_index_leaves_out() -> None:
    entry = read(io.BytesIO(GOOD.body)).entry("aarch64")
    assert [line[:2] for line in entry.split("\n")] == ["C:", "P:", "V:", "A:", "S:", "I:", "T:", "U:", "L:", ""]
    assert "\nA:aarch64\n" in entry


@pytest.mark.parametrize(
    "version",
    "1 1.0 1.0-r0 20240101-r12 1.2.3a 1.0_alpha 1.0_rc1 1.0_git20240101_p2-r1 1.0~0abc1-r0 1.2z_beta2~ff-r3".split(),  # noqa: SIM905
)
def test_versions_are_those_of_the_specification(version: str) -> None:
    assert read(io.BytesIO(replace(GOOD, version=version).body)).file == f"hello-{version}.apk"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no apk"),
        (b"PK\x03\x04", "no apk"),
        (b"ADBd" + b"x" * 100, "apk 3"),
        (b"ADB.pckg", "apk 3"),
        (b"ADBc\0\0", "apk 3"),
        (GOOD.body[:-1], "damaged or cut short"),
        (GOOD.body + b"\0", "damaged or cut short"),
        (GOOD.control, "no data part"),
        (GOOD.control[:-1], "ends too early"),
        (replace(GOOD, signed=True).signatures, "ends too early"),
        (replace(GOOD, signed=True).signatures * 20 + GOOD.body, "more signatures"),
        (GOOD.data + GOOD.data, "no control part"),
        (parts((".SIGN.RSA.x", b""), (".post-install", b"")), "no .PKGINFO"),
        (parts((".PKGINFO", GOOD.pkginfo), (".PKGINFO", GOOD.pkginfo)), "2 files .PKGINFO"),
        (parts((".PKGINFO", GOOD.pkginfo), ("usr/x", b"")), "no control part"),
        (parts((".PKGINFO", GOOD.pkginfo), ("../.x", b"")), "no path below"),
        (parts((".PKGINFO", b"x" * (600 << 10))), "more than 524288"),
        (parts(*((f".{number}", b"") for number in range(200))), "more than 100 members"),
        (gzip.compress(b"\0" * (32 << 20)) + GOOD.data, "unpacks to more than"),
        (rewritten("pkgname = hello\n", ""), "no pkgname"),
        (rewritten("pkgver = 1.0-r0\n", ""), "no pkgver"),
        (rewritten("arch = x86_64\n", ""), "no arch"),
        (rewritten("datahash = ", "nohash = "), "no datahash"),
        (rewritten("datahash = ", "datahash = 00"), "damaged or cut short"),
        (rewritten("= hello", "= ../hello"), "pkgname"),
        (rewritten("= hello", "= .hello"), "pkgname"),
        (rewritten("= hello", "= " + "h" * 200), "pkgname"),
        (rewritten("= hello", "= h\u00e9llo"), "pkgname"),
        (rewritten("1.0-r0", "1.0-1"), "pkgver"),
        (rewritten("1.0-r0", "1.0/../2"), "pkgver"),
        (rewritten("1.0-r0", "1." + "0" * 100), "pkgver"),
        (rewritten("x86_64", "x86/64"), "arch"),
        (rewritten("size = 8", "size = -8"), "size"),
        (rewritten("size = 8", "size = 8\nsize = 9"), "two lines size"),
        (rewritten("of the tests", "of\rthe tests"), "control character"),
        (rewritten("of the tests", "of\0the tests"), "control character"),
        (rewritten("of the tests", "x" * 2000), "more than 2000 bytes"),
        (rewritten("size = 8", f"size = 8\ndepend = {'x' * 64_001}"), "more than 64000 bytes of depend"),
        (rewritten("size = 8", "size = 8" + "\nprovides = word" * 12_801), "more than 64000 bytes of provides"),
        (Spoilt("hello", text=GOOD.pkginfo + b"\xff\n").body, "not UTF-8"),
    ],
)
def test_what_is_no_package_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(io.BytesIO(body))
