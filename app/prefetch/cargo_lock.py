"""Cargo.lock: of every crate of a registry its line in the sparse index, and its file.

Source: The Cargo Book, "Cargo.lock", "Index Format" (Index files), "Registry Web API".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from app.prefetch.wanted import Lock, Wanted
from app.resource import Repository

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")


def read(lock: Lock, repository: Repository) -> Iterator[Wanted]:
    """Raises ValueError that names the package."""
    try:
        packages = tomllib.loads(lock.text).get("package", [])
    except (tomllib.TOMLDecodeError, RecursionError):
        raise ValueError("is not TOML") from None
    yield Wanted("config.json")
    for each in packages if isinstance(packages, list) else []:
        if not isinstance(each, dict) or not str(each.get("source", "")).startswith(("registry+", "sparse+")):
            continue  # of a folder, or of git
        name, version, checksum = (str(each.get(key, "")) for key in ("name", "version", "checksum"))
        if not _NAME.fullmatch(name) or not version:
            raise ValueError(f"{name[:64]!r} is no crate's name")
        if not _CHECKSUM.fullmatch(checksum):
            raise ValueError(f"{name}: its checksum is no sha256")
        yield Wanted(line(name))
        yield Wanted(crate(name, version, checksum), digest=f"sha256:{checksum}")


def line(name: str) -> str:
    """Where a crate is in the index."""
    lower = name.lower()
    if len(lower) < 4:
        return "/".join((str(len(lower)), *lower[: len(lower) == 3], lower))
    return f"{lower[:2]}/{lower[2:4]}/{lower}"


def crate(name: str, version: str, checksum: str) -> str:
    """Where its file is (app/formats/cargo.py)."""
    return f"api/v1/crates/{name}/{version}/{checksum}/download"
