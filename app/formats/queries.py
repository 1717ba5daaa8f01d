"""A query that is part of what is asked: known parameters in one order and one spelling, or a clear refusal."""

from __future__ import annotations

import re
import urllib.parse

from app.errors import BadRequest

LONGEST = 2048  # characters of a value
_NUMBER = re.compile(r"[0-9]{1,9}")


def canonical(query: str, texts: frozenset[str], numbers: frozenset[str]) -> str:
    """The parameters that are known, of each the first, encoded anew; raises BadRequest "bad_query"."""
    found: dict[str, str] = {}
    try:
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=64)
    except ValueError:
        raise BadRequest("the query cannot be read", code="bad_query") from None
    for name, value in pairs:
        if name in numbers and not _NUMBER.fullmatch(value):
            raise BadRequest(f"{name} is no number", code="bad_query")
        if len(value) > LONGEST:
            raise BadRequest(f"{name} is longer than {LONGEST} characters", code="bad_query")
        if name in texts | numbers:
            found.setdefault(name, value)
    return urllib.parse.urlencode(sorted(found.items()), quote_via=urllib.parse.quote)
