"""What an npm tarball says of itself: the package.json in it, as registries repeat it.

What is told to clients is read from the tarball and not taken from whoever sends it, so that both always agree.

Source: npm documentation, package.json; github.com/npm/registry, docs/responses/package-metadata.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.formats.npm import LONGEST, PACKAGE
from app.formats.tar import files
from app.hosting.archives import Limits, content, unpack
from app.hosting.npm_version import VERSION

_MANIFEST = 512 << 10  # bytes of a package.json
_LIMITS = Limits(unpacked=2 << 30, members=200_000)
_OWN = frozenset({"dist", "deprecated", "readme", "readmeFilename", "hasInstallScript", "bundledDependencies"})
_SETUP = ("preinstall", "install", "postinstall")
_MAPS = ("dependencies", "optionalDependencies", "devDependencies", "peerDependencies", "peerDependenciesMeta")
_PREFIX = re.compile(r"\s*[v=]+\s*")


@dataclass(frozen=True, slots=True)
class Tarball:
    """`manifest` is its package.json as a registry tells it; `integrity` and `shasum` are of the whole file."""

    name: str
    version: str
    manifest: Mapping[str, Any]
    integrity: str
    shasum: str


def tarball(path: Path) -> Tarball:
    """Raises ValueError for what is no npm package."""
    given, extras = _inside(path)
    name, version = given.get("name"), given.get("version")
    if not isinstance(name, str) or len(name) > LONGEST or not PACKAGE.fullmatch(name):
        raise ValueError("has no name in its package.json that npm would take")
    cleaned = _PREFIX.sub("", version, count=1).strip().partition("+")[0] if isinstance(version, str) else ""
    if not VERSION.fullmatch(cleaned):
        raise ValueError("has no version in its package.json that npm would take")
    manifest = _manifest(given, name, extras) | {"name": name, "version": cleaned, "_id": f"{name}@{cleaned}"}
    with path.open("rb") as file:
        sha512 = hashlib.file_digest(file, "sha512").digest()
    with path.open("rb") as file:
        shasum = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    return Tarball(name, cleaned, manifest, f"sha512-{base64.b64encode(sha512).decode()}", shasum)


def _inside(path: Path) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Its package.json, and which other files of meaning there are beside that."""
    found, extras = None, set()
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise ValueError("is no .tgz")
        file.seek(0)
        for name, body in files(unpack(file, _LIMITS), _LIMITS):
            _, _, below = name.partition("/")  # npm drops the first directory, whatever it is called
            if below == "package.json" and found is not None:
                raise ValueError("has two package.json")
            if below == "package.json":
                found = content(body, _MANIFEST, "a package.json")
            elif below in ("npm-shrinkwrap.json", "binding.gyp"):
                extras.add(below)
    if found is None:
        raise ValueError("has no package.json")
    return _object(found), frozenset(extras)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body.decode("utf-8-sig"))
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ValueError("has a package.json that cannot be read") from error
    if not isinstance(found, dict):
        raise ValueError("has a package.json that is no object")
    return found


def _manifest(given: Mapping[str, Any], name: str, extras: frozenset[str]) -> dict[str, Any]:
    """Without what only a registry says, and without what would break its readers."""
    kept = {key: value for key, value in given.items() if not key.startswith("_") and key not in _OWN}
    for key in _MAPS:
        if key in kept and not isinstance(kept[key], dict):
            del kept[key]
    if isinstance(kept.get("bin"), str):
        kept["bin"] = {name.rpartition("/")[2]: kept["bin"]}
    if "bundledDependencies" in given:
        kept.setdefault("bundleDependencies", given["bundledDependencies"])
    scripts = kept.get("scripts")
    builds = "binding.gyp" in extras and kept.get("gypfile") is not False
    if builds or (isinstance(scripts, dict) and any(scripts.get(each) for each in _SETUP)):
        kept["hasInstallScript"] = True
    if "npm-shrinkwrap.json" in extras:
        kept["_hasShrinkwrap"] = True
    return kept
