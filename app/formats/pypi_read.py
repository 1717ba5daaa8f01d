"""What upstream's pages of a Python package index say, in whichever form they came; judged before they are kept.

A JSON page has its list of files, or of projects. An HTML page is one where it links to some, or says in its head or
heading that it is an index (which may be empty); what asks for a password never is.

Source: as in pypi_pages.py; PEP 503, "Specification", for what a link is.
"""

from __future__ import annotations

import io
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from app.errors import BadRequest
from app.formats.pypi_html import Anchor, Attributes, Page
from app.formats.pypi_json import members, sound
from app.formats.pypi_names import is_project, normalised
from app.formats.pypi_pages import File, Listed
from app.paths import LONGEST, check

LARGEST = 256 << 20  # bytes of a page; the list of all projects has some 40 MiB
LARGEST_HTML = 64 << 20  # which takes ten times the work
MOST_FILES = 500_000
MOST_NAMES = 2_000_000
MOST_VERSIONS = 100_000
BESIDE = (".metadata", ".asc", ".provenance")  # no file's name ends so: they are what is beside one

_VERSION = re.compile(r"1\.([0-9]{1,4})")
_FILE = re.compile(
    r".+\.(?:whl|tar|tar\.(?:gz|bz2|xz|lzma|z)|tgz|tbz|txz|tlz|zip|egg|exe|msi|rpm|deb|dmg)", re.IGNORECASE
)
_KNOWN = frozenset((
    "filename", "url", "hashes", "size", "upload-time", "requires-python", "yanked", "core-metadata",
    "dist-info-metadata", "gpg-sig", "provenance",
))  # fmt: skip
_PLAIN = re.compile(r"[0-9A-Za-z._-]+")  # a name that URLs write as it is
_HEAD = frozenset(("meta", "name", "versions", "files", "projects"))


@dataclass(frozen=True, slots=True)
class Head:
    """What a page says beside its files: `minor` of version 1 of the API, the rest as in Project."""

    minor: int = 0
    versions: tuple[str, ...] | None = None
    meta: Mapping[str, object] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)


def head(body: BinaryIO, listed: str, *, judged: bool = False) -> Head:
    """Reads all of a page whose list is `listed`, "files" or "projects"; raises ValueError where it is none. Of one
    that was `judged` before no more than it takes."""
    if _is_json(body):
        return _json_head(body, listed, judged)
    page = Page()
    if judged:  # meta elements come before any link
        next(page.anchors(body), None)
        return _html_head(page.metas)
    entries: Iterator[object] = _links(page, body) if listed == "files" else _named(page, body)
    some = sum(1 for _ in entries) > 0
    asks = page.asks and not (some if listed == "files" else page.declared)
    if not page.marked:
        raise ValueError(f"is neither a JSON object nor HTML, and no list of {listed}")
    if page.password or asks or not (some or page.declared):
        raise ValueError(f"is an HTML page, and no list of {listed}: a login page, perhaps")
    return _html_head(page.metas)


def files(body: BinaryIO, at: str = "") -> Iterator[File]:
    """The files of a project's page, without those that nobody could ask for; `at` is the page's own URL.

    Raises ValueError, from the iterator too.
    """
    found = _json_files(body) if _is_json(body) else _html_files(body, at)
    for number, file in enumerate(found):
        if number >= MOST_FILES:
            raise ValueError(f"lists more than {MOST_FILES} files")
        if _can_be_asked_for(file):
            yield file


def names(body: BinaryIO) -> Iterator[Listed]:
    """The projects of the list of all. Raises ValueError, from the iterator too."""
    for number, found in enumerate(_json_names(body) if _is_json(body) else _named(Page(), body)):
        if number >= MOST_NAMES:
            raise ValueError(f"lists more than {MOST_NAMES} projects")
        if is_project(found.name) or is_project(normalised(found.name)):
            yield found


def valid(body: BinaryIO) -> None:
    """Raises ValueError where a body is no JSON object."""
    _sized(body)
    sound(body)


def _is_json(body: BinaryIO) -> bool:
    """By its first character; the body is at its beginning, then as before."""
    body.seek(0)
    found = body.read(1 << 10).lstrip().startswith(b"{")
    _sized(body, LARGEST if found else LARGEST_HTML)
    return found


def _sized(body: BinaryIO, most: int = LARGEST) -> None:
    if body.seek(0, io.SEEK_END) > most:
        raise ValueError(f"is a page of more than {most >> 20} MiB")
    body.seek(0)


def _can_be_asked_for(file: File) -> bool:
    try:
        scheme = urllib.parse.urlsplit(file.url).scheme
        check(f"packages/p/{file.name}")
    except (ValueError, BadRequest):
        return False
    own = file.name and "/" not in file.name and not file.name.endswith(BESIDE)
    return bool(own) and scheme in ("", "http", "https") and len(file.name.encode()) < LONGEST // 4


# -- JSON ------------------------------------------------------------------------------------------------------


def _json_head(body: BinaryIO, listed: str, judged: bool) -> Head:
    meta: Mapping[str, object] = {}
    versions: list[str] | None = None
    more: dict[str, object] = {}
    there, left = False, MOST_FILES if listed == "files" else MOST_NAMES
    for name, value in members(body, ("files", "projects", "versions")):
        there = there or (name == listed and value is None)
        if name == "meta" and isinstance(value, dict):
            meta = value
            if judged and listed == "projects":  # all that is told of that list
                return Head(_minor(meta.get("api-version", "1.0")), meta=meta)
        elif name == "versions":
            versions = _more_of(versions, value)
        elif name == listed and value is not None:
            _judge(value, listed, left := left - 1)
        elif name not in _HEAD:
            more[name] = value
            _few(more)
    if not there:
        raise ValueError(f"is JSON without {listed}")
    return Head(_minor(meta.get("api-version", "1.0")), None if versions is None else tuple(versions), meta, more)


def _few(more: Mapping[str, object]) -> None:
    if len(more) > 64:
        raise ValueError("says more than an index has to say")


def _more_of(versions: list[str] | None, value: object) -> list[str]:
    """With one more, the first being None."""
    versions = versions or []
    if value is not None:
        if not isinstance(value, str) or len(versions) >= MOST_VERSIONS:
            raise ValueError(f"lists versions that are none, or more than {MOST_VERSIONS}")
        versions.append(value)
    return versions


def _judge(value: object, listed: str, left: int = 0) -> None:
    if left < 0:
        raise ValueError(f"lists more {listed} than there are")
    wanted = ("filename", "url") if listed == "files" else ("name",)
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in wanted):
        raise ValueError(f"has among its {listed} what is none")


def _minor(version: object) -> int:
    found = _VERSION.fullmatch(str(version))
    if found is None:
        raise ValueError("is a page of another version of the API than 1")
    return int(found[1])


def _json_files(body: BinaryIO) -> Iterator[File]:
    for name, value in members(body, ("files",)):
        if name == "files" and value is not None:
            _judge(value, name)
            assert isinstance(value, dict)
            yield _file(value)


def _file(said: Mapping[str, object]) -> File:
    """As PEP 691 says it; what is not of its type is left out."""
    yanked, size, signed = said.get("yanked"), said.get("size"), said.get("gpg-sig")
    metadata = said.get("core-metadata", said.get("dist-info-metadata"))
    return File(
        str(said["filename"]),
        str(said["url"]),
        _digests(said.get("hashes")),
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
        uploaded=_string(said, "upload-time"),
        requires_python=_string(said, "requires-python"),
        yanked=yanked if isinstance(yanked, str) and yanked else "" if yanked else None,
        metadata=_digests(metadata) if metadata is True or isinstance(metadata, dict) else None,
        signed=signed if isinstance(signed, bool) else None,
        provenance=_string(said, "provenance"),
        more={name: value for name, value in said.items() if name not in _KNOWN},
    )


def _string(said: Mapping[str, object], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""


def _digests(value: object) -> Mapping[str, str]:
    found = value.items() if isinstance(value, dict) else ()
    return {name: digest for name, digest in found if isinstance(digest, str)}


def _json_names(body: BinaryIO) -> Iterator[Listed]:
    for name, value in members(body, ("projects",)):
        if name == "projects" and value is not None:
            _judge(value, name)
            assert isinstance(value, dict)
            yield Listed(str(value.pop("name")), value)


# -- HTML ------------------------------------------------------------------------------------------------------


def _html_head(metas: list[tuple[str, str]]) -> Head:
    version = next((value for name, value in metas if name == "repository-version"), "1.0")
    meta: dict[str, object] = {"api-version": version}
    more: dict[str, object] = {}
    said = dict(reversed(metas))
    if status := said.get("project-status"):
        reason = said.get("project-status-reason")
        more["project-status"] = {"status": status} | ({"reason": reason} if reason else {})
    for name, into in (("tracks", meta), ("alternate-locations", more)):
        if urls := [value for each, value in metas if each == name]:
            into[name] = urls
    return Head(_minor(version), None, meta, more)


def _links(page: Page, body: BinaryIO) -> Iterator[tuple[str, Anchor]]:
    """(file's name, link) of each link to a file; its name is the last of the URL's path, as pip reads it."""
    for anchor in page.anchors(body):
        name = _last(anchor.url)
        if _FILE.fullmatch(name):
            yield name, anchor


def _last(url: str) -> str:
    try:
        return urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        return ""


def _html_files(body: BinaryIO, at: str) -> Iterator[File]:
    for name, anchor in _links(Page(at), body):
        url, _, fragment = anchor.url.partition("#")
        yield _linked(File(name, url, _fragment(fragment)), anchor.attributes)


def _linked(file: File, said: Attributes) -> File:
    """With what a link's attributes say."""
    metadata = said.get("data-core-metadata", said.get("data-dist-info-metadata"))
    signed = said.get("data-gpg-sig")
    return replace(
        file,
        requires_python=said.get("data-requires-python") or "",
        yanked=(said["data-yanked"] or "") if "data-yanked" in said else None,
        metadata=None if metadata is None or metadata == "false" else _fragment(metadata),
        signed={"true": True, "false": False}.get(signed or ""),
        provenance=said.get("data-provenance") or "",
    )


def _fragment(text: str) -> Mapping[str, str]:
    """The digests in `sha256=<hex>&...`; another parameter is none."""
    pairs = (each.partition("=") for each in text.split("&"))
    return {name: value for name, _, value in pairs if name in _ALGORITHMS and value}


_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


def _named(page: Page, body: BinaryIO) -> Iterator[Listed]:
    """The links whose text is the project that they lead to: others are the page's own."""
    for anchor in page.anchors(body):
        path, name = anchor.url.partition("#")[0].partition("?")[0], anchor.text.rstrip("/")
        if not name or not path.endswith("/"):
            continue
        last = name if _plainly(name, path) else _last(path[:-1])
        if name == last or normalised(name) == normalised(last):
            yield Listed(name)


def _plainly(name: str, path: str) -> bool:
    """Whether that is the last of the path, without a look at what else a URL can be."""
    return path.endswith(f"/{name}/") and "//" not in path and ":" not in path and _PLAIN.fullmatch(name) is not None
