"""How Python packages are hosted: twine's and uv's upload, the index's pages, yanked versions.

    POST   ""  or  legacy/               an upload                          (PyPI documentation, "Upload API")
    PUT    [packages/<project>/]<file>   the file alone, raw or as the field `file`; it is read and removed there, too
    POST   <project>/<version>/yank      yank that version; the body is the reason (PEP 592)
    DELETE <project>/<version>/yank      take that back
    DELETE packages/<project>/<file>     the file, its metadata and its signature

    packages/<project>/<file>            about: {"version", "requires_python", "metadata"}     scope: <project>
                                         one for each kind of file of a release (pypi_files.Named), by any name
    packages/<project>/<file>.asc        about: {"signs": <file>}                              scope: <project>
    packages/<project>/<file>.metadata   a wheel's METADATA (PEP 658)                          no scope
    yanked/<project>/<release>           the reason; about: {"yanks": release, "reason"}       scope: <project>

Each project is one scope, and the list of all of them is the scope "": it changes with a project's first file and its
last. Every change of a project waits for the one before it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_version
from packaging.version import InvalidVersion, Version

from app import paths
from app.errors import BadRequest, Conflict, NotFound
from app.formats.pypi import HTML, HTML_V1, JSON_V1, VARIANTS
from app.formats.pypi_names import normalised
from app.formats.pypi_pages import File, Listed, Project, moment, project_html, project_json, root_html, root_json
from app.hosting import pypi_upload
from app.hosting.archives import judged
from app.hosting.base import Accepted, Build, Built, Contents, Described, Host, Item, New, Post
from app.hosting.pypi_files import Named, inside, named
from app.hosting.pypi_upload import FILE

ROOT = ""  # the scope of the list of projects
_YANK = re.compile(r"(?P<project>[^/]+)/(?P<version>[^/]+)/yank")
_YANKED = re.compile(r"yanked/(?P<project>[^/]+)/(?P<version>[^/]+)")
_REASON = 1000  # bytes


class PyPI(Host):
    """Uploads by form; pages by project."""

    __slots__ = ()
    methods = ("PUT", "POST", "DELETE")

    def turn(self, post: Post) -> str | None:
        """See Host: a version is yanked as long as it has files, and has each kind of them once."""
        path = self.stored(post.path, post.query)
        if found := _YANK.fullmatch(path) or (post.method == "DELETE" and FILE.fullmatch(path)):
            return f"project {normalised(found['project'])}"
        name = pypi_upload.filename(post)
        return f"project {named(name).project}" if name is not None else None

    def stored(self, path: str, query: Mapping[str, str]) -> str:
        """See Host."""
        return pypi_upload.place(path)

    def accept(self, post: Post, contents: Contents) -> Accepted:
        """See Host."""
        path = self.stored(post.path, post.query)
        if post.method == "PUT":
            pypi_upload.require_place(path)
            return _uploaded(post, contents)
        if found := _YANK.fullmatch(post.path):
            return _yank(post, contents, normalised(found["project"]), found["version"])
        if post.method == "DELETE":
            return _delete(path, contents)
        if post.path.rstrip("/") not in ("", "legacy"):
            raise NotFound("packages are uploaded to the repository's own URL, or to legacy/ below it")
        return _uploaded(post, contents)

    def describe(self, path: str, file: Path) -> Described | None:
        """See Host."""
        if found := _YANKED.fullmatch(path):
            reason = file.read_text(encoding="utf-8")
            return Described(found["project"], _about(yanks=found["version"], reason=reason))
        found = FILE.fullmatch(path)
        if found is None or path.endswith(".metadata"):
            return None
        if path.endswith(".asc"):
            return Described(found["project"], _about(signs=found["file"].removesuffix(".asc")))
        return Described(found["project"], _described(file, found["file"])[0], (ROOT,))

    def build(self, build: Build) -> Iterable[Built]:
        """See Host."""
        if build.scope == ROOT:
            return _root(_projects(build.contents))
        project = _project(build.scope, build.items)
        if not project.files:
            return ()
        directory = f"simple/{build.scope}/"
        return _variants(directory, b"".join(project_html(project)), b"".join(project_json(project)))

    def blank(self, path: str, build: Build) -> Built | None:
        """See Host."""
        found = next((each for each in _root(()) if each.path == path), None)  # small, and none but itself to make
        return found if found is not None and self.untold(path, build.contents) else None


HOST = PyPI()


# -- what changes ---------------------------------------------------------------------------------------------


def _uploaded(post: Post, contents: Contents) -> Accepted:
    form = pypi_upload.form(post)
    project = form.told.project
    path = f"packages/{project}/{form.filename}"
    about, metadata = _described(form.file.path, form.filename)
    items = _items(contents, project)
    gone = _replaced(post, form.told, path, items, contents)
    first = () if items else (ROOT,)
    new = [New(path, form.file, scope=project, about=about, also=first, when_gone=(ROOT,))]
    if form.told.wheel:
        new.append(New(f"{path}.metadata", metadata, "text/plain; charset=utf-8"))
    if form.signature is not None:
        about = _about(signs=form.filename)
        new.append(New(f"{path}.asc", form.signature, "text/plain", scope=project, about=about))
    elif post.repository.overwrite and contents.find(f"{path}.asc") is not None:
        gone.append(f"{path}.asc")  # it signed what was there before
    answer = {"project": project, "version": form.told.version, "path": path}
    if not post.repository.overwrite:
        new = _missing(new, contents)
    return Accepted(new, gone, status=201 if post.method == "PUT" else 200, answer=answer)


def _replaced(
    post: Post, told: Named, path: str, items: Mapping[str, Mapping[str, Any]], contents: Contents
) -> list[str]:
    """The same file of that release in another spelling, of which clients would choose one; Conflict unless it may
    be replaced."""
    files = {each: named(each.rpartition("/")[2]) for each, about in items.items() if "version" in about}
    same = [each for each, file in files.items() if (file.release, file.kind) == (told.release, told.kind)]
    others = [each for each in same if each != path]
    if others and not post.repository.overwrite:
        raise Conflict(f"{others[0]} is that file of this release already", code="already_published")
    return [file for each in others for file in (each, *_beside(each, contents))]


def _beside(path: str, contents: Contents) -> list[str]:
    return [each for each in (f"{path}.metadata", f"{path}.asc") if contents.find(each) is not None]


def _items(contents: Contents, project: str) -> Mapping[str, Mapping[str, Any]]:
    """What is said of a project's files, by their paths."""
    return {each.path: json.loads(each.about) for each in contents.items(project)}


def _missing(new: Sequence[New], contents: Contents) -> list[New]:
    """A file with what is beside it, but for what is there: of a file that was damaged or lost that may be whole, and
    the other way round. Where nothing was lost the file itself stays, which then is published already."""
    file, beside = new[0], [each for each in new[1:] if not _same(each, contents)]
    healed = _same(file, contents) and any(contents.find(each.path) is not None for each in beside)
    return beside if healed else [file, *beside]


def _same(new: New, contents: Contents) -> bool:
    """Whether these bytes are published there already, and not lost."""
    entry = contents.find(new.path)
    digest = hashlib.sha256(new.body).hexdigest() if isinstance(new.body, bytes) else new.body.finish()
    if entry is None or entry.digest != digest:
        return False
    try:
        contents.open(new.path).close()
    except NotFound:
        return False
    return True


def _described(file: Path, filename: str) -> tuple[str, bytes]:
    """(about, metadata) of a wheel or source distribution; Unprocessable "not_a_package"."""
    told = named(filename)
    with judged():
        said = inside(file, told, filename)
    metadata = hashlib.sha256(said.metadata).hexdigest() if told.wheel else ""
    return _about(version=told.version, requires_python=said.requires_python, metadata=metadata), said.metadata


def _about(**said: str) -> str:
    return json.dumps(said, separators=(",", ":"))


def _yank(post: Post, contents: Contents, project: str, version: str) -> Accepted:
    version = _version(version)
    release = canonicalize_version(version)
    if release not in map(_release, _items(contents, project).values()):
        raise NotFound("no file of that version is published", code="file_not_found")
    path = f"yanked/{project}/{release}"
    if post.method == "DELETE":
        return Accepted(gone=[path], status=204)
    reason = _reason(post)
    about = _about(yanks=release, reason=reason)
    new = New(path, reason.encode(), "text/plain; charset=utf-8", scope=project, about=about, replace=True)
    return Accepted([new], status=200, answer={"project": project, "version": version, "yanked": reason or True})


def _release(about: Mapping[str, Any]) -> str | None:
    """Of a file; of what is beside one there is none."""
    return canonicalize_version(about["version"]) if "version" in about else None


def _version(text: str) -> str:
    """As it is published: normalised."""
    try:
        return str(Version(text))
    except InvalidVersion as error:
        raise BadRequest("that is no version (PEP 440)", code="bad_path") from error


def _reason(post: Post) -> str:
    if post.file.upload.size > _REASON:
        raise BadRequest(f"the reason is longer than {_REASON} bytes", code="bad_reason")
    try:
        reason = post.file.upload.path.read_bytes().decode().strip()
    except UnicodeDecodeError as error:
        raise BadRequest("the reason is not UTF-8", code="bad_reason") from error
    if reason and not reason.isprintable():
        raise BadRequest("the reason is more than one line of text", code="bad_reason")
    return reason


def _delete(path: str, contents: Contents) -> Accepted:
    """A file with all that goes with it; with the last one of a version its yank, too."""
    found = FILE.fullmatch(path)
    if found is None or path.endswith((".metadata", ".asc")):
        raise BadRequest("what is deleted is packages/<project>/<file>; the rest goes with it", code="bad_path")
    items = _items(contents, found["project"])
    release = _release(items.get(path, {}))
    if release is None:
        raise NotFound("no such file", code="file_not_found")
    yanked = f"yanked/{found['project']}/{release}"
    last = sum(_release(each) == release for each in items.values()) == 1
    gone = [path, *_beside(path, contents), *([yanked] if last and yanked in items else [])]
    return Accepted(gone=gone, status=204)


# -- the pages ------------------------------------------------------------------------------------------------


def _variants(directory: str, html: bytes, document: bytes) -> Iterator[Built]:
    for kind, body in ((HTML, html), (HTML_V1, html), (JSON_V1, document)):
        charset = "; charset=utf-8" if kind == HTML else ""
        yield Built(directory + VARIANTS[kind], body, kind + charset)


def _root(projects: Iterable[str]) -> Iterator[Built]:
    names = [Listed(each) for each in projects]
    return _variants("simple/", b"".join(root_html(names)), b"".join(root_json(names)))


def _projects(contents: Contents) -> Iterator[str]:
    after = ""
    while names := contents.scopes(after):
        yield from names
        after = names[-1]


def _project(name: str, items: Iterable[Item]) -> Project:
    told = [(each, json.loads(each.about)) for each in items]
    yanked = {canonicalize_version(about["yanks"]): about["reason"] for _, about in told if "yanks" in about}
    signed = {about["signs"] for _, about in told if "signs" in about}
    files = [(Version(about["version"]), each, about) for each, about in told if "version" in about]
    files.sort(key=lambda each: (each[0], each[1].path))
    versions = tuple(dict.fromkeys(str(version) for version, _, _ in files))
    return Project(name, versions, [_page_file(each, about, yanked, signed) for _, each, about in files])


def _page_file(item: Item, about: Mapping[str, Any], yanked: Mapping[str, str], signed: set[str]) -> File:
    filename = item.path.rpartition("/")[2]
    return File(
        filename,
        url=f"../../{paths.quote(item.path)}",
        digests={"sha256": item.digest},
        size=item.size,
        uploaded=moment(item.published),
        requires_python=about["requires_python"],
        yanked=yanked.get(canonicalize_version(about["version"])),
        metadata={"sha256": about["metadata"]} if about["metadata"] else None,
        signed=filename in signed,
    )
