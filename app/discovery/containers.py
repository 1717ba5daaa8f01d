"""daemon.json of docker, registries.conf of podman, skopeo and buildah, hosts.toml of containerd.

Source: docs.docker.com, "dockerd", daemon configuration file; containers-registries.conf(5); containerd, hosts.md.
"""

from __future__ import annotations

import json
import tomllib
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.discovery.found import Address, Found, Note, address

DOCKER = "docker"
HUB = "https://registry-1.docker.io"
OF_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


def hub() -> Found:
    """What every client asks where nothing says otherwise."""
    return Address(DOCKER, HUB, "dockerhub", serves=("docker.io",))


def daemon(text: str) -> Iterator[Found]:
    """Mirrors are of Docker Hub. Raises ValueError."""
    told = json.loads(text or "{}")
    mirrors = told.get("registry-mirrors", []) if isinstance(told, dict) else []
    for number, url in enumerate(mirrors if isinstance(mirrors, list) else []):
        yield _serving(address(DOCKER, str(url), f"dockerhub-mirror-{number + 1}"), "docker.io", number == 0)


def registries(text: str) -> Iterator[Found]:
    """Registries with a location of their own, and their mirrors. Raises ValueError."""
    told = _toml(text)
    for each in told.get("registry", ()):
        if not isinstance(each, dict) or each.get("blocked"):
            continue
        prefix = str(each.get("prefix") or each.get("location") or "")
        places = [mirror for mirror in each.get("mirror", ()) if isinstance(mirror, dict)] or [each]
        for number, place in enumerate(places):
            location = str(place.get("location") or prefix)
            if location.split("/")[0] in OF_HUB:
                continue
            if prefix.startswith("*.") or "/" in location:
                yield Note(f"{location}: is a part of a registry, or several: only whole ones are taken over")
                continue
            scheme = "http" if place.get("insecure") else "https"
            yield _serving(address(DOCKER, f"{scheme}://{location}", location), prefix, number == 0)
    for host in told.get("unqualified-search-registries", ()):
        if str(host) not in OF_HUB:
            yield _serving(address(DOCKER, f"https://{host}", str(host)), str(host), True)


def hosts(text: str) -> Iterator[Found]:
    """`server` is the registry that the others are mirrors of. Raises ValueError."""
    server = str(_toml(text).get("server", ""))
    host = urllib.parse.urlsplit(server).netloc
    if server and host not in OF_HUB:
        yield _serving(address(DOCKER, server, host), host, True)


def _serving(found: Found, host: str, first: bool) -> Found:
    """Answering for that host; its name as those of images can begin, which are small letters."""
    if not isinstance(found, Address):
        return found
    name = found.name.lower().replace(".", "-").replace("_", "-")
    serves = (host.lower(),) if first and host else ()
    return replace(found, name=name, serves=serves, beside=host.lower() not in OF_HUB)


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise ValueError("is no TOML") from None
