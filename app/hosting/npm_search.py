"""npm's search: packages whose name has every word of a text; there is no ranking.

Source: github.com/npm/registry, docs/REGISTRY-API.md, GET /-/v1/search.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from app.hosting.base import Contents
from app.hosting.npm_package import moment, told

_MOST = 20  # packages in one answer
_NAMES = 20_000  # that are looked at


def searched(contents: Contents, query: str, address: str) -> Mapping[str, Any]:
    """The answer to ?text=&size=&from=; `total` counts no further than one beyond what is told."""
    asked = {key: values[-1] for key, values in urllib.parse.parse_qs(query).items()}
    size, start = (_number(asked.get(key, ""), usual) for key, usual in (("size", _MOST), ("from", 0)))
    words = asked.get("text", "").lower().split()
    names = islice(_names(contents), _NAMES if start < _NAMES else 0)
    matching = (name for name in names if all(word in name for word in words))
    found = list(islice(matching, start, start + min(size, _MOST) + 1))
    objects = [{"package": _told(contents, name)} for name in found[: min(size, _MOST)]]
    return {"objects": objects, "total": start + len(found)}


def _number(text: str, usual: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else usual


def _names(contents: Contents) -> Iterator[str]:
    after = ""
    while names := contents.scopes(after):
        yield from names
        after = names[-1]


def _told(contents: Contents, name: str) -> Mapping[str, Any]:
    found = told(contents, name, "latest")
    if found is None:
        return {"name": name, "maintainers": []}
    item, manifest = found
    said = {key: manifest[key] for key in ("version", "description", "keywords") if key in manifest}
    # npm's own client reads `maintainers` of each, and a project's members are nobody's to be shown
    return {"name": name, "date": moment(item.published), "maintainers": [], **said}
