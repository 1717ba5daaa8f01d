"""apk installs from a local and two remotes that are shown as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.apk import Apk
from tests.clients.apks import ARCH, Package, publish_v2, publish_v3
from tests.clients.commands import CommandFailedError
from tests.clients.virtuals import KEY_NAME, Virtual
from tests.hosting.alpine import Alpine

PACKAGE = "apk"
INDEX = f"/{ARCH}/APKINDEX.tar.gz"


def publish(virtual: Virtual, package: Alpine) -> None:
    virtual.publish("PUT", f"/{ARCH}/{package.file}", package.body)


def test_a_member_that_is_down_is_left_out(
    virtual: Virtual, apk: list[str], apk_machine: Callable[[str], Apk]
) -> None:
    publish_v2(virtual.root(virtual.two), apk, Package("second", "1.0-r0"))
    publish(virtual, Alpine("third", "1.0-r0"))
    machine = apk_machine(virtual.url("some"))
    machine("add", "second", "third")
    assert "apk-dead did not answer" in virtual.ask("GET", virtual.url("some") + INDEX)[1]["Warning"]


def test_a_signed_virtual_is_verified(
    virtual: Virtual, apk: list[str], home: Callable[[], Path], apk_machine: Callable[[str], Apk]
) -> None:
    publish_v2(virtual.root(virtual.one), apk, Package("theirs", "1.0-r0"))
    publish(virtual, Alpine("mine", "1.0-r0"))
    keys = home()
    public = virtual.ask("GET", f"{virtual.url('signed')}/{ARCH}/{KEY_NAME}")[2]
    assert public.decode() == virtual.rsa_public
    (keys / KEY_NAME).write_bytes(public)
    machine = Apk(apk, home(), virtual.url("signed"), keys)
    assert "mine" in machine("search", "--no-cache")
    with pytest.raises(CommandFailedError):
        Apk(apk, home(), virtual.url("all"), keys)("update")


def test_what_one_member_alone_has_is_handed_on_and_a_v3_index_is_not_merged(
    virtual: Virtual, apk: list[str], apk_machine: Callable[[str], Apk]
) -> None:
    publish_v2(virtual.root(virtual.two), apk, Package("alone", "1.0-r0"))
    alone = (virtual.root(virtual.two) / ARCH / "APKINDEX.tar.gz").read_bytes()
    assert virtual.ask("GET", virtual.url() + INDEX)[2] == alone
    assert virtual.ask("GET", virtual.url("signed") + INDEX)[2] == alone
    publish_v3(virtual.root(virtual.one), apk, Package("three", "1.0-r0"))
    assert virtual.ask("GET", f"{virtual.url()}/{ARCH}/Packages.adb")[0] == 404
    machine = apk_machine(virtual.url())  # apk 3 asks for APKINDEX.tar.gz where it is given a directory
    machine("add", "alone")
    assert machine.installed() == {"alone": "1.0-r0"}


def test_a_file_that_the_index_does_not_mean_is_refused(
    virtual: Virtual, apk: list[str], apk_machine: Callable[[str], Apk]
) -> None:
    publish_v2(virtual.root(virtual.two), apk, Package("meant", "1.0-r0"))
    publish(virtual, Alpine("other"))
    stray = virtual.root(virtual.one) / ARCH / "meant-1.0-r0.apk"  # of no index
    stray.parent.mkdir(parents=True)
    stray.write_bytes(Alpine("meant", payload=b"another").body)
    machine = apk_machine(virtual.url())
    with pytest.raises(CommandFailedError):
        machine("add", "meant")
    assert machine.installed() == {}


def test_the_newest_is_found_wherever_it_is_and_a_locals_name_is_its_own(
    virtual: Virtual, apk: list[str], apk_machine: Callable[[str], Apk]
) -> None:
    library = Package("lib++x", "1.0_rc1-r0")
    publish_v2(virtual.root(virtual.one), apk, Package("tool", "1.0-r0"), Package("ours", "9.0-r0"))
    publish_v2(virtual.root(virtual.two), apk, Package("tool", "2.0-r0"), library)
    publish(virtual, Alpine("ours", "1.0-r0", info=("depend = lib++x",)))
    machine = apk_machine(virtual.url())
    machine("add", "ours", "tool")
    assert machine.installed() == {"ours": "1.0-r0", "lib++x": "1.0_rc1-r0", "tool": "2.0-r0"}
    with pytest.raises(CommandFailedError):
        machine("add", "ours=9.0-r0")
    assert virtual.ask("GET", f"{virtual.url()}/{ARCH}/ours-9.0-r0.apk")[0] == 404
    publish(virtual, Alpine("ours", "1.1-r0"))
    machine("upgrade", "--no-cache")
    assert machine.installed()["ours"] == "1.1-r0"
    with virtual.one.stopped(), virtual.two.stopped():
        for url in (virtual.url(), virtual.url("chain")):
            warm = apk_machine(url)
            warm("add", "ours", "tool")
            assert warm.installed()["tool"] == "2.0-r0"
