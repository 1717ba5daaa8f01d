"""What client tests may ask for: a node with remotes, an upstream for each, and the clients themselves."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.alpine import apk_command
from tests.clients.apk import Apk
from tests.clients.apt import Apt
from tests.clients.curl import Curl
from tests.clients.debs import Archive, Debs, Layout
from tests.clients.dnf import Dnf
from tests.clients.members import members
from tests.clients.nginx import Nginx
from tests.clients.remote import NextRemote, Remote
from tests.clients.rpms import Rpms
from tests.clients.signing import Key
from tests.clients.virtuals import virtual, virtual_node, virtual_upstreams
from tests.clients.zypper import Zypper
from tests.conftest import require
from tests.stack import Stack, StackFactory, stack_factory

__all__ = ["members", "stack_factory", "virtual", "virtual_node", "virtual_upstreams"]  # fixtures by import

# Remotes of each kind; a test takes the next one of its kind, so that no two tests share an upstream.
_SPARE = {"rpm": 40, "deb": 45, "apk": 6, "generic": 20, "short": 8, "shortdeb": 8}
_LONG = {"cache": {"mutable_ttl": 3600}}
_KINDS: dict[str, dict[str, Any]] = {
    "rpm": {"package": "rpm", **_LONG},
    "apk": {"package": "apk", **_LONG},
    "generic": {"package": "generic", **_LONG},
    "deb": {"package": "deb", **_LONG},
    "short": {"package": "rpm", "cache": {"mutable_ttl": 1}},
    "shortdeb": {"package": "deb", "cache": {"mutable_ttl": 1}},
}
_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Nginx]]:
    """One nginx for each remote, started when a test takes it."""
    nginx, work = require("nginx"), tmp_path_factory.mktemp("upstreams")
    names = [f"{kind}-{number}" for kind, spare in _SPARE.items() for number in range(spare)]
    found = {name: Nginx(nginx, work / name) for name in names}
    try:
        yield found
    finally:
        for each in found.values():
            each.close()
        shutil.rmtree(work)


@pytest.fixture(scope="session")
def stack(upstreams: dict[str, Nginx], stack_factory: StackFactory) -> Iterator[Stack]:
    """One node for all client tests: `artifactapi run`, two workers."""
    remotes = {name: {**_KINDS[name.split("-")[0]], "base_url": each.url} for name, each in upstreams.items()}
    document = {"remotes": remotes, "locals": {"team": {"package": "generic"}}}
    node: Stack = stack_factory(document, name="clients").start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def next_remote(stack: Stack, upstreams: dict[str, Nginx]) -> NextRemote:
    """next_remote(kind): a remote that no test has used before."""
    numbers = {kind: itertools.count() for kind in _SPARE}

    def take(kind: str) -> Remote:
        name = f"{kind}-{next(numbers[kind])}"
        upstreams[name].start()
        return Remote(name, upstreams[name], stack)

    return take


@pytest.fixture
def rpm_remote(next_remote: NextRemote) -> Remote:
    return next_remote("rpm")


@pytest.fixture
def apk_remote(next_remote: NextRemote) -> Remote:
    return next_remote("apk")


@pytest.fixture
def deb_remote(next_remote: NextRemote) -> Remote:
    return next_remote("deb")


@pytest.fixture
def generic_remote(next_remote: NextRemote) -> Remote:
    return next_remote("generic")


@pytest.fixture(scope="session")
def rpms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpms]:
    """Every rpm package of the tests, built when it is first published."""
    for tool in ("rpmbuild", "createrepo_c", "modifyrepo_c"):
        require(tool)
    work = tmp_path_factory.mktemp("rpms")
    yield Rpms(work)
    shutil.rmtree(work)


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debs]:
    """Every deb package of the tests, built when it is first published."""
    for tool in ("dpkg-deb", "apt-ftparchive", "diff"):
        require(tool)
    work = tmp_path_factory.mktemp("debs")
    yield Debs(work)
    shutil.rmtree(work)


@pytest.fixture(scope="session")
def key() -> Iterator[Key]:
    """Signs every repository that is signed; in a directory with a short path, where its agent listens."""
    require("gpg")
    with tempfile.TemporaryDirectory(prefix="key", ignore_cleanup_errors=True) as directory:
        made = Key(Path(directory))
        yield made
        made.close()


@pytest.fixture
def archive(debs: Debs, key: Key) -> Callable[..., Archive]:
    """archive(remote, below="", **layout): an archive that the remote's upstream has."""
    return lambda remote, below="", **layout: Archive(debs, key, remote.root / below, Layout(**layout))


@pytest.fixture(scope="session")
def apk() -> list[str]:
    """The command line of a real apk 3."""
    return apk_command(require) or [require("apk")]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """home(): the fresh HOME of one more machine; all are removed with the test, for roots are large."""
    machines = tmp_path / "machines"

    def make() -> Path:
        made = machines / str(next(_NUMBERS))
        made.mkdir(parents=True)
        return made

    yield make
    shutil.rmtree(machines, ignore_errors=True)


@pytest.fixture
def dnf(home: Callable[[], Path]) -> Callable[[str], Dnf]:
    """dnf(url): a fresh machine's dnf with that one repository."""
    require("rpm")
    return lambda url: Dnf(require("dnf"), home(), url)


@pytest.fixture
def apt(home: Callable[[], Path], key: Key) -> Callable[[Remote, Archive], Apt]:
    """apt(remote, archive): a fresh machine's apt with that one suite."""
    for tool in ("apt-get", "dpkg"):
        require(tool)

    def make(remote: Remote, archive: Archive) -> Apt:
        url = "/".join((remote.url, *archive.root.relative_to(remote.root).parts))
        return Apt(home(), url, archive.source, key.keyring)

    return make


@pytest.fixture
def zypper(home: Callable[[], Path]) -> Callable[[str], Zypper]:
    """zypper(url): a fresh machine's zypper with that one repository."""
    require("rpm")
    return lambda url: Zypper(require("zypper"), home(), url)


@pytest.fixture
def apk_machine(apk: list[str], home: Callable[[], Path]) -> Callable[[str], Apk]:
    """apk_machine(url): a fresh machine's apk with that one repository."""
    return lambda url: Apk(apk, home(), url)


@pytest.fixture
def curl(home: Callable[[], Path]) -> Curl:
    return Curl(require("curl"), home())
