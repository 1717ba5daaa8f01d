"""dnf installs through the cache: cold, warm with upstream stopped, after an upstream change, resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256

import pytest

from tests.clients.curl import Curl
from tests.clients.dnf import Dnf
from tests.clients.remote import NextRemote, Remote
from tests.clients.rpms import BIG, HELLO, HELLO_2, HELLO_AGAIN, LIBRARY, LIBRARY_2, REPOMD, Package, Rpms
from tests.stack import eventually

NewDnf = Callable[[str], Dnf]


def assert_installed(machine: Dnf, *packages: Package) -> None:
    """rpm's database and the bytes of every file say the same."""
    assert machine.installed() == {package.name: package.version for package in packages}
    for package in packages:
        assert (machine.root / "opt" / package.name / "payload").read_bytes() == package.payload


@pytest.mark.parametrize("form", ["repository", "api/v1/remote"])
def test_a_fleet_installs_from_one_download(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote, form: str) -> None:
    rpms.publish(rpm_remote.root / "os", HELLO, LIBRARY)
    url = f"{rpm_remote.stack.url}/{form}/{rpm_remote.name}/os"
    first = dnf(url)
    assert "Metadata cache created" in first("makecache")
    first("install", HELLO.name)
    assert_installed(first, HELLO, LIBRARY)
    assert set(rpm_remote.downloads().values()) == {1}
    cold = rpm_remote.upstream.count()

    second = dnf(url)
    second("install", HELLO.name)
    assert_installed(second, HELLO, LIBRARY)
    assert rpm_remote.upstream.count() == cold

    with rpm_remote.upstream.stopped():
        third = dnf(url)
        third("makecache")
        third("install", HELLO.name)
        assert_installed(third, HELLO, LIBRARY)


def test_machines_that_start_together_share_each_download(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root, HELLO, LIBRARY)
    machines = [dnf(rpm_remote.url) for _ in range(4)]
    runs = [machine.start("install", HELLO.name) for machine in machines]
    assert [run.wait(60) for run in runs] == [0] * len(runs)
    for machine in machines:
        assert_installed(machine, HELLO, LIBRARY)
    assert set(rpm_remote.downloads().values()) == {1}


def test_an_upstream_change_arrives_once_the_index_is_expired(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root, HELLO, LIBRARY)
    machine = dnf(rpm_remote.url)
    machine("install", HELLO.name)

    rpms.publish(rpm_remote.root, HELLO_2, LIBRARY_2)
    rpms.advise(rpm_remote.root, HELLO_2)
    within_ttl = dnf(rpm_remote.url)
    within_ttl("install", HELLO.name)
    assert_installed(within_ttl, HELLO, LIBRARY)

    rpm_remote.expire()
    rpm_remote.refresh(REPOMD)
    machine("upgrade", "--refresh", HELLO.name)
    assert machine.installed()[HELLO_2.name] == HELLO_2.version
    assert "TEST-2026:1" in within_ttl("updateinfo", "list", "--refresh")
    within_ttl("upgrade")
    assert_installed(within_ttl, HELLO_2, LIBRARY_2)


def test_an_upstream_change_arrives_by_itself_when_the_ttl_is_over(
    dnf: NewDnf, rpms: Rpms, next_remote: NextRemote
) -> None:
    remote = next_remote("short")
    rpms.publish(remote.root, LIBRARY)
    machine = dnf(remote.url)
    machine("install", LIBRARY.name)
    rpms.publish(remote.root, LIBRARY_2)
    time.sleep(1.1)
    remote.refresh(REPOMD)
    machine("upgrade", "--refresh")
    assert_installed(machine, LIBRARY_2)


def test_an_unchanged_index_is_revalidated_not_downloaded(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root, LIBRARY)
    dnf(rpm_remote.url)("makecache")
    rpm_remote.expire()
    cold = rpm_remote.upstream.count()
    machine = dnf(rpm_remote.url)
    machine("install", LIBRARY.name)
    (hit, *rest) = rpm_remote.upstream.hits()[cold:]
    assert (hit.path, hit.status) == ("/repodata/repomd.xml", 304)
    assert all(hit.status == 304 or hit.path.endswith(".rpm") for hit in rest)


def test_expired_copies_install_while_upstream_is_down(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root, HELLO, LIBRARY)
    dnf(rpm_remote.url)("install", HELLO.name)
    rpm_remote.expire()
    with rpm_remote.upstream.stopped():
        machine = dnf(rpm_remote.url)
        machine("install", HELLO.name)
    assert_installed(machine, HELLO, LIBRARY)


def test_a_hanging_upstream_stops_no_install(dnf: NewDnf, rpms: Rpms, next_remote: NextRemote) -> None:
    remote = next_remote("short")
    rpms.publish(remote.root, HELLO, LIBRARY)
    dnf(remote.url)("install", HELLO.name)
    time.sleep(1.1)
    with remote.upstream.hanging():
        machine = dnf(remote.url)
        machine("install", HELLO.name)
    assert_installed(machine, HELLO, LIBRARY)


def test_a_superseded_package_stays_servable(dnf: NewDnf, curl: Curl, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root, HELLO, LIBRARY)
    dnf(rpm_remote.url)("install", HELLO.name)
    rpms.publish(rpm_remote.root, HELLO_2, LIBRARY)
    rpm_remote.expire()
    rpm_remote.refresh(REPOMD)
    dnf(rpm_remote.url)("makecache")
    assert curl(f"{rpm_remote.upstream.url}/Packages/{HELLO.file}").status == 404
    reply = curl(f"{rpm_remote.url}/Packages/{HELLO.file}")
    assert (reply.status, reply.body) == (200, rpms.file(HELLO).read_bytes())


def test_a_package_rebuilt_under_its_name_is_fetched_again(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root, HELLO, LIBRARY)
    dnf(rpm_remote.url)("install", HELLO.name)
    rpms.publish(rpm_remote.root, HELLO_AGAIN, LIBRARY)
    rpm_remote.expire()
    rpm_remote.refresh(REPOMD)
    machine = dnf(rpm_remote.url)
    machine("install", HELLO.name)
    assert_installed(machine, HELLO_AGAIN, LIBRARY)
    downloads = rpm_remote.downloads()
    assert [downloads[f"/packages/{package.file}"] for package in (HELLO, LIBRARY)] == [2, 1]


@pytest.mark.parametrize("again", ["while the fill runs", "when it is stored"])
def test_a_killed_download_is_resumed(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote, again: str) -> None:
    rpms.publish(rpm_remote.root / "slow", BIG)
    machine = dnf(f"{rpm_remote.url}/slow")
    machine("makecache")
    download = machine.start("install", "--downloadonly", BIG.name)
    try:
        eventually(lambda: _received(machine) > 2 << 20, "the first 2 MiB", 60)
    finally:
        download.kill()
        download.wait(10)
    kept = _received(machine)
    assert kept < BIG.size
    if again == "when it is stored":
        eventually(lambda: rpm_remote.upstream.count(BIG.file) == 1, "the fill's end", 60)
    machine("install", "--downloadonly", BIG.name)
    (file,) = machine.downloads(BIG.file)
    assert sha256(file.read_bytes()).digest() == sha256(rpms.file(BIG).read_bytes()).digest()
    assert rpm_remote.downloads()[f"/slow/packages/{BIG.file}"] == 1


def test_upstream_dies_during_a_download_and_comes_back(dnf: NewDnf, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root / "slow", BIG)
    machine = dnf(f"{rpm_remote.url}/slow")
    machine("makecache")
    download = machine.start("install", BIG.name)
    eventually(lambda: _received(machine) > 2 << 20, "the first 2 MiB", 60)
    with rpm_remote.upstream.stopped():
        assert download.wait(60) != 0
    assert machine.installed() == {}
    machine("install", BIG.name)
    assert_installed(machine, BIG)


def _received(machine: Dnf) -> int:
    return sum(file.stat().st_size for file in machine.downloads(BIG.file))


def test_zchunk_and_sqlite_metadata_pass(dnf: NewDnf, curl: Curl, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root, HELLO, LIBRARY, options=["--zck"])
    machine = dnf(rpm_remote.url)
    machine("install", HELLO.name)
    assert_installed(machine, HELLO, LIBRARY)
    variants = [*rpm_remote.root.glob("repodata/*.zck"), *rpm_remote.root.glob("repodata/*.sqlite.bz2")]
    assert variants
    for file in variants:
        url = f"{rpm_remote.url}/repodata/{file.name}"
        assert curl(url).body == file.read_bytes()
        _assert_ranges(curl, url, file.read_bytes())


def _assert_ranges(curl: Curl, url: str, whole: bytes) -> None:
    """librepo asks for the chunks it lacks, many ranges at once, and accepts the whole file instead."""
    reply = curl(url, "--range", "0-9,20-29,40-59")
    if reply.status == 206:
        assert reply.parts() == [whole[:10], whole[20:30], whole[40:60]]
    else:
        assert (reply.status, reply.body) == (200, whole)
