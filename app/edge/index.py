"""Which file of the cache is a copy of what: 16 bytes of name, its inode, repository, hashed key, stamp.

SQLite in memory: half a million files take 50 MB, and both questions (what is in this directory, which files are of
this key) have an index. It is lost with the process and read from the files again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.edge.entry import Entry

_TABLES = """
PRAGMA journal_mode = OFF;
CREATE TABLE files (place INTEGER, name BLOB, inode INTEGER, repository INTEGER, key INTEGER, stamp INTEGER,
                    PRIMARY KEY (place, name)) WITHOUT ROWID;
CREATE INDEX copies ON files (repository, key);
"""
_COPIES = "SELECT place, name FROM files WHERE repository = ? AND stamp < ?"


@dataclass(frozen=True, slots=True)
class Named:
    """A file by the directory it is in (a number, 0 to 4095) and its name (the 16 bytes of an md5)."""

    place: int
    name: bytes


class Index:
    """Of the files of one cache."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.executescript(_TABLES)
        self._numbers: dict[str, int] = {}  # of repositories

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM files").fetchone()[0])

    def put(self, file: Named, inode: int, entry: Entry) -> None:
        number = self._numbers.setdefault(entry.repository, len(self._numbers))
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
            (file.place, file.name, _signed(inode), number, entry.key, entry.stamp),
        )

    def within(self, place: int) -> Mapping[bytes, int]:
        """Name -> inode of the files of a directory."""
        return dict(self._database.execute("SELECT name, inode FROM files WHERE place = ?", (place,)))

    def copies(self, repository: str, key: int | None, before: int, most: int) -> list[Named]:
        """At most `most` files of that key (None: any) whose stamp is before that number."""
        number = self._numbers.get(repository, -1)
        if key is None:
            found = self._database.execute(f"{_COPIES} LIMIT ?", (number, before, most))
        else:
            found = self._database.execute(f"{_COPIES} AND key = ? LIMIT ?", (number, before, key, most))
        return [Named(place, name) for place, name in found]

    def remove(self, files: Iterable[Named]) -> None:
        rows = ((each.place, each.name) for each in files)
        self._database.executemany("DELETE FROM files WHERE place = ? AND name = ?", rows)

    def clear(self) -> None:
        self._database.execute("DELETE FROM files")

    def same(self, inode: int, known: int | None) -> bool:
        return known is not None and _signed(inode) == known


def _signed(number: int) -> int:
    """An inode may use all 64 bits; SQLite's integers are signed."""
    return number - (1 << 64) if number >= 1 << 63 else number
