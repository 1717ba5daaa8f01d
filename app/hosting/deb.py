"""How Debian packages are hosted: a pool by distribution and component, and one signed index a distribution.

    pool/<distribution>/<component>/<name>_<version>_<arch>.deb     one place for each package; deb_index.py: dists/

Where a package goes is said by the path, or by `distribution` and `component`: in the query, as fields of a form, or
as the parameters that Artifactory's users write (`;deb.distribution=stable;deb.component=main`). A path as archives
have them (pool/main/h/hello/, pool/<distribution>/main/h/hello/) says the component. What is not said is stable, and
main. By the URL of its PUT a package is read and removed, too: each of these paths stands for the one above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from app.errors import BadRequest, Unprocessable
from app.hosting import deb_index, deb_package
from app.hosting.archives import judged
from app.hosting.base import Accepted, Build, Built, Contents, Described, New, PackageHost, Post
from app.hosting.deb_package import ALL, Package

TYPE = "application/vnd.debian.binary-package"

_WHERE = frozenset({"distribution", "component"})
_PARAMETERS = _WHERE | {"architecture"}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}")
_DIRECTORY = re.compile(rf"pool/({_WORD.pattern})/({_WORD.pattern})/?")
_POOL = re.compile(rf"pool/({_WORD.pattern})/({_WORD.pattern})/([^/]+\.deb)")
_HEAD = re.compile(rf"dists/({_WORD.pattern})/Release")
_COMPONENTS = frozenset({"main", "contrib", "non-free", "non-free-firmware", "restricted", "universe", "multiverse"})
_LOOSE = re.compile(rf"(?:pool/(?:(?P<component>{'|'.join(sorted(_COMPONENTS))})/)?)?[^/]+\.deb")
_PREFIX = "(?:lib)?[a-z0-9]"
_BELOW = rf"(?P<prefix>{_PREFIX})/(?P<source>[^/]+/)?(?P=prefix)[^/]*\.deb"
_ARCHIVE = re.compile(rf"pool/(?P<component>{_WORD.pattern})/{_BELOW}")
_ARCHIVES = re.compile(
    rf"pool/(?P<distribution>{_WORD.pattern})/(?!{_PREFIX}/)(?P<component>{_WORD.pattern})/{_BELOW}"
)
_SOURCE = re.compile(r".*\.(?:dsc|changes|buildinfo|diff\.gz|tar\.[a-z0-9]+|asc)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the repository a package belongs."""

    distribution: str = "stable"
    component: str = "main"

    def path(self, name: str) -> str:
        return f"pool/{self.distribution}/{self.component}/{name}"


class _Deb(PackageHost):
    __slots__ = ()

    def stored(self, path: str, query: Mapping[str, str]) -> str:
        """See Host."""
        try:
            plain, given = _parameters(path, query.items())
            place = _place(plain, given, "PUT")
        except BadRequest:
            return path
        name = plain.rpartition("/")[2]
        return place.path(name) if place is not None and name.endswith(".deb") else path

    def take(self, post: Post, contents: Contents) -> Accepted:
        """See PackageHost. A file that was sent with parameters is published where they say, whatever its path."""
        sent, (path, given) = post.file, _said(post)
        _refuse_others(path, sent.filename)
        place = _place(path, given, post.method)
        with judged(), sent.upload.path.open("rb") as file:
            package = deb_package.read(file)
        right = (place or Place()).path(package.file)
        if (
            post.method == "PUT"
            and not _WHERE & given.keys()
            and (place is None or path.rpartition("/")[2] != package.file)
        ):
            raise BadRequest(f"this package belongs at {right}", code="bad_path")
        if package.arch not in (ALL, given.get("architecture", package.arch)):
            raise BadRequest(f"the package is for {package.arch}, not for {given['architecture']}")
        _, distribution, component, _ = right.split("/")
        deb_index.require_room(contents, distribution, component, package.arch)
        return Accepted([New(right, sent.upload, TYPE, scope=distribution, about=_about(package))])

    def describe(self, path: str, file: Path) -> Described | None:
        """See Host."""
        match = _POOL.fullmatch(path)
        with judged(), file.open("rb") as body:
            package = deb_package.read(body)
        if match is None or match[3] != package.file:
            return None
        return Described(match[1], _about(package))

    def build(self, build: Build) -> Iterable[Built]:
        """See Host."""
        return deb_index.written(build)

    def blank(self, path: str, build: Build) -> Built | None:
        """See Host. Not of a signed repository: apt takes no signed Release that lists nothing."""
        found = _HEAD.fullmatch(path)
        if found is None or build.repository.signing.key or not self.untold(path, build.contents):
            return None
        return next((each for each in deb_index.blank(replace(build, scope=found[1])) if each.path == path), None)


HOST = _Deb()


def _about(package: Package) -> str:
    return f"{package.arch}\n{package.stanza}"


def _refuse_others(path: str, filename: str) -> None:
    for name in (path, filename):
        if _SOURCE.fullmatch(name):
            raise Unprocessable("source packages are not hosted here: send the .deb files", code="not_a_package")


def _said(post: Post) -> tuple[str, Mapping[str, str]]:
    """_parameters() of a request."""
    fields = [(name, value) for name, values in post.fields.items() for value in values]
    return _parameters(post.path, [*fields, *post.query.items()])


def _parameters(path: str, more: Iterable[tuple[str, str]]) -> tuple[str, Mapping[str, str]]:
    """The path without parameters, and what they and `more` say by name; BadRequest for many values."""
    path, *matrix = path.split(";")
    pairs = (each.partition("=") for each in matrix)
    found: dict[str, str] = {}
    for name, value in [*((name, value) for name, _, value in pairs), *more]:
        key = name.removeprefix("deb.")
        if key not in _PARAMETERS:
            continue
        if not _WORD.fullmatch(value) or found.get(key, value) != value:
            raise BadRequest(f"one {key}, of letters, digits and .+~_-, is what a package can be published in")
        found[key] = value
    return path, found


def _place(path: str, given: Mapping[str, str], method: str) -> Place | None:
    """Where a package belongs as far as the request says; None where it does not."""
    if _WHERE & given.keys():
        place = replace(Place(), **{name: given[name] for name in _WHERE & given.keys()})
        if place.distribution in _COMPONENTS and re.fullmatch(_PREFIX, place.component):
            raise BadRequest(f"{place.path('')} is where archives have packages of stable", code="bad_path")
        return place
    if (match := _ARCHIVE.fullmatch(path)) and (match["source"] or match["component"] in _COMPONENTS):
        return Place(component=match["component"])
    if match := _LOOSE.fullmatch(path):
        return Place(component=match["component"] or "main")
    if (match := _ARCHIVES.fullmatch(path)) and match["distribution"] not in _COMPONENTS:
        return Place(match["distribution"], match["component"])
    match = _POOL.fullmatch(path) or (_DIRECTORY.fullmatch(path) if method == "POST" else None)
    if match is not None and match[1] not in _COMPONENTS:
        return Place(match[1], match[2])
    if method == "POST" and path:
        raise BadRequest("POST to the repository itself, or to pool/<distribution>/<component>", code="bad_path")
    return None
