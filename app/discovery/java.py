"""Maven's settings.xml. Source: maven.apache.org/settings.html (Mirrors, Servers, Profiles: Repositories)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace

from app.discovery.found import Address, Found, address
from app.formats.maven_xml import texts

MAVEN = "maven"
CENTRAL = "https://repo.maven.apache.org/maven2"
_PLACES = ("mirrors/mirror", "profiles/profile/repositories/repository",
           "profiles/profile/pluginRepositories/pluginRepository")  # fmt: skip
_SERVER = "servers/server"
_KEYS = ("", "/id", "/url", "/blocked", "/mirrorOf")
_WANTED = frozenset(f"{place}{key}" for place in (*_PLACES, _SERVER) for key in _KEYS)


def standard() -> Found:
    """What Maven asks where nothing says otherwise."""
    return address(MAVEN, CENTRAL, "maven-central")


def _instead(told: Mapping[str, str]) -> bool:
    """Whether that is asked and Maven Central is not: a repository of its name, or a mirror of it."""
    of = {each.strip() for each in told.get("mirrorOf", told.get("id", "")).split(",")}
    return "!central" not in of and not of.isdisjoint(("*", "external:*", "central"))


def settings(text: str) -> Iterator[Found]:
    """Mirrors and repositories; those of a server have credentials. Raises ValueError."""
    servers: set[str] = set()
    found: list[Found] = []
    told: dict[str, str] = {}
    for path, value in texts(io.BytesIO(text.encode()), "settings", _WANTED):
        place, _, key = path.rpartition("/")
        if path == _SERVER:
            servers.add(told.get("id", ""))
        elif path in _PLACES and told.get("blocked") != "true":
            found.append(address(MAVEN, told.get("url", ""), told.get("id") or MAVEN, beside=not _instead(told)))
        if path in (*_PLACES, _SERVER):
            told = {}
        elif place in (*_PLACES, _SERVER):
            told[key] = value
    for each in found:
        known = isinstance(each, Address) and each.name in servers
        yield replace(each, login="basic") if known and isinstance(each, Address) else each
