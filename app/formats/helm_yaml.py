"""YAML as a stranger wrote it, read as JSON has it: maps, lists, texts, true, false and null. Numbers stay the text
that they are: 1.10 is a version here.

    checked(), what upstream sent       libyaml's events, with a bound on what aliases may grow to
    read(), the same when it is stored  rapidyaml, ten times as fast, where there are no aliases, tags and directives
    JSON                                json

rapidyaml crashes on some texts that are no YAML, and is given nothing that libyaml did not read before.

Source: yaml.org/spec/1.2.2, 3.2.1, 7.1 and 10.2; yaml.org/type/merge.html.
"""

from __future__ import annotations

import contextlib
import json
import re

import yaml

from app.formats import yaml_events
from app.formats.yaml_events import Reading

try:
    import ryml  # type: ignore[import-untyped]
except ImportError:  # no wheel for this machine (musl)
    ryml = None

LARGEST = 64 << 20  # bytes of a document; public indexes have up to 25 MB
MOST = 1_000_000  # values, about: what they take in memory is some 400 bytes each at worst
_NODES = 3 * MOST  # such a line as "- a: b" has three; not every node has a separator, as in "- - - a"
_DEEPEST = 32
_BOM = b"\xef\xbb\xbf"
_SEPARATORS = (b"\n", b",", b"[", b"{")
# What rapidyaml leaves as it is written: aliases, anchors and tags, and ~ for nothing. Also where that is only text,
# which costs time and nothing else.
_ODD = re.compile(rb"[&!*](?<=[\s\[{,:?-].)(?:(?<!\*)|(?=[\w-]))")
_ENDS = (b"\n%", b"\n---", b"\n...", b"\r")  # directives, several documents, lines that end otherwise
_LINE_ENDS = ("\x85", "\u2028", "\u2029")  # which YAML 1.1 knew
_NOTHING = re.compile(rb"~(?<=[\s\[{,:].)(?=\s*[,\]}\n]|\s*\Z)")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
_TAGS = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:bool")
_CONSTANT = re.compile(r"true|True|TRUE|false|False|FALSE|null|Null|NULL|~|")


def checked(body: bytes) -> object:
    """The first document; ValueError, whose text goes on after the document's name, where it is none."""
    body, text = _bounded(body)
    if _is_json(text):
        with contextlib.suppress(ValueError, RecursionError):
            return _json(text)
    return _thorough(text)


def read(body: bytes) -> object:
    """The same of a body that checked() has read before; no other."""
    body, text = _bounded(body)
    try:
        return _json(text) if _is_json(text) else _quick(body, text)
    except (ValueError, RecursionError):
        return _thorough(text)


def _bounded(body: bytes) -> tuple[bytes, str]:
    body = body.removeprefix(_BOM)
    if len(body) > LARGEST:
        raise ValueError(f"is longer than {LARGEST >> 20} MiB")
    if sum(map(body.count, _SEPARATORS)) > MOST:
        raise ValueError(f"has more than {MOST} values")
    try:
        return body, body.decode()
    except UnicodeError as error:
        raise ValueError("is not UTF-8") from error


# -- by fast readers ----------------------------------------------------------------------------------------


def _quick(body: bytes, text: str) -> object:
    """Raises ValueError where that must be left to the other reader."""
    if ryml is None or _odd(body, text):
        raise ValueError("not for this reader")
    try:
        written = ryml.emit_json(ryml.parse_in_arena(body))
    except ryml.ExceptionBasic as error:
        raise ValueError("not for this reader") from error
    if not isinstance(written, str) or not _encodes(written):  # escaped halves of characters come out broken
        raise ValueError("not for this reader")
    found = _json(written)
    if not isinstance(found, dict):  # several documents are a list
        raise ValueError("not for this reader")
    return found


def _odd(body: bytes, text: str) -> bool:
    if body[:1] == b"%" or any(each in body for each in _ENDS) or any(each in text for each in _LINE_ENDS):
        return True
    return _ODD.search(body) is not None or (b"~" in body and _NOTHING.search(body) is not None)


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] == "{"


def _json(text: str) -> object:
    found: object = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    if _HALF.search(text):
        json.dumps(found, ensure_ascii=False).encode()  # UnicodeError where an escape made half a character
    return found


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


# -- by events ----------------------------------------------------------------------------------------------


def _thorough(text: str) -> object:
    found: object = yaml_events.first(text, Reading(_scalar, _mapping, 2 * len(text) + (1 << 16), _DEEPEST, _NODES))
    return found


def _scalar(event: yaml.ScalarEvent) -> object:
    value = str(event.value)
    constant = event.implicit[0] if event.tag is None else event.tag in _TAGS
    return _CONSTANTS[value.lower()] if constant and _CONSTANT.fullmatch(value) else value


def _mapping(keys: list[object], values: list[object]) -> dict[str, object]:
    """What stands in the map itself comes before what is merged into it."""
    found: dict[str, object] = {}
    merged: list[object] = []
    for key, value in zip(keys, values, strict=True):
        if key == "<<" and isinstance(value, dict | list):
            merged += value if isinstance(value, list) else [value]
        elif isinstance(key, str):
            found[key] = value
        else:
            raise ValueError("has a key that is no text")
    for each in merged:
        if not isinstance(each, dict):
            raise ValueError("merges what is no map")
        for key, value in each.items():
            found.setdefault(key, value)
    return found
