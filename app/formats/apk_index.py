"""How an index of Alpine packages is read and written: a tar of DESCRIPTION and APKINDEX, its signature before it.

    [.SIGN.<algorithm>.<key> ]   gzip, a tar without end mark; not where there is no key
    [DESCRIPTION, APKINDEX   ]   gzip; APKINDEX has a paragraph a package: P:<name>, V:<version>, ...

Source: apk-tools, src/app_index.c, src/extract_v2.c; abuild, abuild-sign.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.formats.deb822 import stanzas
from app.formats.limits import Limits
from app.formats.merging import MOST_PACKAGES
from app.formats.packed import PIECE, Poured, unpacked
from app.formats.tar import files
from app.resource import Repository

INDEX = "APKINDEX.tar.gz"
LONGEST_DESCRIPTION = 160  # bytes that apk shows
_BLOCK = 512
_LIMITS = Limits(members=100)
_FIELD = re.compile(rb"^(?:([PV]):([^\n]*)|[^\n]$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One package of an index, in its own bytes."""

    name: str
    version: bytes
    text: bytes


def paragraphs(body: BinaryIO) -> Iterator[Paragraph]:
    """Every package; raises ValueError where the body is no index."""
    tar = io.BufferedReader(Poured(unpacked(body)), PIECE)
    for name, member in files(tar, _LIMITS):
        if name == "APKINDEX":
            yield from _packages(member)
            return
    raise ValueError("has no APKINDEX in it")


def _packages(member: BinaryIO) -> Iterator[Paragraph]:
    for number, each in enumerate(stanzas(iter(lambda: member.read(PIECE), b""))):
        text = each.strip(b"\n")
        if not text:
            continue
        name, version = _fields(text)
        if number > MOST_PACKAGES:
            raise ValueError(f"lists more than {MOST_PACKAGES} packages")
        yield Paragraph(name.decode(errors="surrogateescape"), version, text)


def _fields(text: bytes) -> tuple[bytes, bytes]:
    """A package's name and version. apk takes the last of each, and any line of less than two characters for the end
    of a package: what is listed has to be the one package whose name was looked at."""
    found: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(text):
        if match[1] is None or match[1] in found:
            raise ValueError("lists a package that is two")
        found[match[1]] = match[2]
    if not found.get(b"P") or not found.get(b"V") or b"\0" in found[b"P"]:
        raise ValueError("lists a package without a name or a version")
    return found[b"P"], found[b"V"]


def pack(repository: Repository, text: BinaryIO, into: BinaryIO) -> bytes:
    """Write the index whose paragraphs `text` holds, without a signature; its SHA-256."""
    size = text.seek(0, io.SEEK_END)
    text.seek(0)
    words = (repository.description or repository.name).replace("\n", " ").encode()
    summing = _Summing(into)
    with gzip.GzipFile("", "wb", 6, summing, mtime=0) as tar:
        tar.write(_member("DESCRIPTION", words[:LONGEST_DESCRIPTION]) + _header("APKINDEX", size))
        while piece := text.read(PIECE):
            tar.write(piece)
        tar.write(b"\0" * (-size % _BLOCK + 2 * _BLOCK))
    return summing.sum.digest()


def signature(repository: Repository, digest: bytes) -> bytes:
    """What stands before an index of that SHA-256. Raises ValueError."""
    from app.formats import apk_signature  # which loads a library of cryptography

    member = f".SIGN.{apk_signature.ALGORITHM}.{key_name(repository)}"
    return gzip.compress(_member(member, apk_signature.signature(repository.signing, digest)), mtime=0)


def key_name(repository: Repository) -> str:
    """The file in /etc/apk/keys by which clients verify."""
    return repository.signing.name or f"{repository.name}.rsa.pub"


class _Summing(io.RawIOBase):
    """Hands on what is written, and sums it."""

    def __init__(self, into: BinaryIO) -> None:
        self._into, self.sum = into, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self.sum.update(data)
        return self._into.write(data)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.uname, member.gname = size, "root", "root"
    return member.tobuf(tarfile.USTAR_FORMAT)


def _member(name: str, body: bytes) -> bytes:
    return _header(name, len(body)) + body + b"\0" * (-len(body) % _BLOCK)
