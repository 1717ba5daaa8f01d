"""JSON documents of any size, member by member: no value, name or depth of them takes much memory.

Source: RFC 8259.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import BinaryIO

import ijson  # type: ignore[import-untyped]

_PIECE = 1 << 16  # bytes that are parsed at a time
_LARGEST = 1 << 20  # bytes of one value
_DEEPEST = 24  # objects and arrays in each other

Event = tuple[str, object]


def members(body: BinaryIO, listed: Collection[str]) -> Iterator[tuple[str, object]]:
    """(name, value) of each member of the object that `body` is; of an array whose name is `listed` (name, item) for
    each item, and (name, None) before the first.

    Raises ValueError where it is no such object, or is broken anywhere; from the iterator, too.
    """
    sips = _Sips(body)
    try:
        yield from _members(sips, iter(ijson.basic_parse(sips, buf_size=_PIECE)), listed)
    except ijson.JSONError as error:
        raise ValueError("is broken JSON") from error


def sound(body: BinaryIO) -> None:
    """Raises ValueError where the body is no such object, or is broken anywhere. No value is built, so that one of
    objects and arrays can be as large as it likes."""
    sips, depth = _Sips(body), 0
    try:
        for event, _ in ijson.basic_parse(sips, buf_size=_PIECE):
            if not depth and event != "start_map":
                raise ValueError("is no JSON object")
            depth += event.startswith("start_") - event.startswith("end_")
            if depth > _DEEPEST:
                raise ValueError("is nested too deeply")
            sips.taken = 0
    except ijson.JSONError as error:
        raise ValueError("is broken JSON") from error


class _Sips:
    """A file that is read in pieces; ValueError where one value needs too many of them."""

    def __init__(self, body: BinaryIO) -> None:
        self.body = body
        self.taken = 0  # bytes since the last value

    def read(self, size: int = _PIECE) -> bytes:
        piece = self.body.read(size)
        self.taken += len(piece)
        if self.taken > _LARGEST:
            raise ValueError(f"has a value of more than {_LARGEST >> 20} MiB")
        return piece


def _members(sips: _Sips, events: Iterator[Event], listed: Collection[str]) -> Iterator[tuple[str, object]]:
    if next(events, ("", None))[0] != "start_map":
        raise ValueError("is no JSON object")
    for event, key in events:
        if event == "end_map":  # what follows is broken, and the parser says so
            continue
        name, (event, value) = str(key), next(events)
        if name in listed and event == "start_array":
            yield name, None
            for event, value in events:
                if event == "end_array":
                    break
                yield name, _built(event, value, events)
                sips.taken = 0
        else:
            yield name, _built(event, value, events)
        sips.taken = 0


def _built(event: str, value: object, events: Iterator[Event], depth: int = 0) -> object:
    if depth > _DEEPEST:
        raise ValueError("is nested too deeply")
    if event == "start_map":
        found: dict[str, object] = {}
        for inner, key in events:
            if inner == "end_map":
                break
            found[str(key)] = _built(*next(events), events, depth + 1)
        return found
    if event == "start_array":
        return [_built(*each, events, depth + 1) for each in _until_end(events)]
    return float(value) if isinstance(value, Decimal) else value


def _until_end(events: Iterator[Event]) -> Iterator[Event]:
    for each in events:
        if each[0] == "end_array":
            return
        yield each
