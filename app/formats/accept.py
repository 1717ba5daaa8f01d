"""Which of several forms of a document fits an Accept header best.

Source: RFC 9110, 12.4.2 (quality) and 12.5.1 (the most specific range decides).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_LONGEST = 8190  # characters that are read
_QUALITY = re.compile(r"q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def fitting(accept: str, offers: Sequence[str]) -> str:
    """The first offer of the highest quality; the first of all where none fits, or nothing is said."""
    given = _qualities(accept[:_LONGEST])
    best = max(offers, key=lambda offer: _quality(offer, given))  # the first of equals
    return best if _quality(best, given) > 0 else offers[0]


def _qualities(accept: str) -> Mapping[str, float]:
    """Quality by media range, in lower case."""
    found = {}
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        said = [match[1] for part in parameters if (match := _QUALITY.fullmatch(part))]
        if kind:
            found[kind] = float(said[0]) if said else 1.0
    return found


def _quality(offer: str, given: Mapping[str, float]) -> float:
    for kind in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        if kind in given:
            return given[kind]
    return 0.0
