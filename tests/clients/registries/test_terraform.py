"""terraform installs a signed provider through the cache, by the registry's protocol and by the mirror's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.registries.providers import PLATFORMS, Providers, Terraform, by_mirror, by_registry, terraform, tls
from tests.clients.registries.registry import Registry
from tests.clients.signing import Key
from tests.stores.doors import Certificate

FIRST = "terraform-provider-stone_v1.0.0"
SECOND = "terraform-provider-stone_v1.1.0"
ARCHIVE = f"/files/terraform-provider-stone_1.0.0_{'_'.join(PLATFORMS[0])}.zip"


@pytest.fixture(scope="module")
def served(
    registries: dict[str, Registry], key: Key, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Registry, Providers]:
    terraform()
    found = registries["terraform"]
    providers = Providers(found.upstream, found.files, key, tmp_path_factory.mktemp("providers"))
    providers.add("1.0.0")
    return found, providers


@pytest.fixture(scope="module")
def door(served: tuple[Registry, Providers], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The node's URL in TLS, and the certificate to trust: terraform takes a mirror in no other way."""
    made = Certificate.make(tmp_path_factory.mktemp("tls"), "node")
    with tls(served[0].stack.port, made.certificate, made.key) as url:
        yield url, made.certificate


def test_a_registry_cold_warm_and_through_two(served: tuple[Registry, Providers], home: Callable[[], Path]) -> None:
    registry, _ = served
    source = "registry.example.org/team/stone"
    settings = [by_registry("registry.example.org", url) for url in (registry.near, registry.far)]
    for each in settings:
        assert Terraform(home(), each).init(source) == {FIRST}
    assert registry.files.count(ARCHIVE, "GET") == 1
    with registry.stopped():
        for each in settings:
            assert Terraform(home(), each).init(source) == {FIRST}


def test_a_mirror_cold_warm_and_through_two(
    served: tuple[Registry, Providers], door: tuple[str, Path], home: Callable[[], Path]
) -> None:
    registry, providers = served
    url, trusted = door
    source = "127.0.0.1/team/stone"
    settings = [by_mirror(f"{url}/repository/{name}") for name in ("terraform", "terraform-far")]
    for each in settings:
        assert Terraform(home(), each, trusted).init(source) == {FIRST}
    with registry.stopped():
        for each in settings:
            assert Terraform(home(), each, trusted).init(source) == {FIRST}
    providers.add("1.1.0")
    registry.settle("mirror/127.0.0.1/team/stone/index.json")
    registry.expire()
    assert Terraform(home(), settings[0], trusted).init(source) == {SECOND}
