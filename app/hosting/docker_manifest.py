"""What a manifest that is pushed has to be, what it needs to be there, and how a list of referrers tells of it; pure.

Source: OCI distribution-spec 1.1, Pushing Manifests, Listing Referrers; image-spec 1.1, manifest.md, image-index.md.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import BadRequest
from app.formats.oci_manifests import DOCKER_LIST, INDEX, MANIFEST, MANIFEST_TYPES, SCHEMA1, read_manifest
from app.formats.oci_names import Target, digest_of
from app.resource import Role


@dataclass(frozen=True, slots=True)
class Manifest:
    """One that can be recorded.

    `parts` are what it is made of, by digest: the paths of which one must be here. `subject` is the digest it refers
    to, "" without one; `about` is then its own descriptor, in JSON.
    """

    media_type: str
    digest: str
    parts: Mapping[str, Sequence[str]]
    subject: str = ""
    about: str = ""


def manifest(target: Target, body: bytes, said: str) -> Manifest:
    """Read a pushed body; `said` is the request's Content-Type, "" where nothing is said but by the body.

    Raises BadRequest "manifest_invalid", and "digest_invalid" where the body is not what `target` names.
    """
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    _require_named(target, body)
    try:
        document = json.loads(body.decode())
        if not isinstance(document, dict) or document.get("schemaVersion") != 2:
            raise ValueError("a manifest is a JSON object with schemaVersion 2")
        links = [link for link in read_manifest(target, io.BytesIO(body)).links if link.role is Role.LISTED]
        media_type = _media_type(document, said)
        _require_words(document.get("annotations"))
        subject = _subject(document)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequest(f"the manifest is invalid: {reason}", code="manifest_invalid") from None
    parts: dict[str, list[str]] = {}
    for link in links:
        parts.setdefault(link.path.rpartition("/")[2], []).append(link.path)
    about = json.dumps(_descriptor(document, media_type, digest, len(body))) if subject else ""
    return Manifest(media_type, digest, parts, subject, about)


def _require_named(target: Target, body: bytes) -> None:
    wanted = target.digest
    if wanted is not None and hashlib.new(wanted.algorithm, body).hexdigest() != wanted.value:
        raise BadRequest("the manifest's digest is another one", code="digest_invalid")


def _media_type(document: Mapping[str, Any], said: str) -> str:
    """The type that request and body agree on; an OCI manifest may leave it to the request."""
    own = document.get("mediaType") or ""
    shape = INDEX if "manifests" in document else MANIFEST
    told = said.partition(";")[0].strip().lower() or own or shape
    if told in SCHEMA1 or own in SCHEMA1:
        raise ValueError("Docker's schema 1 is not taken; push it with a client of this decade")
    if told not in MANIFEST_TYPES:
        raise ValueError(f"Content-Type is none of {', '.join(MANIFEST_TYPES)}")
    if own not in ("", told):
        raise ValueError(f"its mediaType is not {told}, as Content-Type says")
    if not _shaped(document, listing=told in (INDEX, DOCKER_LIST)):
        raise ValueError(f"its members are not those of {told}")
    return told


def _require_words(annotations: object) -> None:
    """Keys and values are strings (image-spec, annotations.md): a list that told on anything else could not be read
    by clients, and it is everybody's."""
    if annotations is None:
        return
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        raise ValueError("its annotations are no strings by name")


def _shaped(document: Mapping[str, Any], *, listing: bool) -> bool:
    """Whether it has what every index (`listing`) or every image has; an image's list of layers may be null."""
    if listing:
        return isinstance(document.get("manifests"), list)
    return isinstance(document.get("config"), dict) and "layers" in document


def _subject(document: Mapping[str, Any]) -> str:
    descriptor = document.get("subject")
    if descriptor is None:
        return ""
    text = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(text, str):
        raise ValueError("its subject is a descriptor with a digest")
    try:
        digest_of(text)
    except BadRequest as error:
        raise ValueError(error.message) from None
    return text


def _descriptor(document: Mapping[str, Any], media_type: str, digest: str, size: int) -> Mapping[str, object]:
    """As the list of referrers has it; the type of an image that says none is its config's (Listing Referrers)."""
    told: dict[str, object] = {"mediaType": media_type, "digest": digest, "size": size}
    kind = document.get("artifactType") or (media_type == MANIFEST and document["config"].get("mediaType"))
    if isinstance(kind, str) and kind:
        told["artifactType"] = kind
    annotations = document.get("annotations")
    if isinstance(annotations, dict) and annotations:
        told["annotations"] = annotations
    return told
