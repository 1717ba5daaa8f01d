"""The repodata of a local repository's directory (app/formats/repodata.py), and its signature.

repodata/repomd.xml.asc, .key         where there is a signing key
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from app.formats import openpgp
from app.formats.repodata import KINDS, PIECE, Kind, Packed, packed, repomd
from app.hosting.base import Build, Built
from app.hosting.dating import dated
from app.hosting.rpm_file import SEPARATOR


def built(build: Build, directory: str) -> Iterator[Built]:
    """The index files of one directory ("" or with a slash at its end)."""
    where = f"{directory}repodata/"
    with ExitStack() as kept:
        packages, texts = _written(build, kept)
        if not packages and directory:  # the repository itself keeps an index: clients have it configured
            return
        paths = [build.scratch() for _ in KINDS]
        with ThreadPoolExecutor(len(KINDS)) as pool:  # hashing and packing wait for no Python
            files = list(pool.map(_packed, KINDS, texts, paths, [packages] * len(KINDS)))
    for each, path in zip(files, paths, strict=True):
        yield Built(f"{directory}{each.href}", path, "application/zstd", lasting=True)
    now, signing = dated(build, f"{where}repomd.xml", _revision), build.repository.signing
    head = repomd(files, int(now))
    if signing.key:
        yield Built(f"{where}repomd.xml.key", openpgp.public_key(signing), "application/pgp-keys")
        signature = openpgp.sign_detached(signing, head, build.now)
        yield Built(f"{where}repomd.xml.asc", signature, "application/pgp-signature")
    yield Built(f"{where}repomd.xml", head, "application/xml")


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
    with path.open("wb") as file:
        return packed(kind, text, file, packages)


def _revision(head: str) -> float:
    return float(head.partition("<revision>")[2].partition("<")[0])
