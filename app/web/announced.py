"""Checksums that a client announces in the headers of an upload.

    X-Checksum-Sha256, -Sha512, -Sha1, -Md5    hex, of the file: in a multipart body of its one file
    Content-Digest, Repr-Digest                sha-256=:<base64>:, ...    RFC 9530, of the body as it is sent
    Digest                                     sha-256=<base64>, ...      RFC 3230, the same
    Content-MD5                                <base64>                   RFC 1864, the same

Algorithms that are not known here are passed over (RFC 9530, 2); what is malformed is refused.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping

from app.errors import BadRequest
from app.resource import Digest

LENGTHS = {"sha256": 64, "sha512": 128, "sha1": 40, "md5": 32}  # hex digits
NAMES = {"sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "md5": "md5"}  # IANA, Hash Algorithms for HTTP
MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):(?:;[^,]*)?")  # RFC 9651, 3.2: a byte sequence
OLDER = re.compile(r"([A-Za-z0-9_-]+)=(\S+)")


def of_file(headers: Mapping[str, str]) -> tuple[Digest, ...]:
    """What is announced of the file; `headers` by their names in lower case. BadRequest "bad_checksum"."""
    return tuple(dict.fromkeys(_files(headers)))


def of_body(headers: Mapping[str, str]) -> tuple[Digest, ...]:
    """What is announced of the body. BadRequest "bad_checksum"."""
    return tuple(dict.fromkeys(_bodies(headers)))


def _files(headers: Mapping[str, str]) -> Iterator[Digest]:
    for algorithm, length in LENGTHS.items():
        name = f"x-checksum-{algorithm}"
        if name in headers:
            value = headers[name].strip().lower()
            if not re.fullmatch(rf"[0-9a-f]{{{length}}}", value):
                raise _malformed(name)
            yield Digest(algorithm, value)


def _bodies(headers: Mapping[str, str]) -> Iterator[Digest]:
    for name, form in (("content-digest", MEMBER), ("repr-digest", MEMBER), ("digest", OLDER)):
        for member in headers[name].split(",") if name in headers else ():
            match = form.fullmatch(member.strip())
            if match is None:
                raise _malformed(name)
            if (algorithm := NAMES.get(match[1].lower())) is not None:
                yield _decoded(name, algorithm, match[2])
    if "content-md5" in headers:
        yield _decoded("content-md5", "md5", headers["content-md5"].strip())


def _decoded(name: str, algorithm: str, value: str) -> Digest:
    try:
        found = base64.b64decode(value, validate=True).hex()
    except ValueError:
        raise _malformed(name) from None
    if len(found) != LENGTHS[algorithm]:
        raise _malformed(name)
    return Digest(algorithm, found)


def _malformed(name: str) -> BadRequest:
    return BadRequest(f"the header {name} is no checksum of its form", code="bad_checksum")
