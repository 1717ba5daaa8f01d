"""dnf and apt again and again while upstream republishes: nobody ever sees half of a change."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

import pytest

from tests.clients.apt import Apt
from tests.clients.debs import LIBRARY as DEB_LIBRARY
from tests.clients.debs import Archive, Deb
from tests.clients.dnf import Dnf
from tests.clients.publisher import Repeating
from tests.clients.remote import NextRemote, Remote
from tests.clients.rpms import LIBRARY, REPOMD, Mirror, Package, Rpms
from tests.clients.signing import Key

NewDnf = Callable[[str], Dnf]
NewApt = Callable[[Remote, Archive], Apt]
NewArchive = Callable[..., Archive]

_SECONDS = 20.0
_VARIANT = 8.0  # seconds of the less usual kinds of repository
_CLIENTS = 3
_OUTAGE = 4.0


def rpm(edition: int) -> Package:
    return Package("hello", f"1.{edition}", requires=(LIBRARY.name,))


def deb(edition: int) -> Deb:
    return Deb("greeter", f"1.{edition}", depends=(DEB_LIBRARY.name,))


class Fleet:
    """Fresh machines, one after the other: each installs a package and finds the bytes of its version."""

    def __init__(self, machine: Callable[[], Dnf | Apt], refresh: tuple[str, ...], *packages: Package | Deb) -> None:
        self._machine, self._refresh = machine, refresh
        self._known = {(package.name, package.version): package for package in packages}

    def install(self, name: str) -> str:
        """The version that it got."""
        machine = self._machine()
        machine(*self._refresh)
        machine("install", name)
        installed = machine.installed()
        for each in installed.items():
            assert (machine.root / "opt" / each[0] / "payload").read_bytes() == self._known[each].payload
        shutil.rmtree(machine.root)
        return installed[name]


@pytest.mark.parametrize("kind", ["named by checksum", "named plainly", "signed"])
def test_dnf_never_fails_while_upstream_republishes_every_second(
    dnf: NewDnf, rpms: Rpms, key: Key, next_remote: NextRemote, kind: str
) -> None:
    remote = next_remote("short")
    mirror = Mirror(rpms, remote.root, key if kind == "signed" else None, hashed=kind != "named plainly")
    options = (
        ("--setopt=test.repo_gpgcheck=1", f"--setopt=test.gpgkey=file://{key.armored}") if kind == "signed" else ()
    )
    fleet = Fleet(lambda: dnf(remote.url), (*options, "makecache"), LIBRARY, *map(rpm, range(100)))
    mirror.publish(rpm(0), LIBRARY)
    assert fleet.install("hello") == "1.0"
    publishing = Repeating(lambda edition: mirror.publish(rpm(edition), LIBRARY), every=1.0)
    with publishing, Repeating(lambda _: fleet.install("hello"), threads=_CLIENTS) as installing:
        time.sleep(_SECONDS if kind == "named by checksum" else _VARIANT)
    assert publishing.turns >= 5
    assert installing.turns >= _CLIENTS
    remote.refresh(REPOMD)
    assert fleet.install("hello") == rpm(publishing.turns).version


@pytest.mark.parametrize(
    "layout", [{}, {"by_hash": False}, {"inline": False}], ids=["by hash", "named plainly", "a pair"]
)
def test_apt_never_fails_while_upstream_republishes_every_second(
    apt: NewApt, archive: NewArchive, next_remote: NextRemote, layout: dict[str, bool]
) -> None:
    remote = next_remote("shortdeb")
    suite = archive(remote, **layout)
    fleet = Fleet(lambda: apt(remote, suite), ("update",), DEB_LIBRARY, *map(deb, range(100)))
    suite.publish(deb(0), DEB_LIBRARY)
    assert fleet.install("greeter") == "1.0"
    publishing = Repeating(lambda edition: suite.publish(deb(edition), DEB_LIBRARY), every=1.0)
    with publishing, Repeating(lambda _: fleet.install("greeter"), threads=_CLIENTS) as installing:
        time.sleep(_VARIANT if layout else _SECONDS)
    assert publishing.turns >= 5
    assert installing.turns >= _CLIENTS
    remote.refresh(suite.release)
    assert fleet.install("greeter") == deb(publishing.turns).version


def test_dnf_never_fails_while_upstream_is_taken_away_in_the_middle_of_a_publish(
    dnf: NewDnf, rpms: Rpms, next_remote: NextRemote
) -> None:
    """What is installed is stored here before: an outage leaves only what a client has asked for."""
    remote = next_remote("short")
    mirror = Mirror(rpms, remote.root)
    fleet = Fleet(lambda: dnf(remote.url), ("makecache",), LIBRARY, *map(rpm, range(10)))
    mirror.publish(rpm(0), LIBRARY)
    fleet.install(LIBRARY.name)
    with Repeating(lambda _: fleet.install(LIBRARY.name), threads=_CLIENTS) as installing:
        _interrupted(
            remote, lambda n: mirror.publish(rpm(n), LIBRARY), lambda n: mirror.publish_index_first(rpm(n), LIBRARY)
        )
    assert installing.turns >= _CLIENTS
    remote.refresh(REPOMD)
    assert fleet.install("hello") == rpm(5).version


def test_apt_never_fails_while_upstream_is_taken_away_in_the_middle_of_a_publish(
    apt: NewApt, archive: NewArchive, next_remote: NextRemote
) -> None:
    remote = next_remote("shortdeb")
    suite = archive(remote)
    fleet = Fleet(lambda: apt(remote, suite), ("update",), DEB_LIBRARY, *map(deb, range(10)))
    suite.publish(deb(0), DEB_LIBRARY)
    fleet.install(DEB_LIBRARY.name)
    with Repeating(lambda _: fleet.install(DEB_LIBRARY.name), threads=_CLIENTS) as installing:
        _interrupted(
            remote,
            lambda n: suite.publish(deb(n), DEB_LIBRARY),
            lambda n: suite.publish_head_first(deb(n), DEB_LIBRARY),
        )
    assert installing.turns >= _CLIENTS
    remote.refresh(suite.release)
    assert fleet.install("greeter") == deb(5).version


def _interrupted(remote: Remote, publish: Callable[[int], None], begin: Callable[[int], Callable[[], None]]) -> None:
    """Two whole publications, one that upstream's outage interrupts and that is finished later, one more."""
    for edition in (1, 2):
        publish(edition)
        time.sleep(1)
    for edition in (3, 4):
        finish = begin(edition)
        time.sleep(1.5)
        with remote.upstream.stopped():
            time.sleep(_OUTAGE)
        time.sleep(1.5)
        finish()
    time.sleep(1)
    publish(5)
    time.sleep(1)
