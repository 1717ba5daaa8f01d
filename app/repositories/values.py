"""What a single value in remotes.json may be: times, secrets, patterns, tags, files; URLs are in addresses.py."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from marshmallow import ValidationError, fields

from app.problems import shown
from app.times import UNITS

LONGEST_PATTERN = 1024
LONGEST_SECRET = 16 * 1024

_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([smhd]?)")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
# One repeated atom that is repeated again, (a+)+ or ([a-z]*)*: exponential on a path that nearly matches.
_RUNAWAY = re.compile(r"\((?:\?:)?(?:\\.|\[[^\]]*\]|[^\\()\[\]])[+*]\)[+*{]")


class Referenced(str):
    """A secret's value that stands elsewhere than in the file: never shown, wherever it ends up."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Value(fields.Field[Any]):
    """A value read by `read`, whose ValueError is the reason shown; `json` is what JSON Schema says of it."""

    json: Mapping[str, Any] = MappingProxyType({})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return self.read(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def read(self, value: Any) -> Any:
        raise NotImplementedError


class Flag(Value):
    """true or false, and nothing that only looks like it."""

    json: Mapping[str, Any] = {"type": "boolean"}

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"{shown(value)} is not true or false")
        return value


class Off(Value):
    """A key whose feature this version does not have: only the value that means "off" is taken."""

    def __init__(self, off: Any, description: str) -> None:
        super().__init__(metadata={"description": f"{description} (not built in this version)", "enum": [off]})
        self.off = off

    def read(self, value: Any) -> Any:
        if type(value) is not type(self.off) or value != self.off:
            raise ValueError("not built in this version: remove the key")
        return value


class Seconds(Value):
    """A time as seconds or "30s", "5m", "1h", "7d"; "forever" (None) where `forever` allows it."""

    def __init__(self, low: float, high: float, *, forever: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high, self.forever = low, high, forever
        words = "|forever" if forever else ""
        self.json = {
            "anyOf": [
                {"type": "number", "minimum": low, "maximum": high},
                {"type": "string", "pattern": rf"^(\d+(\.\d+)?[smhd]?{words})$"},
            ]
        }

    def read(self, value: Any) -> float | None:
        if self.forever and value == "forever":
            return None
        seconds = self._seconds(value)
        if seconds < 0:
            raise ValueError(f"{shown(value)} is negative")
        if not self.low <= seconds <= self.high:
            raise ValueError(f"{shown(value)} is not between {self.low:g} and {self.high:g} seconds")
        return seconds

    def _seconds(self, value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(min(value, 1e12))  # an int may be too large for a float
        if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
            return float(found[1]) * UNITS[found[2]]
        text = '30, "30s", "5m", "1h" or "7d"'
        raise ValueError(f"{shown(value)} is not seconds or a time such as {text}")


class Rate(Value):
    """A number of requests a second."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = low, high
        self.json = {"type": "number", "minimum": low, "maximum": high}

    def read(self, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise ValueError(f"{shown(value)} is not requests a second from {self.low:g} to {self.high:g}")
        return float(value)


class Secret(Value):
    """A string, or where to find it: {"env": "NAME"} or {"file": "path"}."""

    json: Mapping[str, Any] = {
        "anyOf": [
            {"type": "string", "minLength": 1},
            *(
                {
                    "type": "object",
                    "properties": {source: {"type": "string", "minLength": 1}},
                    "required": [source],
                    "additionalProperties": False,
                }
                for source in ("env", "file")
            ),
        ]
    }

    unfit = CONTROL

    def read(self, value: Any) -> str:
        try:
            text = value if isinstance(value, str) else Referenced(self._find(value))
            size = len(text.encode())
        except UnicodeError:
            raise ValueError("not UTF-8") from None
        if not 0 < size <= LONGEST_SECRET or self.unfit.search(text):
            raise ValueError("empty, longer than 16 KiB, or with a control character in it")
        return text

    def _find(self, value: Any) -> str:
        match value:
            case {"env": str(name), **rest} if not rest:
                if name not in os.environ:
                    raise ValueError(f"the environment has no variable {shown(name)}")
                return os.environ[name]
            case {"file": str(name), **rest} if not rest:
                return _content(name).decode().rstrip("\r\n")
        raise ValueError('not a string, {"env": "NAME"} or {"file": "path"}')


class SigningKey(Secret):
    """A private key in armour or PEM: several lines."""

    unfit = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class File(Value):
    """A file that this server can read."""

    json: Mapping[str, Any] = {"type": "string", "minLength": 1}

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{shown(value)} is not the path of a file")
        _content(value)
        return value


def _content(name: str) -> bytes:
    """The first bytes of a file, to know that it can be read; a secret is no longer than that."""
    try:
        with Path(name).open("rb") as file:
            return file.read(LONGEST_SECRET + 2)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {getattr(error, 'strerror', None) or 'is not the path of a file'}") from None


class Pattern(Value):
    """A regular expression that is looked for anywhere in the decoded path."""

    json: Mapping[str, Any] = {"type": "string", "format": "regex", "maxLength": LONGEST_PATTERN}

    def read(self, value: Any) -> re.Pattern[str]:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{shown(value)} is not a regular expression")
        if len(value) > LONGEST_PATTERN:
            raise ValueError(f"longer than {LONGEST_PATTERN} characters")
        if _RUNAWAY.search(value):
            raise ValueError("repeats a repetition, which some paths take for ever to match: (a+)+ means a+")
        try:
            with warnings.catch_warnings(action="ignore"):
                return re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}") from None


class Tag(Value):
    """An image's tag; a digest is none (OCI distribution spec, "Pulling manifests")."""

    json: Mapping[str, Any] = {"type": "string", "pattern": f"^{_TAG.pattern}$"}

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _TAG.fullmatch(value):
            raise ValueError(f"{shown(value)} is not a tag: letters, digits, _ . and -, at most 128")
        return value
