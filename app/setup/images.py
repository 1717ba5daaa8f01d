"""Configurations of containerd, of podman, skopeo and buildah, and of docker.

Source: containerd, docs/hosts.md; containers-registries.conf(5); docs.docker.com, dockerd, daemon configuration file.
"""

from __future__ import annotations

import json

from app.setup.place import Place, comment

HUB = "docker.io"


def hosts(place: Place) -> str:
    """For /etc/containerd/certs.d/<registry>/hosts.toml. As `server`: beside a mirror the
    registry itself is asked too. Without any [host] containerd 1.6 does not read the file."""
    registry = _registry(place)
    where = f"{place.url}/v2"
    lines = [
        f"# for /etc/containerd/certs.d/{registry}/hosts.toml",
        f'server = "{where}"',
        "override_path = true",
        'capabilities = ["pull", "resolve"]',
        "[host]",
    ]
    return comment(place) + "\n".join(lines) + "\n"


def registries(place: Place) -> str:
    """For /etc/containers/registries.conf.d."""
    lines = ["[[registry]]", f'prefix = "{_registry(place)}"', f'location = "{place.host}/{place.name}"']
    if place.plain:
        lines.append("insecure = true")
    return comment(place) + "\n".join(lines) + "\n"


def daemon(place: Place) -> str:
    """For /etc/docker/daemon.json. A mirror names no repository: the one that is the default answers."""
    told: dict[str, list[str]] = {}
    if place.repository.default:
        told["registry-mirrors"] = [place.origin]
    if place.plain:
        told["insecure-registries"] = [place.host]
    return json.dumps(told, indent=2) + "\n"


def _registry(place: Place) -> str:
    """What images' names begin with that are to be pulled from here."""
    serves = [*place.repository.serves, *(host for part in place.repository.parts for host in part.serves)]
    return place.option("registry") or next(iter(serves), place.host)
