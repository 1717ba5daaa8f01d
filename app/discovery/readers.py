"""Which file of a machine is read by which parser, and what its clients ask where no file says anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from app.discovery import alpine, charts, containers, debian, golang, java, node, places, python, redhat, rust
from app.discovery.found import Address, Found, Note, address
from app.discovery.machine import Machine, Pattern, text

Parser = Callable[[str], Iterable[Found]]
_PIP = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"


@dataclass(slots=True)
class Read:
    """What was found: `sources` are the files and commands with the number of addresses that each had."""

    addresses: list[Address] = field(default_factory=list)
    sources: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, source: str, found: Iterable[Found]) -> None:
        """One file's, with the name of it; what cannot be read is a note."""
        before = len(self.addresses)
        try:
            for each in found:
                if isinstance(each, Note):
                    self.notes.append(f"{source}: {each.text}")
                else:
                    self.addresses.append(each)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            self.notes.append(f"{source}: {error if isinstance(error, ValueError) else 'is not what it should be'}")
        self.sources.append((source, len(self.addresses) - before))

    def has(self, package: str) -> bool:
        """Whether there is one that clients ask instead of the usual one."""
        return any(each.package == package and not each.beside for each in self.addresses)


def read(machine: Machine) -> Read:
    """Everything; files that say more come before those that say less, and a variable before both."""
    found = Read()
    for name, parse in _ENVIRONMENT:
        told = list(parse(machine))
        if told:
            found.take(f"the environment ({name})", told)
    for patterns, parser in _files(machine):
        for shown, file in machine.files(*patterns):
            found.take(shown, _parsed(parser, file))
    for package, standard in _STANDARD.items():
        if not found.has(package):
            for source, each in standard(machine):
                found.take(source, [each])
    return found


def _parsed(parser: Parser, file: object) -> Iterator[Found]:
    yield from parser(text(file))  # type: ignore[arg-type]


_ENVIRONMENT: tuple[tuple[str, Callable[[Machine], Iterable[Found]]], ...] = (
    ("pip, uv", lambda machine: python.environment(machine.environ)),
    ("npm", lambda machine: node.environment(machine.environ)),
    ("go", lambda machine: golang.environment(machine.environ)),
)


def _files(machine: Machine) -> Iterator[tuple[tuple[Pattern, ...], Parser]]:
    yield places.pip(machine), python.pip
    yield places.uv(machine), python.uv
    yield places.npm(machine), lambda told: node.npmrc(told, machine.environ)
    yield ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list"), debian.one_line
    yield ("/etc/apt/sources.list.d/*.sources",), debian.deb822
    known = _variables(machine)
    yield ("/etc/yum.repos.d/*.repo", "/etc/dnf/repos.d/*.repo"), lambda told: redhat.repo(told, known)
    yield ("/etc/apk/repositories", "/etc/apk/repositories.d/*.list"), alpine.repositories
    yield places.docker(machine), containers.daemon
    yield places.registries(machine), containers.registries
    yield ("/etc/containerd/certs.d/*/hosts.toml",), containers.hosts
    yield places.cargo(machine), rust.config
    yield places.go(machine), golang.env
    yield ("~/.m2/settings.xml", "/etc/maven/settings.xml"), java.settings
    yield places.helm(machine), charts.repositories


def _variables(machine: Machine) -> dict[str, str]:
    """Of dnf."""
    release = next((file for _, file in machine.files("/etc/os-release", "/usr/lib/os-release")), None)
    own = {}
    for _, file in machine.files("/etc/dnf/vars/*", "/etc/yum/vars/*"):
        try:
            own[file.name] = text(file).strip()
        except ValueError:
            continue
    try:
        return redhat.variables(text(release) if release else "", machine.architecture, own)
    except ValueError:
        return own


# -- what clients ask where nothing says otherwise; each only where such a client is here --------------------------

Standard = Iterator[tuple[str, Found]]


def _pip(machine: Machine) -> Standard:
    for command in (["python3", "-c", _PIP], [sys.executable, "-c", _PIP]):
        if url := machine.run(command):
            yield "pip's own default", address("pypi", url, "pypi")
            return


def _npm(machine: Machine) -> Standard:
    if url := machine.run(["npm", "config", "get", "registry"]):
        yield "npm config get registry", address("npm", url, "npm")


def _docker(machine: Machine) -> Standard:
    if machine.has("docker", "dockerd", "podman", "skopeo", "buildah", "nerdctl", "ctr"):
        yield "the default of docker and podman", containers.hub()


def _cargo(machine: Machine) -> Standard:
    if machine.has("cargo"):
        yield "cargo's own default", rust.standard()


def _go(machine: Machine) -> Standard:
    if machine.has("go"):
        for each in golang.proxies(machine.run(["go", "env", "GOPROXY"]) or golang.STANDARD):
            yield "go env GOPROXY", each


def _maven(machine: Machine) -> Standard:
    if machine.has("mvn", "gradle"):
        yield "Maven's own default", java.standard()


_STANDARD: dict[str, Callable[[Machine], Standard]] = {
    "pypi": _pip,
    "npm": _npm,
    "docker": _docker,
    "cargo": _cargo,
    "go": _go,
    "maven": _maven,
}
