"""How a change of a local repository is carried out: bytes stored, then recorded and journaled in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path

from app import journal
from app.errors import Conflict, NotFound, StoreDown
from app.formats import FORMATS
from app.freshness import dated_after
from app.hosting.base import Accepted, New
from app.hosting.names import require_name
from app.hosting.upload import Upload
from app.maintenance import require_still_whole
from app.resource import Entry, Repository
from app.shelf import Shelf
from app.stores.publications import Description, Publication


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was published, by path, and the counts up to which the scopes' indexes are to be built."""

    entries: Mapping[str, Entry]
    scopes: Mapping[str, int]


def carry_out(shelf: Shelf, spools: Path, repository: Repository, accepted: Accepted) -> Outcome:
    """Make the change: all of it, or nothing. Raises Conflict where a path is there that may not be replaced,
    NotFound where one is not there that is to go or the repository was removed meanwhile, StoreDown.

    What is there and has lost its bytes is repaired by an upload of the same.
    """
    for each in accepted.new:
        require_name(each.path)
    require_still_whole(shelf.catalog.index, shelf.blobs)
    with ExitStack() as kept:
        uploads = [_upload(each, spools, repository, kept) for each in accepted.new]
        new = [_publication(shelf, repository, *pair) for pair in zip(accepted.new, uploads, strict=True)]
        lost = {each.path for each in new if _lost(shelf, repository, each)}
        whole = {each.path: each.finish() for each in uploads}  # one upload may have several names
        for path, digest in whole.items():
            shelf.blobs.adopt(path, digest)
        scopes = record(shelf, repository, [each for each in new if each.path not in lost], accepted.gone)
    return Outcome({each.path: each.entry for each in new}, scopes)


def refuse_published(shelf: Shelf, repository: Repository, path: str) -> None:
    """Conflict before a body is read in vain; carry_out() decides again when it records."""
    if not repository.overwrite:
        entry = shelf.catalog.find(repository.name, path).entry
        if entry is not None and shelf.catalog.index.hosted.generated(repository.name, path):
            raise _index_file(path)
        if entry is not None and shelf.blobs.exists(entry.digest):
            raise _conflict(path)


def _upload(new: New, spools: Path, repository: Repository, kept: ExitStack) -> Upload:
    if isinstance(new.body, Upload):
        return new.body
    upload = kept.enter_context(Upload(spools, repository.name))
    upload.write(new.body)
    return upload


def entry_of(shelf: Shelf, digest: str, size: int, content_type: str) -> Entry:
    """What is remembered of a file that is published now."""
    now = shelf.clock()
    dated = formatdate(now, usegmt=True)
    return Entry(digest, size, content_type, f'"{digest}"', dated, fetched=now, checked=now)


def _publication(shelf: Shelf, repository: Repository, new: New, upload: Upload) -> Publication:
    entry = replace(entry_of(shelf, upload.finish(), upload.size, new.content_type), kept=new.kept)
    replaces = new.replace or repository.overwrite
    if replaces:
        dated = modified(shelf, repository, new.path, entry.digest, entry.fetched)
        entry = replace(entry, last_modified=formatdate(dated, usegmt=True))
    described = None if new.scope is None else Description(new.scope, new.about, new.also, new.when_gone)
    return Publication(new.path, entry, replaces, described)


def modified(shelf: Shelf, repository: Repository, path: str, digest: str, now: float) -> float:
    """dated_after() what is published there."""
    return dated_after(shelf.catalog.find(repository.name, path).entry, digest, now)


def _lost(shelf: Shelf, repository: Repository, new: Publication) -> bool:
    """Whether that is published already, these are its bytes, and they were damaged or lost."""
    if new.overwrite:
        return False
    entry = shelf.catalog.find(repository.name, new.path).entry
    return entry is not None and entry.digest == new.entry.digest and not shelf.blobs.exists(entry.digest)


def record(
    shelf: Shelf, repository: Repository, new: Sequence[Publication], gone: Sequence[str]
) -> Mapping[str, int]:
    """The change, where the bytes are stored already: all of it or nothing, as carry_out(); its scopes' counts."""
    if not new and not gone:
        return {}
    named = FORMATS[repository.package].named
    new = [replace(each, package=named(each.path)) for each in new]
    packages = {*(each.package for each in new), *map(named, gone)}
    numbers = {path: shelf.catalog.index.next_note() for path in (*(each.path for each in new), *gone)}

    def note(fences: Mapping[str, int]) -> None:
        for path in gone:
            journal.withdrawn(shelf.blobs, numbers[path], repository.name, path, fences[path])
        for each in new:
            entry = replace(each.entry, fence=fences[each.path])
            journal.published(shelf.blobs, numbers[each.path], repository.name, each.path, entry)

    created, present = repository.created, shelf.blobs.exists
    changed = shelf.catalog.change(repository.name, new, gone, present, note, created, packages)
    if changed.removed:
        raise NotFound("no such repository", code="unknown_repository")
    if changed.standing is not None and changed.generated:
        raise _index_file(changed.standing)
    if changed.standing is not None:
        raise _standing(shelf, changed.standing, new)
    return changed.scopes


def _standing(shelf: Shelf, path: str, new: Sequence[Publication]) -> Conflict | NotFound | StoreDown:
    for each in new:
        if each.path == path and not shelf.blobs.exists(each.entry.digest):
            return StoreDown("the upload was collected before it was recorded; send it again", retry_after=1)
        if each.path == path:
            return _conflict(path)
    return NotFound("no such file", code="file_not_found")


def _index_file(path: str) -> Conflict:
    return Conflict(f"{path} is an index: this server writes and removes it", code="index_file")


def _conflict(path: str) -> Conflict:
    return Conflict(f"{path} is published already", code="already_published")
