"""The JSON that npm sends, read in bounded memory: a tarball of any length stands in it as one string, in base64.

    {"name": ..., "versions": {...}, "_attachments": {"<name>-<version>.tgz": {"data": "H4sIAAA..."}}}

Strings of more than LONG bytes stay in the file; what is left is an ordinary document, and it is small. Where they
stood it has a Far, which knows where they are.

Source: RFC 8259; github.com/npm/libnpmpublish for what is sent.
"""

from __future__ import annotations

import binascii
import json
import mmap
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import BadRequest

LONG = 256 << 10  # bytes of a string that is left where it is
# What npm got of a package it sends back, to deprecate or unpublish a version: more than a document may grow to.
MOST = 18 << 20  # bytes of the document without those
PARTS = 2_000_000  # strings in it and what is between them; and commas and brackets: each can cost a hundred bytes
_PIECE = 1 << 20
_QUOTE = ord('"')
_PARTING = (b",", b"[", b"{")
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Far:
    """A string that was left in the file: its bytes there, without the quotes and as JSON writes them."""

    path: Path
    start: int
    end: int

    def pieces(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.start)
            left = self.end - self.start
            while left:
                piece = file.read(min(left, _PIECE))
                left -= len(piece)
                yield piece


def document(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file, its longest strings as Far; BadRequest "bad_document"."""
    marks: dict[str, Far] = {}
    try:
        found = json.loads(_without_long(path, marks), parse_constant=_refuse)
        found = _marked(found, marks)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            "the document cannot be read as JSON, or is nested too deeply", code="bad_document"
        ) from error
    if not isinstance(found, dict):
        raise BadRequest("the document is no JSON object", code="bad_document")
    return found


def decoded(data: str | Far) -> Iterator[bytes]:
    """What a string holds in base64; BadRequest "bad_document"."""
    rest = b""
    try:
        for piece in data.pieces() if isinstance(data, Far) else [data.encode("ascii")]:
            text = (rest + piece).replace(b"\\/", b"/")
            whole = len(text) // 4 * 4 if not text.endswith(b"\\") else (len(text) - 1) // 4 * 4
            rest = text[whole:]
            yield binascii.a2b_base64(text[:whole], strict_mode=True) if whole else b""
        if rest:
            raise ValueError("its length is no multiple of four")
    except ValueError as error:  # binascii.Error and UnicodeEncodeError too
        raise BadRequest("the attachment is not in base64", code="bad_document") from error


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def _without_long(path: Path, marks: dict[str, Far]) -> str:
    """The text with a mark in the place of each long string."""
    mark = secrets.token_hex(16)  # nobody could have sent it
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        text = bytearray()
        for number, (start, end) in enumerate(_spans(body)):
            if body[start] == _QUOTE and end - start > LONG + 2:
                name = f"{mark}{len(marks)}"
                marks[name] = Far(path, start + 1, end - 1)
                text += f'"{name}"'.encode()
                continue
            if len(text) + end - start > MOST or number > PARTS:
                raise _too_long()
            text += body[start:end]
    if sum(map(text.count, _PARTING)) > PARTS:
        raise _too_long()
    return text.decode("utf-8")


def _too_long() -> BadRequest:
    said = f"the document has more than {MOST} bytes or {PARTS} parts beside its tarball"
    return BadRequest(said, code="bad_document")


def _spans(body: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Where its strings are, and what is between them, in order."""
    at = 0
    while at < len(body):
        quote = body.find(b'"', at, at + MOST + 1)
        if quote < 0:
            yield at, len(body)  # nothing is between strings that is so long, or it is too long
            return
        if at < quote:
            yield at, quote
        at = _end(body, quote)
        yield quote, at


def _end(body: mmap.mmap, quote: int) -> int:
    """Behind the string that begins there; what was looked at does not stay in memory."""
    at = quote + 1
    while at < len(body):
        end = _inside(body, at)
        if end < len(body) and body[end] == _QUOTE:
            return end + 1
        if end == at:
            break
        body.madvise(mmap.MADV_DONTNEED, 0, end // mmap.PAGESIZE * mmap.PAGESIZE)
        at = end
    raise ValueError("a string does not end")


def _inside(body: mmap.mmap, at: int) -> int:
    """How far the string goes on, a piece at the most; as long as there is a match, `body` cannot be closed."""
    found = _TEXT.match(body, at, at + _PIECE)
    return found.end() if found else at


def _marked(found: Any, marks: Mapping[str, Far]) -> Any:
    if not marks:
        return found
    if isinstance(found, dict):
        return {key: _marked(value, marks) for key, value in found.items()}
    if isinstance(found, list):
        return [_marked(value, marks) for value in found]
    return marks.get(found, found) if isinstance(found, str) else found
