"""package-lock.json (and npm-shrinkwrap.json): every tarball that is of a registry, and its package's document.

    {"lockfileVersion": 2 or 3, "packages": {"node_modules/<name>": {"version", "resolved", "integrity"}}}

Source: npm's documentation, package-lock.json; w3.org/TR/SRI, 3.1.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from app.prefetch.wanted import Lock, Wanted
from app.resource import Repository

SHORT = "application/vnd.npm.install-v1+json"
_TARBALL = re.compile(r".*?/((?:@[^/@]+/)?[^/@]+)/-/([^/]+\.tgz)")
_INTEGRITY = re.compile(r"(sha(?:512|384|256|1))-([A-Za-z0-9+/]+={0,2})")
_STRONGEST = ("sha512", "sha384", "sha256", "sha1")


def read(lock: Lock, repository: Repository) -> Iterator[Wanted]:
    """Documents first, then tarballs; raises ValueError that names the entry."""
    known: dict[str, Wanted] = {}
    for where, entry in _packages(lock.text).items():
        if not where or not isinstance(entry, Mapping) or entry.get("link") or entry.get("inBundle"):
            continue
        found = _tarball(where, entry)
        if found is None:
            continue
        package, file = found
        path = f"{package}/-/{file}"
        known.setdefault(package, Wanted(package, SHORT))
        known.setdefault(path, Wanted(path, digest=integrity(str(entry.get("integrity", "")))))
    yield from known.values()


def _packages(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    found = document.get("packages") if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise ValueError("has no `packages`: lockfileVersion 2 or 3 is wanted, which npm 7 and later write")
    return found


def _tarball(where: str, entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """(package, file name); None for what is no registry's: a folder, a repository of git, a tarball somewhere."""
    resolved = entry.get("resolved")
    if isinstance(resolved, str):
        url = urllib.parse.urlsplit(resolved)
        match = _TARBALL.fullmatch(urllib.parse.unquote(url.path)) if url.scheme in ("http", "https") else None
        return (match[1], match[2]) if match else None
    version, _, inner = entry.get("version"), *where.rpartition("node_modules/")[1:]
    name = entry.get("name", inner)  # npm's omit-lockfile-registry-resolved leaves the address out
    if not inner or not isinstance(version, str) or not isinstance(name, str):
        return None
    return name, f"{name.rpartition('/')[2]}-{version}.tgz"


def integrity(text: str) -> str:
    """The strongest of the digests, as Wanted.digest; "" where there is none."""
    found = dict(_INTEGRITY.findall(text))
    for algorithm in _STRONGEST:
        if algorithm in found:
            try:
                return f"{algorithm}:{base64.b64decode(found[algorithm], validate=True).hex()}"
            except binascii.Error:
                raise ValueError(f"{text[:100]} is no integrity") from None
    return ""
