"""Local repositories: how a file becomes visible, and how it goes; the ways of hosting, by package type."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from app.hosting.base import Host

# Loaded at their first use: some need large libraries, and only who publishes needs those.
_HOSTS = {
    name: f"app.hosting.{name}" for name in ("generic", "rpm", "apk", "deb", "docker", "maven", "pypi", "npm", "helm")
} | {"go": "app.hosting.generic"}  # the files of a static proxy (go.dev/ref/mod, "Serving modules directly")
HOSTED = frozenset(_HOSTS)


@cache
def host(package: str) -> Host:
    """The way of hosting of a package type: the module's HOST."""
    found: Host = import_module(_HOSTS[package]).HOST
    return found
