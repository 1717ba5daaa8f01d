"""What a manifest says: its media type, and by digest everything that belongs to it.

Source: OCI image-spec 1.1 (manifest.md, image-index.md, descriptor.md); Docker image manifest version 2, schema 2.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from app.errors import BadRequest
from app.formats.oci_names import Endpoint, Target, digest_of, foreign
from app.resource import Digest, Link, Reading, Role

LARGEST = 4 << 20  # bytes of a manifest that every registry takes (distribution-spec, Pushing Manifests)
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = (INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
SCHEMA1 = (
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
)

# What is answered under a body's own word for itself: never a type that a browser would run (RFC 6838, 4.2).
_SANE_TYPE = re.compile(r"application/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}json")

# Layers that a manifest may name without its registry having them (image-spec, layer.md, Non-Distributable Layers).
_ELSEWHERE = re.compile(r"\.(?:foreign|nondistributable)\.")

Document = Mapping[str, Any]


def read_manifest(target: Target, body: BinaryIO) -> Reading:
    """A manifest's links and type; ValueError where the body is no manifest, or could be read as two kinds of it."""
    data = body.read(LARGEST + 1)
    document = _document(data)
    if _version(document) == 1:  # of Docker before 1.10; it names its layers, but its digest is of a part of it
        return Reading()
    links = dict.fromkeys((*_same(target, data), *_named(target, document)))
    return Reading(tuple(links), _content_type(document))


def read_referrers(body: BinaryIO) -> Reading:
    """A list of referrers: its type is the index's whatever upstream calls it; what it lists is nobody's member."""
    document = _document(body.read(LARGEST + 1))
    if not isinstance(document.get("manifests"), list):
        raise ValueError("this is no list of referrers")
    return Reading((), INDEX)


def _document(data: bytes) -> Document:
    if len(data) > LARGEST:
        raise ValueError(f"a manifest is no larger than {LARGEST} bytes")
    try:
        document = json.loads(data.decode())
    except RecursionError:
        raise ValueError("the manifest is nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("a manifest is a JSON object")
    return document


def _version(document: Document) -> int:
    version = document.get("schemaVersion")
    if type(version) is not int or version not in (1, 2):
        raise ValueError("a manifest has schemaVersion 2")
    return version


def _content_type(document: Document) -> str | None:
    """What it says of itself, else what it looks like; None where only upstream's header can tell.

    A document with the parts of both kinds is refused: clients would disagree on what they verified (CVE-2021-41190).
    """
    is_list, is_image = "manifests" in document, "config" in document or "layers" in document
    if is_list and is_image:
        raise ValueError("this is both an index and an image")
    kind = document.get("mediaType")
    if isinstance(kind, str) and _SANE_TYPE.fullmatch(kind):
        return kind
    if is_list:
        return INDEX
    if "config" in document and "layers" in document:
        return MANIFEST
    raise ValueError("this is neither an index nor an image")


def _same(target: Target, data: bytes) -> Iterator[Link]:
    """The manifest under the digest that everybody uses, and under the one it was asked by if that is its own.

    It need not be: an index may be read on behalf of a blob, to see whether it vouches for it.
    """
    for algorithm in ("sha256", target.digest.algorithm if target.digest else "sha256"):
        own = Digest(algorithm, hashlib.new(algorithm, data).hexdigest())
        if algorithm == "sha256" or own == target.digest:
            yield _link(target, Endpoint.MANIFESTS, own, Role.SAME)


def _named(target: Target, document: Document) -> Iterator[Link]:
    """Config, layers and an index's children; the subject is no part.

    Build caches list layers in an index, so a child that does not say that it is a manifest may be either.
    """
    config = document.get("config")
    for part in (*([config] if config is not None else []), *_list(document, "layers")):
        yield from _listed(target, part, (Endpoint.BLOBS,))
    for child in _list(document, "manifests"):
        certain = isinstance(child, dict) and child.get("mediaType") in MANIFEST_TYPES
        yield from _listed(target, child, (Endpoint.MANIFESTS,) if certain else (Endpoint.MANIFESTS, Endpoint.BLOBS))


def _listed(target: Target, descriptor: object, kinds: tuple[Endpoint, ...]) -> Iterator[Link]:
    text = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(descriptor, dict) or not isinstance(text, str):
        raise ValueError("a descriptor has a digest")
    if foreign(text):  # valid, but nothing of it can be asked for here
        return
    try:
        found = digest_of(text)
    except BadRequest as error:
        raise ValueError(error.message) from None
    for kind in kinds if _held(descriptor) else ():
        yield _link(target, kind, found, Role.LISTED)


def _held(descriptor: Document) -> bool:
    """Whether who has the manifest must have had this too. What may be had elsewhere is nothing that naming it in a
    manifest of one's own would prove; a registry that holds it nevertheless is asked."""
    kind = descriptor.get("mediaType")
    return not descriptor.get("urls") and not (isinstance(kind, str) and _ELSEWHERE.search(kind.lower()))


def _list(document: Document, name: str) -> list[object]:
    found = document.get(name)
    if found is None:  # Go writes an empty list as null
        return []
    if not isinstance(found, list):
        raise ValueError(f"{name} is a list")
    return found


def _link(target: Target, kind: Endpoint, own: Digest, role: Role) -> Link:
    return Link(Target(kind, target.name, f"{own.algorithm}:{own.value}").path, own, role)
