"""How Helm's charts are hosted: each under the name that its Chart.yaml gives it, all of them in one index.yaml.

    <name>-<version>.tgz         a chart; <name>-<version>.tgz.prov is its signature
    index.yaml                   written by build()
    api/charts, api/prov         ChartMuseum's: POST sends them, GET of api/charts shows them, DELETE removes them

Source: helm.sh/docs/topics/chart_repository; github.com/helm/chartmuseum, "API".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from io import BytesIO
from itertools import chain, takewhile
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs

from app.errors import BadRequest, MethodNotAllowed, NotFound, Unprocessable
from app.hosting import helm_chart, helm_index
from app.hosting.archives import judged
from app.hosting.base import Accepted, Build, Built, Contents, Described, Host, New, Page, Post, Sent
from app.hosting.helm_chart import CHART, SIGNATURE, Chart
from app.resource import Ask

API, API_SIGNATURES = "api/charts", "api/prov"
YAML = "text/yaml"
SAVED: Mapping[str, object] = {"saved": True}
_LARGEST_SIGNATURE = 1 << 20


class Helm(Host):
    """See the module."""

    __slots__ = ()
    methods = ("PUT", "POST", "DELETE")

    def turn(self, post: Post) -> str | None:
        """Where a chart may be replaced, its old signature goes with it."""
        return "charts" if post.repository.overwrite else None

    def accept(self, post: Post, contents: Contents) -> Accepted:
        """See Host.accept."""
        if post.method == "DELETE":
            return _removed(post.path, contents)
        if post.method == "POST":
            return _posted(post, contents)
        if post.path.endswith(SIGNATURE):
            return Accepted([_signature(post.file, contents, post.path)])
        new, chart = _chart(post.file, contents)
        if post.path != chart.file:
            raise Unprocessable(f"this chart's file is named {chart.file}", code="not_a_package")
        return Accepted([new], _outdated(post, chart, contents))

    def describes(self, path: str) -> bool:
        """See Host.describes."""
        return path.endswith(CHART)

    def describe(self, path: str, file: Path) -> Described | None:
        """See Host.describe."""
        with judged():
            return Described("", helm_index.about(helm_chart.read(file)))

    def build(self, build: Build) -> Iterable[Built]:
        """index.yaml; without a chart there is none, and page() shows an empty one."""
        body, items = build.scratch(), iter(build.items)
        first = next(items, None)
        if first is None:
            return
        with body.open("wb") as file:
            file.writelines(helm_index.lines(chain([first], items), _context(build.repository.name), build.now))
        yield Built(helm_index.NAME, body, YAML)

    def page(self, ask: Ask, contents: Contents, address: str) -> Page | None:
        """ChartMuseum's answers, and the index of an empty repository."""
        if ask.path == helm_index.NAME and contents.find(ask.path) is None:
            return Page(b"".join(helm_index.lines((), _context(ask.repository), ask.started)), YAML)
        below = ask.path.removeprefix(API)
        if below == ask.path or (below and below[0] != "/"):
            return None
        return _page([each for each in below.split("/") if each], contents, ask.query)


HOST = Helm()


# -- what is sent -------------------------------------------------------------------------------------------


def _posted(post: Post, contents: Contents) -> Accepted:
    path = post.path.rstrip("/")
    if path not in (API, API_SIGNATURES):
        raise MethodNotAllowed("a chart is sent with POST to api/charts", ("GET", "HEAD", "PUT", "DELETE"))
    charts = [each for each in post.files if each.field in ("", "file", "chart")]
    signatures = [each for each in post.files if each.field == "prov"]
    if path == API_SIGNATURES:
        charts, signatures = [], [*signatures, *charts]
    if len(charts) > 1 or len(signatures) > 1 or not (charts or signatures):
        raise BadRequest(
            "one chart is sent, raw or as the field `chart`, and its signature as `prov`", code="bad_multipart"
        )
    if not charts:
        return Accepted([_signature(signatures[0], contents)], answer=SAVED)
    new, chart = _chart(charts[0], contents)
    beside = [_signature(each, contents, f"{chart.file}.prov", charts[0].upload.finish()) for each in signatures]
    return Accepted([new, *beside], () if beside else _outdated(post, chart, contents), answer=SAVED)


def _chart(sent: Sent, contents: Contents) -> tuple[New, Chart]:
    index = contents.find(helm_index.NAME)
    if index is not None and index.size > helm_index.LARGEST:
        raise Unprocessable("the repository has too many charts for one index; delete some", code="too_many")
    with judged():
        chart = helm_chart.read(sent.upload.path)
        said = helm_index.about(chart)
    return New(chart.file, sent.upload, "", "", said), chart


def _signature(sent: Sent, contents: Contents, path: str = "", digest: str = "") -> New:
    """Only beside the chart that it is of: `digest` is that of the one sent with it."""
    if sent.upload.size > _LARGEST_SIGNATURE:
        raise Unprocessable("this is too long for a signature", code="not_a_package")
    try:
        name, wanted = helm_chart.signed(sent.upload.path.read_bytes())
    except ValueError as error:
        raise Unprocessable(f"this {error}", code="not_a_package") from error
    if path not in ("", f"{name}.prov"):
        raise Unprocessable(f"this is a signature of {name}", code="not_a_package")
    entry = contents.find(name) if not digest else None
    digest = entry.digest if entry else digest
    if not digest:
        raise BadRequest(f"there is no {name}; its signature comes after it", code="no_such_chart")
    if digest != wanted:
        raise Unprocessable(f"this is the signature of another {name}", code="not_a_package")
    return New(f"{name}.prov", sent.upload, "text/plain")


def _outdated(post: Post, chart: Chart, contents: Contents) -> Sequence[str]:
    """The signature of what this chart replaces."""
    path = f"{chart.file}.prov"
    return [path] if post.repository.overwrite and contents.find(path) is not None else []


def _removed(path: str, contents: Contents) -> Accepted:
    """A chart and its signature, by its path or by ChartMuseum's; or a signature alone."""
    status, answer = 204, None
    if path.startswith(f"{API}/"):
        name, _, version = path.removeprefix(f"{API}/").partition("/")
        path, status, answer = f"{name}-{version}{CHART}", 200, {"deleted": True}
    beside = f"{path}.prov"
    signed = path.endswith(CHART) and contents.find(beside) is not None
    return Accepted(gone=[path, beside] if signed else [path], status=status, answer=answer)


# -- what is told -------------------------------------------------------------------------------------------


def _context(repository: str) -> str:
    return f"/repository/{repository}"


def _index(contents: Contents) -> BinaryIO:
    """The stored index, in memory: what a store opens is not buffered, and this is read line by line."""
    try:
        with contents.open(helm_index.NAME) as file:
            return BytesIO(file.read())
    except NotFound:
        return BytesIO()


def _page(wanted: Sequence[str], contents: Contents, query: str) -> Page:
    """All charts, one, or one version of it."""
    if not wanted:
        charts = list(helm_index.entries(_index(contents)))
        start, stop = _span(query, len(charts))
        told = (b'"%s":[%s]' % (name.encode(), b",".join(found)) for name, found in charts[start:stop])
        return Page(b"{%s}\n" % b",".join(told))
    if len(wanted) == 1:
        found = _versions(contents, wanted[0])
    else:
        one = contents.item("-".join(wanted) + CHART) if len(wanted) == 2 else None
        found = [version for name, version in map(helm_index.told, [one] if one else []) if name == wanted[0]]
    if not found:
        raise NotFound("no such chart", code="file_not_found")
    written = [version[-1].encode() for version in found]
    return Page(b"[%s]\n" % b",".join(written) if len(wanted) == 1 else written[0] + b"\n")


def _versions(contents: Contents, name: str) -> Sequence[helm_index.Version]:
    """Of one chart, the newest first; its files are beside each other."""
    before = f"{name}-"
    with closing(cast(Any, contents.items("", before))) as items:  # it holds a connection until it ends
        near = takewhile(lambda item: item.path.startswith(before), items)
        return sorted((version for chart, version in map(helm_index.told, near) if chart == name), reverse=True)


def _span(query: str, number: int) -> tuple[int, int]:
    """ChartMuseum's offset and limit, in charts."""
    said = parse_qs(query)
    try:
        offset, limit = (
            int(said.get(key, [default])[-1]) for key, default in (("offset", "0"), ("limit", str(number)))
        )
    except ValueError:
        offset = limit = -1
    if offset < 0 or limit < 0:
        raise BadRequest("offset and limit are numbers of charts", code="bad_query")
    return offset, offset + limit
