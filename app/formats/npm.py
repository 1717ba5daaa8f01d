"""npm: which of a package's two documents a client asks for, where its tarballs are, and what else npm asks.

    <package>                            its document, whole or abbreviated, by Accept
    <package>/-/<name>-<version>.tgz     a tarball; <package> may be @<scope>/<name>
    <package>/<version or tag>           what one version says of itself
    -/package/<package>/dist-tags        its tags
    -/v1/search?text=, -/npm/v1/keys, -/npm/v1/attestations/<package>@<version>, -/ping      as upstream says
    POST -/npm/v1/security/...           which versions have a known problem: as upstream says it of the same list

and how they are stored:

    <package>/-/full.json, short.json                  with HERE where the repository's URL belongs, ASCII but for
                                                       that where it is hosted, else made of what is stored as
    <package>/-/full.upstream.json, short.upstream.json    and as upstream wrote it

Source: github.com/npm/registry, docs/REGISTRY-API.md, docs/responses/package-metadata.md; validate-npm-package-name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import BinaryIO

from app.errors import NotFound
from app.formats.accept import fitting
from app.formats.base import PathRules, allows, rule
from app.formats.npm_json import Reader
from app.formats.npm_packument import Document, file_name, located, manifest, read, tags, write
from app.formats.virtual import among, made, merged
from app.paths import quote
from app.resource import HERE as HERE
from app.resource import (
    Ask,
    Desk,
    Found,
    Headers,
    Kind,
    Literal,
    Located,
    Made,
    Reading,
    Repository,
    Resource,
)

FULL, SHORT = "application/json", "application/vnd.npm.install-v1+json"
VARIANTS = {FULL: "full.json", SHORT: "short.json"}  # whoever takes both gets the first
_ASKED = {FULL: FULL, SHORT: f"{SHORT}; q=1.0, {FULL}; q=0.8, */*"}  # in Accept, as npm does

_PART = r"(?!-(?:/|\Z))[a-z0-9~-][a-z0-9._~-]*"
NAME = rf"(?:@{_PART}/)?{_PART}"
PACKAGE = re.compile(NAME)
LONGEST = 214  # characters of a package's name
_DOCUMENT = re.compile(rf"(?P<package>{NAME})(?:/-/(?P<stored>full|short)\.json)?")

# What nobody can publish any more is still in registries: capitals, an underscore in front, other characters.
_OLD = r"(?!-(?:/|\Z))[A-Za-z0-9_~!'()*-][A-Za-z0-9._~!'()*-]*"
_ANY = rf"(?P<package>(?:@{_OLD}/)?{_OLD})"
_PACKAGE = re.compile(_ANY)
_TARBALL = re.compile(rf"{_ANY}/-/(?:@[^/]+/)?[^/]+\.tgz")
_ONE = re.compile(rf"{_ANY}/(?!-/|-\Z)(?P<wanted>[^/]+)")
_TAGS = re.compile(rf"-/package/{_ANY}/dist-tags")
_ATTESTED = re.compile(rf"-/npm/v1/attestations/{_ANY}@[^/@]+")
_PASSED = re.compile(r"-/(?:ping|v1/search|npm/v1/keys|npm/v1/attestations/.+)")
_ADVISED = re.compile(r"-/npm/v1/security/(?:advisories/bulk|audits|audits/quick)")
_ABOUT = (_TAGS, _ATTESTED, _TARBALL, _PACKAGE, _ONE, re.compile(rf"{_ANY}/-/.+"))
_SOON = 300.0  # seconds that an answer of search or audit is good for, at the most
_EMPTY = Literal(b"{}", FULL)

_TTL = "npm: a package's document"


def negotiated(accept: str) -> str:
    """The media type of the document that fits Accept best."""
    return fitting(accept, [*VARIANTS])


class _Npm(PathRules):
    """Documents by what is asked for, tarballs as they are."""

    __slots__ = ()
    edition = 3

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format. Raises NotFound for what no registry has."""
        if repository.kind is Kind.LOCAL:
            return self._hosted(repository, ask)
        if _PACKAGE.fullmatch(ask.path):
            kind = negotiated(ask.headers.get("accept", ""))
            return self._made(repository, f"{ask.path}/-/{VARIANTS[kind]}", ask.path, kind)
        if _TARBALL.fullmatch(ask.path):
            return self._tarball(repository, ask)
        if _PASSED.fullmatch(ask.path) or self.asks(ask.path):
            return self._passed(repository, ask)
        if _TAGS.fullmatch(ask.path):
            return self._made(repository, ask.path, ask.path, SHORT)
        if _ONE.fullmatch(ask.path):
            return self._made(repository, ask.path, ask.path, FULL)
        raise NotFound("npm registries have no such endpoint", code="file_not_found")

    def asks(self, path: str) -> bool:
        """See Format."""
        return _ADVISED.fullmatch(path) is not None

    def named(self, path: str) -> str:
        """See Format."""
        found = next((match for each in _ABOUT if (match := each.fullmatch(path))), None)
        return found["package"] if found else ""

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """See Format."""
        return (("Vary", "Accept"),) if resource.rendered or resource.sources else ()

    def render(self, ask: Ask, resource: Resource, body: bytes, kept: str) -> tuple[bytes, str]:
        """See Format: tarballs are where the client reached this server."""
        return body.replace(HERE.encode(), ask.address.encode("ascii")), kept

    # -- which resource ---------------------------------------------------------------------------------------------

    def _hosted(self, repository: Repository, ask: Ask) -> Resource:
        key, said = ask.path, "local: kept as it was published"
        found = _DOCUMENT.fullmatch(ask.path)
        if found is not None:
            said = "npm: a package's document"
            if not found["stored"]:
                key = f"{ask.path}/-/{VARIANTS[negotiated(ask.headers.get('accept', ''))]}"
        local = Resource(repository, key, ask.path, immutable=True, html=True, format=self, rule=said)
        return replace(local, rendered=found is not None, blank=_EMPTY if ask.path == "-/ping" else None)

    def _made(self, repository: Repository, key: str, path: str, kind: str) -> Resource:
        """Of the document of that kind of a package: of the virtual's members, or of the remote itself."""
        source = self._source(self.named(path), kind)
        if repository.kind is Kind.VIRTUAL:
            found = merged(self, repository, key, path, source)
        else:
            found = made(self, repository, key, path, (source(repository),), "npm: made of upstream's document")
        return replace(found, addressed=True)

    def _source(self, package: str, kind: str) -> Callable[[Repository], Resource]:
        def found(repository: Repository) -> Resource:
            if repository.kind is Kind.LOCAL:
                return self._hosted(repository, Ask("GET", repository.name, f"{package}/-/{VARIANTS[kind]}"))
            stored = VARIANTS[kind].replace(".json", ".upstream.json")
            return Resource(
                repository,
                key=f"{package}/-/{stored}",
                path=package,
                ttl=repository.mutable_ttl,
                headers={"Accept": _ASKED[kind]},
                format=self,
                index=True,
                rule=_TTL,
            )

        return found

    def _tarball(self, repository: Repository, ask: Ask) -> Resource:
        if repository.kind is Kind.VIRTUAL:
            return among(self, repository, ask)
        index = self._source(self.named(ask.path), SHORT)(repository)
        return replace(super().resolve(repository, ask), named_in=index)

    def _passed(self, repository: Repository, ask: Ask) -> Resource:
        """What upstream is asked as this server is asked: of a virtual, the first that knows an answer."""
        if repository.kind is Kind.VIRTUAL:
            return among(self, repository, ask)
        query = ask.query if ask.path.endswith("/search") else ""
        mark = hashlib.sha256(ask.posted.encode()).hexdigest() if ask.posted else query
        ttl = repository.mutable_ttl
        soon = bool(mark) or ask.path == "-/ping"
        return Resource(
            repository,
            key=f"{ask.path}?{mark}" if mark else ask.path,
            path=ask.path,
            query=query,
            ttl=min(_SOON, _SOON if ttl is None else ttl) if soon else ttl,
            headers={"Accept": FULL, **({"Content-Type": FULL} if ask.posted else {})},
            format=self,
            index=True,
            posted=ask.posted,
            url=_scoped(repository, ask.path),
            blank=_EMPTY if ask.path == "-/ping" else None,
            rule="npm: as upstream says",
        )

    # -- what is in them --------------------------------------------------------------------------------------------

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: a package's document, or any other object."""
        if resource.key.endswith(".upstream.json"):
            read(resource.repository.name, body)
            return Reading()
        reader = Reader(body)
        if not isinstance(reader.value().said, dict):
            raise ValueError("is no JSON object")
        reader.end()
        return Reading()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format."""
        return located(self.named(resource.path), resource.path, index)

    def lists(self, resource: Resource) -> Sequence[Resource]:
        """See Format: either form of the package's document."""
        if resource.named_in is None:
            return ()
        return resource.named_in, self._source(self.named(resource.path), FULL)(resource.repository)

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format."""
        package = self.named(resource.path)
        brought = [(each, document) for each in found if (document := _brought(package, each)) is not None]
        there, documents = [each for each, _ in brought], [document for _, document in brought]
        if not documents:
            raise NotFound("no version is left of that package", code="file_not_found")
        if _TAGS.fullmatch(resource.path):
            desk.write(tags(documents))
        elif _PACKAGE.fullmatch(resource.path):
            write(package, documents, desk)
            return Made(SHORT if all(_is_short(each) for each in there) else FULL)
        elif wanted := _ONE.fullmatch(resource.path):
            desk.write(manifest(package, wanted["wanted"], documents))
        return Made(FULL)


def _scoped(repository: Repository, path: str) -> str:
    """Where upstream has what it says of a package with a scope: that slash is wanted encoded, as npm sends it."""
    base, _, rest = path.partition("/@")
    known = next(iter(repository.base_urls), "")
    return f"{known.rstrip('/')}/{base}/@{quote(rest).replace('/', '%2F')}" if rest and known else ""


def _brought(package: str, found: Found) -> Document | None:
    """What a source has, without the versions whose tarballs its patterns refuse. None where there is nothing, or all
    of it is refused."""
    repository = found.resource.repository
    if found.file is None:
        return None
    document = read(repository.name, found.file)
    if not repository.immutable_patterns or not document.versions:
        return document
    left = [each for each in document.versions if allows(repository, f"{package}/-/{file_name(package, each)}")]
    return replace(document, versions=left, hidden={*document.versions}.difference(left)) if left else None


def _is_short(found: Found) -> bool:
    return found.entry is not None and found.entry.content_type.partition(";")[0].strip() == SHORT


NPM = _Npm("npm", (rule(_TARBALL.pattern, "a version's tarball", immutable=True),), merged=True)
