"""What the suite may ask for: two upstreams, one node in front of them, and each of a remote's addresses."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.asking import FORMS, Api
from tests.conformance.prepared import Prepared
from tests.conformance.pushing import LOCAL_FORMS, Local
from tests.conftest import require
from tests.containers.images import Image, image, layer
from tests.containers.registry import Registry
from tests.stack import Stack, StackFactory

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real docker-registry, open to all."""
    commands = require("docker-registry"), require("nginx")
    work = tmp_path_factory.mktemp("registry")
    found = Registry(*commands, work)
    try:
        found.start()
        yield found
    finally:
        found.close()
        shutil.rmtree(work)


@pytest.fixture(scope="session")
def prepared() -> Iterator[Prepared]:
    """For what docker-registry cannot do."""
    server = Prepared()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def node(registry: Registry, prepared: Prepared, stack_factory: StackFactory) -> Iterator[Stack]:
    """The server under test, for all tests."""
    remotes: dict[str, dict[str, Any]] = {
        "real": {"base_url": registry.url, "serves": ["real.example"], "default": True},
        "made": {"base_url": prepared.url, "serves": ["made.example"], "hosts": ["made.example"]},
        "strict": {"base_url": registry.url, "ban_tags_enabled": True, "ban_tags": ["banned"]},
        "known": {"base_url": f"{prepared.url}/known", "username": "fleet", "password": "opensesame"},
    }
    document = {"remotes": {name: {"package": "docker", **each} for name, each in remotes.items()}}
    stack: Stack = stack_factory(document, name="conformance").start()
    yield stack
    stack.stop()


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """Each of the addresses in turn."""
    return str(request.param)


@pytest.fixture
def api(form: str, node: Stack, registry: Registry) -> Api:
    """The remote in front of docker-registry; its bare form is the default remote's."""
    return Api(form, "real", "real.example", "", node, registry.front)


@pytest.fixture
def made(form: str, node: Stack, prepared: Prepared) -> Api:
    """The remote in front of the prepared upstream; its bare form is by a host name."""
    return Api(form, "made", "made.example", "made.example", node, prepared)


@pytest.fixture
def strict(node: Stack, registry: Registry) -> Api:
    """A remote that refuses a tag."""
    return Api("named", "strict", "", "", node, registry.front)


@pytest.fixture
def known(node: Stack, prepared: Prepared) -> Api:
    """A remote that logs in at its upstream."""
    return Api("named", "known", "", "", node, prepared)


@pytest.fixture
def name() -> str:
    """An image's name that no other test has."""
    return f"team/image-{next(_NUMBERS)}"


@pytest.fixture
def pushed(registry: Registry, name: str) -> Image:
    """An image of one layer, which docker-registry has under `name`:v1."""
    made = image(layer(name.replace("/", "-"), 9_000))
    registry.push(name, "v1", made)
    return made


@pytest.fixture(scope="session")
def lasting(registry: Registry) -> tuple[str, Image]:
    """(name, image) that docker-registry has under name:v1, for all tests that need nothing of their own."""
    made = image(layer("lasting", 9_000))
    registry.push("team/lasting", "v1", made)
    return "team/lasting", made


@pytest.fixture
def named(node: Stack, registry: Registry) -> Api:
    """api by one address alone, for what takes long."""
    return Api("named", "real", "real.example", "", node, registry.front)


@pytest.fixture
def made_named(node: Stack, prepared: Prepared) -> Api:
    """made by one address alone, for what takes long."""
    return Api("named", "made", "made.example", "", node, prepared)


@pytest.fixture(scope="session")
def hosting(stack_factory: StackFactory) -> Iterator[Stack]:
    """The server under test as it is pushed to: `team`, `other`, and `closed`, which strangers do not see."""
    found: dict[str, dict[str, Any]] = {"team": {}, "other": {}, "closed": {"access": "authenticated"}}
    document = {"locals": {name: {"package": "docker", **each} for name, each in found.items()}}
    stack: Stack = stack_factory(document, name="pushing").start()
    yield stack
    stack.stop()


@pytest.fixture(params=LOCAL_FORMS)
def local(request: pytest.FixtureRequest, hosting: Stack) -> Local:
    """The local repository `team` by each of its addresses, with the right to push."""
    return Local(request.param, "team", hosting, hosting.token)


@pytest.fixture
def team(hosting: Stack) -> Local:
    """local by one address alone, for what is the same by both."""
    return Local("named", "team", hosting, hosting.token)


@pytest.fixture
def closed(hosting: Stack) -> Local:
    """One that only who is known may read."""
    return Local("named", "closed", hosting, hosting.token)


@pytest.fixture
def stranger(hosting: Stack) -> Local:
    """team for who has no token."""
    return Local("named", "team", hosting, "")
