"""JSON written anew with other strings in it: event by event, so that little of a long document is in memory.

What is written is ASCII but for HERE: a text of upstream's that has that character has it escaped.

Source: RFC 8259.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import ijson  # type: ignore[import-untyped]

from app.resource import HERE

MOST = 64 << 20  # bytes of a document: the longest string, which is held, can be that long
DEEPEST = 64  # brackets within brackets
_PIECE = 1 << 16

Change = Callable[[str, str], bytes | None]  # a member's name ("" in none) and its text -> text(), here(), or None


def text(value: str) -> bytes:
    """A string as JSON."""
    return json.dumps(value).encode("ascii")


def here(rest: str) -> bytes:
    """A string that begins with the repository's URL (Resource.addressed), as JSON."""
    return b'"' + HERE.encode() + text(rest)[1:]


def checked(body: BinaryIO) -> None:
    """Raises ValueError where it is no JSON object, or more than there may be."""
    for _ in _tokens(body, lambda *_: None):
        pass


def rewritten(body: BinaryIO, write: Callable[[bytes], object], change: Change) -> None:
    """Write the document with the strings that `change` gives for its own; raises ValueError as checked()."""
    held: list[bytes] = []
    size = 0
    for token in _tokens(body, change):
        held.append(token)
        size += len(token)
        if size > _PIECE:
            write(b"".join(held))
            held, size = [], 0
    write(b"".join(held))


def small(body: BinaryIO, most: int) -> dict[str, Any]:
    """A JSON object of at most so many bytes; raises ValueError."""
    read = body.read(most + 1)
    if len(read) > most:
        raise ValueError(f"is longer than {most} bytes")
    try:
        found = json.loads(read.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("is no JSON object")
    return found


def _tokens(body: BinaryIO, change: Change) -> Iterator[bytes]:
    try:
        yield from _written(ijson.basic_parse(plain(body), buf_size=_PIECE), change)
    except ijson.JSONError as error:
        raise ValueError(f"is no JSON: {str(error)[:80]}") from error


def plain(body: BinaryIO) -> BinaryIO:
    """The body from its beginning, behind a byte order mark; raises ValueError where it is too long."""
    if body.seek(0, io.SEEK_END) > MOST:
        raise ValueError(f"is longer than {MOST} bytes")
    body.seek(0)
    if body.read(3) != b"\xef\xbb\xbf":
        body.seek(0)
    return body


def _written(events: Iterator[tuple[str, Any]], change: Change) -> Iterator[bytes]:
    first, name, open_ = True, "", ""  # of what is open: "{" or "["
    for event, value in events:
        if not open_ and event != "start_map":
            raise ValueError("is no JSON object")
        if event in ("end_map", "end_array"):
            open_, first, name = open_[:-1], False, ""
            yield b"}" if event == "end_map" else b"]"
            if not open_:
                continue
        elif event == "map_key":
            yield (b"" if first else b",") + text(value) + b":"
            first, name = False, value
        else:
            yield b"," if open_[-1:] == "[" and not first else b""
            first = False
            if event in ("start_map", "start_array"):
                open_, first, name = open_ + "{["[event == "start_array"], True, ""
                if len(open_) > DEEPEST:
                    raise ValueError("is nested too deep")
            yield _value(event, name, value, change)


def _value(event: str, name: str, value: Any, change: Change) -> bytes:
    if event == "string":
        return change(name, value) or text(value)
    if event == "start_map":
        return b"{"
    if event == "start_array":
        return b"["
    return json.dumps(value).encode() if event != "number" else str(value).encode("ascii")
