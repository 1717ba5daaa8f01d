"""Which images are stored here: the pages of `_catalog`, and what every answer of the registry API shares."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import parse_qs, quote

from flask import Flask, Response, current_app

from app import paths
from app.errors import BadRequest
from app.formats.docker import CATALOG
from app.resource import Ask
from app.web import oci
from app.web.node import node

PAGE, MOST = 100, 1000  # names of a catalog's page, where nobody says how many and at the most
RECENT = 10.0  # seconds for which a worker answers from what it read: anybody may ask, and each reading is a table's
HELD = 10_000  # names of one repository kept for so long; of a larger one every page is read by itself
NUMBER = re.compile(r"[0-9]{1,18}")
RECENTLY = "artifactapi.catalog"  # the application's key of its Recent

Names = Callable[[str, str, int], Sequence[str]]


def install(app: Flask) -> None:
    app.extensions[RECENTLY] = Recent(_read, lambda: node().shelf.clock())


def catalog(ask: Ask, repositories: Sequence[str], *, prefixed: bool) -> Response:
    """One page of what is stored in these repositories; `prefixed` by their names, or bare, of all as of one."""
    size, last = _size(said(ask, "n")), paths.check(said(ask, "last") or "")
    bare = [] if prefixed else sorted({name for each in repositories for name in _names(each, last, size + 1)})
    found = page(repositories, last, size + 1, _names) if prefixed else bare
    response = told({"repositories": found[:size]})
    if size and len(found) > size:
        more = f"n={size}&last={quote(found[size - 1], safe='')}"
        response.headers["Link"] = f'<{ask.url_path}?{more}>; rel="next"'
    return response


def page(repositories: Iterable[str], last: str, size: int, names: Names) -> list[str]:
    """At most `size` names `<repository>/<name>` after `last`, in the order of their bytes.

    `names(repository, after, limit)` reads one repository's. One after the other, because a repository `a-b` comes
    before `a` here: "-" is less than "/".
    """
    found: list[str] = []
    for prefix in sorted(f"{each}/" for each in repositories):
        within = last.startswith(prefix)
        if len(found) < size and (within or last < prefix):
            after = last.removeprefix(prefix) if within else ""
            found += [f"{prefix}{name}" for name in names(prefix[:-1], after, size - len(found))]
    return found


class Recent:
    """The names that were read a moment ago, of each repository; `clock` is in seconds."""

    def __init__(self, read: Names, clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._held: dict[str, tuple[float, Sequence[str]]] = {}

    def names(self, repository: str, after: str, limit: int) -> Sequence[str]:
        """As `read`, which is asked for all names at once, so that no choice of a page asks it again."""
        held = self._all(repository)
        if len(held) == HELD:
            return self._read(repository, after, limit)
        start = bisect_right(held, after)
        return held[start : start + limit]

    def _all(self, repository: str) -> Sequence[str]:
        now, (until, held) = self._clock(), self._held.get(repository, (float("-inf"), ()))
        if not until - RECENT <= now < until:
            held = self._read(repository, "", HELD)
            self._held[repository] = now + RECENT, held
        return held


def said(ask: Ask, name: str) -> str | None:
    """The first value of a query's parameter, "" where it has none; None without the parameter."""
    return parse_qs(ask.query, keep_blank_values=True).get(name, [None])[0]


def told(document: Mapping[str, object]) -> Response:
    return Response(json.dumps(document), headers=[oci.VERSION], content_type="application/json")


def _size(said: str | None) -> int:
    if said is None:
        return PAGE
    if not NUMBER.fullmatch(said):
        raise BadRequest("n is the number of results that are wanted", code="pagination_number_invalid")
    return min(int(said), MOST)


def _names(name: str, after: str, limit: int) -> Sequence[str]:
    recent: Recent = current_app.extensions[RECENTLY]
    return recent.names(name, after, limit)


def _read(name: str, after: str, limit: int) -> Sequence[str]:
    index = node().shelf.catalog.index
    return [found for _, found in index.names([name], CATALOG, (name, after), limit)]
