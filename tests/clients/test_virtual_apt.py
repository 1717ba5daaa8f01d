"""apt installs from a local and two remotes that are shown as one."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.clients.apt import Apt
from tests.clients.commands import CommandFailedError
from tests.clients.nginx import Nginx
from tests.clients.signing import Key
from tests.clients.virtuals import Virtual
from tests.conftest import require
from tests.hosting.debian import Debian

PACKAGE = "deb"
NewApt = Callable[..., Apt]


@pytest.fixture
def machine(home: Callable[[], Path]) -> NewApt:
    """machine(url, suite, options): a fresh machine's apt."""
    for tool in ("apt-get", "dpkg"):
        require(tool)

    def make(url: str, suite: str, options: str = "trusted=yes") -> Apt:
        found = Apt(home(), url, f"{suite} main", Path("/nowhere"))
        (found.root / "etc/apt/sources.list").write_text(f"deb [{options}] {url} {suite} main\n", encoding="utf-8")
        return found

    return make


def upload(upstream: Nginx, suite: str, *packages: Debian, key: Key | None = None) -> None:
    """Make the suite that of exactly these; without names by hash."""
    rows = []
    for each in packages:
        path = f"pool/{suite}/{each.file}"
        (upstream.root / path).parent.mkdir(parents=True, exist_ok=True)
        (upstream.root / path).write_bytes(each.body)
        rows.append(f"{each.control.decode()}Filename: {path}\nSize: {len(each.body)}\nSHA256: {_sum(each.body)}\n\n")
    text = "".join(rows).encode()
    body = gzip.compress(text, mtime=0)
    place = upstream.root / "dists" / suite
    (place / "main/binary-amd64").mkdir(parents=True, exist_ok=True)
    (place / "main/binary-amd64/Packages.gz").write_bytes(body)
    name = "main/binary-amd64/Packages"
    release = f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\nDate: {formatdate()}\n"
    sums = f" {_sum(body)} {len(body)} {name}.gz\n {_sum(text)} {len(text)} {name}\n"
    (place / "Release").write_text(f"{release}SHA256:\n{sums}", encoding="utf-8")
    if key:
        key.sign_inline(place / "Release", place / "InRelease")


def _sum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def publish(virtual: Virtual, package: Debian) -> None:
    virtual.publish("POST", f"/pool/{virtual.directory}/main", package.body)


def test_a_signed_virtual_is_verified(virtual: Virtual, machine: NewApt, tmp_path: Path) -> None:
    suite = virtual.directory
    (tmp_path / "key.asc").write_text(virtual.openpgp_public, encoding="ascii")
    upload(virtual.one, suite, Debian("theirs"))
    publish(virtual, Debian("mine"))
    client = machine(virtual.url("signed"), suite, f"signed-by={tmp_path / 'key.asc'}")
    client("update")
    client("install", "theirs", "mine")
    assert client.installed() == {"theirs": "1.0-1", "mine": "1.0-1"}
    assert virtual.ask("GET", f"{virtual.url()}/dists/{suite}/InRelease")[0] == 404
    key = virtual.ask("GET", f"{virtual.url('signed')}/dists/{suite}/Release.key")[2]
    assert key.decode() == virtual.openpgp_public


def test_what_one_member_alone_has_is_handed_on_and_one_that_is_down_left_out(
    virtual: Virtual, machine: NewApt, key: Key
) -> None:
    suite = virtual.directory
    upload(virtual.two, suite, Debian("alone"), key=key)
    client = machine(virtual.url("some"), suite, f"signed-by={key.keyring}")
    client("update")
    client("install", "alone")
    assert client.installed() == {"alone": "1.0-1"}
    _, headers, body = virtual.ask("GET", f"{virtual.url('some')}/dists/{suite}/InRelease")
    assert "deb-dead did not answer" in headers["Warning"]
    assert body == (virtual.two.root / "dists" / suite / "InRelease").read_bytes()


def test_the_newest_is_found_wherever_it_is_and_a_locals_name_is_its_own(virtual: Virtual, machine: NewApt) -> None:
    suite = virtual.directory
    theirs = Debian(f"ours-{suite}", "9.0-1")
    upload(virtual.one, suite, Debian("tool", "1.0-1", payload=b"one"), theirs)
    upload(virtual.two, suite, Debian("tool", "1.0-1", payload=b"two"), Debian("tool", "2.0-1"), Debian("lib++x"))
    publish(virtual, Debian(f"ours-{suite}", fields=("Depends: lib++x",)))
    client = machine(virtual.url(), suite)
    client("update")
    client("install", f"ours-{suite}", "tool")
    assert client.installed() == {f"ours-{suite}": "1.0-1", "lib++x": "1.0-1", "tool": "2.0-1"}
    older = machine(virtual.url(), suite)
    older("update")
    older("install", "tool=1.0-1")
    assert (older.root / "opt/tool/payload").read_bytes() == b"one"
    with pytest.raises(CommandFailedError):
        older("install", f"ours-{suite}=9.0-1")
    for path in (f"pool/{suite}/{theirs.file}", f"@deb-one/pool/{suite}/{theirs.file}"):
        assert virtual.ask("GET", f"{virtual.url()}/{path}")[0] == 404
    publish(virtual, Debian(f"ours-{suite}", "1.1-1"))
    client("update")
    client("install", f"ours-{suite}")
    assert client.installed()[f"ours-{suite}"] == "1.1-1"
    with virtual.one.stopped(), virtual.two.stopped():
        for url in (virtual.url(), virtual.url("chain")):
            warm = machine(url, suite)
            warm("update")
            warm("install", f"ours-{suite}", "tool")
            assert warm.installed()["tool"] == "2.0-1"
