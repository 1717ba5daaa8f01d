"""sources.list, *.list and *.sources. Source: sources.list(5), deb822 style and one-line style."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.discovery.found import Found, address, folder, host_of
from app.formats.deb822 import fields

_LINE = re.compile(r"deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+\S")
_OFF = frozenset({"no", "false", "without", "off", "disable"})


def one_line(text: str) -> Iterator[Found]:
    """One address for each base URI."""
    for line in text.splitlines():
        if match := _LINE.match(line.strip()):
            yield _archive(match[1])


def deb822(text: str) -> Iterator[Found]:
    """Raises ValueError."""
    for stanza in re.split(r"\n(?:[ \t]*(?:#[^\n]*)?\n)+", text.replace("\r\n", "\n")):
        told = {name: " ".join(lines) for name, lines in fields(stanza).items()}
        if told.get("enabled", "").lower() not in _OFF:
            for uri in told.get("uris", "").split():
                yield _archive(uri)


def _archive(uri: str) -> Found:
    """Called as the last folder of its address, which is what archives are known by."""
    return address("deb", uri, folder(uri) or host_of(uri) or uri.partition(":")[0])
