"""How an index in XML is read: as a stream, by expat, without a DTD, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar
from xml.parsers import expat

Attributes = Mapping[str, str]
Row = TypeVar("Row", covariant=True)

_DEEPEST = 64
_TOKEN = 1 << 20  # bytes of one tag; expat holds an unfinished one, and reads it again with every piece
_TEXT = 1 << 12  # characters of a text that somebody wants


class Rows(Protocol[Row]):
    """What is wanted of a document: rows, out of its elements."""

    names: frozenset[str]  # the elements that the two methods hear of

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""

    def end(self, name: str, text: str) -> Row | None:
        """An element ends, `text` is what it holds after its last child; a row where one is complete."""


def parsed(pieces: Iterator[bytes], root: str, rows: Rows[Row]) -> Iterator[Row]:
    """The rows of a document whose root element is `root`; raises ValueError where it is not that, or broken."""
    reader = _Reader(root, rows)
    try:
        for piece in pieces:
            yield from reader.feed(piece)
        reader.finish()
    except expat.ExpatError as error:
        raise ValueError(f"is not XML: {error}") from error


class _Reader(Generic[Row]):
    def __init__(self, root: str, rows: Rows[Row]) -> None:
        self._root, self._rows, self._names = root, rows, rows.names
        self._depth = self._fed = self._length = 0
        self._text: list[str] = []
        self._found: list[Row] = []
        self._expat = expat.ParserCreate("utf-8")  # whatever it declares: any codec of ours could be named there
        self._expat.buffer_text = True
        self._expat.StartDoctypeDeclHandler = _no_doctype
        self._expat.StartElementHandler = self._first
        self._expat.EndElementHandler = self._end

    def feed(self, piece: bytes) -> list[Row]:
        self._expat.Parse(piece, False)
        self._fed += len(piece)
        if self._fed - self._expat.CurrentByteIndex > _TOKEN + len(piece):
            raise ValueError("has a tag without an end")
        found, self._found = self._found, []
        return found

    def finish(self) -> None:
        self._expat.Parse(b"", True)

    def _first(self, name: str, _: dict[str, str]) -> None:
        if name != self._root:
            raise ValueError(f"is <{name[:40]}>, not <{self._root}>")
        self._expat.StartElementHandler = self._start

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("is nested too deep")
        if name in self._names:
            self._text, self._length = [], 0
            self._expat.CharacterDataHandler = self._characters
            self._rows.start(name, attributes)
        else:
            self._expat.CharacterDataHandler = None

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name not in self._names:
            return
        self._expat.CharacterDataHandler = None
        if (row := self._rows.end(name, "".join(self._text))) is not None:
            self._found.append(row)

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length > _TEXT:
            raise ValueError("has a text that is too long")
        self._text.append(text)


def _no_doctype(*_: Any) -> None:
    raise ValueError("has a document type, which no index has")
