"""dnf through a remote that is a metalink: mirrors fail, lag and lie, and the client sees one repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256, sha512
from pathlib import Path

import pytest

from app.paths import quote
from tests.clients.dnf import Dnf
from tests.clients.rpms import HELLO, HELLO_2, LIBRARY, LIBRARY_2, REPOMD, Package, Rpms
from tests.stack import Stack, StackFactory
from tests.upstreams import Upstream

NewDnf = Callable[[str], Dnf]

_METALINK = """<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic">
 <files><file name="repomd.xml">
  <verification><hash type="sha256">{sha256}</hash><hash type="sha512">{sha512}</hash></verification>
  <resources maxconnections="1">{urls}</resources>
 </file></files>
</metalink>"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Mirrors in the order of the list, the server of the list, and the node in front of them."""

    lists: Upstream
    mirrors: tuple[Upstream, ...]
    stack: Stack
    work: Path
    rpms: Rpms

    @property
    def url(self) -> str:
        return f"{self.stack.url}/repository/mirrored"

    def publish(self, name: str, *packages: Package, to: tuple[int, ...] = (0, 1, 2)) -> None:
        """Give an edition to some of the mirrors, and pin it."""
        root = self.work / name
        self.rpms.publish(root, *packages)
        for number in to:
            for file in filter(Path.is_file, root.rglob("*")):
                self.mirrors[number].put(f"/m/{quote(str(file.relative_to(root)))}", file.read_bytes())
        repomd = (root / REPOMD).read_bytes()
        urls = "".join(f"<url preference='9'>{each.url}/m/{REPOMD}</url>" for each in self.mirrors)
        text = _METALINK.format(sha256=sha256(repomd).hexdigest(), sha512=sha512(repomd).hexdigest(), urls=urls)
        self.lists.put("/metalink", text.encode())


@pytest.fixture
def fleet(stack_factory: StackFactory, rpms: Rpms, tmp_path: Path) -> Iterator[Fleet]:
    lists, *mirrors = (Upstream() for _ in range(4))
    remote = {"package": "rpm", "metalink": f"{lists.url}/metalink?repo=x&arch=y"}
    node = stack_factory({"remotes": {"mirrored": remote}}, name="mirrors").start()
    yield Fleet(lists, tuple(mirrors), node, tmp_path, rpms)
    node.stop()
    for each in (lists, *mirrors):
        each.stop()


def assert_installed(machine: Dnf, *packages: Package) -> None:
    assert machine.installed() == {package.name: package.version for package in packages}


def test_mirrors_that_are_down_or_lag_are_passed_over(dnf: NewDnf, fleet: Fleet) -> None:
    fleet.publish("old", HELLO, LIBRARY)
    fleet.publish("new", HELLO_2, LIBRARY_2, to=(2,))
    fleet.mirrors[0].stop()
    machine = dnf(fleet.url)
    machine("install", HELLO.name)
    assert_installed(machine, HELLO_2, LIBRARY_2)
    assert fleet.mirrors[1].count(f"/m/{REPOMD}") == 1
    assert fleet.lists.count("/metalink") == 1


def test_a_login_page_is_no_repository(dnf: NewDnf, fleet: Fleet) -> None:
    fleet.publish("old", HELLO, LIBRARY)
    fleet.mirrors[0].html()
    machine = dnf(fleet.url)
    machine("install", HELLO.name)
    assert_installed(machine, HELLO, LIBRARY)


def test_what_is_stored_serves_with_list_and_mirrors_gone(dnf: NewDnf, fleet: Fleet) -> None:
    fleet.publish("old", HELLO, LIBRARY)
    dnf(fleet.url)("install", HELLO.name)
    for each in (fleet.lists, *fleet.mirrors):
        each.stop()
    machine = dnf(fleet.url)
    machine("install", HELLO.name)
    assert_installed(machine, HELLO, LIBRARY)
