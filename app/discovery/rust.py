"""cargo's config.toml. Source: The Cargo Book, "Source Replacement", "Registries" (sparse protocol)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from app.discovery.found import Found, Note, address

CARGO = "cargo"
CRATES = "https://index.crates.io"
MAIN = "crates-io"  # what cargo calls it


def standard() -> Found:
    """What cargo asks where nothing says otherwise."""
    return address(CARGO, CRATES, "crates")


def config(text: str) -> Iterator[Found]:
    """Raises ValueError."""
    try:
        told: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise ValueError("is no TOML") from None
    sources, registries = told.get("source", {}), told.get("registries", {})
    instead = _instead(dict(_tables(sources)))
    for name, each in _tables(sources):
        if isinstance(each.get("registry"), str):
            yield from _index(name, each["registry"], name not in instead)
    for name, each in _tables(registries):
        if isinstance(each.get("index"), str):
            yield from _index(name, each["index"], name not in instead)


def _instead(sources: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """crates.io's own name, and those of what is asked instead of it."""
    found: set[str] = set()
    name: object = MAIN
    while isinstance(name, str) and name not in found:
        found.add(name)
        name = sources.get(name, {}).get("replace-with")
    return found


def _tables(found: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, each in found.items() if isinstance(found, dict) else ():
        if isinstance(each, dict):
            yield str(name), each


def _index(name: str, url: str, beside: bool) -> Iterator[Found]:
    if not url.startswith("sparse+"):
        yield Note(f"{name}: an index in git is not proxied, a sparse one is")
        return
    yield address(CARGO, url.removeprefix("sparse+"), "crates" if name == MAIN else name, beside=beside)
