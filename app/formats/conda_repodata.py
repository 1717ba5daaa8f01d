"""repodata.json, packed or not: hundreds of megabytes, read as a stream, one package at a time.

    {"info": {"subdir", "base_url"}, "packages": {<file>: {"sha256", ...}}, "packages.conda": {...}, "removed": [...]}

Source: docs.conda.io/projects/conda-build, "repodata.json"; github.com/conda/ceps, 15 (base_url).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import BinaryIO

import ijson  # type: ignore[import-untyped]

from app.formats.base import checksum, within
from app.formats.packed import PIECE, unpacked
from app.resource import Digest

_SECTIONS = frozenset({"packages", "packages.conda"})
_LARGEST = 1 << 20  # bytes of one package's record, or of any text
_DEEPEST = 24
_SIP = 4 << 20  # bytes that a decoder may give at once, though asked for less


def checked(body: BinaryIO, *, listed: bool) -> None:
    """Read all of it. Raises ValueError where it is broken, or, if packages are to be `listed` in it, lists none of
    its own."""
    seen = {section for section, _, _ in _fields(body)}
    if listed and not seen & _SECTIONS:
        raise ValueError("lists no packages")


def packages(body: BinaryIO) -> Iterator[tuple[str, Digest]]:
    """(file's name, digest) of each package; ValueError where the document is broken, also in the middle."""
    for section, file, value in _fields(body):
        if section in _SECTIONS and (digest := checksum("sha256", value)) and within("", file) == file:
            yield file, digest


def elsewhere(base_url: str) -> bool:
    """Whether that leads to another place than one below the server that says it (RFC 3986, 4.2)."""
    return bool(urllib.parse.urlsplit(base_url).scheme) or base_url.startswith(("//", "\\", "/"))


def _fields(body: BinaryIO) -> Iterator[tuple[str, str, str]]:
    """(section, "", "") of each member of the document, and (section, file, sha256) of each of its packages."""
    pieces = _Pieces(unpacked(body))
    try:
        yield from _walked(pieces, iter(ijson.basic_parse(pieces, buf_size=PIECE, use_float=True)))
    except ijson.JSONError as error:
        raise ValueError("is broken JSON") from error


class _Pieces:
    """An iterator as a file; `quiet` counts the bytes since somebody last set it to 0."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.quiet = 0

    def read(self, size: int = PIECE) -> bytes:
        piece = next(self._pieces, b"") if size else b""
        self.quiet += len(piece)
        if self.quiet > _LARGEST + _SIP + len(piece):
            raise ValueError(f"says more than {_LARGEST >> 20} MiB about one thing")
        return piece


def _walked(pieces: _Pieces, events: Iterator[tuple[str, object]]) -> Iterator[tuple[str, str, str]]:
    """Of all events, of which there are millions, those of keys in the first three depths."""
    depth, section, file, key = 0, "", "", ""
    for event, value in events:
        if event == "map_key":
            if depth == 3:
                key = str(value)
            elif depth == 2:
                file, pieces.quiet = str(value), 0
            elif depth == 1:
                section, file, pieces.quiet = str(value), "", 0
                yield section, "", ""
        elif event == "string":
            if depth == 3 and key == "sha256":
                yield section, file, str(value)
            elif depth == 2:
                _refuse_elsewhere(section, file, str(value))
                pieces.quiet = 0
        elif event in ("start_map", "start_array"):
            depth += 1
            _require_shape(depth, event)
        elif event in ("end_map", "end_array"):
            depth -= 1


def _require_shape(depth: int, event: str) -> None:
    if depth == 1 and event != "start_map":
        raise ValueError("is no JSON object")
    if depth > _DEEPEST:
        raise ValueError("is nested too deep")


def _refuse_elsewhere(section: str, key: str, value: str) -> None:
    if (section, key) == ("info", "base_url") and elsewhere(value):
        host = urllib.parse.urlsplit(value).hostname
        raise ValueError(f"says that its packages are at {host or value[:80]!r}: make that the remote's base_url")
