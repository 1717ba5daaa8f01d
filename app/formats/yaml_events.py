"""A YAML document built from libyaml's events, with a bound on its depth and on what its aliases may grow to.

Source: yaml.org/spec/1.2.2, 3.2.1 and 7.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document is made of: `scalar` gives a text's value, `mapping` that of keys and values in their order;
    both may raise ValueError. `most` is how much there may be, in characters and nodes, when every alias stands for
    what it means; `deepest` how many levels; `nodes` how many there may be as it is written, each alias one."""

    scalar: Callable[[yaml.ScalarEvent], Any]
    mapping: Callable[[list[Any], list[Any]], Any]
    most: int
    deepest: int
    nodes: int


def first(text: str, reading: Reading) -> Any:
    """The first document, None where there is none; ValueError, whose text goes on after the document's name: also
    where it is followed by what is no other document."""
    try:
        return _Reader(yaml.parse(text, Loader=_LOADER), reading).first()
    except UnicodeError as error:
        raise ValueError("has half a character") from error
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {str(getattr(error, 'problem', None) or error)[:200]}") from error


class _Reader:
    def __init__(self, events: Iterator[yaml.Event], reading: Reading) -> None:
        self._events = events
        self._reading = reading
        self._grown = self._nodes = 0
        self._anchored: dict[str, tuple[Any, int]] = {}

    def first(self) -> Any:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                value = self._value(next(self._events), 0)
                self._end()
                return value
        return None

    def _end(self) -> None:
        """Raises yaml.YAMLError where neither the text ends behind the document nor another one begins."""
        while not isinstance(next(self._events), yaml.StreamEndEvent | yaml.DocumentStartEvent):
            pass

    def _value(self, event: yaml.Event, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > self._reading.nodes:
            raise ValueError(f"has more than {self._reading.nodes} values")
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

    def _content(self, event: yaml.Event, depth: int) -> Any:
        if depth > self._reading.deepest:
            raise ValueError("is nested too deep")
        if isinstance(event, yaml.ScalarEvent):
            self._grow(1 + len(event.value))
            event.value.encode()  # UnicodeError where an escape made half a character
            return self._reading.scalar(event)
        self._grow(1)
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._until(yaml.SequenceEndEvent, depth))
        values = list(self._until(yaml.MappingEndEvent, depth))
        return self._reading.mapping(values[::2], values[1::2])

    def _until(self, end: type[yaml.Event], depth: int) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield self._value(event, depth + 1)

    def _grow(self, size: int) -> None:
        self._grown += size
        if self._grown > self._reading.most:
            raise ValueError("grows too large by its aliases")
