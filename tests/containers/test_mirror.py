"""Clients that believe to talk to Docker Hub talk to this server, and where it refuses, to nobody but a tripwire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.clients.commands import CommandFailedError
from tests.conftest import require
from tests.containers.containerd import Containerd
from tests.containers.dockerd import Docker
from tests.containers.images import Form, multi, simple
from tests.containers.machine import Home, NewMachine, Source
from tests.containers.podman import Podman, mirrored
from tests.containers.tripwire import Tripwire

HUB = {"CONNECT registry-1.docker.io:443 HTTP/1.1"}


@pytest.fixture(params=["dockerd", "containerd", "podman"])
def mirroring(request: pytest.FixtureRequest, hub: Source, way_out: Tripwire) -> Callable[[str], object]:
    """mirroring(name): pull docker.io/<name> with a fresh machine that has this server as its mirror."""
    if request.param == "dockerd":
        docker: Docker = request.getfixturevalue("docker")
        return lambda name: docker.forget().pull_as(name)
    if request.param == "containerd":
        daemon: Containerd = request.getfixturevalue("containers")
        return lambda name: daemon.machine().pull_as(f"docker.io/{name}")
    home: Home = request.getfixturevalue("home")
    command = require("podman")

    def pull(name: str) -> object:
        place = home()
        own = mirrored(place, "docker.io", f"{hub.host}/{hub.name}")
        return Podman(command, place, own, *way_out.variables).pull_as(f"docker.io/{name}")

    return pull


def test_a_mirror_that_has_it_is_the_only_one_asked(
    mirroring: Callable[[str], object], hub: Source, way_out: Tripwire, image_name: str
) -> None:
    """Also while Docker Hub, or the network to it, is away from the server."""
    pushed = multi(image_name.replace("/", "-"), Form.DOCKER)
    hub.registry.push(image_name, "v1", pushed)
    with way_out.quiet():
        mirroring(f"{image_name}:v1")
        hub.settle(image_name, pushed)
        hub.expire(f"{image_name}/manifests/v1")
        with hub.registry.front.limited():
            mirroring(f"{image_name}:v1")


def test_what_the_mirror_refuses_is_asked_for_at_docker_hub_alone(
    mirroring: Callable[[str], object], hub: Source, way_out: Tripwire, image_name: str
) -> None:
    """Unknown or banned: the client falls back, and the one way out it knows is the one that is watched."""
    hub.registry.push(image_name, "banned", simple(image_name.replace("/", "-"), Form.DOCKER))
    for tag in ("nowhere", "banned"):
        before = len(way_out.lines)
        with pytest.raises(CommandFailedError):
            mirroring(f"{image_name}:{tag}")
        left = way_out.lines[before:]
        assert left
        assert {line for line in left if f"/v2/{image_name}/manifests/{tag}?ns=docker.io " not in line} <= HUB


def test_one_word_is_an_image_of_docker_hubs_library(docker: Docker, hub: Source, way_out: Tripwire) -> None:
    """`docker pull word`: its own images have library/ before them, and latest behind."""
    pushed = multi("word", Form.DOCKER)
    hub.registry.push("library/word", "latest", pushed)
    with way_out.quiet():
        docker.pull_as("word:latest").assert_same(pushed)
        docker.forget().pull_as(f"{hub.host}/hub/word:latest").assert_same(pushed)
        docker.forget().pull_as(f"{hub.host}/word:latest").assert_same(pushed)
    assert hub.registry.asked("GET", f"library/word/blobs/{pushed.images[0].config.digest}") == 1
    assert not hub.registry.hits(f"word/blobs/{pushed.images[0].config.digest}")


def test_containerd_asks_for_another_registry_by_its_name(
    containers: Containerd, sources: dict[str, Source], image_name: str, way_out: Tripwire
) -> None:
    """?ns= picks the remote that serves the registry; one that none serves is a 404, and no address to dial."""
    pushed = multi(image_name.replace("/", "-"))
    sources["private"].registry.push(image_name, "v1", pushed)
    with way_out.quiet():
        containers.machine().pull_as(f"registry.example/{image_name}:v1").assert_same(pushed)
    containers.mirror("elsewhere.example", sources["private"].stack.url)
    before = len(way_out.lines)
    with pytest.raises(CommandFailedError):
        containers.machine().pull_as(f"elsewhere.example/{image_name}:v1")
    assert {line.split("?")[1] for line in way_out.lines[before:]} == {"ns=elsewhere.example HTTP/1.1"}


def test_a_host_of_its_own_stands_for_a_remote(
    new_machine: NewMachine, sources: dict[str, Source], image_name: str
) -> None:
    """`hosts`: the same port under another name, and no remote in the path. The default remote has another image."""
    port = sources["private"].stack.port
    source = replace(sources["private"], serves=f"localhost:{port}", own=f"localhost:{port}")
    mine, other = (multi(f"{image_name}-{each}".replace("/", "-")) for each in ("mine", "other"))
    source.registry.push(image_name, "v1", mine)
    sources["hub"].registry.push(image_name, "v1", other)
    new_machine().pull(source, image_name, "v1").assert_same(mine)
    new_machine().pull(replace(source, own=""), image_name, mine.manifest.digest).assert_same(mine)


def test_containerd_takes_a_repositorys_own_address_for_a_mirror(
    containers: Containerd, sources: dict[str, Source], image_name: str, way_out: Tripwire
) -> None:
    """/repository/<name>/v2 in hosts.toml, with override_path; what ?ns= says is of no account there."""
    source, pushed = sources["private"], multi(image_name.replace("/", "-"))
    source.registry.push(image_name, "v1", pushed)
    containers.mirror("by-path.example", f"{source.stack.url}/repository/{source.name}/v2")
    with way_out.quiet():
        containers.machine().pull_as(f"by-path.example/{image_name}:v1").assert_same(pushed)
