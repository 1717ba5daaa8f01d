"""How the children of an XML document's root are cut out of it as they stand, one after the other, in bounded memory.

expat reads every byte and says where each child begins and ends; what lies between is handed on unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

Declared = Sequence[tuple[str, str]]  # (attribute, URI): "xmlns" or "xmlns:prefix"

_DEEPEST = 64
_LONGEST = 32 << 20  # bytes of one child: some packages have a hundred thousand files
_TEXT = 1 << 12  # characters of a text that somebody wants
_TAG = re.compile(rb"""<[^<>"']*(?:(?:"[^"]*"|'[^']*')[^<>"']*)*>""")
_SLASH = ord("/")
_NAME = re.compile(rb"<[^\s/>]+")


@dataclass(slots=True)
class Part:
    """A child of a child: its attributes, its text, and where it stands in the child's bytes."""

    attributes: Mapping[str, str]
    start: int
    end: int = 0
    text: str = ""


@dataclass(slots=True)
class Child:
    """One child of the root; `parts` are those that were wanted, by name."""

    name: str
    attributes: Mapping[str, str]
    raw: bytes = b""
    parts: dict[str, Part] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The text of a part, "" where there is none."""
        return self.parts[name].text.strip() if name in self.parts else ""

    def with_part(self, name: str, raw: bytes) -> bytes:
        """The child's bytes with other ones for a part that it has."""
        part = self.parts[name]
        return self.raw[: part.start] + raw + self.raw[part.end :]


def children(
    pieces: Iterator[bytes],
    root: str,
    wanted: frozenset[str] = frozenset(),
    declared: Declared = (),
    *,
    doctype: bool = False,
) -> Iterator[Child]:
    """Every child of the root element; raises ValueError where the document is not that, or broken.

    `wanted` are the names of those children's children that somebody asks about; `declared` are the namespaces that
    the document may rely on where its children end up: each child declares further ones of its root itself.
    """
    reader = _Reader(root, wanted, dict(declared), doctype=doctype)
    try:
        for piece in pieces:
            yield from reader.feed(piece)
        reader.finish()
    except expat.ExpatError as error:
        raise ValueError(f"is not XML: {error}") from error


class _Reader:
    def __init__(self, root: str, wanted: frozenset[str], declared: Mapping[str, str], *, doctype: bool) -> None:
        self._root, self._wanted, self._declared = root, wanted, declared
        self._depth = self._base = self._start_of_child = 0
        self._past_empty = -1
        self._raw, self._more = bytearray(), dict[str, bytes]()
        self._child: Child | None = None
        self._part: Part | None = None
        self._text: list[str] = []
        self._found: list[Child] = []
        self._expat = expat.ParserCreate("utf-8")  # whatever it declares: any codec of ours could be named there
        self._expat.buffer_text = True
        self._expat.StartDoctypeDeclHandler = _no_inner_doctype if doctype else _no_doctype
        self._expat.SkippedEntityHandler = _no_entity
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end

    def feed(self, piece: bytes) -> list[Child]:
        self._raw += piece
        self._expat.Parse(piece, False)
        kept = self._start_of_child if self._child else self._expat.CurrentByteIndex
        if kept > self._base:
            del self._raw[: kept - self._base]
            self._base = kept
        if len(self._raw) > _LONGEST + len(piece):
            raise ValueError("has an element that is too long")
        found, self._found = self._found, []
        return found

    def finish(self) -> None:
        self._expat.Parse(b"", True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > 3:
            if self._depth > _DEEPEST or self._part is not None:  # of what is in a text each client reads another
                raise ValueError("is nested too deep")
        elif self._depth == 1:
            self._begin(name, attributes)
        elif self._depth == 2:
            self._child, self._start_of_child = Child(name, attributes), self._expat.CurrentByteIndex
            self._past_empty = self._empty(self._start_of_child)
        elif self._child is not None and name in self._wanted:
            if name in self._child.parts:
                raise ValueError(f"has <{name}> twice where one is")
            at = self._expat.CurrentByteIndex
            self._part, self._past_empty = Part(attributes, at - self._start_of_child), self._empty(at)
            self._child.parts[name] = self._part
            self._text = []
            self._expat.CharacterDataHandler = self._characters

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if name != self._root:
            raise ValueError(f"is <{name[:40]}>, not <{self._root}>")
        for attribute, uri in attributes.items():
            if attribute != "xmlns" and not attribute.startswith("xmlns:"):
                continue
            if self._declared.get(attribute, uri) != uri:
                raise ValueError(f"has another namespace for {attribute[:40]}")
            if attribute not in self._declared:
                self._more[attribute] = f" {attribute}={quoteattr(uri)}".encode()

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 1 and self._child is not None:
            raw = bytes(self._raw[self._start_of_child - self._base : self._past() - self._base])
            self._child.raw = self._declaring(raw) if self._more else raw
            self._found.append(self._child)
            self._child = None
        elif self._depth == 2 and self._part is not None:
            self._part.end, self._part.text = self._past() - self._start_of_child, "".join(self._text)
            self._part, self._expat.CharacterDataHandler, self._past_empty = None, None, -1

    def _past(self) -> int:
        """Where the element ends that ends here: behind its end tag, or where expat is if it has none."""
        at = self._expat.CurrentByteIndex
        return at if at == self._past_empty else self._tag(at)

    def _tag(self, at: int) -> int:
        """Where the tag ends that begins there."""
        match = _TAG.match(self._raw, at - self._base)
        if match is None:  # expat has read it
            raise ValueError("has a tag that cannot be found again")
        return self._base + match.end()

    def _empty(self, at: int) -> int:
        """Where an element ends that is one tag, which begins there; -1 where it has an end tag."""
        end = self._tag(at)
        return end if self._raw[end - self._base - 2] == _SLASH else -1

    def _declaring(self, raw: bytes) -> bytes:
        """The child with those further namespaces of the root that it does not declare itself: nothing reads an
        attribute that is there twice."""
        assert self._child is not None
        name = _NAME.match(raw)
        assert name is not None
        more = b"".join(text for each, text in self._more.items() if each not in self._child.attributes)
        for part in self._child.parts.values():
            part.start += len(more)
            part.end += len(more)
        return raw[: name.end()] + more + raw[name.end() :]

    def _characters(self, text: str) -> None:
        if self._part is not None and self._depth == 3:
            self._text.append(text)
            if sum(map(len, self._text)) > _TEXT:
                raise ValueError("has a text that is too long")


def _no_doctype(*_: Any) -> None:
    raise ValueError("has a document type, which no index has")


def _no_inner_doctype(name: str, system: str | None, public: str | None, inner: int) -> None:
    if inner:
        raise ValueError("declares entities of its own, which no index does")


def _no_entity(*_: Any) -> None:
    raise ValueError("has an entity that nothing declares")
