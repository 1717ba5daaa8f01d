"""JSON read a member at a time, however long it is: of each value what it says, and the very text that it was.

    {"name": "tool", "versions": {"1.0.0": {...}, "1.1.0": {...}}, ...}

A Reader goes through a file once, from its beginning, and holds one value at a time.

Source: RFC 8259.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST = 256 << 20  # bytes of a document; the largest that a registry has are a hundred million
LONGEST = 8 << 20  # characters of one value in it: a version, or all times
PIECE = 1 << 18  # bytes read at a time

_SPACE = re.compile(r"[ \t\r\n]*+")
_AFTER = frozenset(",}] \t\r\n")  # what a number ends before


def _refuse(constant: str) -> object:
    raise ValueError(f"has {constant}, which is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=float)  # of no length is an int converted


@dataclass(frozen=True, slots=True)
class Value:
    """`said` is what it says, but that numbers are floats: nobody here counts; `text` from `start` to `end` is how it
    is written, in characters from the beginning."""

    said: Any
    text: str
    start: int = 0
    end: int = 0


class Reader:
    """Every method raises ValueError where the text is no JSON, or has more than there may be."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._held = ""
        self._at = 0  # in _held: the next character to be read
        self._before = 0  # characters that came before _held
        self._left = MOST

    def members(self) -> Iterator[str]:
        """The names in the object that comes next; of each the value is to be taken before the next name is."""
        self._take("{")
        if self._next() == "}":
            self._at += 1
            return
        while True:
            if self._next() != '"':
                raise ValueError("has a member without a name")
            name: str = self.value().said
            self._take(":")
            yield name
            found = self._next()
            self._at += 1
            if found == "}":
                return
            if found != ",":
                raise ValueError("has members that no comma parts")

    def value(self) -> Value:
        """The value that comes next."""
        self._next()
        while True:
            said, end = self._tried()
            if end and (self._held[end : end + 1] in _AFTER or said.__class__ is not float):
                break
            if not self._more():
                if not end:
                    raise ValueError("ends in the middle, or is no JSON")
                break
        _limit(end - self._at)
        start, self._at = self._at, end
        return Value(said, self._held[start:end], self._before + start, self._before + end)

    def end(self) -> None:
        """Nothing but white space follows."""
        if self._next():
            raise ValueError("is followed by something")

    def _tried(self) -> tuple[Any, int]:
        """What the value says and where it ends, as far as it is here; 0 where it does not end."""
        try:
            return _DECODER.raw_decode(self._held, self._at)
        except json.JSONDecodeError:
            return None, 0
        except RecursionError:
            raise ValueError("is nested too deeply") from None

    def _take(self, wanted: str) -> None:
        if self._next() != wanted:
            raise ValueError(f"lacks a {wanted}")
        self._at += 1

    def _next(self) -> str:
        """The next character that is no white space, not taken yet; "" at the end."""
        while True:
            found = _SPACE.match(self._held, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read on, the more the longer the value is; False at the end of the text."""
        self._held, self._before, self._at = self._held[self._at :], self._before + self._at, 0
        _limit(len(self._held))
        piece = _read(self._file, max(PIECE, len(self._held)))
        self._left -= len(piece)
        if self._left < 0:
            raise ValueError(f"has more than {MOST} bytes")
        self._held += self._decode(piece, not piece)
        return bool(piece)


def _limit(length: int) -> None:
    if length > LONGEST:
        raise ValueError(f"has a value of more than {LONGEST} characters")


def _read(file: BinaryIO, size: int) -> bytes:
    """So many bytes; fewer only at the end."""
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def members(text: str) -> Iterator[tuple[str, Value]]:
    """Each member of an object by name."""
    reader = Reader(io.BytesIO(text.encode()))
    for name in reader.members():
        yield name, reader.value()


def replaced(text: str, name: str, value: str) -> str:
    """The same object, with that value wherever it has a member of that name."""
    parts, at = [], 0
    for found, old in members(text):
        if found == name:
            parts += [text[at : old.start], value]
            at = old.end
    return "".join((*parts, text[at:]))
