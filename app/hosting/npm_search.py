"""npm's search: packages whose name has every word of a text; there is no ranking.

Source: github.com/npm/registry, docs/REGISTRY-API.md, GET /-/v1/search.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

from app.formats.npm import FULL, VARIANTS
from app.hosting.base import Contents

_DEFAULT, _MOST = 20, 100  # packages in one answer
_NAMES = 20_000  # that are looked at
_READ = 1 << 20  # bytes of a document of which more than the name is told


def searched(contents: Contents, query: str, address: str) -> Mapping[str, Any]:
    """The answer to ?text=&size=&from=; `total` counts no further than one beyond what is told."""
    asked = {key: values[-1] for key, values in urllib.parse.parse_qs(query).items()}
    size, start = (_number(asked.get(key, ""), usual) for key, usual in (("size", _DEFAULT), ("from", 0)))
    words = asked.get("text", "").lower().split()
    matching = (name for name in islice(_names(contents), _NAMES) if all(word in name for word in words))
    found = list(islice(matching, start, start + min(size, _MOST) + 1))
    told = [{"package": _told(contents, name)} for name in found[: min(size, _MOST)]]
    return {"objects": told, "total": start + len(found)}


def _number(text: str, usual: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else usual


def _names(contents: Contents) -> Iterator[str]:
    after = ""
    while names := contents.scopes(after):
        yield from names
        after = names[-1]


def _told(contents: Contents, name: str) -> Mapping[str, Any]:
    path = f"{name}/-/{VARIANTS[FULL]}"
    entry = contents.find(path)
    if entry is None or entry.size > _READ:
        return {"name": name}
    with closing(contents.open(path)) as file:
        found = json.loads(file.read())
    version = found["dist-tags"]["latest"]
    said = {key: found[key] for key in ("description", "keywords") if key in found}
    return {"name": name, "version": version, "date": found["time"][version], **said}
