"""The pages of a Python package index: what they say, and how it is written, in HTML and in JSON.

Source: PEP 503 (links, data-gpg-sig), 592 (yanked), 629 and 691 (versions, JSON), 700 (versions, size, upload-time),
714 (core-metadata, and the name it had before).
"""

from __future__ import annotations

import html
import json
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

VERSION = "1.1"  # of the API: what PEP 700 added to 1.0


@dataclass(frozen=True, slots=True)
class File:
    """One file of a project. `url` may be relative to the page; digests are in hex by hashlib's names; `uploaded` in
    unix seconds; `yanked` is None or the reason, which may be ""; `metadata` are digests of `<url>.metadata`, None
    where that is not to be had."""

    name: str
    url: str
    digests: Mapping[str, str]
    size: int | None = None
    uploaded: float | None = None
    requires_python: str = ""
    yanked: str | None = None
    metadata: Mapping[str, str] | None = None
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """A project's page; `name` is normalised."""

    name: str
    versions: Sequence[str] = ()
    files: Sequence[File] = field(default_factory=tuple)


def project_json(project: Project) -> bytes:
    """PEP 691 and 700."""
    files = [_object(each) for each in project.files]
    return _json({"name": project.name, "versions": list(project.versions), "files": files})


def project_html(project: Project) -> bytes:
    """PEP 503; the same page serves as text/html and as version 1 of the API."""
    return _html(f"Links for {project.name}", (_link(each) for each in project.files))


def root_json(names: Iterable[str]) -> bytes:
    """The list of all projects."""
    return _json({"projects": [{"name": name} for name in names]})


def root_html(names: Iterable[str]) -> bytes:
    """The list of all projects."""
    return _html("Simple index", (f'<a href="{html.escape(name)}/">{html.escape(name)}</a>' for name in names))


def _object(file: File) -> Mapping[str, object]:
    metadata = file.metadata if file.metadata is not None else False
    found: dict[str, object] = {"filename": file.name, "url": file.url, "hashes": dict(file.digests)}
    if file.size is not None:
        found["size"] = file.size
    if file.uploaded is not None:
        found["upload-time"] = moment(file.uploaded)
    if file.requires_python:
        found["requires-python"] = file.requires_python
    found["yanked"] = (file.yanked or True) if file.yanked is not None else False
    return found | {"core-metadata": metadata, "dist-info-metadata": metadata, "gpg-sig": file.signed}


def _link(file: File) -> str:
    said = {"data-requires-python": file.requires_python} if file.requires_python else {}
    if file.metadata is not None:
        digest = _fragment(file.metadata) or "true"
        said |= {"data-core-metadata": digest, "data-dist-info-metadata": digest}
    if file.yanked is not None:
        said["data-yanked"] = file.yanked
    if file.signed:
        said["data-gpg-sig"] = "true"
    fragment = _fragment(file.digests)
    target = urllib.parse.urldefrag(file.url).url + (f"#{fragment}" if fragment else "")
    lines = "".join(f' {name}="{html.escape(value)}"' for name, value in said.items())
    return f'<a href="{html.escape(target)}"{lines}>{html.escape(file.name)}</a>'


def _fragment(digests: Mapping[str, str]) -> str:
    """The best digest as a URL's fragment writes it, "" where there is none."""
    name = "sha256" if "sha256" in digests else next(iter(digests), "")
    return f"{name}={digests[name]}" if name else ""


def _html(title: str, links: Iterable[str]) -> bytes:
    head = f'<meta name="pypi:repository-version" content="{VERSION}">\n<title>{html.escape(title)}</title>'
    body = "".join(f"{link}<br>\n" for link in links)
    text = f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}</body>\n</html>\n'
    return text.encode("utf-8", "xmlcharrefreplace")


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps({"meta": {"api-version": VERSION}, **document}, separators=(",", ":")).encode("ascii")


def moment(time: float) -> str:
    """Unix seconds as PEP 700 writes a time."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
