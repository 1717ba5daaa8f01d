"""The pages of a Python package index: what they say, and how it is written, in HTML and in JSON.

Source: PEP 503 (links, data-gpg-sig), 592 (yanked), 629 and 691 (versions, JSON), 700 (versions, size, upload-time),
708 (tracks, alternate-locations), 714 (core-metadata, and the name it had before), 740 (provenance), 792 (status).
"""

from __future__ import annotations

import html
import json
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
VERSION = "1.1"  # of the API: what PEP 700 added to 1.0
_OURS: Mapping[str, object] = {"api-version": VERSION}


@dataclass(frozen=True, slots=True)
class File:
    """One file of a project. `url` may be relative to the page; digests are in hex by hashlib's names; `uploaded` as
    PEP 700 writes a time (moment()); `yanked` is None or the reason, which may be ""; `metadata` are digests of
    `<url>.metadata`, None where that is not to be had; `signed` is None where nobody says whether there is
    `<url>.asc`; `provenance` is a URL like `url`; `more` is what else a JSON page says of it."""

    name: str
    url: str
    digests: Mapping[str, str]
    size: int | None = None
    uploaded: str = ""
    requires_python: str = ""
    yanked: str | None = None
    metadata: Mapping[str, str] | None = None
    signed: bool | None = False
    provenance: str = ""
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Project:
    """A project's page; `name` is normalised, `versions` None where nobody lists them all; `meta` and `more` are
    what a JSON page has under "meta" and beside it. `files` are read once."""

    name: str
    versions: Sequence[str] | None = ()
    files: Iterable[File] = field(default_factory=tuple)
    meta: Mapping[str, object] = field(default_factory=lambda: _OURS)
    more: Mapping[str, object] = field(default_factory=dict)


class Listed(NamedTuple):
    """A project in the list of all; `more` is what else a JSON page says of it."""

    name: str
    more: Mapping[str, object] = MappingProxyType({})


def project_json(project: Project) -> Iterator[bytes]:
    """PEP 691 and 700; a page without all the versions is one of version 1.0, whatever else it says."""
    meta = project.meta if project.versions is not None else {**project.meta, "api-version": "1.0"}
    head: dict[str, object] = {"meta": meta, "name": project.name}
    if project.versions is not None:
        head["versions"] = list(project.versions)
    return _json({**head, **project.more}, "files", (_dumped(_object(each)) for each in project.files))


def project_html(project: Project) -> Iterator[bytes]:
    """PEP 503; the same page serves as text/html and as version 1 of the API."""
    return _html(f"Links for {project.name}", _metas(project), (_link(each) for each in project.files))


def root_json(names: Iterable[Listed], meta: Mapping[str, object] = _OURS) -> Iterator[bytes]:
    """The list of all projects."""
    return _json({"meta": meta}, "projects", map(_listed, names))


def root_html(names: Iterable[Listed], meta: Mapping[str, object] = _OURS) -> Iterator[bytes]:
    """The list of all projects."""
    links = (f'<a href="{name}/">{name}</a>' for name in (html.escape(each.name) for each in names))
    return _html("Simple index", _metas(Project("", meta=meta)), links)


def _listed(project: Listed) -> bytes:
    if project.more:
        return _dumped({"name": project.name, **project.more})
    return f'{{"name":{json.dumps(project.name)}}}'.encode("ascii")


def _object(file: File) -> Mapping[str, object]:
    metadata = file.metadata if file.metadata is not None else False
    if metadata == {}:
        metadata = True
    found: dict[str, object] = {"filename": file.name, "url": file.url, "hashes": dict(file.digests)}
    if file.size is not None:
        found["size"] = file.size
    if file.uploaded:
        found["upload-time"] = file.uploaded
    if file.requires_python:
        found["requires-python"] = file.requires_python
    found["yanked"] = (file.yanked or True) if file.yanked is not None else False
    found |= {"core-metadata": metadata, "dist-info-metadata": metadata}
    if file.signed is not None:
        found["gpg-sig"] = file.signed
    if file.provenance:
        found["provenance"] = file.provenance
    return {**found, **file.more}


def _link(file: File) -> str:
    said = {"data-requires-python": file.requires_python} if file.requires_python else {}
    if file.metadata is not None:
        digest = _fragment(file.metadata) or "true"
        said |= {"data-core-metadata": digest, "data-dist-info-metadata": digest}
    if file.yanked is not None:
        said["data-yanked"] = file.yanked
    if file.signed:
        said["data-gpg-sig"] = "true"
    if file.provenance:
        said["data-provenance"] = file.provenance
    fragment = _fragment(file.digests)
    target = urllib.parse.urldefrag(file.url).url + (f"#{fragment}" if fragment else "")
    lines = "".join(f' {name}="{html.escape(value)}"' for name, value in said.items())
    return f'<a href="{html.escape(target)}"{lines}>{html.escape(file.name)}</a>'


def _fragment(digests: Mapping[str, str]) -> str:
    """The best digest as a URL's fragment writes it, "" where there is none."""
    name = "sha256" if "sha256" in digests else next(iter(digests), "")
    return f"{name}={digests[name]}" if name else ""


def _metas(project: Project) -> Iterator[tuple[str, str]]:
    """What a JSON page says beside its files, as far as a page of HTML can."""
    yield "repository-version", str(project.meta.get("api-version", VERSION))
    status = project.more.get("project-status")
    if isinstance(status, Mapping):
        found = (("project-status", status.get("status")), ("project-status-reason", status.get("reason")))
        yield from ((name, value) for name, value in found if isinstance(value, str))
    for name, urls in (
        ("tracks", project.meta.get("tracks")),
        ("alternate-locations", project.more.get("alternate-locations")),
    ):
        yield from ((name, url) for url in (urls if isinstance(urls, list) else ()) if isinstance(url, str))


def _html(title: str, metas: Iterable[tuple[str, str]], links: Iterable[str]) -> Iterator[bytes]:
    said = "".join(f'<meta name="pypi:{name}" content="{html.escape(value)}">\n' for name, value in metas)
    head = f"{said}<title>{html.escape(title)}</title>"
    yield _text(f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n')
    yield from (_text(f"{link}<br>\n") for link in links)
    yield b"</body>\n</html>\n"


def _text(text: str) -> bytes:
    return text.encode("utf-8", "xmlcharrefreplace")


def _json(head: Mapping[str, object], name: str, items: Iterable[bytes]) -> Iterator[bytes]:
    """The members of `head`, and as the last one an array."""
    yield _dumped(head)[:-1] + f',"{name}":['.encode()
    for number, each in enumerate(items):
        yield b"," + each if number else each
    yield b"]}"


def _dumped(value: Mapping[str, object]) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


def moment(time: float) -> str:
    """Unix seconds as PEP 700 writes a time."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
