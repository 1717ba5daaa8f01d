"""What `npm publish` sends: one version of a package and its tarball, which must say the same.

Source: github.com/npm/libnpmpublish; npm documentation, dist-tags; RFC 6920's kin, "Subresource Integrity" (W3C).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import BadRequest
from app.hosting.archives import judged
from app.hosting.base import Post
from app.hosting.npm_document import Far, decoded
from app.hosting.npm_package import tarball_path
from app.hosting.npm_tarball import Tarball, tarball
from app.hosting.npm_version import VERSION
from app.hosting.upload import Upload

_ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
_TAG = 128  # characters


@dataclass(frozen=True, slots=True)
class Publish:
    """One version, its tarball, and the tags that it gets."""

    told: Tarball
    upload: Upload
    tags: tuple[str, ...]

    @property
    def path(self) -> str:
        return tarball_path(self.told.name, self.told.version)


def published(post: Post, package: str, document: Mapping[str, Any]) -> Publish:
    """What a document with an attachment publishes; raises BadRequest, and Unprocessable "not_a_package"."""
    version, manifest = _only(document.get("versions"), "versions")
    name, attachment = _only(document.get("_attachments"), "_attachments")
    if not name.endswith(".tgz") or document.get("name") != package:
        raise bad("the document is not named like the package, or has no tarball")
    upload = _received(post, attachment)
    with judged():
        told = tarball(upload.path)
    if (told.name, told.version) != (package, version):
        raise bad(f"the tarball is of {told.name}@{told.version}, and the document of another package or version")
    _judge_digests(manifest, upload, told)
    return Publish(told, upload, _tags(document.get("dist-tags"), version))


def bad(reason: str) -> BadRequest:
    return BadRequest(reason, code="bad_document")


def judged_tag(tag: str) -> str:
    """A tag that is no version and no range of versions."""
    plain = tag.isascii() and tag.isprintable() and "/" not in tag and " " not in tag
    if not 0 < len(tag) <= _TAG or not plain or VERSION.fullmatch(tag) or tag[0] in "0123456789<>=^~*":
        raise BadRequest("that is no name of a tag", code="bad_tag")
    return tag


def _only(found: Any, what: str) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(found, Mapping) or len(found) != 1:
        raise bad(f"the document has not exactly one entry in {what}; attestations are not kept here")
    ((name, value),) = found.items()
    if not isinstance(value, Mapping):
        raise bad(f"the entry in {what} is no object")
    return name, value


def _received(post: Post, attachment: Mapping[str, Any]) -> Upload:
    data, length = attachment.get("data"), attachment.get("length")
    if not isinstance(data, str | Far):
        raise bad("the attachment has no data")
    upload = post.scratch()
    for piece in decoded(data):
        upload.write(piece)
    upload.finish()
    if isinstance(length, int) and length != upload.size:
        raise bad(f"the tarball has {upload.size} bytes, and the document says {length}")
    return upload


def _judge_digests(manifest: Mapping[str, Any], upload: Upload, told: Tarball) -> None:
    dist = manifest.get("dist")
    dist = dist if isinstance(dist, Mapping) else {}
    if dist.get("shasum", told.shasum) != told.shasum:
        raise _mismatch("shasum")
    integrity = dist.get("integrity", told.integrity)
    if not isinstance(integrity, str):
        raise _mismatch("integrity")
    for each in integrity.split():
        algorithm, _, value = each.partition("?")[0].partition("-")
        known = each == told.integrity or (algorithm in _ALGORITHMS and value == _digest(upload, algorithm))
        if not known:
            raise _mismatch("integrity")


def _digest(upload: Upload, algorithm: str) -> str:
    with upload.path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, algorithm).digest()).decode("ascii")


def _mismatch(what: str) -> BadRequest:
    return BadRequest(f"the tarball has not the {what} that the document says", code="digest_mismatch")


def _tags(found: Any, version: str) -> tuple[str, ...]:
    if found is None:
        return ("latest",)
    if not isinstance(found, Mapping) or any(each != version for each in found.values()):
        raise bad("the dist-tags name other versions than the one that is published")
    return tuple(judged_tag(tag) for tag in found)
