"""How things are named in an OCI registry: images, tags, digests, and the paths made of them.

    v2/<name>/manifests/<tag>  v2/<name>/manifests/<digest>  v2/<name>/blobs/<digest>
    v2/<name>/tags/list        v2/<name>/referrers/<digest>

A name may have segments that read like an endpoint ("a/manifests/b"), so a path is read from its end.
Source: OCI distribution-spec 1.1, Pulling manifests; image-spec 1.1, descriptor.md, Digests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from app.errors import BadRequest, NotFound
from app.resource import Digest

# POSIX: the first group is the image's name in the path of a stored manifest.
CATALOG = r"^v2/(.+)/manifests/[^/]+$"

LONGEST_NAME = 255  # characters; clients stop there (distribution-spec, Implementers note on <name>)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([A-Za-z0-9=_-]+)")
_ENCODED = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}


class Endpoint(StrEnum):
    """What is asked of an image, as its path says it."""

    MANIFESTS = "manifests"
    BLOBS = "blobs"
    TAGS = "tags"
    REFERRERS = "referrers"


@dataclass(frozen=True, slots=True)
class Target:
    """One path of the API; `reference` is a tag, a digest, or "list" behind tags/."""

    kind: Endpoint
    name: str
    reference: str

    @property
    def path(self) -> str:
        return f"v2/{self.name}/{self.kind}/{self.reference}"

    @property
    def digest(self) -> Digest | None:
        """The reference where it is a digest, not a tag."""
        return digest_of(self.reference) if ":" in self.reference else None

    @property
    def tag(self) -> str:
        """The reference where it is a tag, else ""."""
        return self.reference if self.kind is Endpoint.MANIFESTS and ":" not in self.reference else ""


def parse(path: str) -> Target:
    """What a path (decoded, no leading slash) names.

    Raises NotFound "unsupported" where it is no path of the pull API, BadRequest "name_invalid", "tag_invalid" or
    "digest_invalid" where a part of it breaks its grammar.
    """
    version, *name, kind, reference = path.split("/") if path.count("/") > 2 else ("", "", "")
    listing = kind == Endpoint.TAGS
    if version != "v2" or kind not in set(Endpoint) or not reference or (listing and reference != "list"):
        raise NotFound("this is no path of the registry API: an image is <repository>/<name>", code="unsupported")
    target = Target(Endpoint(kind), "/".join(name), reference)
    if not valid_name(target.name):
        raise BadRequest("this is no name that an image can have", code="name_invalid")
    _check(target)
    return target


def _check(target: Target) -> None:
    if target.tag and not valid_tag(target.tag):
        raise BadRequest("this is no tag that a manifest can have", code="tag_invalid")
    if not target.tag and target.kind is not Endpoint.TAGS:
        digest_of(target.reference)


def valid_name(name: str) -> bool:
    """Whether an image can be called so, without the registry in front."""
    return len(name) <= LONGEST_NAME and _NAME.fullmatch(name) is not None


def valid_tag(tag: str) -> bool:
    """Whether a manifest can be tagged so."""
    return _TAG.fullmatch(tag) is not None


def digest_of(text: str) -> Digest:
    """`<algorithm>:<hex>`; BadRequest "digest_invalid" where it is none, or of another than sha256 and sha512."""
    if not (match := _DIGEST.fullmatch(text)):
        raise BadRequest("this is no digest", code="digest_invalid")
    algorithm, value = match.groups()
    if not (encoded := _ENCODED.get(algorithm)):
        raise BadRequest("only digests of sha256 and sha512 are supported", code="digest_invalid")
    if not encoded.fullmatch(value):
        raise BadRequest(f"this is no digest of {algorithm}", code="digest_invalid")
    return Digest(algorithm, value)


def foreign(text: str) -> bool:
    """Whether it is a digest, well formed, of an algorithm that this server does not verify."""
    match = _DIGEST.fullmatch(text)
    return match is not None and match[1] not in _ENCODED


def referrers_tag(subject: Digest) -> str:
    """Where clients list what refers to a manifest if the registry does not (Referrers Tag Schema)."""
    return f"{subject.algorithm}-{subject.value[:64]}"
