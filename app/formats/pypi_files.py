"""What a project's page says of one of its files: where upstream has it, and what is beside it; and its digests.

Source: PEP 503 (.asc), 658 and 714 (.metadata), 740 (provenance).
"""

from __future__ import annotations

import hashlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from app.errors import NotFound
from app.formats.base import checksum
from app.formats.pypi_made import metadata
from app.formats.pypi_pages import File
from app.formats.pypi_read import BESIDE, files
from app.resource import Digest, Found, Link, Located, Resource

METADATA = ".metadata"
_ALGORITHMS = ("sha256", "sha512", "sha384", "sha224", "sha1")


def split(path: str) -> tuple[str, str]:
    """A path without the ending of what is beside a file, and that ending."""
    beside = next((each for each in BESIDE if path.endswith(each)), "")
    return path.removesuffix(beside), beside


def located(file: File, beside: str) -> Located | None:
    """The file (`beside` is ""), or what has that ending; None where the page says that there is none."""
    if not beside:
        return Located(file.url, _best(file.digests))
    if beside == ".provenance":
        return Located(file.provenance) if file.provenance else None
    if beside == METADATA and file.metadata is None:
        return None
    if beside == ".asc" and file.signed is False:
        return None
    url = urllib.parse.urlsplit(file.url)
    there = urllib.parse.urlunsplit(url._replace(path=url.path + beside, fragment=""))
    return Located(there, _best(file.metadata or {}) if beside == METADATA else None)


def links(project: str, body: BinaryIO) -> Iterator[Link]:
    """Each file, and each wheel's metadata, whose digest the page says."""
    body.seek(0)
    for file in files(body):
        path = f"packages/{project}/{file.name}"
        for name, digest in ((path, _best(file.digests)), (f"{path}{METADATA}", _best(file.metadata or {}))):
            if digest is not None:
                yield Link(name, digest)


def promised(body: BinaryIO, name: str) -> File | None:
    """The file of that name, if the page promises its metadata."""
    body.seek(0)
    return next((each for each in files(body) if each.name == name and each.metadata is not None), None)


def of_wheel(resource: Resource, found: Sequence[Found]) -> bytes:
    """The metadata that the page, the first found, promised: of the wheel, the second. ValueError where that has
    another."""
    wheel, index = found[-1], found[0].file
    if wheel.file is None or index is None or len(found) < 2:
        raise wheel.error or NotFound("upstream has no such file", upstream_status=404)
    said = metadata(wheel.file)
    file = promised(index, resource.path.removesuffix(METADATA).rpartition("/")[2])
    digest = _best(file.metadata or {}) if file is not None else None
    if digest is not None and hashlib.new(digest.algorithm, said).hexdigest() != digest.value:
        raise ValueError(f"{resource.repository.name}'s page promises other metadata than the wheel has")
    return said


def _best(digests: Mapping[str, str]) -> Digest | None:
    """The best of the digests that proves something."""
    found = (checksum(name, digests[name]) for name in _ALGORITHMS if name in digests)
    return next((each for each in found if each is not None), None)
