"""The journal of hosted files, beside their bytes: what it takes to rebuild the index without any back-up of it.

<number as 20 digits>-<random hex>   one record a commit, in JSON; the number is Index.next_note()'s:
    {"version": 1, "op": "publish", "time": unix seconds, "fence": ..., "repository": ..., "key": ..., "path": ...,
     "entry": the fields of Entry}
    {"version": 1, "op": "withdraw", "time": ..., "fence": ..., "repository": ..., "key": ..., "path": ...}
    {"version": 1, "op": "remove", ...}     the same with no path: every file of that repository up to that fence

A hosted file's key is its path; both are there for a version that has other keys.
A record is written before its commit: it never lacks what a client was told is done, and what failed at the very end
is after a restore as that client wanted it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from types import UnionType
from typing import Any

from app.resource import Entry
from app.stores.base import Stored
from app.stores.blobs import HEX, Blobs

VERSION = 1
OPERATIONS = ("publish", "withdraw", "remove")
SHOWN = 80  # bytes of a record that cannot be read, in the report about it

_KINDS: dict[str, type | UnionType] = {"str": str, "int": int, "float": float | int, "str | None": str | None}
_FIELDS = {field.name: _KINDS[str(field.type)] for field in fields(Entry)}

# A private file that goes with its connection: a journal may be longer than memory.
_TABLE = """
    CREATE TABLE files (repository TEXT, path TEXT, fence INTEGER, entry TEXT,
    PRIMARY KEY (repository, path)) WITHOUT ROWID
    """
_PUT = """
    INSERT INTO files VALUES (:repository, :path, :fence, :entry) ON CONFLICT DO UPDATE
    SET fence = excluded.fence, entry = excluded.entry WHERE files.fence <= excluded.fence
    """
# The row of a removed repository has the path "", which no file has.
_PUBLISHED = """
    SELECT f.repository, f.path, f.entry FROM files AS f
    LEFT JOIN files AS removed ON removed.repository = f.repository AND removed.path = ''
    WHERE f.entry <> '' AND f.fence > coalesce(removed.fence, 0) ORDER BY f.repository, f.path
    """
_WITHDRAWN = """
    SELECT f.repository, f.path, max(f.fence, coalesce(removed.fence, 0)) FROM files AS f
    LEFT JOIN files AS removed ON removed.repository = f.repository AND removed.path = ''
    WHERE f.path <> '' AND (f.entry = '' OR f.fence <= removed.fence) ORDER BY f.repository, f.path
    """


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal; `entry` None is a withdrawal, of the whole repository where `path` is ""."""

    repository: str
    path: str
    fence: int
    entry: Entry | None


def published(blobs: Blobs, number: int, repository: str, path: str, entry: Entry) -> None:
    """Note a hosted file with its entry's fence; what Index.publish calls as `journal`. Raises StoreDown."""
    _note(blobs, number, Record(repository, path, entry.fence, entry))


def withdrawn(blobs: Blobs, number: int, repository: str, path: str, fence: int) -> None:
    """Note that a hosted file is no more, with a fence taken after everything it ends. Raises StoreDown."""
    _note(blobs, number, Record(repository, path, fence, None))


def removed(blobs: Blobs, number: int, repository: str, fence: int) -> None:
    """Note that a repository is no more, with all its files, and a fence taken after theirs. Raises StoreDown."""
    _note(blobs, number, Record(repository, "", fence, None))


def _note(blobs: Blobs, number: int, record: Record) -> None:
    op = "publish" if record.entry else "withdraw" if record.path else "remove"
    told: dict[str, Any] = {"version": VERSION, "op": op, "time": time.time()}
    told |= {"fence": record.fence, "repository": record.repository, "key": record.path, "path": record.path}
    told |= {"entry": asdict(record.entry)} if record.entry else {}
    blobs.note(f"{number:020d}-{secrets.token_hex(8)}", json.dumps(told).encode("ascii"))


def parse(text: bytes) -> Record:
    """One record; ValueError in words where it is broken, or of a version that this one does not know."""
    try:
        told = json.loads(text)
        if told["version"] != VERSION or told["op"] not in OPERATIONS:
            raise ValueError(f"its version {told['version']!r} or operation {told['op']!r} is not known here")
        repository, path, fence = told["repository"], told["path"], told["fence"]
        if not (isinstance(repository, str) and isinstance(path, str) and type(fence) is int and fence > 0):
            raise ValueError("a field is not what it should be")
        if (told["op"] == "remove") != (path == ""):
            raise ValueError("it is of no file, and removes no repository")
        _require_storable(repository, path, fence)
        return Record(repository, path, fence, _entry(told["entry"]) if told["op"] == "publish" else None)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks {error}") from error


def _entry(told: dict[str, Any]) -> Entry:
    """A later version may have added fields; it may not have changed any."""
    entry = Entry(**{name: value for name, value in told.items() if name in _FIELDS})
    if not all(isinstance(getattr(entry, name), kind) for name, kind in _FIELDS.items()):
        raise ValueError("a field of the entry is not what it should be")
    if not HEX.fullmatch(entry.digest):
        raise ValueError("its digest is no sha256")
    _require_storable(*astuple(entry))
    return entry


def _require_storable(*values: Any) -> None:
    """Raise ValueError for what no column of the index takes: one record must not end a whole restore."""
    for value in values:
        if isinstance(value, str) and "\0" in value.encode().decode():  # a lone surrogate cannot be encoded
            raise ValueError("a text has a NUL")
        if isinstance(value, int) and not 0 <= value < 1 << 63:
            raise ValueError("a number is out of range")


class Replay:
    """Where the journal ends: what is published there, and what was withdrawn."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch

    def published(self) -> Iterator[Stored]:
        """In the order of repository and path."""
        for repository, path, entry in self._scratch.execute(_PUBLISHED):
            yield Stored(repository, path, Entry(**json.loads(entry)))

    def withdrawn(self) -> Iterator[tuple[str, str, int]]:
        """(repository, path, fence) of what is not published any more, likewise."""
        yield from self._scratch.execute(_WITHDRAWN)


@contextmanager
def replayed(blobs: Blobs, report: Callable[[str], None]) -> Iterator[Replay]:
    """The journal, read once; memory does not grow with its length.

    Of one path the record with the highest fence counts. A record that cannot be read is reported in a sentence, and
    left out. Raises StoreDown.
    """
    with closing(sqlite3.connect("")) as scratch:
        scratch.execute(_TABLE)
        for number, text in enumerate(blobs.notes(), 1):
            try:
                scratch.execute(_PUT, _row(parse(text)))
            except ValueError as error:
                report(f"record {number} of the journal is left out, for {error}: {text[:SHOWN]!a}")
        yield Replay(scratch)


def _row(record: Record) -> dict[str, Any]:
    entry = json.dumps(asdict(record.entry)) if record.entry else ""
    return {"repository": record.repository, "path": record.path, "fence": record.fence, "entry": entry}
