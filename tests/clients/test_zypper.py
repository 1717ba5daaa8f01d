"""zypper installs through the cache: cold, warm with upstream stopped, after an upstream change."""

from __future__ import annotations

from collections.abc import Callable

from tests.clients.dnf import Dnf
from tests.clients.remote import Remote
from tests.clients.rpms import HELLO, HELLO_2, LIBRARY, LIBRARY_2, REPOMD, Package, Rpms
from tests.clients.zypper import Zypper

NewZypper = Callable[[str], Zypper]

# zypper looks for these in any repository; upstream has none of them here.
_ABSENT = ("/repomd.xml.asc", "/repomd.xml.key", "/media.1/media")


def assert_installed(machine: Zypper, *packages: Package) -> None:
    """rpm's database and the bytes of every file say the same."""
    assert machine.installed() == {package.name: package.version for package in packages}
    for package in packages:
        assert (machine.root / "opt" / package.name / "payload").read_bytes() == package.payload


def test_a_fleet_installs_from_one_download(zypper: NewZypper, rpms: Rpms, rpm_remote: Remote) -> None:
    rpms.publish(rpm_remote.root, HELLO, LIBRARY)
    first = zypper(rpm_remote.url)
    first("refresh")
    assert rpm_remote.asked()[0]["method"] == "HEAD"
    first("install", HELLO.name)
    assert_installed(first, HELLO, LIBRARY)
    assert set(rpm_remote.downloads().values()) == {1}
    cold = rpm_remote.upstream.count()

    second = zypper(rpm_remote.url)
    second("refresh")
    second("install", HELLO.name)
    assert_installed(second, HELLO, LIBRARY)
    assert all(hit.path.endswith(_ABSENT) for hit in rpm_remote.upstream.hits()[cold:])

    with rpm_remote.upstream.stopped():
        third = zypper(rpm_remote.url)
        third("refresh")
        third("install", HELLO.name)
        assert_installed(third, HELLO, LIBRARY)


def test_an_upstream_change_arrives_once_the_index_is_expired(
    zypper: NewZypper, rpms: Rpms, rpm_remote: Remote
) -> None:
    rpms.publish(rpm_remote.root, HELLO, LIBRARY)
    machine = zypper(rpm_remote.url)
    machine("install", HELLO.name)
    rpms.publish(rpm_remote.root, HELLO_2, LIBRARY_2)
    rpm_remote.expire()
    rpm_remote.refresh(REPOMD)
    machine("refresh", "--force")
    machine("update")
    assert_installed(machine, HELLO_2, LIBRARY_2)


def test_zypper_installs_what_dnf_fetched(
    zypper: NewZypper, dnf: Callable[[str], Dnf], rpms: Rpms, rpm_remote: Remote
) -> None:
    """dnf asks for libstdc%2b%2b-like, zypper for libstdc++-like: one file, one download."""
    rpms.publish(rpm_remote.root, HELLO, LIBRARY)
    dnf(rpm_remote.url)("install", HELLO.name)
    cold = rpm_remote.upstream.count()
    machine = zypper(rpm_remote.url)
    machine("install", HELLO.name)
    assert_installed(machine, HELLO, LIBRARY)
    assert all(hit.path.endswith(_ABSENT) for hit in rpm_remote.upstream.hits()[cold:])
