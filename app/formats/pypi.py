"""Python packages: which of a page's forms a client asks for, how names are written, where upstream has the files.

    simple/                     every project                         PEP 503, 691
    simple/<project>/           a project's files                     PEP 503, 592, 658, 691, 700, 714
    packages/<project>/<file>   a file; <file>.metadata what a wheel says of itself; <file>.asc its signature;
                                <file>.provenance who built it (PEP 740)
    pypi/<project>/json         what the warehouse's older API says; pypi/<project>/<version>/json, too

A page is stored in each of its three forms, as VARIANTS names them, so that every form has its own ETag. Of a remote
they are made of the page that upstream sent, which is stored under the page's own path; of a virtual, of those of its
members. A file has here the same path whatever upstream's is: that page says where it is, on whichever host, and
which digest it has.

Source: PEP 503; PEP 691, "Version + Format Selection"; the index API of PyPI, "JSON API".
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

from app import paths
from app.errors import Moved, NotFound
from app.formats.accept import fitting
from app.formats.base import PathRules, rule
from app.formats.pypi_files import METADATA, links, located, of_wheel, promised, split
from app.formats.pypi_made import page, root
from app.formats.pypi_names import is_project, normalised
from app.formats.pypi_read import files, head, valid
from app.formats.virtual import among, made, merged
from app.repository import patterned
from app.resource import (
    Ask,
    Desk,
    Found,
    Headers,
    Kind,
    Located,
    Made,
    Reading,
    Repository,
    Resource,
)

HTML, HTML_V1 = "text/html", "application/vnd.pypi.simple.v1+html"
JSON_V1 = "application/vnd.pypi.simple.v1+json"
VARIANTS = {
    HTML: "index.html",
    HTML_V1: "index.v1.html",
    JSON_V1: "index.v1.json",
}  # whoever takes all gets the first
PAGE = re.compile(r"simple/(?:(?P<project>[^/]+)/)?")
ACCEPT = f"{JSON_V1}, {HTML_V1};q=0.2, {HTML};q=0.1"  # what upstream is asked for

_LATEST = {each.replace(".v1+", ".latest+"): each for each in (HTML_V1, JSON_V1)}
_MISSPELT = re.compile(r"simple(?:/(?P<project>[^/]+))?(?P<slash>/?)")
_FILE = re.compile(r"packages/(?P<project>[^/]+)/(?P<file>[^/]+)")
_OLDER = re.compile(r"pypi/(?P<project>[^/]+)/(?:[^/]+/)?json")
_INDEXES = ("simple", "+simple")  # the last of a base URL that is an index's own
_WHEEL = ".whl"


def negotiated(accept: str, query: str = "") -> str:
    """The media type that a page is sent as: what `?format=` names, else what fits Accept best, else HTML."""
    given = urllib.parse.parse_qs(query).get("format", [""])[-1].replace(" ", "+")  # a bare + means a space there
    if (named := _LATEST.get(given, given)) in VARIANTS:
        return named
    best = fitting(accept, [*VARIANTS, *_LATEST])
    return _LATEST.get(best, best)


class PyPI(PathRules):
    """Pages by what is asked for, files as they are."""

    __slots__ = ()
    edition = 2

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format; Moved where a page's address has another spelling (PEP 503)."""
        if (target := _moved(ask)) is not None:
            raise Moved(target)
        if repository.kind is Kind.LOCAL:
            return self._hosted(repository, ask)
        if (path := _known(ask.path)) is None:
            raise NotFound("an index of Python packages has simple/, packages/ and pypi/", code="file_not_found")
        if PAGE.fullmatch(path):
            return self._page(repository, ask)
        if repository.kind is Kind.VIRTUAL:
            return among(self, repository, replace(ask, path=path))
        return self._older(repository, path) if _OLDER.fullmatch(path) else self._file(repository, path)

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """See Format."""
        return (("Vary", "Accept"),) if PAGE.fullmatch(ask.path) else ()

    def spelled(self, pattern: str) -> str:
        """See Format."""
        return normalised(pattern)

    def named(self, path: str) -> str:
        """See Format: a project, normalised."""
        found = PAGE.fullmatch(path) or _FILE.fullmatch(path) or _OLDER.fullmatch(path)
        return normalised(found["project"] or "") if found else ""

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format; of a project's page the links are its files with their digests."""
        if not PAGE.fullmatch(resource.path):
            valid(body)
            return Reading()
        project = self.named(resource.path)
        head(body, "files" if project else "projects")
        return Reading(links(project, body)) if project else Reading()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format."""
        assert resource.named_in is not None
        name, beside = split(resource.path.rpartition("/")[2])
        for file in files(index, _address(resource.named_in)):
            if file.name == name:
                return located(file, beside)
        return None

    def needs(self, resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
        """See Format: of a wheel's metadata, that wheel, where the page promises the metadata."""
        if not resource.path.endswith(METADATA) or len(found) > 1 or found[0].file is None:
            return ()
        path = resource.path.removesuffix(METADATA)
        if promised(found[0].file, path.rpartition("/")[2]) is None:
            raise NotFound("the index of upstream does not promise this file", upstream_status=404)
        return (self._file(resource.repository, path),)

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format."""
        if resource.path.endswith(METADATA):
            desk.write(of_wheel(resource, found))
            return Made("text/plain; charset=utf-8")
        variant = resource.key.removeprefix(resource.path).partition("\x1f")[0]
        kind = next(each for each, name in VARIANTS.items() if name == variant)
        written = Made(f"{HTML}; charset=utf-8" if kind == HTML else kind)
        if project := self.named(resource.path):
            page(project, found, desk, as_json=kind == JSON_V1)
        else:
            root(resource.repository, found, desk, written, as_json=kind == JSON_V1)
        return written

    # -- what a path is ---------------------------------------------------------------------------------------

    def _hosted(self, repository: Repository, ask: Ask) -> Resource:
        key, said = ask.path, "local: kept as it was published"
        if PAGE.fullmatch(ask.path):
            key += VARIANTS[negotiated(ask.headers.get("accept", ""), ask.query)]
            said = "pypi: a page of the index"
        return Resource(repository, key, ask.path, immutable=True, html=True, format=self, rule=said)

    def _page(self, repository: Repository, ask: Ask) -> Resource:
        key = ask.path + VARIANTS[negotiated(ask.headers.get("accept", ""), ask.query)] + _patterns(repository)
        if repository.kind is Kind.VIRTUAL:
            return merged(self, repository, key, ask.path, lambda part: self._source(part, ask.path))
        said = "pypi: a page of the index, made of upstream's"
        return made(self, repository, key, ask.path, (self._source(repository, ask.path),), said)

    def _source(self, repository: Repository, path: str) -> Resource:
        """A page as upstream sent it, or as it is hosted: in JSON, where that is to be had."""
        asked = Ask("GET", repository.name, path, headers={"accept": ACCEPT})
        if repository.kind is Kind.LOCAL:
            return self._hosted(repository, asked)
        project = self.named(path)
        listing = path if project else ""
        found = super().resolve(repository, asked)
        return replace(found, headers={"Accept": ACCEPT}, url=_own_url(repository, path), listing=listing)

    def _older(self, repository: Repository, path: str) -> Resource:
        """It is beside an index, and nobody sees it before it is judged."""
        found = super().resolve(repository, Ask("GET", repository.name, path))
        above = tuple(_above(each) for each in repository.base_urls)
        return replace(found, repository=replace(repository, base_urls=above), whole=True)

    def _file(self, repository: Repository, path: str) -> Resource:
        """What is beside a file is had by whoever may have that."""
        name, beside = split(path)
        found = super().resolve(repository, Ask("GET", repository.name, name))
        page = self._source(repository, f"simple/{self.named(path)}/")
        found = replace(found, key=path, path=path, named_in=page)
        if beside == ".provenance":  # who vouches for it may be more by and by
            return replace(found, immutable=False, ttl=repository.mutable_ttl, listed=False)
        if beside != METADATA or not name.endswith(_WHEEL):
            return found
        said = "pypi: upstream's page promises it; it is in the wheel"
        return replace(found, otherwise=made(self, repository, f"{path}\x1fwheel", path, (page,), said))


PYPI = PyPI(
    "pypi",
    (
        rule(r"simple/(?:[^/]+/)?", "a page of the index", own=True, html=True, index=True),
        rule(r"pypi/[^/]+/(?:[^/]+/)?json", "what the older API says of a project", own=True, index=True),
        rule(r"packages/[^/]+/[^/]+", "a file of a project", immutable=True, listed=True),
    ),
    merged=True,
)


# -- paths -----------------------------------------------------------------------------------------------------


def _moved(ask: Ask) -> str | None:
    """Where a page is whose address is spelled otherwise, relative to that; None for every other path."""
    found = _MISSPELT.fullmatch(ask.path)
    if found is None:
        return None
    project = found["project"] or ""
    if found["slash"] and project == normalised(project):
        return None
    if project and not is_project(normalised(project)):  # a colon in it would make a scheme of it
        return None
    target = f"{normalised(project) or 'simple'}/"
    query = f"?{ask.query}" if ask.query else ""
    return (f"../{target}" if found["slash"] else target) + query


def _known(path: str) -> str | None:
    """The path with the project as it is normalised; None where an index has no such thing."""
    found = PAGE.fullmatch(path) or _FILE.fullmatch(path) or _OLDER.fullmatch(path)
    if found is None or found["project"] is None:
        return found and path
    project = normalised(found["project"])
    start, end = found.span("project")
    return f"{path[:start]}{project}{path[end:]}" if is_project(project) else None


def _above(base: str) -> str:
    """What an index is below, of a base URL that is the index's own; else that itself."""
    above, _, last = base.rstrip("/").rpartition("/")
    return above if last in _INDEXES else base


def _own_url(repository: Repository, path: str) -> str:
    """Where upstream has a page, if the base URL is the index's own, as pip is configured with it; "" if not."""
    base = repository.base_urls[0].rstrip("/")
    if base.rpartition("/")[2] not in _INDEXES:
        return ""
    return f"{base}/{paths.quote(path.removeprefix('simple/'))}"


def _address(page: Resource) -> str:
    return page.url or paths.join(page.repository.base_urls[0], page.path)


def _patterns(repository: Repository) -> str:
    """The end of a page's key where patterns decide what is on it: another one with other patterns."""
    parts = [part for part in repository.parts or (repository,) if part.immutable_patterns]
    if not parts:
        return ""
    said = [(part.name, *patterned(part)) for part in parts]
    return f"\x1f{hashlib.sha256(repr(said).encode()).hexdigest()[:16]}"
