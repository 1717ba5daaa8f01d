"""YAML as a stranger wrote it: read as text, lists and maps, with a bound on what its aliases may grow to.

Every scalar stays the text that it is: 1.10 is a version here and no number. Tags are not looked at.

Source: yaml.org/spec/1.2.2, 3.2.1 and 10.2.
"""

from __future__ import annotations

import yaml

from app.formats import yaml_events
from app.formats.yaml_events import Reading

LARGEST = 256 << 10  # bytes of a document
_GROWN = 1 << 20  # characters and nodes, when every alias stands for what it means
_DEEPEST = 20
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})

Value = str | None | list["Value"] | dict[str, "Value"]


def read(document: bytes) -> Value:
    """The first document; ValueError, whose text goes on after the document's name, where it is none."""
    if len(document) > LARGEST:
        raise ValueError(f"is longer than {LARGEST >> 10} KiB")
    try:
        text = document.decode()
    except UnicodeError as error:
        raise ValueError("is not UTF-8") from error
    found: Value = yaml_events.first(text, Reading(_scalar, _mapping, _GROWN, _DEEPEST, LARGEST))
    return found


def _scalar(event: yaml.ScalarEvent) -> Value:
    plain = event.style is None or event.style == ""
    return None if plain and event.value in _NOTHING else str(event.value)


def _mapping(keys: list[Value], values: list[Value]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, str):
            raise ValueError("has a key that is no text")
        if key in found:
            raise ValueError(f"has {key[:80]!r} twice")
        found[key] = value
    return found
