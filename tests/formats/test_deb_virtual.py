"""Suites of several members as one: whose packages they list, what is handed on as it is, what is refused."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import time
from dataclasses import replace

import pytest
from pysequoia import Tsk

from app.errors import NotFound
from app.formats.deb import DEB
from app.resource import Ask, Signing
from tests.formats.merged import Files, Table, local, made, remote, virtual

SUITE = "dists/stable/"
LIST = "main/binary-amd64/Packages"
DATE = "Sat, 21 Nov 2026 10:00:00 UTC"
ONE, TWO, TEAM = remote("deb", "one"), remote("deb", "two"), local("deb", "team")


def row(name: str, version: str = "1", path: str = "", more: str = "") -> str:
    path = path or f"pool/main/{name}_{version}_amd64.deb"
    return f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}Filename: {path}\nSize: 1\n\n"


def suite(text: str, lists: dict[str, str] | None = None, head: str = "Release", **said: str) -> dict[str, bytes]:
    """A suite by path; its lists are packed by xz, and have names by hash."""
    found, sums = {}, []
    for name, each in (lists or {LIST: text}).items():
        for suffix, body in (("", each.encode()), (".xz", lzma.compress(each.encode()))):
            digest = hashlib.sha256(body).hexdigest()
            sums.append(f" {digest} {len(body)} {name}{suffix}\n")
            found[f"{SUITE}{name[: name.rfind('/') + 1]}by-hash/SHA256/{digest}"] = body
    fields = {"Suite": "stable", "Architectures": "amd64", "Components": "main", **said}
    told = "".join(f"{name}: {value}\n" for name, value in fields.items())
    found[SUITE + head] = f"{told}Acquire-By-Hash: yes\nSHA256:\n{''.join(sums)}".encode()
    return found


def merged(files: dict[str, Files], name: str = "Release", key: str = "", *owned: str) -> Table:
    own = virtual("deb", TEAM, ONE, remote("deb", "two", *owned))
    return made(replace(own, signing=Signing(key)), SUITE + name, files)


def listed(table: Table, name: str = LIST) -> str:
    """A list by what Release says of it; its checksums hold."""
    release = table.text.getvalue().decode()
    sums = {words[2]: words[0] for line in release.split("\n") if len(words := line.split()) == 3}
    packed = table.others[f"{SUITE}{name[: name.rfind('/') + 1]}by-hash/SHA256/{sums[name + '.gz']}"].getvalue()
    assert hashlib.sha256(packed).hexdigest() == sums[name + ".gz"]
    text = gzip.decompress(packed)
    assert hashlib.sha256(text).hexdigest() == sums[name]
    return text.decode()


def test_every_member_is_listed_and_the_first_wins() -> None:
    one = suite(row("a", more="Description: of one\n") + row("b", path="./x.deb"), Date=DATE)
    odd = row("c", path="x.deb") + row("d", path="../d.deb")
    two = suite(row("a", more="Description: of two\n") + row("a", "2") + odd)
    table = merged({"one": one, "two": two})
    assert listed(table) == (
        row("a", path="@one/pool/main/a_1_amd64.deb", more="Description: of one\n")
        + row("b", path="@one/x.deb")
        + row("a", "2", path="@two/pool/main/a_2_amd64.deb")
        + row("c", path="@two/x.deb")
    )
    release = table.text.getvalue().decode()
    for line in ("Origin: v", "Suite: stable", f"Date: {DATE}", "Acquire-By-Hash: yes"):
        assert f"{line}\n" in release
    assert merged({"one": one, "two": two}).text.getvalue() == table.text.getvalue()


def test_lists_and_fields_are_all_members() -> None:
    other = "contrib/binary-arm64/Packages"
    dated = {
        "Date": DATE,
        "NotAutomatic": "yes",
        "Valid-Until": DATE,
    }
    one = suite(row("a"), None, "InRelease", **dated)
    two = suite("", lists={LIST: row("b"), other: row("c")}, Architectures="amd64 arm64", Components="main contrib")
    table = merged({"one": one, "two": two})
    assert listed(table, other) == row("c", path="@two/pool/main/c_1_amd64.deb")
    release = table.text.getvalue().decode()
    assert "Architectures: amd64 arm64\nComponents: main contrib\n" in release
    assert "NotAutomatic" not in release
    assert "Valid-Until" not in release


def test_a_locals_names_and_owned_ones_are_nobody_elses() -> None:
    files: dict[str, Files] = {
        "team": suite(row("ours")),
        "one": suite(row("ours", "9") + row("team-x", "9") + row("a")),
        "two": suite(row("team-x")),
    }
    assert "@one/pool/main/ours" not in listed(merged(files))
    assert "@one/pool/main/team-x_9" in listed(merged(files))
    text = listed(merged(files, "Release", "", "team-*"))
    assert [part in text for part in ("@one/pool/main/team-x", "@two/pool/main/team-x", "@one/pool/main/a_")] == [
        False,
        True,
        True,
    ]


def test_what_one_member_alone_has_is_handed_on_unless_others_own_some_of_it() -> None:
    one = suite(row("a") + row("team-x"))
    assert merged({"one": one}).text.getvalue() == one[f"{SUITE}Release"]
    with pytest.raises(NotFound):
        merged({"one": one}, "InRelease")
    assert listed(merged({"one": one}, "Release", "", "team-*")) == row("a", path="@one/pool/main/a_1_amd64.deb")
    with pytest.raises(NotFound):
        merged({})


def test_a_key_signs_what_is_merged_and_what_a_local_has() -> None:
    key = str(Tsk.generate("Virtual <virtual@example.org>"))
    both: dict[str, Files] = {"one": suite(row("a")), "two": suite(row("b"))}
    text = merged(both).text.getvalue()
    signed = merged(both, "InRelease", key).text.getvalue()
    assert signed.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----")
    assert text.strip() in signed
    with pytest.raises(NotFound):
        merged(both, "InRelease")
    assert b"BEGIN PGP" in merged({"team": suite(row("a"))}, "InRelease", key).text.getvalue()


HOSTILE: dict[str, dict[str, bytes]] = {
    "html": {**suite(row("b")), f"{SUITE}Release": b"<html>log in</html>"},
    "lists nothing": {f"{SUITE}Release": b"Suite: stable\n"},
    "md5 alone": {f"{SUITE}Release": b"Suite: stable\nMD5Sum:\n " + b"a" * 32 + b" 1 " + LIST.encode() + b"\n"},
    "a date that is none": suite(row("b"), Date="yesterday"),
    "no version": suite(row("b").replace("Version", "X-Version")),
    "no file": suite(row("b").replace("Filename", "X-Filename")),
    "endless": suite(row("b", more="X: " + "x" * (2 << 20) + "\n")),
    "another body": {path: body if "by-hash" not in path else b"" for path, body in suite(row("b")).items()},
    "no body": {path: body for path, body in suite(row("b")).items() if "by-hash" not in path},
    # What apt, tried, takes for a package called team-x, each behind another name or none.
    "two names": suite(row("b", more="Package: team-x\n")),
    "two names, one with a space": suite(row("b", more="Package : team-x\n")),
    "two names, one behind a line feed": suite(row("b", more="package\n: team-x\n")),
    "two names, one behind a carriage return": suite(row("b", more="\rPackage: team-x\n")),
    "a name on the next line": suite(row("\n team-x", path="x.deb")),
    "two versions": suite(row("b", more="Version: 2\n")),
    "two files": suite(row("b", more="Filename: y.deb\n")),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_bad_suite_is_refused_by_its_members_name(kind: str) -> None:
    with pytest.raises(ValueError, match=r"^two: "):
        merged({"one": suite(row("a")), "two": HOSTILE[kind]})


def test_a_name_is_what_apt_takes_for_it() -> None:
    two = suite(row("team-x").replace("Package: ", "Package \r: \v") + row("b", more="Package-Type: deb\n"))
    text = listed(merged({"one": suite(row("a")), "two": two, "team": suite(row("team-x"))}))
    assert [part in text for part in ("@two/pool/main/team-x", "@two/pool/main/b_1")] == [False, True]


def test_a_value_with_blanks_in_it_takes_no_longer() -> None:
    two = suite(row(f"x{' ' * 30_000}b", path="x  b.deb \r"))
    began = time.process_time()
    text = listed(merged({"one": suite(row("a")), "two": two}))
    assert time.process_time() - began < 1
    assert "\nFilename: @two/x  b.deb \r\n" in text


ARM, CONTRIB = "main/binary-arm64/Packages", "contrib/binary-amd64/Packages"


def without(files: dict[str, bytes], text: str) -> dict[str, bytes]:
    """A member that names a list and has it not."""
    gone = tuple(hashlib.sha256(body).hexdigest() for body in (text.encode(), lzma.compress(text.encode())))
    return {path: body for path, body in files.items() if not path.endswith(gone)}


def test_a_list_that_a_mirror_has_not_is_left_out_of_it() -> None:
    lists = {LIST: row("b"), ARM: row("arm"), CONTRIB: row("c")}
    two = without(suite("", lists), lists[ARM])
    table = merged({"one": suite(row("a")), "two": two})
    assert listed(table) == row("a", path="@one/pool/main/a_1_amd64.deb") + row(
        "b", path="@two/pool/main/b_1_amd64.deb"
    )
    assert "@two" in listed(table, CONTRIB)
    assert ARM not in table.text.getvalue().decode()
    assert not [path for path in table.others if "arm64" in path]
    one = suite("", {LIST: row("a"), ARM: row("more")})
    assert listed(merged({"one": one, "two": two}), ARM) == row("more", path="@one/pool/main/more_1_amd64.deb")
    owned = made(virtual("deb", TWO, remote("deb", "one", "c")), f"{SUITE}Release", {"two": two})
    assert listed(owned, CONTRIB) == ""


def test_a_list_that_is_not_there_yet_is_not_handed_on_unread() -> None:
    lists = {LIST: row("b"), ARM: row("team-x")}
    table = merged({"one": without(suite("", lists), lists[ARM])}, "Release", "", "team-*")
    assert ARM not in table.text.getvalue().decode()
    assert listed(table) == row("b", path="@one/pool/main/b_1_amd64.deb")


def test_a_list_without_a_name_by_hash_is_found_under_its_own() -> None:
    lists = {LIST: row("b"), ARM: row("arm")}
    two = {**without(suite("", lists), lists[ARM]), f"{SUITE}{ARM}.xz": lzma.compress(row("arm").encode())}
    assert "@two" in listed(merged({"one": suite(row("a")), "two": two}), ARM)
    two[f"{SUITE}{ARM}.xz"] = b"another"
    with pytest.raises(ValueError, match=r"^two: .* is not the one"):
        merged({"one": suite(row("a")), "two": two})


def test_a_locals_lists_are_all_there() -> None:
    lists = {LIST: row("b"), ARM: row("arm")}
    with pytest.raises(ValueError, match=r"^team: .* is not there"):
        merged({"one": suite(row("a")), "team": without(suite("", lists), lists[ARM])})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pool/main/h/hello/hello_2.10-3_amd64.deb", "hello"),
        ("@one/pool/lib++x_1%3a1.0_all.deb", "lib++x"),
        ("x_1_amd64.udeb", "x"),
        (f"{SUITE}Release", ""),
        ("pool/hello.deb", ""),
    ],
)
def test_a_file_says_its_packages_name(path: str, name: str) -> None:
    assert DEB.named(path) == name


def test_what_paths_are() -> None:
    own, digest = virtual("deb", ONE, TWO), "a" * 64
    merged_list = DEB.resolve(own, Ask("GET", "v", f"{SUITE}main/binary-amd64/by-hash/SHA256/{digest}"))
    assert [each.repository.name for each in merged_list.among] == ["v", "one", "two"]
    head = merged_list.among[0].beside
    assert head is not None
    assert head.path == f"{SUITE}Release"
    assert DEB.resolve(own, Ask("GET", "v", f"{SUITE}main/binary-amd64/Release")).among
    (only,) = DEB.resolve(own, Ask("GET", "v", "flat/@two/x_1_all.deb")).among
    assert (only.repository.name, only.path) == ("two", "flat/x_1_all.deb")
