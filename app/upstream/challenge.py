"""What a 401 asks for: WWW-Authenticate header lines read into challenges (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# Possessive, and a quote that never ends takes the rest of the line: linear whatever a stranger sends.
_ITEM = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_SCHEME = re.compile(rf"({_WORD})(?:[ \t]+(.*))?", re.DOTALL)
_PARAMETER = re.compile(rf"({_WORD})[ \t]*=[ \t]*({_WORD}|{_QUOTED})", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to be let in: `scheme` and the names of the parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def challenges(lines: Iterable[str]) -> tuple[Challenge, ...]:
    """Every challenge of all the header lines in their order; what is none is passed over.

    A comma separates challenges and parameters alike (RFC 9110, 11.6.1), so what follows one is a parameter
    where it reads as `name = value`, else the next challenge. Of a parameter given twice the first counts.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for line in lines:
        own: list[tuple[str, dict[str, str]]] = []
        for item in _ITEM.findall(line):
            _take(own, item.strip(" \t"))
        found += own
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def _take(found: list[tuple[str, dict[str, str]]], item: str) -> None:
    """Add what one item says: a parameter of the last challenge, or a new one and maybe its first parameter."""
    parameter = _PARAMETER.fullmatch(item)
    if parameter is None and (begun := _SCHEME.fullmatch(item)) is not None:
        found.append((begun[1].lower(), {}))
        parameter = _PARAMETER.fullmatch(begun[2] or "")
    if parameter is not None and found:
        found[-1][1].setdefault(parameter[1].lower(), _value(parameter[2]))


def _value(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1]) if text.startswith('"') else text
