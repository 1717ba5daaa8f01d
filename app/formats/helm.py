"""helm: charts and their signatures, and the index.yaml that says where upstream keeps them.

    index.yaml                                  made of upstream's, or of all members'
    charts/<name>/<version>/<digest>/<file>     a chart, wherever upstream keeps it; <file>.prov is its signature
    <anything else>                             as upstream, or a local repository, has it under that path

Source: helm.sh/docs/topics/chart_repository, helm.sh/docs/topics/provenance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from app.errors import Forbidden
from app.formats import helm_index
from app.formats.base import PathRules, rule
from app.formats.helm_index import Document, Entry, Places
from app.formats.helm_versions import chart_of, precedence
from app.formats.merging import Claims
from app.formats.virtual import among, made, merged
from app.resource import Ask, Desk, Found, Kind, Located, Made, Reading, Repository, Resource

INDEX = "index.yaml"
YAML = "text/yaml"
SIGNATURE = ".prov"
MOST = 192 << 20  # bytes of a merged index, while it is made
_UPSTREAMS = f"{INDEX}\x1fupstream"  # the key of upstream's own; no client's path has that character
_CHART = re.compile(
    r"charts/(?P<name>[^/]+)/(?P<version>[^/]+)/(?P<digest>[0-9a-f]{16}|-)/[^/]+?\.(?:tgz|tar\.gz)(?P<signature>\.prov)?"
)
_PLACES = Places()


class _Helm(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        chart = _CHART.fullmatch(ask.path)
        if repository.kind is Kind.VIRTUAL:
            if ask.path != INDEX:
                return among(self, repository, ask)
            return merged(self, repository, INDEX, INDEX, self._source)
        if repository.kind is Kind.LOCAL:
            return super().resolve(repository, replace(ask, path=_hosted(chart) if chart else ask.path))
        if ask.path == INDEX:
            return made(self, repository, INDEX, INDEX, [self._source(repository)], "helm: made of upstream's index")
        found = super().resolve(repository, ask)
        return replace(found, named_in=self._source(repository)) if chart else found

    def _source(self, repository: Repository) -> Resource:
        """The index as upstream, or the local repository, has it."""
        found = super().resolve(repository, Ask("GET", repository.name, INDEX))
        return found if repository.kind is Kind.LOCAL else replace(found, key=_UPSTREAMS)

    def named(self, path: str) -> str:
        """See Format."""
        chart = _CHART.fullmatch(path)
        return chart["name"] if chart else chart_of(path.rpartition("/")[2])

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: nothing but that it is an index."""
        helm_index.checked(body)
        return Reading()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format; a signature is beside its chart, and no index knows its digest."""
        chart = _CHART.fullmatch(resource.path)
        if chart is None:
            return None
        found = _PLACES.find(index, chart["name"], chart["version"], chart["digest"])
        return Located(found.url + SIGNATURE) if found is not None and chart["signature"] else found

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """Of the same name and version the first source's; the newest versions first, where several have a chart.

        Of a virtual: without what a member may not bring, and without versions that would make Helm read nothing.
        """
        several = resource.repository.kind is Kind.VIRTUAL
        held = _held(found) if several else set()
        merging = _Merging(Claims((*resource.repository.parts, *resource.repository.unread), held), self, several)
        more: dict[str, object] = {}
        for each in found:
            document = _document(each)
            if document is not None:
                merging.add(each.resource.repository, document)
                more = _besides(more, document) if several else dict(document.more)
        for piece in helm_index.lines(merging.charts(), more):
            desk.write(piece)
        return Made(YAML)


def _hosted(chart: re.Match[str]) -> str:
    """Where a local repository has a chart."""
    return f"{chart['name']}-{chart['version']}.tgz{chart['signature'] or ''}"


def _document(found: Found) -> Document | None:
    if found.file is None:
        return None
    found.file.seek(0)
    try:
        return helm_index.read(found.file)
    except ValueError as error:
        raise ValueError(f"{found.resource.repository.name}: {error}") from error


def _held(found: Sequence[Found]) -> set[str]:
    """The names of the charts that local members have."""
    documents = (_document(each) for each in found if each.resource.repository.kind is Kind.LOCAL)
    return {name for document in documents if document for name in document.charts}


def _besides(more: dict[str, object], document: Document) -> dict[str, object]:
    """What an index of several says besides: the latest of their dates."""
    dates = [str(each.get("generated") or "") for each in (more, document.more)]
    return {"apiVersion": "v1", **({"generated": max(dates)} if any(dates) else {})}


class _Merging:
    """The charts of several indexes, each version as the line that is written of it."""

    def __init__(self, claims: Claims, known: _Helm, several: bool) -> None:
        self._claims, self._known, self._several = claims, known, several
        self._charts: dict[str, dict[str, bytes]] = {}
        self._mixed: set[str] = set()  # charts of more than one source
        self._size = 0

    def add(self, repository: Repository, document: Document) -> None:
        """What the others before it have not."""
        for chart, versions in document.charts.items():
            if self._several and self._claims.refuse(repository, chart):
                continue
            mine = [each for each in versions if not self._several or self._allowed(repository, chart, each)]
            if chart in self._charts and mine:
                self._mixed.add(chart)
            self._add(repository, self._charts.setdefault(chart, {}), mine)

    def _allowed(self, repository: Repository, chart: str, entry: Entry) -> bool:
        name = entry["name"]
        return helm_index.legible(entry) and (name == chart or not self._claims.refuse(repository, name))

    def _add(self, repository: Repository, lines: dict[str, bytes], versions: Sequence[Entry]) -> None:
        for entry in versions:
            here = helm_index.path(entry)
            if entry["version"] in lines or (here and not self._served(repository, here)):
                continue
            lines[entry["version"]] = line = helm_index.line(entry, here)
            self._size += len(line)
            if self._size > MOST:
                raise ValueError(f"{repository.name}: index.yaml makes the merged one longer than {MOST >> 20} MiB")

    def _served(self, repository: Repository, path: str) -> bool:
        """Whether the patterns allow it."""
        if not repository.immutable_patterns:
            return True
        try:
            self._known.resolve(repository, Ask("GET", repository.name, path))
        except Forbidden:
            return False
        return True

    def charts(self) -> dict[str, Iterator[bytes]]:
        """What was added, by name."""
        found = self._charts.items()
        return {name: self._ordered(name, lines) for name, lines in found if lines or not self._several}

    def _ordered(self, name: str, lines: dict[str, bytes]) -> Iterator[bytes]:
        versions = sorted(lines, key=precedence, reverse=True) if name in self._mixed else lines
        return (lines[version] for version in versions)


HELM = _Helm(
    "helm",
    (
        rule(r"index\.yaml", "the index", own=True, index=True),
        rule(_CHART.pattern, "a chart, under its digest", immutable=True),
    ),
    merged=True,
)
