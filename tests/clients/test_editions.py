"""What a client can see of a set that changes upstream: the old one whole, then the new one whole."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.apt import Apt
from tests.clients.debs import GREETER, GREETER_2, Archive, Deb
from tests.clients.debs import LIBRARY as DEB_LIBRARY
from tests.clients.dnf import Dnf
from tests.clients.publisher import Repeating
from tests.clients.remote import NextRemote, Remote
from tests.clients.rpms import HELLO, HELLO_2, LIBRARY, LIBRARY_2, REPOMD, Mirror, Package, Rpms
from tests.clients.signing import Key
from tests.clients.test_sets import deb, rpm
from tests.stack import eventually

NewDnf = Callable[[str], Dnf]
NewApt = Callable[[Remote, Archive], Apt]
NewArchive = Callable[..., Archive]


def installs(dnf: NewDnf, remote: Remote, package: Package) -> None:
    machine = dnf(remote.url)
    machine("makecache")
    machine("install", package.name)
    assert machine.installed()[package.name] == package.version


def apt_installs(apt: NewApt, remote: Remote, suite: Archive, package: Deb) -> None:
    machine = apt(remote, suite)
    machine("update")
    machine("install", package.name)
    assert machine.installed()[package.name] == package.version


def get(remote: Remote, path: str) -> bytes:
    status, body = remote.stack.get(f"/repository/{remote.name}/{path}")
    assert status == 200, f"{path}: {status} {body[:200]!r}"
    return body


@pytest.mark.parametrize("missing", ["primary", "filelists"])
def test_dnf_keeps_the_old_set_while_a_file_of_the_new_one_is_missing(
    dnf: NewDnf, rpms: Rpms, rpm_remote: Remote, missing: str
) -> None:
    mirror = Mirror(rpms, rpm_remote.root)
    mirror.publish(HELLO, LIBRARY)
    installs(dnf, rpm_remote, HELLO)
    old = get(rpm_remote, REPOMD)
    mirror.publish(HELLO_2, LIBRARY_2)
    (file,) = rpm_remote.root.glob(f"repodata/*-{missing}.xml.*")
    aside = file.rename(file.with_name("aside"))
    for _ in range(2):
        rpm_remote.expire()
        installs(dnf, rpm_remote, HELLO)
        assert get(rpm_remote, REPOMD) == old
    aside.rename(file)
    rpm_remote.expire()
    rpm_remote.refresh(REPOMD)
    installs(dnf, rpm_remote, HELLO_2)


@pytest.mark.parametrize("hashed", [True, False], ids=["named by checksum", "named plainly"])
def test_dnf_keeps_the_old_set_while_the_new_one_is_published(
    dnf: NewDnf, rpms: Rpms, rpm_remote: Remote, hashed: bool
) -> None:
    mirror = Mirror(rpms, rpm_remote.root, hashed=hashed)
    mirror.publish(HELLO, LIBRARY)
    installs(dnf, rpm_remote, HELLO)
    finish = mirror.publish_index_first(HELLO_2, LIBRARY_2)
    for _ in range(2):
        rpm_remote.expire()
        installs(dnf, rpm_remote, HELLO)
    finish()
    rpm_remote.expire()
    rpm_remote.refresh(REPOMD)
    installs(dnf, rpm_remote, HELLO_2)


@pytest.mark.parametrize("by_hash", [True, False], ids=["by hash", "named plainly"])
@pytest.mark.parametrize("inline", [True, False], ids=["InRelease", "a pair"])
def test_apt_keeps_the_old_set_while_the_new_one_is_published(
    apt: NewApt, archive: NewArchive, deb_remote: Remote, by_hash: bool, inline: bool
) -> None:
    suite = archive(deb_remote, by_hash=by_hash, inline=inline)
    suite.publish(GREETER, DEB_LIBRARY)
    apt_installs(apt, deb_remote, suite, GREETER)
    finish = suite.publish_head_first(GREETER_2, DEB_LIBRARY)
    for _ in range(2):
        deb_remote.expire()
        apt_installs(apt, deb_remote, suite, GREETER)
    finish()
    deb_remote.expire()
    deb_remote.refresh(suite.release)
    apt_installs(apt, deb_remote, suite, GREETER_2)


def test_a_client_in_the_middle_of_the_old_set_finds_the_rest(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote) -> None:
    mirror = Mirror(rpms, rpm_remote.root)
    mirror.publish(HELLO, LIBRARY)
    installs(dnf, rpm_remote, HELLO)
    members = {file: file.read_bytes() for file in rpm_remote.root.glob("repodata/*-[pf]*.xml.*")}
    assert len(members) == 2
    mirror.publish(HELLO_2, LIBRARY_2)
    rpm_remote.expire()
    rpm_remote.refresh(REPOMD)
    for file, body in members.items():
        assert not file.exists()
        assert get(rpm_remote, str(file.relative_to(rpm_remote.root))) == body


def test_a_signature_fits_its_repomd(dnf: NewDnf, rpms: Rpms, key: Key, rpm_remote: Remote) -> None:
    """dnf checks: a signature of another edition ends it."""
    checked = ("--setopt=test.repo_gpgcheck=1", f"--setopt=test.gpgkey=file://{key.armored}")
    mirror = Mirror(rpms, rpm_remote.root, key)
    mirror.publish(HELLO, LIBRARY)
    first = dnf(rpm_remote.url)
    first(*checked, "install", HELLO.name)
    mirror.publish(HELLO_2, LIBRARY_2)
    rpm_remote.expire()
    within = dnf(rpm_remote.url)
    within(*checked, "makecache")
    rpm_remote.refresh(REPOMD)
    for machine in (first, dnf(rpm_remote.url)):
        machine(*checked, "--refresh", "install", HELLO.name)
        machine(*checked, "upgrade", HELLO.name)
        assert machine.installed()[HELLO.name] == HELLO_2.version


@dataclass(frozen=True, slots=True)
class Edited:
    """An upstream that publishes edition after edition, its index and a file that must go with it."""

    publish: Callable[[int], None]
    index: str
    member: str


def edited(kind: str, remote: Remote, rpms: Rpms, key: Key, archive: NewArchive) -> Edited:
    if kind.startswith("rpm"):
        signed = kind == "rpm, signed"
        mirror = Mirror(rpms, remote.root, key if signed else None, hashed=signed)
        member = f"{REPOMD}.asc" if signed else "repodata/primary.xml.gz"
        return Edited(lambda n: mirror.publish(rpm(n), LIBRARY), REPOMD, member)
    pair = kind == "deb, a pair"
    suite = archive(remote, by_hash=False, inline=not pair)
    member = f"{suite.release}.gpg" if pair else f"{suite.indexes}/Packages.xz"
    return Edited(lambda n: suite.publish(deb(n), DEB_LIBRARY), suite.release, member)


@pytest.mark.parametrize("signed", [False, True], ids=["named plainly", "signed"])
def test_the_dnf_that_finds_a_change_is_not_hurt_by_it(
    dnf: NewDnf, rpms: Rpms, key: Key, rpm_remote: Remote, signed: bool
) -> None:
    """It has the old index a moment before the set is switched, and asks for the rest a moment after."""
    options = (f"--setopt=test.repo_gpgcheck={int(signed)}", f"--setopt=test.gpgkey=file://{key.armored}")
    mirror = Mirror(rpms, rpm_remote.root, key if signed else None, hashed=signed)
    mirror.publish(rpm(0), LIBRARY)
    dnf(rpm_remote.url)(*options, "makecache")
    for edition in (1, 2, 3):
        mirror.publish(rpm(edition), LIBRARY)
        rpm_remote.expire()
        dnf(rpm_remote.url)(*options, "makecache")
        rpm_remote.refresh(REPOMD)


@pytest.mark.parametrize("inline", [True, False], ids=["named plainly", "a pair"])
def test_the_apt_that_finds_a_change_is_not_hurt_by_it(
    apt: NewApt, archive: NewArchive, deb_remote: Remote, inline: bool
) -> None:
    suite = archive(deb_remote, by_hash=False, inline=inline)
    suite.publish(deb(0), DEB_LIBRARY)
    apt(deb_remote, suite)("update")
    for edition in (1, 2, 3):
        suite.publish(deb(edition), DEB_LIBRARY)
        deb_remote.expire()
        apt(deb_remote, suite)("update")
        deb_remote.refresh(suite.release)


@pytest.mark.parametrize("kind", ["rpm, named plainly", "rpm, signed", "deb, named plainly", "deb, a pair"])
def test_an_index_and_its_file_are_always_of_one_edition(
    next_remote: NextRemote, rpms: Rpms, key: Key, archive: NewArchive, kind: str
) -> None:
    remote = next_remote(kind[:3])
    upstream = edited(kind, remote, rpms, key, archive)
    files: dict[bytes, bytes] = {}

    def publish(edition: int) -> None:
        upstream.publish(edition)
        files[(remote.root / upstream.index).read_bytes()] = (remote.root / upstream.member).read_bytes()

    def look(_: int) -> None:
        index, member = get(remote, upstream.index), get(remote, upstream.member)
        if get(remote, upstream.index) == index:  # else it changed between
            assert files[index] == member

    publish(0)
    look(0)
    with Repeating(look, threads=2, every=0.02) as looking:
        for edition in range(1, 6):
            publish(edition)
            remote.expire()
            remote.refresh(upstream.index)
    assert looking.turns >= 5
    assert len(files) == 6


_WRONG: dict[str, tuple[str, list[str]]] = {
    "rpm: a file named by its checksum": ("repodata/*-primary.xml.gz", []),
    "rpm: a package": (f"Packages/{HELLO.file}", [REPOMD, "repodata/*-primary.xml.gz"]),
    "deb: by hash": ("dists/stable/main/binary-amd64/by-hash/SHA256/*", []),
    "deb: named plainly": ("dists/stable/main/binary-amd64/Packages.xz", ["dists/stable/InRelease"]),
    "deb: a package": (GREETER.path, ["dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.gz"]),
}


@pytest.mark.parametrize("kind", _WRONG)
def test_what_a_checksum_contradicts_is_not_kept(
    next_remote: NextRemote, rpms: Rpms, archive: NewArchive, kind: str
) -> None:
    remote = next_remote(kind[:3])
    if kind.startswith("rpm"):
        Mirror(rpms, remote.root).publish(HELLO, LIBRARY)
    else:
        archive(remote).publish(GREETER, DEB_LIBRARY)
    victim, known = _WRONG[kind]
    for path in known:
        get(remote, _one(remote, path))
    path = _one(remote, victim)
    file = remote.root / path
    right = file.read_bytes()
    file.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    if known:  # a list is recorded a moment after its first reader has it; what came before is evicted then
        eventually(lambda: refused(remote, path), f"{path} is refused")
    assert refused(remote, path)
    file.write_bytes(right)
    address = f"/repository/{remote.name}/{path}"
    eventually(lambda: remote.stack.get(address) == (200, right), "the right bytes")  # not of a fill that is failing


def _one(remote: Remote, pattern: str) -> str:
    found: Path = next(remote.root.glob(pattern))
    return str(found.relative_to(remote.root))


def refused(remote: Remote, path: str) -> bool:
    """Whether a client gets no body that looks whole."""
    try:
        status, _ = remote.stack.get(f"/repository/{remote.name}/{path}")
    except (OSError, http.client.HTTPException):
        return True
    return status >= 500
