"""Where a client's configuration is: where the environment says, and only else where it usually is.

Source: pip's documentation, "Configuration"; uv's, "Environment variables"; npm's, "config"; The Cargo Book,
"Environment Variables"; `go help environment`; helm.sh/docs, "helm help"; containers-registries.conf(5).
"""

from __future__ import annotations

import os
from pathlib import Path

from app.discovery.machine import Machine, Pattern

Patterns = tuple[Pattern, ...]


def pip(machine: Machine) -> Patterns:
    """PIP_CONFIG_FILE stands for the user's own, and the null device for there being none of any kind."""
    own = _named(machine, "PIP_CONFIG_FILE")
    if own == (Path(os.devnull),):
        return ()
    users = () if any(machine.files(*own)) else (_config(machine, "pip/pip.conf"), "~/.pip/pip.conf")
    environment = tuple(each / "pip.conf" for each in _named(machine, "VIRTUAL_ENV"))
    return (*own, *environment, *users, "/etc/xdg/pip/pip.conf", "/etc/pip.conf")


def uv(machine: Machine) -> Patterns:
    return _named(machine, "UV_CONFIG_FILE") or (_config(machine, "uv/uv.toml"), "/etc/uv/uv.toml")


def npm(machine: Machine) -> Patterns:
    """Its variables count in whatever case."""
    told = {name.lower(): value for name, value in machine.environ.items()}
    user, everybody = (told.get(f"npm_config_{each}config", "") for each in ("user", "global"))
    return (*(_path(user) or ("~/.npmrc",)), *(_path(everybody) or ("/etc/npmrc", "/usr/etc/npmrc")))


def docker(machine: Machine) -> Patterns:
    return ("/etc/docker/daemon.json", _config(machine, "docker/daemon.json"))


def registries(machine: Machine) -> Patterns:
    usual = ("~/.config/containers/registries.conf", "/etc/containers/registries.conf")
    own = _named(machine, "CONTAINERS_REGISTRIES_CONF")
    return (*(own or usual), "/etc/containers/registries.conf.d/*.conf")


def cargo(machine: Machine) -> Patterns:
    return tuple(_at(machine, "CARGO_HOME", "~/.cargo", name) for name in ("config.toml", "config"))


def go(machine: Machine) -> Patterns:
    """GOENV=off is for none."""
    if machine.environ.get("GOENV") == "off":
        return ()
    return _named(machine, "GOENV") or (_config(machine, "go/env"),)


def helm(machine: Machine) -> Patterns:
    own = _named(machine, "HELM_REPOSITORY_CONFIG")
    if own or not _named(machine, "HELM_CONFIG_HOME"):
        return own or (_config(machine, "helm/repositories.yaml"),)
    return (_at(machine, "HELM_CONFIG_HOME", "", "repositories.yaml"),)


def _config(machine: Machine, name: str) -> Pattern:
    return _at(machine, "XDG_CONFIG_HOME", "~/.config", name)


def _at(machine: Machine, variable: str, usual: str, name: str) -> Pattern:
    """A file in the directory that the variable names, else in the usual one."""
    return next((each / name for each in _named(machine, variable)), f"{usual}/{name}")


def _named(machine: Machine, variable: str) -> tuple[Path, ...]:
    return _path(machine.environ.get(variable, ""))


def _path(value: str) -> tuple[Path, ...]:
    return (Path(value.strip()).absolute(),) if value.strip() else ()
