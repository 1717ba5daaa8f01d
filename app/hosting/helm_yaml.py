"""YAML as a stranger wrote it: read as text, lists and maps, with a bound on what its aliases may grow to.

Every scalar stays the text that it is: 1.10 is a version here and no number. Tags are not looked at.

Source: yaml.org/spec/1.2.2, 3.2.1 and 10.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

LARGEST = 256 << 10  # bytes of a document
_GROWN = 1 << 20  # bytes and nodes, when every alias stands for what it means
_DEEPEST = 20
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Value = str | None | list["Value"] | dict[str, "Value"]


def read(document: bytes) -> Value:
    """The first document; ValueError, whose text goes on after the document's name, where it is none."""
    if len(document) > LARGEST:
        raise ValueError(f"is longer than {LARGEST >> 10} KiB")
    try:
        return _Reader(yaml.parse(document.decode(), Loader=_LOADER)).first()
    except UnicodeError as error:
        raise ValueError("is not UTF-8") from error
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {getattr(error, 'problem', None) or error}") from error


class _Reader:
    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._grown = 0
        self._anchored: dict[str, tuple[Value, int]] = {}

    def first(self) -> Value:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                return self._value(next(self._events), 0)
        return None

    def _value(self, event: yaml.Event, depth: int) -> Value:
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor not in self._anchored:
                raise ValueError("has an alias of nothing, or of what it stands in")
            value, size = self._anchored[anchor]
            self._grow(size)
            return value
        before = self._grown
        value = self._content(event, depth)
        if anchor is not None:
            self._anchored[anchor] = (value, self._grown - before)
        return value

    def _content(self, event: yaml.Event, depth: int) -> Value:
        if depth > _DEEPEST:
            raise ValueError("is nested too deep")
        if isinstance(event, yaml.ScalarEvent):
            self._grow(1 + len(event.value.encode()))  # UnicodeError where an escape made half a character
            plain = event.style is None or event.style == ""
            return None if plain and event.value in _NOTHING else str(event.value)
        self._grow(1)
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._until(yaml.SequenceEndEvent, depth))
        values = list(self._until(yaml.MappingEndEvent, depth))
        return _mapping(values[::2], values[1::2])

    def _until(self, end: type[yaml.Event], depth: int) -> Iterator[Value]:
        while not isinstance(event := next(self._events), end):
            yield self._value(event, depth + 1)

    def _grow(self, size: int) -> None:
        self._grown += size
        if self._grown > _GROWN:
            raise ValueError("grows too large by its aliases")


def _mapping(keys: list[Value], values: list[Value]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, str):
            raise ValueError("has a key that is no text")
        if key in found:
            raise ValueError(f"has {key[:80]!r} twice")
        found[key] = value
    return found
