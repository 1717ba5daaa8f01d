"""What is odd about RubyGems: lists of text that only grow, of which clients ask for the end; gems by full name.

    versions                         every gem's versions, appended to; clients have a part and ask for the rest
    names                            every gem's name
    info/<gem>                       a gem's versions: dependencies, and the sha256 of each file
    gems/<full name>.gem             <name>-<version>, and -<platform> where it is not plain Ruby
    quick/Marshal.4.8/<full name>.gemspec.rz
    specs.4.8.gz, latest_specs.4.8.gz, prerelease_specs.4.8.gz
    (the root)                       asked for by HEAD: without it, gem goes by specs.4.8.gz instead of info/

Validators and bodies come from one answer of upstream's, so a client's part fits the rest that it is given; a client
finds that out by the body's digest (Repr-Digest, or an ETag that is its md5).

Source: guides.rubygems.org, "Compact Index API" (rubygems-org-compact-index-api); RFC 9530 (Repr-Digest).
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO

from app.errors import NotFound
from app.formats.base import MOST_LISTED, PathRules, at_most, checksum, rule
from app.resource import Ask, Digest, Headers, Kind, Link, Reading, Repository, Resource

_LINE = 1 << 20  # bytes of one line: a version with its dependencies, or every version of one gem
_HEAD = 1 << 16  # bytes within which a list of versions says where it begins
_PART = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*")  # of a file's name
_SPECS = re.compile(r"(?:latest_|prerelease_)?specs\.4\.8(?P<packed>\.gz)?")
_ARRAY, _GZIP = b"\x04\x08[", 31  # how Marshal 4.8 begins an array; zlib's name for gzip
_INFO = re.compile(rb"(?:\A|\n)---(?:\r?\n|\Z)|\A[0-9]+(?:\.[0-9A-Za-z]+)+\S*(?:\s|\Z)|\A[0-9]\S* [^\n]*\||\A\s*\Z")
_CHECKSUM = re.compile(r"(?:\A|,)checksum:([0-9A-Fa-f]{64})(?:,|\Z)")
_SHA256 = re.compile(r"(?:\A|,)\s*sha-256=:?([0-9A-Za-z+/]{43}=)", re.IGNORECASE)


class _RubyGems(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format. Raises NotFound for the older API of dependencies, which says everything in a query: clients
        go by the lists then. The root is stored though it is only asked for by HEAD; a gem's list is read before it
        is sent, the long ones are sent as they arrive."""
        if repository.kind is Kind.REMOTE and ask.path == "api/v1/dependencies":
            raise NotFound("dependencies are in info/", code="file_not_found")
        found = super().resolve(repository, ask)
        return replace(found, whole=True) if ask.path == "" or ask.path.startswith("info/") else found

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: the files of one gem with their checksums; of the others only whether they are lists."""
        _listed(resource.path, body)
        if resource.path.startswith("info/"):
            return Reading(at_most(MOST_LISTED, _files(resource.path.removeprefix("info/"), body)))
        return Reading()

    def promised(self, resource: Resource, headers: Mapping[str, str]) -> Digest | None:
        """See Format; of a body that was coded on the way they may mean either form."""
        given = {name.lower(): value for name, value in headers.items()}
        if given.get("content-encoding", "identity").lower() != "identity":
            return None
        found = _SHA256.search(given.get("repr-digest") or given.get("digest") or "")
        return checksum("sha256", base64.b64decode(found[1]).hex()) if found else None

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """See Format: what bundler checks the joined parts of a list by."""
        if not digest or not resource.index:
            return ()
        return (("Repr-Digest", f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"),)


def _listed(path: str, body: BinaryIO) -> None:
    """Whether it is a list: text, and no other document; or Ruby's form of one. Raises ValueError."""
    head = body.read(_HEAD)
    body.seek(0)
    if found := _SPECS.fullmatch(path):
        _marshalled(path, head, packed=bool(found["packed"]))
        return
    if b"\0" in head or head.lstrip()[:1] in (b"<", b"{", b"["):
        raise ValueError(f"{path} is no list of the compact index")
    if path == "versions" and b"---\n" not in head:
        raise ValueError("versions has no line of ---, behind which the gems begin")
    if path.startswith("info/") and not _INFO.search(head):
        raise ValueError(f"{path} has no line of ---, and no version")


def _marshalled(path: str, head: bytes, *, packed: bool) -> None:
    """Raises ValueError where that is not how an array of Ruby's Marshal 4.8 begins."""
    try:
        start = zlib.decompressobj(_GZIP).decompress(head, len(_ARRAY)) if packed else head
    except zlib.error as error:
        raise ValueError(f"{path} is not gzip") from error
    if not start.startswith(_ARRAY):
        raise ValueError(f"{path} is no index of gems")


def _files(gem: str, body: BinaryIO) -> Iterator[Link]:
    """One line a version: `1.2.0-java rack:>= 2|checksum:<hex>,ruby:>= 3.0`."""
    while line := body.readline(_LINE):
        if len(line) == _LINE:
            raise ValueError(f"info/{gem} has a line of more than {_LINE} bytes")
        version, _, rest = line.decode("utf-8").rstrip("\r\n").partition(" ")
        found = _CHECKSUM.search(rest.rpartition("|")[2])
        if found is not None and _PART.fullmatch(version):
            yield Link(f"gems/{gem}-{version}.gem", checksum("sha256", found[1]))


RUBYGEMS = _RubyGems(
    "rubygems",
    (
        rule(r"", "the root", own=True, html=True),
        rule(r"versions", "every gem's versions", own=True, remember_missing=False, index=True),
        rule(r"names", "every gem's name", own=True, remember_missing=False, index=True),
        rule(r"info/[^/]+", "a gem's versions", own=True, index=True, listing=r"\g<0>", root=r"\g<0>"),
        rule(r"(?:latest_|prerelease_)?specs\.4\.8(?:\.gz)?", "an index of all gems", own=True, index=True),
        rule(r"quick/Marshal\.4\.8/[^/]+\.gemspec\.rz", "a gem's specification", immutable=True),
        rule(r"gems/[^/]+\.gem", "a gem", immutable=True, listed=True),
    ),
)
