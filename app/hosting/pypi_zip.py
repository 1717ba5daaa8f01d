"""How a zip is read without trusting it: its directory bounded, its names checked, one member at a time.

What is refused is a ValueError whose text goes on after "the package", as in archives.py.

Source: PKWARE APPNOTE 6.3.10, 4.3; PEP 427; PEP 721 for what no member may be called.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.hosting.archives import content

_DIRECTORY = 8 << 20  # bytes of a zip's directory: a hundred thousand members
_MAGIC = b"PK\x03\x04"
_PLAIN = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # the other methods' memory is the sender's to choose


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip at `path`, its members' names judged; ValueError for one that is damaged or means harm."""
    with _Sparing(path) as file:
        try:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("is no zip")
            with zipfile.ZipFile(file) as archive:
                _judge(archive.namelist())
                yield archive
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, OSError) as error:
            raise ValueError(f"holds a damaged zip: {error}") from error


def member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """The content of one member; ValueError where there is none, or more than `limit` bytes of it."""
    try:
        found = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"has no {name}") from None
    if found.compress_type not in _PLAIN or found.flag_bits & 1:
        raise ValueError(f"has a {name} that is encrypted or packed in a way that pip cannot read")
    with archive.open(found) as file:
        return content(file, limit, f"a {name}")  # type: ignore[arg-type]


class _Sparing(io.FileIO):
    """A file of which nobody reads much at a time: zipfile reads a directory whole, however long it says it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = _DIRECTORY + 1 if size is None or size < 0 else size
        found = super().read(min(wanted, _DIRECTORY + 1)) or b""
        if len(found) > _DIRECTORY:
            raise ValueError(f"has a zip directory of more than {_DIRECTORY >> 20} MiB")
        return found


def _judge(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError("has two members of one name")
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise ValueError(f"has a member whose name is no path below it: {name[:80]!r}")
