"""apk 3 installs through the cache, by the v2 and by the v3 index: cold, warm, after an upstream change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.clients.apk import Apk
from tests.clients.apks import ARCH, HELLO, HELLO_2, LIBRARY, Package, publish_v2, publish_v3
from tests.clients.curl import Curl
from tests.clients.remote import Remote


@dataclass(frozen=True, slots=True)
class Edition:
    """A repository in one of the two index formats, behind one remote."""

    remote: Remote
    index: str
    publish: Callable[..., None]
    command: list[str]
    new_machine: Callable[[str], Apk]

    def upload(self, *packages: Package) -> None:
        self.publish(self.remote.root / "main", self.command, *packages)

    def machine(self) -> Apk:
        """A fresh machine that uses this repository through the cache."""
        v3 = f"/{ARCH}/{self.index}" if self.index.endswith(".adb") else ""
        return self.new_machine(f"{self.remote.url}/main{v3}")

    def path(self, name: str) -> str:
        return f"/main/{ARCH}/{name}"


@pytest.fixture(params=["v2", "v3"])
def edition(
    request: pytest.FixtureRequest, apk_remote: Remote, apk: list[str], apk_machine: Callable[[str], Apk]
) -> Edition:
    index, publish = ("APKINDEX.tar.gz", publish_v2) if request.param == "v2" else ("Packages.adb", publish_v3)
    return Edition(apk_remote, index, publish, apk, apk_machine)


def assert_installed(machine: Apk, *packages: Package) -> None:
    """apk's database and the bytes of every file say the same."""
    assert machine.installed() == {package.name: package.version for package in packages}
    for package in packages:
        assert (machine.root / package.path).read_bytes() == package.payload


def test_a_fleet_installs_from_one_download(edition: Edition, curl: Curl) -> None:
    edition.upload(HELLO, LIBRARY)
    first = edition.machine()
    first("add", HELLO.name)
    assert_installed(first, HELLO, LIBRARY)
    paths = (edition.path(name).lower() for name in (edition.index, HELLO.file, LIBRARY.file))
    assert edition.remote.downloads() == dict.fromkeys(paths, 1)
    cold = edition.remote.upstream.count()

    second = edition.machine()
    second("update")
    second("add", HELLO.name)
    assert_installed(second, HELLO, LIBRARY)
    assert edition.remote.upstream.count() == cold

    with edition.remote.upstream.stopped():
        third = edition.machine()
        third("add", HELLO.name)
        assert_installed(third, HELLO, LIBRARY)
        stored = curl(edition.remote.url + edition.path(edition.index))
    upstream = curl(edition.remote.upstream.url + edition.path(edition.index))
    assert stored.body == upstream.body
    assert stored.headers["Last-Modified"] == upstream.headers["Last-Modified"]


def test_an_upstream_change_arrives_once_the_index_is_expired(edition: Edition, curl: Curl) -> None:
    edition.upload(HELLO, LIBRARY)
    machine = edition.machine()
    machine("add", HELLO.name)

    edition.upload(HELLO_2, LIBRARY)
    machine("update")
    machine("upgrade")
    assert_installed(machine, HELLO, LIBRARY)

    edition.remote.expire()
    machine("update")
    machine("upgrade")
    assert_installed(machine, HELLO_2, LIBRARY)
    assert curl(edition.remote.upstream.url + edition.path(HELLO.file)).status == 404
    assert curl(edition.remote.url + edition.path(HELLO.file)).status == 200


def test_expired_copies_install_while_upstream_is_down(edition: Edition) -> None:
    edition.upload(HELLO, LIBRARY)
    edition.machine()("add", HELLO.name)
    edition.remote.expire()
    with edition.remote.upstream.stopped():
        machine = edition.machine()
        machine("add", HELLO.name)
    assert_installed(machine, HELLO, LIBRARY)
