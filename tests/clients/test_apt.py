"""apt installs through the cache: cold, warm with upstream stopped, after an upstream change, by patches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.apt import Apt
from tests.clients.commands import CommandFailedError
from tests.clients.curl import Curl
from tests.clients.debs import GREETER, GREETER_2, GREETER_AGAIN, LIBRARY, LIBRARY_2, Archive, Deb, Debs
from tests.clients.nginx import Hit
from tests.clients.remote import NextRemote, Remote
from tests.stack import eventually

NewApt = Callable[[Remote, Archive], Apt]
NewArchive = Callable[..., Archive]

BIG = Deb("big", "1.0", size=30 << 20)


def assert_installed(machine: Apt, *packages: Deb) -> None:
    """dpkg's database and the bytes of every file say the same."""
    assert machine.installed() == {package.name: package.version for package in packages}
    for package in packages:
        assert (machine.root / "opt" / package.name / "payload").read_bytes() == package.payload


def assert_upgraded(machine: Apt, *packages: Deb) -> None:
    machine("update")
    machine("dist-upgrade")
    assert_installed(machine, *packages)


def found(remote: Remote, part: str = "/") -> list[Hit]:
    """What upstream was asked and had, of paths with `part` in them."""
    return [hit for hit in remote.upstream.hits() if hit.status < 400 and part in hit.path]


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"checksum": "SHA512"},
        {"by_hash": False},
        {"inline": False},
        {"inline": False, "by_hash": False},
        {"detached": False},
        {"flat": True},
        {"flat": True, "by_hash": False},
    ],
    ids=lambda layout: " ".join(f"{name}={value}" for name, value in layout.items()) or "as usual",
)
def test_a_fleet_installs_from_one_download(
    apt: NewApt, archive: NewArchive, debs: Debs, deb_remote: Remote, layout: dict[str, Any]
) -> None:
    suite = archive(deb_remote, **layout)
    suite.publish(GREETER, LIBRARY)
    first = apt(deb_remote, suite)
    first("update")
    first("install", GREETER.name)
    assert_installed(first, GREETER, LIBRARY)
    files = [debs.file(package).read_bytes() for package in (GREETER, LIBRARY)]
    assert [file.read_bytes() for file in first.archives()] == files
    for name in ("InRelease", "Release", "Release.gpg"):
        for held in (body for list_name, body in first.lists().items() if list_name.endswith(f"_{name}")):
            assert held == (deb_remote.root / suite.head / name).read_bytes()
    assert set(deb_remote.downloads().values()) == {1}
    by_hash = found(deb_remote, "/by-hash/")
    plain = found(deb_remote, f"/{suite.indexes}/Packages")
    assert (bool(by_hash), bool(plain)) == ((True, False) if suite.layout.by_hash else (False, True))
    cold = len(found(deb_remote))

    second = apt(deb_remote, suite)
    second("update")
    second("install", GREETER.name)
    assert_installed(second, GREETER, LIBRARY)
    assert len(found(deb_remote)) == cold

    with deb_remote.upstream.stopped():
        third = apt(deb_remote, suite)
        third("update")
        third("install", GREETER.name)
        assert_installed(third, GREETER, LIBRARY)


@pytest.mark.parametrize(
    "layout", [{}, {"by_hash": False}, {"inline": False, "by_hash": False}, {"flat": True}], ids=str
)
def test_an_upstream_change_arrives_once_the_index_is_expired(
    apt: NewApt, archive: NewArchive, deb_remote: Remote, layout: dict[str, Any]
) -> None:
    suite = archive(deb_remote, **layout)
    suite.publish(GREETER, LIBRARY)
    machine = apt(deb_remote, suite)
    machine("update")
    machine("install", GREETER.name)

    suite.publish(GREETER_2, LIBRARY_2)
    within_ttl = apt(deb_remote, suite)
    within_ttl("update")
    within_ttl("install", GREETER.name)
    assert_installed(within_ttl, GREETER, LIBRARY)

    deb_remote.expire()
    deb_remote.refresh(suite.release)
    assert_upgraded(machine, GREETER_2, LIBRARY_2)
    assert_upgraded(within_ttl, GREETER_2, LIBRARY_2)
    fresh = apt(deb_remote, suite)
    fresh("update")
    fresh("install", GREETER.name)
    assert_installed(fresh, GREETER_2, LIBRARY_2)


def test_an_upstream_change_arrives_by_itself_when_the_ttl_is_over(
    apt: NewApt, archive: NewArchive, next_remote: NextRemote
) -> None:
    remote = next_remote("shortdeb")
    suite = archive(remote)
    suite.publish(GREETER, LIBRARY)
    machine = apt(remote, suite)
    machine("update")
    machine("install", GREETER.name)
    suite.publish(GREETER_2, LIBRARY_2)
    time.sleep(1.1)
    remote.refresh(suite.release)
    assert_upgraded(machine, GREETER_2, LIBRARY_2)


def test_a_second_update_downloads_nothing(apt: NewApt, archive: NewArchive, deb_remote: Remote) -> None:
    suite = archive(deb_remote)
    suite.publish(GREETER, LIBRARY)
    machine = apt(deb_remote, suite)
    assert "Get:1 " in machine("update")
    assert "Hit:1 " in machine("update")
    deb_remote.expire()
    cold = deb_remote.upstream.count()
    assert "Hit:1 " in machine("update")
    (hit,) = deb_remote.upstream.hits()[cold:]
    assert (hit.path, hit.status) == (f"/{suite.head}/InRelease", 304)


def test_an_index_is_patched_by_pdiffs(apt: NewApt, archive: NewArchive, deb_remote: Remote) -> None:
    suite = archive(deb_remote, diffs=True)
    suite.publish(GREETER, LIBRARY)
    machines = [apt(deb_remote, suite) for _ in range(2)]
    for machine in machines:
        machine("update")
    suite.publish(GREETER, LIBRARY_2)
    suite.publish(GREETER_2, LIBRARY_2)
    deb_remote.expire()
    deb_remote.refresh(suite.release)
    whole = len([hit for hit in found(deb_remote, suite.indexes) if "Packages.diff" not in hit.path])
    for machine in machines:
        assert "pdiff" in machine("update")
        held = machine.lists()[f"{suite.suite}_main_binary-amd64_Packages"]
        assert held == (deb_remote.root / suite.indexes / "Packages").read_bytes()
        machine("install", GREETER.name)
        assert_installed(machine, GREETER_2, LIBRARY_2)
    assert len(found(deb_remote, "Packages.diff/T-")) == 2
    downloads = deb_remote.downloads()
    assert {downloads[path] for path in downloads if "T-" in path.upper()} == {1}
    assert len([hit for hit in found(deb_remote, suite.indexes) if "Packages.diff" not in hit.path]) <= whole + 1


@pytest.mark.parametrize("layout", [{}, {"inline": False}], ids=["InRelease", "a pair"])
def test_an_index_past_its_valid_until_is_not_given_while_upstream_is_down(
    apt: NewApt, archive: NewArchive, curl: Curl, deb_remote: Remote, layout: dict[str, Any]
) -> None:
    """apt keeps the lists that it has, and installs from them."""
    suite = archive(deb_remote, **layout, valid=4)
    suite.publish(GREETER, LIBRARY)
    until = time.time() + 5
    machine = apt(deb_remote, suite)
    machine("update")
    machine.download(GREETER.name)
    release = f"{deb_remote.url}/{suite.release}"
    assert curl(release).status == 200
    before = machine.lists()
    deb_remote.expire()
    with deb_remote.upstream.stopped():
        assert curl(release).status == 200
        time.sleep(max(0.0, until - time.time()))
        assert curl(release).status in (502, 503, 504)
        machine("-oAPT::Update::Error-Mode=persistent", "update")
        assert machine.lists() == before
        with pytest.raises(CommandFailedError):
            machine("update")
        machine("install", GREETER.name)
        assert_installed(machine, GREETER, LIBRARY)
    reply = curl(release)
    assert (reply.status, reply.body) == (
        200,
        (deb_remote.root / suite.release).read_bytes(),
    )


def test_expired_copies_install_while_upstream_is_down(apt: NewApt, archive: NewArchive, deb_remote: Remote) -> None:
    suite = archive(deb_remote, valid=3600)
    suite.publish(GREETER, LIBRARY)
    first = apt(deb_remote, suite)
    first("update")
    first("install", GREETER.name)
    deb_remote.expire()
    with deb_remote.upstream.stopped():
        machine = apt(deb_remote, suite)
        machine("update")
        machine("install", GREETER.name)
    assert_installed(machine, GREETER, LIBRARY)


def test_a_hanging_upstream_stops_no_install(apt: NewApt, archive: NewArchive, next_remote: NextRemote) -> None:
    remote = next_remote("shortdeb")
    suite = archive(remote)
    suite.publish(GREETER, LIBRARY)
    first = apt(remote, suite)
    first("update")
    first("install", GREETER.name)
    time.sleep(1.1)
    with remote.upstream.hanging():
        machine = apt(remote, suite)
        machine("update")
        machine("install", GREETER.name)
    assert_installed(machine, GREETER, LIBRARY)


def test_a_package_rebuilt_under_its_name_is_fetched_again(
    apt: NewApt, archive: NewArchive, debs: Debs, curl: Curl, deb_remote: Remote
) -> None:
    suite = archive(deb_remote)
    suite.publish(GREETER, LIBRARY)
    first = apt(deb_remote, suite)
    first("update")
    first("install", GREETER.name)
    suite.publish(GREETER_AGAIN, LIBRARY)
    assert curl(f"{deb_remote.url}/{GREETER.path}").body == debs.file(GREETER).read_bytes()
    deb_remote.expire()
    deb_remote.refresh(suite.release)
    machine = apt(deb_remote, suite)
    machine("update")
    machine("install", GREETER.name)
    assert_installed(machine, GREETER_AGAIN, LIBRARY)
    assert deb_remote.downloads()[f"/{GREETER.path}"] == 2


def test_a_superseded_package_stays_servable(
    apt: NewApt, archive: NewArchive, debs: Debs, curl: Curl, deb_remote: Remote
) -> None:
    suite = archive(deb_remote)
    suite.publish(GREETER, LIBRARY)
    machine = apt(deb_remote, suite)
    machine("update")
    machine("install", GREETER.name)
    suite.publish(GREETER_2, LIBRARY)
    (deb_remote.root / GREETER.path).unlink()
    deb_remote.expire()
    deb_remote.refresh(suite.release)
    reply = curl(f"{deb_remote.url}/{GREETER.path}")
    assert (reply.status, reply.body) == (200, debs.file(GREETER).read_bytes())


def test_a_killed_download_is_resumed(apt: NewApt, archive: NewArchive, debs: Debs, deb_remote: Remote) -> None:
    suite = archive(deb_remote, below="slow")
    suite.publish(BIG)
    machine = apt(deb_remote, suite)
    machine("update")
    download = machine.start("install", "--download-only", BIG.name)
    try:
        eventually(lambda: machine.partial() > 2 << 20, "the first 2 MiB", 60)
    finally:
        download.kill()
        download.wait(10)
    assert machine.partial() < BIG.size
    machine.download(BIG.name)
    (file,) = machine.archives()
    assert file.read_bytes() == debs.file(BIG).read_bytes()
    assert deb_remote.downloads()[f"/slow/{BIG.path}"] == 1
