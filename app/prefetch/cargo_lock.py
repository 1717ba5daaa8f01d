"""Cargo.lock: of every crate of a registry its line in the sparse index, and its file.

Source: The Cargo Book, "Cargo.lock", "Index Format" (Index files), "Registry Web API".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.prefetch.wanted import Lock, Wanted
from app.resource import Repository

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_TOLD = re.compile(r"""(name|version|source|checksum)[ \t]*=[ \t]*(?:"([^"\\]*)"|'([^']*)')[ \t]*(?:#.*)?""")
_MUST = re.compile(r"(?:name|version|source|checksum)[ \t]*=")
_LINE = re.compile(r"""[#\[\]"']|[A-Za-z0-9_-]+[ \t]*=""")  # how one begins


def read(lock: Lock, repository: Repository) -> Iterator[Wanted]:
    """Raises ValueError that names the package."""
    yield Wanted("config.json")
    for each in _packages(lock.text):
        if not each.get("source", "").startswith(("registry+", "sparse+")):
            continue  # of a folder, or of git
        name, version, checksum = (each.get(key, "") for key in ("name", "version", "checksum"))
        if not _NAME.fullmatch(name) or not version:
            raise ValueError(f"{name[:64]!r} is no crate's name")
        if not _CHECKSUM.fullmatch(checksum):
            raise ValueError(f"{name}: its checksum is no sha256")
        yield Wanted(line(name))
        yield Wanted(crate(name, version, checksum), digest=f"sha256:{checksum}")


def _packages(text: str) -> Iterator[dict[str, str]]:
    """What each [[package]] says of itself, line by line as cargo writes it: tomllib takes hours for one key of many
    parts."""
    told: dict[str, str] | None = None
    for number, each in enumerate((*text.split("\n"), "[end]"), 1):
        row = each.strip()
        if row.startswith("["):
            if told is not None:
                yield told
            told = {} if re.fullmatch(r"\[\[[ \t]*package[ \t]*\]\][ \t]*(?:#.*)?", row) else None
        elif told is not None and (match := _TOLD.fullmatch(row)):
            told[match[1]] = match[2] or match[3] or ""
        elif row and (not _LINE.match(row) or (told is not None and _MUST.match(row))):
            raise ValueError(f"line {number}: is not TOML as cargo writes it")


def line(name: str) -> str:
    """Where a crate is in the index."""
    lower = name.lower()
    if len(lower) < 4:
        return "/".join((str(len(lower)), *lower[: len(lower) == 3], lower))
    return f"{lower[:2]}/{lower[2:4]}/{lower}"


def crate(name: str, version: str, checksum: str) -> str:
    """Where its file is (app/formats/cargo.py)."""
    return f"api/v1/crates/{name}/{version}/{checksum}/download"
