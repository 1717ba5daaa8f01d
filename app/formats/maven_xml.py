"""How Maven's XML is read and written: without a DTD, in bounded memory, and only the texts that are asked for.

Source: maven.apache.org/ref/current/maven-repository-metadata/repository-metadata.html; W3C XML 1.0, 4.3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO
from xml.parsers import expat
from xml.sax.saxutils import escape

PIECE = 1 << 16
LARGEST = 4 << 20  # bytes of a document
_DEEPEST = 64
_LONGEST = 4096  # characters of a text that is asked for
_ENCODING = re.compile(rb"""<\?xml[^>]{0,64}\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")

Tree = str | Iterable[tuple[str, "Tree"]]


def texts(file: BinaryIO, root: str, wanted: frozenset[str], most: int = LARGEST) -> Iterator[tuple[str, str]]:
    """(path, text) of the elements whose path below the root is wanted ("parent/version"), in their order, and
    (path, "") of a wanted element that holds elements; of `most` bytes.

    Raises ValueError, whose text goes on after "the document", where it is no XML with that root.
    """
    reader, read = _Reader(root, wanted, _encoding(file)), 0
    try:
        while piece := file.read(PIECE):
            read += len(piece)
            if read > most:
                raise ValueError(f"is longer than {most >> 20} MiB")
            yield from reader.feed(piece)
        yield from reader.feed(b"", final=True)
    except expat.ExpatError as error:
        raise ValueError(f"is no XML: {error}") from error


def document(root: str, tree: Tree) -> bytes:
    """An indented document."""
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(_element(root, tree, ""))).encode()


def _element(name: str, tree: Tree, indent: str) -> Iterator[str]:
    if isinstance(tree, str):
        yield f"{indent}<{name}>{escape(tree)}</{name}>\n"
        return
    yield f"{indent}<{name}>\n"
    for below, content in tree:
        yield from _element(below, content, indent + "  ")
    yield f"{indent}</{name}>\n"


def _encoding(file: BinaryIO) -> str:
    """What to read it as. Identifiers are ASCII, so every encoding that goes on from ASCII can be read as Latin-1:
    no codec is looked up by a name that a stranger wrote."""
    head = file.read(256)
    file.seek(0)
    if head.startswith((b"\xfe\xff", b"\xff\xfe")):
        return "utf-16"
    declared = _ENCODING.match(head.removeprefix(b"\xef\xbb\xbf"))
    return "utf-8" if declared is None or declared[1].lower() == b"utf-8" else "iso-8859-1"


class _Reader:
    def __init__(self, root: str, wanted: frozenset[str], encoding: str) -> None:
        self._root, self._wanted = root, wanted
        self._open: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._found: list[tuple[str, str]] = []
        self._expat = expat.ParserCreate(encoding)
        self._expat.StartDoctypeDeclHandler = _no_doctype
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end

    def feed(self, piece: bytes, final: bool = False) -> list[tuple[str, str]]:
        self._expat.Parse(piece, final)
        found, self._found = self._found, []
        return found

    def _start(self, name: str, _: dict[str, str]) -> None:
        if not self._open and name != self._root:
            raise ValueError(f"is <{name[:40]}>, not <{self._root}>")
        self._open.append(name)
        if len(self._open) > _DEEPEST:
            raise ValueError("is nested too deep")
        self._text, self._length = [], 0
        self._expat.CharacterDataHandler = self._characters if self._path() in self._wanted else None

    def _end(self, _: str) -> None:
        if self._path() in self._wanted:
            self._found.append((self._path(), "".join(self._text).strip()))
        self._text, self._expat.CharacterDataHandler = [], None
        self._open.pop()

    def _path(self) -> str:
        return "/".join(self._open[1:])

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length > _LONGEST:
            raise ValueError("has a text that is too long")
        self._text.append(text)


def _no_doctype(*_: object) -> None:
    raise ValueError("has a document type, which is not read here")
