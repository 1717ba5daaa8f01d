"""Configurations of containerd, of podman, skopeo and buildah, and of docker.

Source: containerd, docs/hosts.md; containers-registries.conf(5); docs.docker.com, dockerd, daemon configuration file.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator

from app.formats.docker import HUB
from app.repository import Kind, Repository
from app.setup.place import OPTIONS, Place, comment

OF_HUB = "docker.io"  # what names of its images begin with, whatever its hosts are called


def hosts(place: Place) -> str:
    """For /etc/containerd/certs.d/<registry>/hosts.toml. As `server`: beside a mirror the
    registry itself is asked too. Without any [host] containerd 1.6 does not read the file."""
    registry = _registry(place)
    # By an image's name here the repository stands in the name, and in a path it would stand a second time.
    server = [f'server = "{place.url}/v2"', "override_path = true"] if registry else [f'server = "{place.origin}"']
    pushed = ["push"] if not registry and place.repository.kind is Kind.LOCAL else []
    lines = [
        f"# for /etc/containerd/certs.d/{registry or place.host}/hosts.toml",
        *server,
        f"capabilities = {json.dumps(['pull', 'resolve', *pushed])}",
        "[host]",
    ]
    return comment(place) + "\n".join(lines) + "\n"


def registries(place: Place) -> str:
    """For /etc/containers/registries.conf.d: names of that registry's images, and of those here as they are."""
    here, registry = f"{place.host}/{place.name}", _registry(place)
    lines = _prefixed(place, registry, here) if registry else []
    if place.plain or not registry:  # by name, too, nobody is to look for https
        lines += _prefixed(place, here, here)
    return comment(place) + "\n".join(lines) + "\n"


def _prefixed(place: Place, prefix: str, location: str) -> list[str]:
    lines = ["[[registry]]", f'prefix = "{prefix}"', f'location = "{location}"']
    return [*lines, "insecure = true"] if place.plain else lines


def daemon(place: Place) -> str:
    """For /etc/docker/daemon.json. A mirror names no repository: the one that is the default answers."""
    told: dict[str, list[str]] = {}
    if place.repository.default:
        told["registry-mirrors"] = [place.origin]
    if place.plain:
        told["insecure-registries"] = [place.host]
    return json.dumps(told, indent=2) + "\n"


def _registry(place: Place) -> str:
    """What images' names begin with that are to be pulled from here; "" where that is this server and nothing else.

    Of a virtual's members the first counts that stands for one: a later one's images would be looked for there."""
    found = place.option("registry") or next(_stands_for(place.repository, place.known), "")
    return "" if found == place.host else found


def _stands_for(repository: Repository, known: bool) -> Iterator[str]:
    """What it serves; else its upstream, where an image's name can begin so. Strangers hear "" of one that is not
    Docker Hub's: it may be inside."""
    yield from repository.serves
    for base in repository.base_urls[:1]:
        url = urllib.parse.urlsplit(base.lower())
        host = url.netloc.removesuffix({"https": ":443", "http": ":80"}.get(url.scheme, ""))
        if not url.path and OPTIONS["registry"][0].fullmatch(host):
            yield OF_HUB if host in HUB else host if known else ""
    for part in repository.parts:
        yield from _stands_for(part, known)
