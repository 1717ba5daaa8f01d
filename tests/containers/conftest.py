"""What tests of containers may ask for: registries, a node in front of them, daemons, and machines to pull with."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from tests.containers.buildah import Buildah
from tests.containers.containerd import Containerd, containerd
from tests.containers.daemon import require_root, short_directory
from tests.containers.dockerd import Docker, dockerd
from tests.containers.machine import Home, NewMachine, Source
from tests.containers.podman import Podman
from tests.containers.registry import PASSWORD, USER, Registry, htpasswd
from tests.containers.skopeo import Skopeo
from tests.containers.tripwire import Tripwire, tripwire
from tests.stack import Stack, StackFactory, stack_factory
from tests.token_server import TokenServer

__all__ = ["stack_factory"]  # a fixture by import

# The registry that each remote answers for; "fenced" has none.
SERVED = {
    "hub": "docker.io",
    "private": "registry.example",
    "tokened": "tokens.example",
    "eager": "eager.example",
}
CLIENTS = ("skopeo", "podman", "buildah", "containerd", "dockerd")
_LOGIN = {"username": USER, "password": PASSWORD}
_MORE: Mapping[str, dict[str, Any]] = {
    "hub": {"default": True, "ban_tags_enabled": True, "ban_tags": ["banned"]},
    "private": {**_LOGIN, "hosts": ["localhost"]},
    "tokened": _LOGIN,
    "fenced": {"immutable_patterns": ["^allowed/"]},
    "eager": {"cache": {"mutable_ttl": 0}},
}
_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    """Who gives USER, and nobody else, tokens for pulling."""
    server = TokenServer({USER: PASSWORD}, tmp_path_factory.mktemp("tokens"), anonymous=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory, tokens: TokenServer) -> Iterator[dict[str, Registry]]:
    """A running upstream for each remote: open, behind Basic auth, behind a token server."""
    commands = require("docker-registry"), require("nginx")
    work = tmp_path_factory.mktemp("registries")
    found = {
        "hub": Registry(*commands, work / "hub"),
        "private": Registry(*commands, work / "private", htpasswd(work / "passwords")),
        "tokened": Registry(*commands, work / "tokened", tokens.auth),
    }
    try:
        for each in found.values():
            each.start()
        yield found
    finally:
        for each in found.values():
            each.close()
        shutil.rmtree(work)


@pytest.fixture(scope="session")
def upstreams(registries: dict[str, Registry]) -> dict[str, Registry]:
    """The registry behind each remote."""
    return {**registries, "fenced": registries["hub"], "eager": registries["hub"]}


@pytest.fixture(scope="session")
def stack(upstreams: dict[str, Registry], stack_factory: StackFactory) -> Iterator[Stack]:
    """One node for all tests of containers: `artifactapi run`, two workers."""
    remotes = {
        name: {
            "package": "docker",
            "base_url": each.url,
            "serves": [SERVED[name]] if name in SERVED else [],
            **_MORE.get(name, {}),
        }
        for name, each in upstreams.items()
    }
    node: Stack = stack_factory({"remotes": remotes}, name="containers").start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def sources(stack: Stack, upstreams: dict[str, Registry]) -> dict[str, Source]:
    """Every remote by its name; images of one test have names of their own."""
    return {name: Source(name, each, stack, SERVED.get(name, "")) for name, each in upstreams.items()}


@pytest.fixture
def hub(sources: dict[str, Source]) -> Source:
    """The default remote, which answers for docker.io."""
    return sources["hub"]


@pytest.fixture(scope="session")
def way_out() -> Iterator[Tripwire]:
    """Where clients are told the Internet is."""
    with tripwire() as found:
        yield found


@pytest.fixture(scope="session")
def containers(way_out: Tripwire, stack: Stack) -> Iterator[Containerd]:
    """A running containerd that asks this server for every registry the remotes serve."""
    commands = require("containerd"), require("ctr")
    require_root()
    with short_directory() as home, containerd(*commands, home, way_out.url) as daemon:
        for registry in SERVED.values():
            daemon.mirror(registry, stack.url)
        yield daemon


@pytest.fixture(scope="session")
def docker_daemon(containers: Containerd, way_out: Tripwire, stack: Stack) -> Iterator[Docker]:
    """A running dockerd with this server as its registry mirror."""
    commands = require("dockerd"), require("docker")
    with short_directory() as home, dockerd(commands, home, stack.url, containers, way_out) as daemon:
        yield daemon


@pytest.fixture
def docker(docker_daemon: Docker) -> Docker:
    """The daemon without any image."""
    return docker_daemon.forget()


@pytest.fixture
def home() -> Iterator[Home]:
    """home(): the fresh HOME of one more machine; podman wants the name of its state to be short."""
    with short_directory() as machines:

        def make() -> Path:
            made = machines / str(next(_NUMBERS))
            made.mkdir()
            return made

        yield make


@pytest.fixture
def skopeo(home: Home) -> Callable[[], Skopeo]:
    command = require("skopeo")
    return lambda: Skopeo(command, home())


@pytest.fixture
def podman(home: Home) -> Callable[[], Podman]:
    command = require("podman")
    return lambda: Podman(command, home())


@pytest.fixture
def buildah(home: Home) -> Callable[[], Buildah]:
    command = require("buildah")
    return lambda: Buildah(command, home())


@pytest.fixture
def machines(request: pytest.FixtureRequest) -> Callable[[str], NewMachine]:
    """machines(client): what makes fresh machines of that client."""

    def of(client: str) -> NewMachine:
        if client == "containerd":
            daemon: Containerd = request.getfixturevalue("containers")
            return daemon.machine
        if client == "dockerd":
            docker: Docker = request.getfixturevalue("docker")
            return docker.forget
        made: NewMachine = request.getfixturevalue(client)
        return made

    return of


@pytest.fixture(params=CLIENTS)
def new_machine(request: pytest.FixtureRequest, machines: Callable[[str], NewMachine]) -> NewMachine:
    """A fresh machine at every call; the test runs once with each client."""
    return machines(request.param)


@pytest.fixture(params=["hub", "private", "tokened"])
def source(request: pytest.FixtureRequest, sources: dict[str, Source]) -> Source:
    """Each remote in turn: its upstream is open, behind Basic auth, behind a token server."""
    return sources[request.param]


@pytest.fixture
def image_name() -> str:
    """An image's name that no other test has."""
    return f"team/image-{next(_NUMBERS)}"
