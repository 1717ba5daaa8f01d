"""A list of images, one a line: the manifest, those of its platforms, and everything that they name.

    <name>[:<tag>][@<digest>]       a registry in front may be named where it is the remote's own; # begins a comment

Source: OCI image-spec 1.1, image-index.md (platform), manifest.md; Docker's references.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from app.errors import BadRequest
from app.formats.oci_manifests import LARGEST, MANIFEST_TYPES
from app.formats.oci_names import Endpoint, Target, parse
from app.prefetch.wanted import Lock, Wanted
from app.resource import Repository, Resource

STEP = "what a manifest names"
ACCEPT = ", ".join(MANIFEST_TYPES)
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_PATH = re.compile(r".+/(?:(?:manifests|blobs|referrers)/[^/]+|tags/list)")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9.]+)?")


def read(lock: Lock, repository: Repository) -> Iterator[Wanted]:
    """Raises ValueError that names the line, or the platform."""
    check(lock.platforms)
    for number, line in enumerate(lock.text.splitlines(), 1):
        reference = line.partition("#")[0].strip()
        if not reference:
            continue
        try:
            yield manifest(*_split(_without_registry(reference, repository)), " ".join(lock.platforms))
        except (BadRequest, ValueError) as error:
            raise ValueError(f"line {number}: {error}") from None


def asked(text: str, repository: Repository, platforms: Sequence[str]) -> Wanted:
    """What is meant among `paths`: one of the API, with its v2/ or without, or an image by its name, which is all
    that a line of a list is. Raises BadRequest, ValueError."""
    if _PATH.fullmatch(text):
        return Wanted(f"v2/{text.removeprefix('v2/')}")
    if text.startswith("v2/"):
        raise ValueError("this is no path of the registry API: write <name>:<tag>, or v2/<name>/manifests/<tag>")
    return manifest(*_split(_without_registry(text, repository)), " ".join(platforms))


def check(platforms: Sequence[str]) -> None:
    """Raises ValueError for what is no platform."""
    wrong = [each for each in platforms if not _PLATFORM.fullmatch(each)]
    if wrong:
        raise ValueError(f"{wrong[0][:64]!r} is no platform such as linux/amd64 or linux/arm/v7")


def manifest(name: str, reference: str, platforms: str) -> Wanted:
    """An image's manifest and all that it names; raises BadRequest."""
    path = Target(Endpoint.MANIFESTS, name, reference).path
    parse(path)
    return Wanted(path, ACCEPT, then=STEP, about=platforms)


def _without_registry(reference: str, repository: Repository) -> str:
    host, slash, rest = reference.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        return reference
    if host not in _hosts(repository):
        raise ValueError(f"{host} is not the registry that {repository.name} is of: leave it out if it should be")
    return rest


def _hosts(repository: Repository) -> set[str]:
    """What the registry is called in images' names."""
    own = {urllib.parse.urlsplit(url).netloc for each in (repository, *repository.parts) for url in each.base_urls}
    known = {*own, *repository.serves, *(name for part in repository.parts for name in part.serves)}
    return known | set(_HUB) if known & set(_HUB) else known


def _split(reference: str) -> tuple[str, str]:
    """(name, what is asked of it): a digest before a tag, as clients have it."""
    name, _, digest = reference.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon:
        head, tag = name, "latest"
    return head, digest or tag


def named(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    """The manifests of an index, for the platforms that are asked for; config and layers of an image."""
    try:
        document = json.loads(body.read(LARGEST + 1))
    except (ValueError, RecursionError):
        raise ValueError("is no manifest") from None
    if not isinstance(document, dict):
        raise ValueError("is no manifest")
    name = parse(wanted.path).name
    platforms = set(wanted.about.split())
    for each in _descriptors(document, "manifests"):
        if not platforms or _platform(each) & platforms:
            yield manifest(name, str(each.get("digest", "")), "")
    config = document.get("config")
    for each in (*_descriptors(document, "layers"), *([config] if isinstance(config, dict) else ())):
        if not each.get("urls"):
            yield Wanted(Target(Endpoint.BLOBS, name, str(each.get("digest", ""))).path)


def _descriptors(document: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    found = document.get(key)
    yield from (each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()


def _platform(descriptor: dict[str, Any]) -> set[str]:
    """What it may be asked for as: with its variant, and without."""
    told = descriptor.get("platform")
    if not isinstance(told, dict):
        return set()
    plain = f"{told.get('os')}/{told.get('architecture')}"
    return {plain, f"{plain}/{told.get('variant')}"}
