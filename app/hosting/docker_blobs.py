"""How the bytes of an upload become an image's blob: joined where they came in pieces, verified, and recorded.

One piece that has the digest already is the blob: nothing is copied. Several are joined once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import BadRequest, StoreDown
from app.formats.oci_names import Endpoint, Target, parse
from app.hosting.base import BINARY
from app.hosting.change_turn import turn
from app.hosting.publish import entry_of, record
from app.hosting.upload import Upload
from app.maintenance import require_still_whole
from app.resource import Digest, Entry, Repository
from app.shelf import Shelf
from app.stores.publications import Publication
from app.stores.uploads import LIFE, Piece

CHUNK = 1 << 20  # bytes read at a time
PLACES = 100  # that are looked at for a blob to be mounted


def blob_path(name: str, digest: Digest) -> str:
    """Where an image has the blob."""
    return Target(Endpoint.BLOBS, name, f"{digest.algorithm}:{digest.value}").path


def joined(shelf: Shelf, spools: Path, repository: Repository, pieces: Sequence[Piece], expected: Digest) -> Piece:
    """The whole body as one stored blob; BadRequest "digest_invalid" where it is another than the expected."""
    if len(pieces) == 1:
        require_digest(shelf, pieces[0], expected)
        return pieces[0]
    with Upload(spools, repository.name) as upload:
        for chunk in _chunks(shelf, pieces):
            upload.write(chunk)
        return stored(shelf, upload, expected)


def stored(shelf: Shelf, upload: Upload, expected: Digest) -> Piece:
    """A body that came as a whole, as a blob; raises as joined() does."""
    whole = Piece(0, upload.size, upload.finish())
    if expected.algorithm == "sha256":
        require_digest(shelf, whole, expected)
    shelf.blobs.adopt(upload.path, whole.digest)
    require_digest(shelf, whole, expected)
    return whole


def require_digest(shelf: Shelf, whole: Piece, expected: Digest) -> None:
    """BadRequest "digest_invalid" unless the stored bytes have that digest."""
    found = whole.digest
    if expected.algorithm != "sha256":
        sums = hashlib.new(expected.algorithm)
        for chunk in _chunks(shelf, [whole]):
            sums.update(chunk)
        found = sums.hexdigest()
    if found != expected.value:
        raise BadRequest(f"the blob's digest is {expected.algorithm}:{found}", code="digest_invalid")


def publish(shelf: Shelf, repository: Repository, path: str, digest: str, size: int) -> None:
    """Record stored bytes as an image's blob; one that is there, whole and not old is left as it is. Raises
    StoreDown, Unavailable."""
    entry = shelf.catalog.find(repository.name, path).entry
    if entry is None or entry.digest != digest:
        _record(shelf, repository, path, digest, size)
    elif _is_old(shelf, entry) or not shelf.blobs.exists(digest):
        with turn(shelf.catalog.memory, repository, parse(path).name):
            _record(shelf, repository, path, digest, size)


def renew(shelf: Shelf, repository: Repository, path: str) -> None:
    """Note that somebody who may push was told of an image's blob, and relies on it, as if it came now: the
    manifest will follow. Raises StoreDown, Unavailable."""
    entry = shelf.catalog.find(repository.name, path).entry
    if entry is None or not _is_old(shelf, entry):
        return
    with turn(shelf.catalog.memory, repository, parse(path).name):
        entry = shelf.catalog.find(repository.name, path).entry
        if entry is not None:
            _record(shelf, repository, path, entry.digest, entry.size)


def _is_old(shelf: Shelf, entry: Entry) -> bool:
    """Whether garbage collection (docker_unused.py) may soon find it unused, if no manifest names it."""
    return entry.fetched < shelf.clock() - LIFE / 2


def _record(shelf: Shelf, repository: Repository, path: str, digest: str, size: int) -> None:
    require_still_whole(shelf.catalog.index, shelf.blobs)
    new = Publication(path, entry_of(shelf, digest, size, BINARY), overwrite=True)
    record(shelf, repository, [new], [])


def places(shelf: Shelf, digest: Digest, repositories: Sequence[str]) -> Sequence[tuple[str, str]]:
    """(repository, image) where that blob is, of these repositories; PLACES at the most, for a layer without any
    bytes is everywhere."""
    if digest.algorithm != "sha256":
        return []
    ending = f"/{Endpoint.BLOBS}/sha256:{digest.value}"
    known = shelf.catalog.index.named(digest.value, repositories, ending=ending, limit=PLACES)
    return [(each.repository, each.path.removeprefix("v2/").removesuffix(ending)) for each in known]


def _chunks(shelf: Shelf, pieces: Sequence[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        file = shelf.blobs.open(piece.digest)
        if file is None:
            raise StoreDown("a piece of the upload is lost; send the blob again")
        with file:
            while chunk := file.read(CHUNK):
                yield chunk
