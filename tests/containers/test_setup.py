"""A machine that has a file of /setup and nothing else pulls by the registry's name, and by the image's own here."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.commands import run
from tests.conformance.pushing import Local
from tests.conftest import require
from tests.containers.containerd import Containerd
from tests.containers.images import Form, Index, multi
from tests.containers.machine import Source
from tests.containers.registry import Registry
from tests.stack import Stack, StackFactory

REPOSITORIES = ("served", "plain", "team", "all")


@pytest.fixture(scope="module")
def node(registries: dict[str, Registry], stack_factory: StackFactory) -> Iterator[Stack]:
    """A remote that serves a registry, one that says nothing of it, a local, and a virtual of those two."""
    upstream = {"package": "docker", "base_url": registries["hub"].url}
    config = {
        "remotes": {"served": {**upstream, "serves": ["served.example"]}, "plain": upstream},
        "locals": {"team": {"package": "docker"}},
        "virtuals": {"all": {"package": "docker", "members": ["team", "plain"]}},
    }
    found = stack_factory(config, name="setup-images").start()
    yield found
    found.stop()


@pytest.fixture
def pushed(image_name: str) -> Index:
    return multi(image_name.replace("/", "-"), Form.DOCKER)


@pytest.fixture
def names(node: Stack, registries: dict[str, Registry], image_name: str, pushed: Index) -> dict[str, list[str]]:
    """What each repository's image is called: by itself, and by whom it stands for, if anybody."""
    registries["hub"].push(image_name, "v1", pushed)
    Local("named", "team", node, node.token).push(image_name, "v1", pushed)
    upstream = registries["hub"].url.partition("://")[2]
    found = {name: [f"127.0.0.1:{node.port}/{name}/{image_name}:v1"] for name in REPOSITORIES}
    found["served"].append(f"served.example/{image_name}:v1")
    for name in ("plain", "all"):
        found[name].append(f"{upstream}/{image_name}:v1")
    return found


def setup(node: Stack, path: str) -> str:
    """As somebody here: only they are told where an upstream is."""
    headers = {"Authorization": f"Bearer {node.token}"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{node.url}/setup/{path}", headers=headers), timeout=20
    ) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_skopeo(node: Stack, repository: str, names: dict[str, list[str]], tmp_path: Path) -> None:
    """With that file alone no option has to say that it is http; and other repositories' images stay theirs."""
    file = tmp_path / "registries.conf"
    file.write_text(setup(node, f"{repository}/registries.conf"))
    skopeo = [require("skopeo"), "--registries-conf", str(file), "inspect", "--raw"]
    for name in names[repository]:
        run([*skopeo, f"docker://{name}"], tmp_path / "home")
    for name, *_ in names.values():
        run([*skopeo, "--tls-verify=false", f"docker://{name}"], tmp_path / "home")


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_containerd(
    node: Stack,
    repository: str,
    names: dict[str, list[str]],
    registries: dict[str, Registry],
    containers: Containerd,
    image_name: str,
    pushed: Index,
) -> None:
    """Also while the registry itself is away: it is this server that is asked."""
    containers.machine().pull_as(names[repository][0])
    Source(repository, registries["hub"], node).settle(image_name, pushed)
    text = setup(node, f"{repository}/hosts.toml")
    (registry,) = re.findall(r"certs\.d/(.+)/hosts\.toml", text)
    (name,) = (each for each in names[repository] if each.startswith(f"{registry}/"))
    with containers.configured(registry, text), registries["hub"].front.stopped():
        containers.machine().pull_as(name).assert_same(pushed)


def test_containerd_pushes_by_the_file_of_a_local(
    node: Stack, names: dict[str, list[str]], containers: Containerd, pushed: Index
) -> None:
    text, (name, *_) = setup(node, "team/hosts.toml"), names["team"]
    again = name.replace("/team/", "/team/again-")
    with containers.configured(f"127.0.0.1:{node.port}", text):
        machine = containers.machine()
        machine.pull_as(name)
        machine.push_as(name, again, f"ci:{node.token}")
        containers.machine().pull_as(again)
