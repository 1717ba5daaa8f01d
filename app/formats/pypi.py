"""Python packages: which of a page's forms a client asks for, how names are written, and who reads those pages.

    simple/                     every project                         PEP 503, 691
    simple/<project>/           a project's files                     PEP 503, 592, 658, 691, 700, 714
    packages/<project>/<file>   a file; <file>.metadata what a wheel says of itself; <file>.asc its signature

A page is stored in each of its three forms, as VARIANTS names them, so that every form has its own ETag.

Source: PEP 503; PEP 691, "Version + Format Selection".
"""

from __future__ import annotations

import re
import urllib.parse

from app.formats.accept import fitting
from app.resource import Ask, Format, Headers, Repository, Resource

HTML, HTML_V1 = "text/html", "application/vnd.pypi.simple.v1+html"
JSON_V1 = "application/vnd.pypi.simple.v1+json"
VARIANTS = {
    HTML: "index.html",
    HTML_V1: "index.v1.html",
    JSON_V1: "index.v1.json",
}  # whoever takes all gets the first
PAGE = re.compile(r"simple/(?:[^/]+/)?")

_LATEST = {each.replace(".v1+", ".latest+"): each for each in (HTML_V1, JSON_V1)}
_RUNS = re.compile(r"[-_.]+")


def normalised(name: str) -> str:
    """A project's name as PEP 503 writes it."""
    return _RUNS.sub("-", name).lower()


def negotiated(accept: str, query: str = "") -> str:
    """The media type that a page is sent as: what `?format=` names, else what fits Accept best, else HTML."""
    given = urllib.parse.parse_qs(query).get("format", [""])[-1].replace(" ", "+")  # a bare + means a space there
    if (named := _LATEST.get(given, given)) in VARIANTS:
        return named
    best = fitting(accept, [*VARIANTS, *_LATEST])
    return _LATEST.get(best, best)


class PyPI(Format):
    """Pages by what is asked for, files as they are."""

    __slots__ = ()
    name = "pypi"
    proxied = False

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        key, said = ask.path, "local: kept as it was published"
        if PAGE.fullmatch(ask.path):
            key += VARIANTS[negotiated(ask.headers.get("accept", ""), ask.query)]
            said = "pypi: a page of the index"
        return Resource(repository, key, ask.path, immutable=True, html=True, format=self, rule=said)

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """See Format."""
        return (("Vary", "Accept"),) if PAGE.fullmatch(ask.path) else ()


PYPI = PyPI()
