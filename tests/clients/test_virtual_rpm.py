"""dnf and zypper install from a local and two remotes that are shown as one."""

from __future__ import annotations

from collections.abc import Callable

from tests.clients.dnf import Dnf
from tests.clients.rpms import Package, Rpms
from tests.clients.virtuals import Virtual
from tests.clients.zypper import Zypper

PACKAGE = "rpm"
REPOMD = "/repodata/repomd.xml"


def test_what_is_published_shows_at_once(virtual: Virtual, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    rpms.publish(virtual.root(virtual.one), Package("fresh", "1.0"))
    machine = dnf(virtual.url())
    machine("install", "fresh")
    virtual.publish("POST", "/", rpms.file(Package("other", "1.0")).read_bytes())
    machine("install", "--refresh", "other")
    virtual.publish("POST", "/", rpms.file(Package("fresh", "0.5")).read_bytes())
    assert machine("repoquery", "--refresh", "--quiet", "fresh").split() == ["fresh-0:0.5-1.noarch"]


def test_a_member_that_is_down_is_left_out(virtual: Virtual, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    rpms.publish(virtual.root(virtual.two), Package("second", "1.0"))
    virtual.publish("POST", "/", rpms.file(Package("third", "1.0")).read_bytes())
    machine = dnf(virtual.url("some"))
    machine("install", "second", "third")
    assert machine.installed() == {"second": "1.0", "third": "1.0"}
    assert "rpm-dead did not answer" in virtual.ask("GET", virtual.url("some") + REPOMD)[1]["Warning"]


def test_a_signed_virtual_is_verified(virtual: Virtual, rpms: Rpms, dnf: Callable[[str], Dnf]) -> None:
    rpms.publish(virtual.root(virtual.one), Package("signed", "1.0"))
    virtual.publish("POST", "/", rpms.file(Package("hosted", "1.0")).read_bytes())
    url = virtual.url("signed")
    machine = dnf(url)
    trusting = ("--setopt=test.repo_gpgcheck=1", f"--setopt=test.gpgkey={url}{REPOMD}.key")
    machine("makecache", *trusting)
    assert virtual.ask("GET", f"{url}{REPOMD}.key")[2].decode() == virtual.openpgp_public
    machine("install", "signed", "hosted", *trusting)
    virtual.publish("POST", "/", rpms.file(Package("hosted", "2.0")).read_bytes())
    machine("upgrade", "--refresh", *trusting)
    assert machine.installed() == {"signed": "1.0", "hosted": "2.0"}
    assert virtual.ask("GET", f"{virtual.url()}{REPOMD}.asc")[0] == 404


def test_the_newest_is_found_wherever_it_is_and_a_locals_name_is_its_own(
    virtual: Virtual, rpms: Rpms, dnf: Callable[[str], Dnf], zypper: Callable[[str], Zypper]
) -> None:
    library = Package("lib++x", "1.0~rc1")
    mine, theirs = Package("ours", "1.0", requires=(library.name,)), Package("ours", "9.0", salt="theirs")
    rpms.publish(virtual.root(virtual.one), Package("tool", "1.0", salt="one"), theirs)
    rpms.publish(virtual.root(virtual.two), Package("tool", "1.0", salt="two"), Package("tool", "2.0"), library)
    rpms.advise(virtual.root(virtual.two), Package("tool", "2.0"))
    virtual.publish("POST", "/", rpms.file(mine).read_bytes())
    machine = dnf(virtual.url())
    machine("install", "ours", "tool")
    assert machine.installed() == {"ours": "1.0", "lib++x": "1.0~rc1", "tool": "2.0"}
    assert "TEST-2026:1" in machine("updateinfo", "list", "--all")
    assert "/opt/ours/payload" in machine("repoquery", "--list", "ours")
    older = dnf(virtual.url())
    older("install", "tool-1.0")
    assert (older.root / "opt/tool/payload").read_bytes() == Package("tool", "1.0", salt="one").payload
    assert virtual.ask("GET", f"{virtual.url()}/Packages/{theirs.file}")[0] == 404
    assert virtual.ask("GET", f"{virtual.url()}/@rpm-one/Packages/{theirs.file}")[0] == 404
    suse = zypper(virtual.url())
    suse("install", "ours", "tool")
    assert suse.installed() == machine.installed()
    with virtual.one.stopped(), virtual.two.stopped():
        chain = dnf(virtual.url("chain"))
        chain("install", "ours", "tool")
        assert chain.installed() == machine.installed()
