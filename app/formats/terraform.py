"""What is odd about Terraform and OpenTofu: registries of providers whose files are elsewhere, and mirrors of them.

    .well-known/terraform.json                                  where the registry is: v1/providers/ here; upstream,
                                                                where its own says, or there if it has none
    v1/providers/<namespace>/<type>/versions                    its versions, as upstream says them
    v1/providers/<n>/<t>/<version>/download/<os>/<arch>         one package, with addresses of this server
    .../download/<os>/<arch>/archive/<name>.zip                 the package; its sha256 is in that document
    .../download/<os>/<arch>/sums/SHA256SUMS, signature/SHA256SUMS.sig
    mirror/<host>/<n>/<t>/index.json, <version>.json            the network mirror protocol, made of the registry's

A mirror's host is the upstream's own, and only a name: any other is asked for below upstream's own mirror/, so that a
mirror can stand before a mirror. An upstream that is known by an address has no name that a provider could have: what
it does not mirror is its registry's, whichever host is named. Addresses are relative to the document that has them.

Source: developer.hashicorp.com/terraform/internals: provider-registry-protocol, provider-network-mirror-protocol,
remote-service-discovery.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from app import paths
from app.errors import NotFound
from app.formats.base import PathRules, checksum, rule
from app.formats.json_strings import small
from app.formats.virtual import made
from app.resource import Ask, Desk, Digest, Found, Kind, Literal, Located, Made, Reading, Repository, Resource

DISCOVERY = ".well-known/terraform.json"
_MOST = 4 << 20  # bytes of a document; the versions of the largest provider have some hundred KiB
_PLATFORMS = 64  # of one version

_WORD = r"[0-9A-Za-z][0-9A-Za-z._+-]*"
_PROVIDER = rf"(?P<provider>{_WORD}/{_WORD})"
_VERSION = rf"(?P<version>{_WORD})"
_PACKAGE = rf"(?P<document>v1/providers/{_PROVIDER}/{_VERSION}/download/{_WORD}/(?P<arch>{_WORD}))"
_VERSIONS = re.compile(rf"v1/providers/{_PROVIDER}/versions")
_DOCUMENT = re.compile(_PACKAGE)
_FILE = re.compile(rf"{_PACKAGE}/(?P<what>archive|sums|signature)/{_WORD}")
_MIRROR = re.compile(rf"mirror/(?P<host>[^/]+)/{_PROVIDER}/(?:index|{_VERSION})\.json")
_NAME = re.compile(_WORD)
_ADDRESS = re.compile(r"[0-9.]+|.*:.*|(?:.+\.)?localhost")  # no top-level domain is a number (RFC 3696, 2)

_SERVICE, _HERE = "providers.v1", "v1/providers/"
_MEMBERS = {"archive": "download_url", "sums": "shasums_url", "signature": "shasums_signature_url"}


class _Terraform(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format; documents are read before they are sent."""
        found = super().resolve(repository, ask)
        if repository.kind is not Kind.REMOTE:
            return found
        found = replace(found, whole=found.index)
        if ask.path == DISCOVERY:
            return self._made(found, _original(found))
        if _VERSIONS.fullmatch(ask.path):
            return self._named(repository, ask.path)
        if _DOCUMENT.fullmatch(ask.path):
            return self._made(found, self._named(repository, ask.path))
        if file := _FILE.fullmatch(ask.path):
            return replace(found, named_in=self._named(repository, file["document"]))
        mirrored = _MIRROR.fullmatch(ask.path)
        return found if mirrored is None else self._mirrored(found, mirrored)

    def _mirrored(self, found: Resource, mirrored: re.Match[str]) -> Resource:
        repository = found.repository
        listed = self._named(repository, f"{_HERE}{mirrored['provider']}/versions")
        host, *others = _hosts(repository)
        if mirrored["host"].lower() in (host, *others):
            return self._made(found, listed)
        if not _is_address(host):
            return found
        return replace(found, otherwise=self._made(replace(found, key=f"{found.key}\x1fregistry"), listed))

    def _named(self, repository: Repository, path: str) -> Resource:
        """Upstream's own document at this path, wherever upstream has its registry."""
        found = super().resolve(repository, Ask("GET", repository.name, path))
        where = _original(super().resolve(repository, Ask("GET", repository.name, DISCOVERY)))
        found = replace(found, named_in=replace(where, blank=Literal(b"{}", "application/json")), whole=True)
        return _original(found) if _DOCUMENT.fullmatch(path) else found

    def _made(self, found: Resource, source: Resource) -> Resource:
        return made(self, found.repository, found.key, found.path, (source,), found.rule)

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format; what these name is looked up again when it is asked for."""
        document = small(body, _MOST)
        if _VERSIONS.fullmatch(resource.path):
            _versions(document)
        elif _DOCUMENT.fullmatch(resource.path):
            _package(document)
        return Reading()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format: the registry's address with the rest of the path; or one of the three addresses of a package's
        document, where the name in the path has to be its own."""
        if resource.named_in is not None and resource.named_in.path == DISCOVERY:
            return Located(_registry(small(index, _MOST)) + paths.quote(resource.path.removeprefix(_HERE)))
        file = _FILE.fullmatch(resource.path)
        document = small(index, _MOST)
        name, digest = _package(document)
        if file is None or resource.path.rpartition("/")[2] != _names(name)[file["what"]]:
            return None
        url = document.get(_MEMBERS[file["what"]])
        if not isinstance(url, str):
            return None
        return Located(url, digest if file["what"] == "archive" else None)

    def needs(self, resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
        """See Format: a mirror's version is made of the documents of all its packages."""
        mirrored = _MIRROR.fullmatch(resource.path)
        if mirrored is None or not mirrored["version"] or len(found) > 1:
            return ()
        platforms = _versions(small(_file(found[0]), _MOST)).get(mirrored["version"])
        if platforms is None:
            raise NotFound("upstream has no such version", upstream_status=404)
        root = f"{_HERE}{mirrored['provider']}/{mirrored['version']}/download"
        return [self._named(resource.repository, f"{root}/{system}/{arch}") for system, arch in platforms]

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """See Format."""
        mirrored = _MIRROR.fullmatch(resource.path)
        if resource.path == DISCOVERY:
            document: object = {_SERVICE: f"../{_HERE}"}
        elif mirrored is None:
            document = _rewritten(small(_file(found[0]), _MOST), resource.path)
        elif mirrored["version"]:
            document = {"archives": dict(_archive(each) for each in found[1:] if _there(each))}
        else:
            document = {"versions": {each: {} for each in _versions(small(_file(found[0]), _MOST))}}
        desk.write(json.dumps(document, separators=(",", ":")).encode("ascii"))
        return Made("application/json")


def _original(resource: Resource) -> Resource:
    """Upstream's, under a key that no path is (app/paths.py)."""
    return replace(resource, key=f"{resource.path}\x1fupstream", index=True, whole=True)


def _hosts(repository: Repository) -> tuple[str, str]:
    """What upstream is called in the names of its providers: its host, and with a port, though terraform itself
    cannot ask a mirror for such a name."""
    url = urllib.parse.urlsplit(repository.base_urls[0] if repository.base_urls else "")
    host = url.hostname or ""
    return host, f"{host}:{url.port}" if url.port else host


def _is_address(host: str) -> bool:
    """Whether a host is but an address: an IP's, or this machine's."""
    return _ADDRESS.fullmatch(host) is not None


def _there(found: Found) -> bool:
    """Whether a platform that is listed has a package; raises what there is to be said where nobody knows."""
    if found.silent and found.error is not None:
        raise found.error
    return found.file is not None


def _file(found: Found) -> BinaryIO:
    """Its bytes, from their beginning."""
    if found.file is None:
        raise found.error or NotFound("upstream has no such document")
    found.file.seek(0)
    return found.file


# -- upstream's documents --------------------------------------------------------------------------------------


def _registry(document: Mapping[str, Any]) -> str:
    """Where a service discovery document says that providers are, relative to that; where it is usual, if nowhere.
    Raises ValueError."""
    said = document.get(_SERVICE) or f"../{_HERE}"
    if not isinstance(said, str):
        raise ValueError("does not say where providers are")
    return said.partition("#")[0].partition("?")[0].rstrip("/") + "/"


def _versions(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """The platforms (system, architecture) of each version; raises ValueError where it is no list of versions."""
    listed = document.get("versions")
    if not isinstance(listed, list):
        raise ValueError("is no list of a provider's versions")
    found: dict[str, list[tuple[str, str]]] = {}
    for each in listed:
        version = _word(each, "version")
        platforms = each.get("platforms") or []
        if not isinstance(platforms, list) or len(platforms) > _PLATFORMS:
            raise ValueError(f"version {version} has no list of platforms, or one of more than {_PLATFORMS}")
        found[version] = [(_word(platform, "os"), _word(platform, "arch")) for platform in platforms]
    return found


def _package(document: Mapping[str, Any]) -> tuple[str, Digest]:
    """The file's name and sha256; raises ValueError where it is no document of a package."""
    if not isinstance(document.get("download_url"), str):
        raise ValueError("is no document of a package: it has no download_url")
    digest = checksum("sha256", said) if isinstance(said := document.get("shasum"), str) else None
    if digest is None:
        raise ValueError("is no document of a package: its shasum is no sha256")
    return _word(document, "filename"), digest


def _word(document: object, name: str) -> str:
    """A member that is part of a path here."""
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"has no {name}, or one that cannot be part of a path")
    return value


# -- what is made of them --------------------------------------------------------------------------------------


def _names(name: str) -> dict[str, str]:
    return {"archive": name, "sums": "SHA256SUMS", "signature": "SHA256SUMS.sig"}


def _rewritten(document: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """A package's document with addresses below its own."""
    arch = path.rpartition("/")[2]
    addresses = {_MEMBERS[what]: f"{arch}/{what}/{name}" for what, name in _names(_package(document)[0]).items()}
    return {**document, **{member: url for member, url in addresses.items() if document.get(member)}}


def _archive(found: Found) -> tuple[str, Mapping[str, object]]:
    """One package of a mirror: the path is four directories up, and down into the registry."""
    document = small(_file(found), _MOST)
    name, digest = _package(document)
    system, arch = found.resource.path.split("/")[-2:]
    url = f"../../../../{found.resource.path}/archive/{name}"
    return f"{system}_{arch}", {"url": url, "hashes": [f"zh:{digest.value}"]}


TERRAFORM = _Terraform(
    "terraform",
    (
        rule(re.escape(DISCOVERY), "where the registry is", own=True, index=True),
        rule(_VERSIONS.pattern, "a provider's versions", own=True, index=True),
        rule(rf"{_PACKAGE}/archive/{_WORD}\.zip", "a provider's package", immutable=True),
        rule(_FILE.pattern, "a file beside a provider's package", own=True),
        rule(_DOCUMENT.pattern, "where a provider's package is", own=True),
        rule(r"mirror/.+\.json", "a mirror's list", own=True, index=True),
        rule(r"mirror/.+\.zip", "a mirror's package", immutable=True),
    ),
)
