"""How npm packages are hosted: publish, tags, deprecate, unpublish, and the small questions npm asks.

    PUT    <package>                                 a document with _attachments: publish; without: deprecate
    PUT    <package>/-rev/<rev>                      a document with fewer versions: those are unpublished
    DELETE <package>/-rev/<rev>                      unpublish all of it
    DELETE <package>/-/<file>.tgz[/-rev/<rev>]       one version; npm sends it after the PUT, when it is gone already
    PUT, POST, DELETE -/package/<package>/dist-tags/<tag>
    GET    <package>/<version or tag>, -/package/<package>/dist-tags, -/whoami, -/ping, -/v1/search?text=

A package is one scope (npm_package.py). Every change of a package waits for the one before it.

Source: github.com/npm/registry, docs/REGISTRY-API.md; what npm 6 to 11 send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.errors import BadRequest, Conflict, NotFound, Unauthorized
from app.formats.npm import FULL, LONGEST, NAME, SHORT, VARIANTS
from app.hosting.archives import judged
from app.hosting.base import Accepted, Build, Built, Contents, Described, Host, New, Page, Post
from app.hosting.npm_document import document
from app.hosting.npm_package import PLACE, Package, State, about, full, package, short, state_in, state_path, told
from app.hosting.npm_publish import bad, judged_tag, published
from app.hosting.npm_room import require_room
from app.hosting.npm_search import searched
from app.hosting.npm_tarball import tarball
from app.resource import Ask

_REASON = 4096  # characters
_CHANGED = re.compile(rf"(?P<package>{NAME})(?:/-rev/(?P<revision>[^/]+))?")
_TARBALL = re.compile(rf"(?P<path>(?P<package>{NAME})/-/[^/]+\.tgz)(?:/-rev/(?P<revision>[^/]+))?")
_ONE = re.compile(rf"(?P<package>{NAME})/(?!-/|-\Z)(?P<wanted>[^/]+)")
_TAGS = re.compile(rf"-/package/(?P<package>{NAME})/dist-tags(?:/(?P<tag>[^/]+))?")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_DONE: Mapping[str, object] = {"ok": True}


class Npm(Host):
    """Documents in, documents out."""

    __slots__ = ()
    methods = ("PUT", "POST", "DELETE")

    def fixed(self, path: str) -> bool:
        """See Host: no PUT is at the path of a file."""
        return False

    def turn(self, post: Post) -> str | None:
        """See Host."""
        found = _named(post.path)
        return f"package {found['package']}" if found else None

    def accept(self, post: Post, contents: Contents) -> Accepted:
        """See Host."""
        found = _named(post.path)
        if found is None:
            raise _unknown(post.path)
        name = found["package"]
        if len(name) > LONGEST:
            raise BadRequest(f"a package's name is longer than {LONGEST} characters", code="bad_path")
        accepted = _changed(post, contents, name, found)
        require_room(contents, name, accepted)
        return accepted

    def describe(self, path: str, file: Path) -> Described | None:
        """See Host."""
        name = path.partition("/-/")[0]
        if path == state_path(name):
            return Described(name, file.read_text(encoding="ascii"))
        with judged():
            return Described(name, about(tarball(file)))

    def build(self, build: Build) -> Iterable[Built]:
        """See Host."""
        found = package(build.scope, build.items)
        if not found.items:
            return ()
        return [
            Built(f"{found.name}/-/{VARIANTS[kind]}", body, kind)
            for kind, body in ((FULL, full(found)), (SHORT, short(found)))
        ]

    def personal(self, path: str) -> bool:
        """See Host."""
        return path == "-/whoami"

    def page(self, ask: Ask, contents: Contents, address: str) -> Page | None:
        """See Host."""
        if one := _ONE.fullmatch(ask.path):
            return _page(_manifest(contents, one["package"], one["wanted"], address))
        if not ask.path.startswith("-/"):
            return None
        if ask.path == "-/ping":
            return _page({})
        if ask.path == "-/whoami":
            if not ask.user:
                raise Unauthorized("nobody knows who you are: npm sends no token for this address")
            return _page({"username": ask.user})
        if ask.path == "-/v1/search":
            return _page(searched(contents, ask.query, address))
        found = _TAGS.fullmatch(ask.path)
        if found is None or found["tag"]:
            raise NotFound("no such endpoint", code="file_not_found")
        if not (tags := state_in(contents, found["package"]).tags):
            raise NotFound("no such package", code="file_not_found")
        return _page(tags)


HOST = Npm()


def _named(path: str) -> re.Match[str] | None:
    return _TAGS.fullmatch(path) or _TARBALL.fullmatch(path) or _CHANGED.fullmatch(path)


def _unknown(path: str) -> BadRequest | NotFound:
    if path.startswith("-/user/"):
        return BadRequest("there is no npm login here: put a token into .npmrc as _authToken", code="no_login")
    if path.startswith("-/npm/v1/security/"):
        return NotFound("this registry knows no advisories", code="no_audit")
    return NotFound("npm packages have no such endpoint here", code="file_not_found")


def _page(told: Mapping[str, Any]) -> Page:
    return Page(json.dumps(told).encode(), headers=(("Cache-Control", "no-store"),))


# -- what is there --------------------------------------------------------------------------------------------


def _existing(contents: Contents, name: str) -> Package:
    found = package(name, contents.items(name))
    if not found.items:
        raise NotFound("no such package", code="file_not_found")
    return found


def _manifest(contents: Contents, name: str, wanted: str, address: str) -> Mapping[str, Any]:
    """What one version, or the version of a tag, says of itself."""
    found = told(contents, name, wanted)
    if found is None:
        raise NotFound("no such version or tag", code="file_not_found")
    _, manifest = found
    return {
        **manifest,
        "dist": {**manifest["dist"], "tarball": manifest["dist"]["tarball"].replace(PLACE, address)},
    }


def _current(contents: Contents, name: str, revision: str | None) -> Package:
    """The package, if it is still what the client saw of it."""
    found = _existing(contents, name)
    if revision is None:
        raise BadRequest("which revision? DELETE <package>/-rev/<its _rev>", code="bad_path")
    if revision != found.revision:
        raise Conflict("the package was changed meanwhile; try again", code="conflict")
    return found


def _state_of(contents: Contents, name: str) -> list[str]:
    return [path for path in [state_path(name)] if contents.find(path) is not None]


def _new_state(name: str, state: State) -> New:
    text = state.text()
    return New(state_path(name), text.encode(), FULL, scope=name, about=text, replace=True)


# -- what changes ---------------------------------------------------------------------------------------------


def _changed(post: Post, contents: Contents, name: str, found: re.Match[str]) -> Accepted:
    if found.re is _TAGS:
        return _tagged(post, contents, name, found["tag"] or "")
    if found.re is _TARBALL:
        return _without(post, contents, name, found["path"], bool(found["revision"]))
    if post.method != "DELETE":
        return _put(post, contents, name, found["revision"])
    known = _current(contents, name, found["revision"])
    gone = [*(each.path for each in known.items.values()), *_state_of(contents, name)]
    return Accepted(gone=gone, status=200, answer=_DONE)


def _put(post: Post, contents: Contents, name: str, revision: str | None) -> Accepted:
    found = document(post.file.upload.path)
    if found.get("_attachments"):
        return _published(post, contents, name, found)
    versions = found.get("versions")
    if not isinstance(versions, dict) or not all(isinstance(each, dict) for each in versions.values()):
        raise bad("the document has no versions: owners and stars are not kept here")
    known = _existing(contents, name) if revision is None else _current(contents, name, revision)
    state = replace(known.state, deprecated=_deprecated(known, versions))
    if revision is None:
        return Accepted([_new_state(name, state)], status=200, answer=_DONE)
    kept = [version for version in known.items if version in versions]
    if not kept:
        raise bad("a package without versions is unpublished as a whole, with DELETE")
    tags = found.get("dist-tags")
    if isinstance(tags, dict):
        told = {judged_tag(tag): version for tag, version in tags.items() if isinstance(version, str)}
        state = replace(state, tags=told)
    gone = [item.path for version, item in known.items.items() if version not in versions]
    return Accepted([_new_state(name, state.of(kept))], gone, status=200, answer=_DONE)


def _published(post: Post, contents: Contents, name: str, found: Mapping[str, Any]) -> Accepted:
    new = published(post, name, found)
    if contents.find(new.path) is not None and not post.repository.overwrite:
        said = f"You cannot publish over the previously published versions: {new.told.version}."
        raise Conflict(said, code="already_published")
    known = state_in(contents, name)
    tags = {**known.tags, **dict.fromkeys(new.tags, new.told.version)}
    tags.setdefault("latest", new.told.version)
    why = {version: why for version, why in known.deprecated.items() if version != new.told.version}
    file = New(new.path, new.upload, scope=name, about=about(new.told))
    return Accepted([file, _new_state(name, State(tags, why))], answer={"ok": True, "id": name})


def _deprecated(known: Package, versions: Mapping[str, Mapping[str, Any]]) -> Mapping[str, str]:
    """The reasons that a document gives, and those of versions of which it says nothing."""
    reasons = dict(known.state.deprecated)
    for version in known.items.keys() & versions.keys():
        why = versions[version].get("deprecated", reasons.get(version, ""))
        if not isinstance(why, str) or len(why) > _REASON or _UNPRINTABLE.search(why):
            raise bad(f"the reason for a deprecation is no text of at most {_REASON} characters")
        reasons[version] = why
    return {version: why for version, why in reasons.items() if why}


def _tagged(post: Post, contents: Contents, name: str, tag: str) -> Accepted:
    known = _existing(contents, name)
    tags = dict(known.state.tags)
    if judged_tag(tag) == "latest" and post.method == "DELETE":
        raise BadRequest("latest cannot be removed, only given to another version", code="bad_tag")
    if post.method == "DELETE" and tags.pop(tag, None) is None:
        raise NotFound("no such tag", code="file_not_found")
    if post.method != "DELETE":
        tags[tag] = _version(post, known)
    return Accepted([_new_state(name, replace(known.state, tags=tags))], status=200, answer=_DONE)


def _version(post: Post, known: Package) -> str:
    upload = post.file.upload
    try:
        version = json.loads(upload.path.read_bytes()) if upload.size < 1024 else None
    except ValueError:
        version = None
    if not isinstance(version, str) or version not in known.items:
        raise BadRequest("the body is not a version of this package, as a JSON string", code="bad_document")
    return version


def _without(post: Post, contents: Contents, name: str, path: str, after: bool) -> Accepted:
    """One version taken back by its tarball; `after` the document has forgotten it, there is nothing left to do."""
    if post.method != "DELETE":
        raise BadRequest("a version is published with its document: PUT <package>", code="bad_path")
    known = package(name, contents.items(name))
    left = [version for version, item in known.items.items() if item.path != path]
    if len(left) == len(known.items):
        if after:
            return Accepted(status=200, answer=_DONE)
        raise NotFound("no such file", code="file_not_found")
    if not left:
        return Accepted(gone=[path, *_state_of(contents, name)], status=200, answer=_DONE)
    return Accepted([_new_state(name, known.state.of(left))], [path], status=200, answer=_DONE)
