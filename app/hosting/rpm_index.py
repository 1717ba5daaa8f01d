"""How repodata is written: the descriptions of all packages, three files named by their checksum, repomd.xml.

    repodata/<sha256>-primary.xml.zst     what dnf resolves with
    repodata/<sha256>-filelists.xml.zst   every file
    repodata/<sha256>-other.xml.zst       changelogs
    repodata/repomd.xml                   names the three
    repodata/repomd.xml.asc, .key         its signature and the public key, where there is a signing key

zstd is what createrepo_c itself writes since 1.0: dnf reads it since EL 8 and zypper since 15; gzip takes three times
as long, to write and to read. Two passes: the number of packages stands before the first of them, and the second
needs no Python for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import createrepo_c
import zstandard

from app.hosting import openpgp
from app.hosting.base import Build, Built
from app.hosting.dating import dated
from app.hosting.rpm_file import SEPARATOR

PIECE = 1 << 20
LEVEL = 2  # of zstd: publishing waits for it
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://linux.duke.edu/metadata"


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three files: its name, and its outermost element."""

    name: str
    element: str
    namespaces: str

    def head(self, packages: int) -> bytes:
        return f'{_XML}<{self.element} {self.namespaces} packages="{packages}">\n'.encode()

    def foot(self) -> bytes:
        return f"</{self.element}>\n".encode()


KINDS = (
    Kind("primary", "metadata", f'xmlns="{_NAMESPACE}/common" xmlns:rpm="{_NAMESPACE}/rpm"'),
    Kind("filelists", "filelists", f'xmlns="{_NAMESPACE}/filelists"'),
    Kind("other", "otherdata", f'xmlns="{_NAMESPACE}/other"'),
)


@dataclass(frozen=True, slots=True)
class Packed:
    """One of the three files; digests are sha256 in hex, `open` is before it was packed."""

    kind: Kind
    path: Path
    digest: str
    size: int
    open_digest: str
    open_size: int


def built(build: Build, directory: str) -> Iterator[Built]:
    """The index files of one directory ("" or with a slash at its end)."""
    where = f"{directory}repodata/"
    with ExitStack() as kept:
        packages, texts = _written(build, kept)
        if not packages and directory:  # the repository itself keeps an index: clients have it configured
            return
        with ThreadPoolExecutor(len(KINDS)) as pool:  # hashing and packing wait for no Python
            files = list(pool.map(_packed, KINDS, texts, [build.scratch() for _ in KINDS], [packages] * len(KINDS)))
    for each in files:
        yield Built(f"{where}{_file(each)}", each.path, "application/zstd", lasting=True)
    now, signing = dated(build, f"{where}repomd.xml", _revision), build.repository.signing
    repomd = _repomd(files, now)
    if signing.key:
        yield Built(f"{where}repomd.xml.key", openpgp.public_key(signing), "application/pgp-keys")
        signature = openpgp.sign_detached(signing, repomd, build.now)
        yield Built(f"{where}repomd.xml.asc", signature, "application/pgp-signature")
    yield Built(f"{where}repomd.xml", repomd, "application/xml")


def _written(build: Build, kept: ExitStack) -> tuple[int, Sequence[BinaryIO]]:
    """How many packages there are, and their descriptions in three files, at their beginnings."""
    files = [kept.enter_context(build.scratch().open("w+b", buffering=PIECE)) for _ in KINDS]
    packages = 0
    for item in build.items:
        packages += 1
        for file, text in zip(files, item.about.split(SEPARATOR), strict=True):
            file.write(text.encode())
    for file in files:
        file.seek(0)
    return packages, files


def _packed(kind: Kind, text: BinaryIO, path: Path, packages: int) -> Packed:
    open_sum, sum_, open_size = hashlib.sha256(), hashlib.sha256(), 0
    packer = zstandard.ZstdCompressor(LEVEL).compressobj()
    with path.open("wb") as file:
        for piece in _pieces(kind, text, packages):
            open_sum.update(piece)
            open_size += len(piece)
            sum_.update(packed := packer.compress(piece))
            file.write(packed)
        sum_.update(packed := packer.flush())
        file.write(packed)
        return Packed(kind, path, sum_.hexdigest(), file.tell(), open_sum.hexdigest(), open_size)


def _pieces(kind: Kind, text: BinaryIO, packages: int) -> Iterator[bytes]:
    yield kind.head(packages)
    while piece := text.read(PIECE):
        yield piece
    yield kind.foot()


def _file(packed: Packed) -> str:
    return f"{packed.digest}-{packed.kind.name}.xml.zst"


def _revision(repomd: str) -> float:
    return float(repomd.partition("<revision>")[2].partition("<")[0])


def _repomd(files: Sequence[Packed], now: float) -> bytes:
    repomd = createrepo_c.Repomd()
    repomd.set_revision(str(int(now)))
    for each in files:
        record = createrepo_c.RepomdRecord(each.kind.name, None)
        record.location_href = f"repodata/{_file(each)}"
        record.checksum_type = record.checksum_open_type = "sha256"
        record.checksum, record.checksum_open = each.digest, each.open_digest
        record.size, record.size_open, record.timestamp = each.size, each.open_size, int(now)
        repomd.set_record(record)
    text: str = repomd.xml_dump()
    return text.encode()
