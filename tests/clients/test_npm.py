"""npm, pnpm and yarn through a remote: cold, with upstream stopped, through a chain, and through a virtual."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.clients.commands import CommandFailedError
from tests.clients.npm import BULK, Npm, Registry, others
from tests.conftest import require
from tests.stack import Stack, StackFactory

TOKEN = "an-admin-token-of-the-tests"
WANTED = {"tool": "2.0.0", "@scope/lib": "1.0.0"}


def public() -> str:
    """The registry that this machine's npm is configured for."""
    asked = [require("npm"), "config", "get", "registry"]
    return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@dataclass(frozen=True, slots=True)
class Place:
    """A node, and the registry that its remotes are of."""

    stack: Stack
    registry: Registry

    def url(self, repository: str) -> str:
        return f"{self.stack.url}/repository/{repository}/"


@pytest.fixture(scope="module")
def place(stack_factory: StackFactory) -> Iterator[Place]:
    """Remotes `<client>` of the registry, `<client>-chain` of those, `all` of the local `mine` and a remote."""
    registry = Registry()
    registry.add("tool", "1.0.0")
    registry.add("tool", "2.0.0", dependencies={"@scope/lib": "^1.0.0"})
    registry.add("@scope/lib", "1.0.0")
    registry.add("ours", "9.9.9")
    stack = stack_factory({}, "npm", ADMIN_TOKEN=TOKEN)
    long = {"package": "npm", "cache": {"mutable_ttl": 3600}}
    remotes = {}
    for name in ("npm", "pnpm", "yarn", "up"):
        remotes[name] = {**long, "base_url": registry.url}
        remotes[f"{name}-chain"] = {**long, "base_url": f"{stack.url}/repository/{name}"}
    remotes["narrow"] = {**long, "base_url": registry.url, "immutable_patterns": ["-1\\.[0-9.]*\\.tgz$"]}
    remotes["public"] = {**long, "base_url": public()}
    virtuals = {"all": {"package": "npm", "members": ["mine", "up"]}}
    stack.configure({"remotes": remotes, "locals": {"mine": {"package": "npm"}}, "virtuals": virtuals})
    yield Place(stack.start(), registry)
    registry.stop()
    stack.stop()


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[str]]:
    return {"npm": [require("npm")], **others(tmp_path_factory.mktemp("npm-others"))}


@pytest.fixture
def machine(tmp_path: Path, place: Place, commands: Mapping[str, Sequence[str]]) -> Callable[[str, str], Npm]:
    """machine(client, repository): a fresh one."""

    def made(client: str, repository: str) -> Npm:
        home = tmp_path / f"home{len(list(tmp_path.iterdir()))}"
        return Npm(commands[client], home, place.url(repository))

    return made


@pytest.fixture
def stopped(place: Place) -> Iterator[Callable[[], None]]:
    """stopped(): from then on upstream is not there, until the test ends."""
    yield place.registry.stop
    place.registry.stop()
    place.registry.start()


Machine = Callable[[str, str], Npm]
Stopped = Callable[[], None]


def test_npm_installs_again_without_upstream(place: Place, machine: Machine, stopped: Stopped) -> None:
    locks = {}
    for repository in ("npm", "npm-chain"):
        npm = machine("npm", repository)
        project = npm.project({"tool": "*"})
        npm("install", cwd=project)
        assert npm.installed(project) == WANTED
        locks[repository] = project / "package-lock.json"
        assert place.url(repository) in locks[repository].read_text()
    assert json.loads(npm("view", "--json", "tool", "versions")) == ["1.0.0", "2.0.0"]
    with pytest.raises(CommandFailedError, match="it is a test"):
        npm("audit", cwd=project)
    assert all("authorization" not in each for each in place.registry.asked)
    stopped()
    for repository, lock in locks.items():
        npm = machine("npm", repository)
        project = npm.project({"tool": "*"}, lock)
        npm("ci", cwd=project)
        assert npm.installed(project) == WANTED
        with pytest.raises(CommandFailedError, match="it is a test"):
            npm("audit", cwd=project)
    assert json.loads(npm("view", "--json", "tool", "dist-tags")) == {"latest": "2.0.0"}


@pytest.mark.parametrize("authorization", ["", f"Bearer {TOKEN}"])
def test_a_long_question_is_nobodys_who_carries_it(place: Place, authorization: str) -> None:
    before = len(place.registry.asked)
    sent = json.dumps({f"package-{number}{authorization[:1]}": ["1.0.0"] for number in range(20_000)}).encode()
    url = f"{place.url('up')}{BULK.removeprefix('/')}"
    headers = {"Authorization": authorization} if authorization else {}
    answer = requests.post(url, sent, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    told = place.registry.asked[before]
    assert (int(told["content-length"]), told.get("authorization")) == (len(sent), None)


@pytest.mark.parametrize("client", ["pnpm", "yarn"])
def test_others_install_again_without_upstream(machine: Machine, stopped: Stopped, client: str) -> None:
    for state in ("cold", "warm"):
        for repository in (client, f"{client}-chain"):
            other = machine(client, repository)
            project = other.project({"tool": "^2.0.0", "@scope/lib": "1.0.0"})
            other("install", cwd=project)
            assert other.installed(project) == WANTED
        if state == "cold":
            stopped()


def test_a_virtual_of_ours_and_theirs(place: Place, machine: Machine) -> None:
    publisher = machine("npm", "mine")
    with (publisher.home / ".npmrc").open("a") as settings:
        settings.write(f"//{publisher.registry.partition('//')[2]}:_authToken={TOKEN}\n")
    project = publisher.project({})
    said = {"name": "ours", "version": "1.0.0", "dependencies": {"tool": "^2.0.0"}}
    (project / "package.json").write_text(json.dumps(said))
    publisher("publish", cwd=project)
    npm = machine("npm", "all")
    project = npm.project({"ours": "*"})
    npm("install", cwd=project)
    assert npm.installed(project) == {"ours": "1.0.0", **WANTED}
    assert place.registry.documents.count("/ours") == 0


def test_npm_installs_the_newest_that_patterns_leave(machine: Machine) -> None:
    npm = machine("npm", "narrow")
    project = npm.project({"tool": "latest"})
    npm("install", cwd=project)
    assert npm.installed(project) == {"tool": "1.0.0"}


def test_npm_through_the_registry_of_this_machine(machine: Machine) -> None:
    for _ in ("cold", "warm"):
        npm = machine("npm", "public")
        project = npm.project({"is-number": "7.0.0"})
        npm("install", cwd=project)
        assert npm.installed(project) == {"is-number": "7.0.0"}
