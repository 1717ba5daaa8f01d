"""Indexes of several members as one, for apk: whose packages it lists, what is handed on, what is refused."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from dataclasses import replace

import pytest

from app.errors import Forbidden, NotFound
from app.formats.apk import APK
from app.formats.apk_index import INDEX, paragraphs
from app.resource import Ask
from tests.formats.merged import Files, local, made, remote, virtual

PATH = f"x86_64/{INDEX}"
ONE, TWO, TEAM = remote("apk", "one"), remote("apk", "two"), local("apk", "team")


def row(name: str, version: str = "1-r0", more: str = "") -> str:
    return f"C:Q1aaaaaaaaaaaaaaaaaaaaaaaaaaaa=\nP:{name}\nV:{version}\nA:x86_64\n{more}\n"


def index(*rows: str, signature: bytes = b"") -> bytes:
    buffer, text = io.BytesIO(), "".join(rows).encode()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, body in (("DESCRIPTION", b"upstream's"), ("APKINDEX", text)):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return signature + gzip.compress(buffer.getvalue(), mtime=0)


def listed(body: bytes) -> list[tuple[str, bytes]]:
    return [(each.name, each.version) for each in paragraphs(io.BytesIO(body))]


def merged(files: dict[str, Files]) -> bytes:
    return made(virtual("apk", TEAM, ONE, TWO), PATH, files).text.getvalue()


def test_every_member_is_listed_and_the_first_wins() -> None:
    one = index(row("a", more="T:of one\n"), row("b"))
    two = index(row("a", more="T:of two\n"), row("a", "2-r0"), row("c", more="z:unknown\n"))
    body = merged({"one": {PATH: one}, "two": {PATH: two}})
    assert listed(body) == [("a", b"1-r0"), ("b", b"1-r0"), ("a", b"2-r0"), ("c", b"1-r0")]
    text = gzip.decompress(body)
    assert [word in text for word in (b"T:of one", b"T:of two", b"z:unknown")] == [True, False, True]
    assert merged({"two": {PATH: two}, "one": {PATH: one}}) == body


def test_a_locals_names_and_owned_ones_are_nobody_elses() -> None:
    files: dict[str, Files] = {
        "team": {PATH: index(row("ours"))},
        "one": {PATH: index(row("ours", "9-r0"), row("team-x", "9-r0"), row("a"))},
        "two": {PATH: index(row("team-x"))},
    }
    assert listed(merged(files)) == [("ours", b"1-r0"), ("team-x", b"9-r0"), ("a", b"1-r0"), ("team-x", b"1-r0")]
    own = virtual("apk", TEAM, ONE, remote("apk", "two", "team-*"))
    body = made(own, PATH, files).text.getvalue()
    assert listed(body) == [("ours", b"1-r0"), ("a", b"1-r0"), ("team-x", b"1-r0")]


def test_what_one_member_alone_has_is_handed_on_unless_others_own_some_of_it() -> None:
    one = index(row("a"), row("team-x"))
    assert merged({"one": {PATH: one}}) == one
    own = virtual("apk", ONE, remote("apk", "two", "team-*"))
    assert listed(made(own, PATH, {"one": {PATH: one}}).text.getvalue()) == [("a", b"1-r0")]
    with pytest.raises(NotFound):
        merged({})


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        index(row("a"))[:-30],
        gzip.compress(b"no tar"),
        gzip.compress(b"\0" * 1024),
        index("P:a\nA:x86_64\n\n"),
        index("V:1-r0\n\n"),
        index(row("a", more="T:" + "x" * (2 << 20) + "\n")),
        index(row("a", more="x\nP:team-x\nV:9\n")),
        index(row("a", more="x\n")),
        index(row("a", more="P:team-x\n")),
        index(row("a", more="V:\n")),
        index(row("a\0x")),
    ],
    ids=[
        *("html", "cut", "no tar", "empty", "no version", "no name", "endless"),
        *("two in one", "an end in the middle", "two names", "two versions", "a name with an end in it"),
    ],
)
def test_a_bad_index_is_refused_by_its_members_name(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"^two: "):
        merged({"one": {PATH: index(row("a"))}, "two": {PATH: body}})
    own = APK.resolve(virtual("apk", ONE, TWO), Ask("GET", "v", PATH))
    assert [each.index for each in own.sources] == [True, True]
    with pytest.raises(ValueError):
        APK.read(own.sources[1], io.BytesIO(body))


def test_a_binary_index_is_not_merged() -> None:
    with pytest.raises(NotFound):
        APK.resolve(virtual("apk", ONE, TWO), Ask("GET", "v", "x86_64/Packages.adb"))
    assert APK.resolve(virtual("apk", ONE), Ask("GET", "v", "x86_64/Packages.adb")).among


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("x86_64/hello-1.0-r0.apk", "hello"),
        ("py3-a-b-2.0_rc1-r12.apk", "py3-a-b"),
        ("x-7zip-1.apk", "x-7zip"),
        ("v3/lib++-2024a-r0.apk", "lib++"),
        (PATH, ""),
        ("x.apk", ""),
    ],
)
def test_a_file_says_its_packages_name(path: str, name: str) -> None:
    assert APK.named(path) == name


def test_a_package_is_its_members_whose_patterns_allow_it() -> None:
    strict = replace(ONE, immutable_patterns=(re.compile(r"allowed"),))
    found = APK.resolve(virtual("apk", strict, TWO), Ask("GET", "v", "x86_64/a-1-r0.apk"))
    assert [each.repository.name for each in found.among] == ["two"]
    with pytest.raises(Forbidden):
        APK.resolve(virtual("apk", strict), Ask("GET", "v", "x86_64/a-1-r0.apk"))
