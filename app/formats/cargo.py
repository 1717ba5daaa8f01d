"""cargo: a sparse index, and the crates that it lists, wherever upstream keeps them.

    config.json                                              made: where crates and the API are, on this server
    1/a, 2/ab, 3/a/abc, ab/cd/abcdef                         a crate's versions, one a line; merged in a virtual,
                                                             without what patterns refuse
    api/v1/crates/<crate>/<version>/<sha256>/download        a crate; clients know its digest from the index
    api/v1/crates/<crate>/<version>/download                 the same, for who knows no digest: the index tells it
    api/v1/crates?q=...                                      search, where upstream has it

`owned` names crates in lower case with dashes: the_Crate is the-crate.

Source: doc.rust-lang.org/cargo/reference, "Registry Index" and "Registry Web API".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, TypeVar

from app.errors import NotFound
from app.formats.base import PathRules, allows, rule
from app.formats.json_strings import small
from app.formats.queries import canonical
from app.formats.virtual import made, merged
from app.repository import patterned
from app.resource import HERE, Ask, Desk, Digest, Found, Kind, Located, Made, Reading, Repository, Resource

CONFIG = "config.json"
SEARCH = "api/v1/crates"
LARGEST = 64 << 20  # bytes of one crate's versions; the longest public ones have some 5 MB
_LONGEST = 8 << 20  # bytes of one version
_LARGEST_CONFIG = 64 << 10
_UPSTREAMS = f"{CONFIG}\x1fupstream"  # the key of upstream's own; no client's path has that character
_ALLOWED = "\x1fallowed"  # the end of the key of what patterns leave of an index file
_PRIVATE = f"{CONFIG}\x1fprivate"  # the key of one that has cargo send its token everywhere
_NAME, _VERSION = r"[A-Za-z0-9_-]{1,64}", r"[0-9A-Za-z.+-]{1,255}"
_INDEX = re.compile(r"(?:[12]|3/[A-Za-z0-9_-]|[A-Za-z0-9_-]{2}/[A-Za-z0-9_-]{2})/(?P<name>[A-Za-z0-9_-]{1,64})")
_CRATE = re.compile(rf"{SEARCH}/(?P<crate>{_NAME})/(?P<version>{_VERSION})/(?P<digest>[0-9a-f]{{64}})/download")
_USUAL = re.compile(rf"{SEARCH}/(?P<crate>{_NAME})/(?P<version>{_VERSION})/download")
_Read = TypeVar("_Read")

_TEXTS, _NUMBERS = frozenset({"q", "sort"}), frozenset({"page", "per_page"})
_DOWNLOAD = f"{HERE}/{SEARCH}/{{crate}}/{{version}}/{{sha256-checksum}}/download"
_MARKERS = re.compile(r"\{(crate|version|prefix|lowerprefix|sha256-checksum)\}")


class _Cargo(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format."""
        if "?" in ask.path:  # the key of a search would be that path's, too
            raise NotFound("cargo's registries have no such path", code="file_not_found")
        if ask.path == CONFIG:
            return replace(self._config(repository), addressed=True)
        if repository.kind is Kind.VIRTUAL and _INDEX.fullmatch(ask.path):
            return merged(self, repository, ask.path, ask.path, lambda part: self._plain(part, ask.path))
        found = super().resolve(repository, ask)
        if repository.kind is not Kind.REMOTE:
            return found
        if repository.immutable_patterns and _INDEX.fullmatch(ask.path):
            said = "cargo: what the patterns allow"
            return made(self, repository, f"{ask.path}{_ALLOWED}", ask.path, (found,), said)
        if usual := _USUAL.fullmatch(ask.path):
            crate = usual["crate"].lower()
            index = self._plain(repository, f"{prefix(crate)}/{crate}")
            said = "cargo: the crate that the index lists"
            return made(self, repository, _as_allowed(repository, ask.path), ask.path, (index,), said)
        if ask.path == SEARCH:
            query = canonical(ask.query, _TEXTS, _NUMBERS)
            found = replace(found, key=f"{SEARCH}?{query}", query=query)
        if ask.path == SEARCH or _CRATE.fullmatch(ask.path):
            return replace(found, named_in=self._upstreams(repository))
        return found

    def _config(self, repository: Repository) -> Resource:
        key = _PRIVATE if repository.access else CONFIG
        if repository.kind is Kind.VIRTUAL:
            return merged(self, repository, key, CONFIG, self._upstreams)
        return made(self, repository, key, CONFIG, [self._upstreams(repository)], "cargo: the addresses here")

    def _upstreams(self, repository: Repository) -> Resource:
        return replace(self._plain(repository, CONFIG), key=_UPSTREAMS)

    def _plain(self, repository: Repository, path: str) -> Resource:
        return super().resolve(repository, Ask("GET", repository.name, path))

    def spelled(self, pattern: str) -> str:
        """See Format."""
        return normalised(pattern)

    def named(self, path: str) -> str:
        """See Format."""
        crate, index = _CRATE.fullmatch(path) or _USUAL.fullmatch(path), _INDEX.fullmatch(path)
        return normalised(crate["crate"] if crate else index["name"] if index else "")

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: nothing but that it is what it should be."""
        if resource.path == CONFIG:
            _config(body)
        else:
            for _ in _versions(body):
                pass
        return Reading()

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format; of upstream's config.json, or of an index file: what it lists without a digest in the path."""
        if usual := _USUAL.fullmatch(resource.path):
            listed = _listed(index, usual["version"], resource.package)
            return None if listed is None else Located(resource.path, Digest("sha256", listed[1]))
        config, match = _config(index), _CRATE.fullmatch(resource.path)
        if match is None:
            api = config.get("api")
            return Located(f"{api.rstrip('/')}/{SEARCH}?{resource.query}") if isinstance(api, str) and api else None
        return Located(_download(config["dl"], match), Digest("sha256", match["digest"]))

    def lists(self, resource: Resource) -> Sequence[Resource]:
        """See Format: the index file, where the path does not say itself which bytes it has."""
        return resource.sources if _USUAL.fullmatch(resource.path) else ()

    def needs(self, resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
        """See Format: of a crate, that under its digest."""
        usual = _USUAL.fullmatch(resource.path)
        if usual is None or len(found) > 1:
            return ()
        listed = _of(found[0], partial(_listed, version=usual["version"], package=resource.package))
        if listed is None:
            raise NotFound("the index of upstream does not list this crate", upstream_status=404)
        path = f"{SEARCH}/{listed[0]}/{usual['version']}/{listed[1]}/download"
        if not _CRATE.fullmatch(path):
            raise ValueError("the index lists a crate under no sha256")
        return (self.resolve(resource.repository, Ask("GET", resource.repository.name, path)),)

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """config.json with this server's addresses; a crate's lines, of the same version the first member's."""
        if _USUAL.fullmatch(resource.path):
            return _crate(found[-1], desk)
        if resource.path == CONFIG:
            configs = [_of(each, _config) for each in found if each.file is not None]
            more: dict[str, object] = {"api": HERE} if any(each.get("api") for each in configs) else {}
            if resource.repository.access:  # without it cargo sends its token for this document alone
                more["auth-required"] = True
            desk.write(json.dumps({"dl": _DOWNLOAD, **more}, ensure_ascii=False).encode())
            return Made("application/json")
        seen: set[str] = set()
        for each in found:
            if each.file is not None:
                may = partial(allows, each.resource.repository)
                _of(each, partial(_merge, resource.package, may, seen, desk))
        if not seen:
            raise NotFound("there is no such crate, or none that may be had", code="file_not_found")
        return Made("text/plain; charset=utf-8")


def normalised(name: str) -> str:
    """What two names are the same by: the case of letters, - and _ do not count."""
    return name.lower().replace("_", "-")


def prefix(name: str) -> str:
    """The directory of a crate's file in the index."""
    return {1: "1", 2: "2", 3: f"3/{name[:1]}"}.get(len(name), f"{name[:2]}/{name[2:4]}")


def _download(template: str, match: re.Match[str]) -> str:
    if not _MARKERS.search(template):
        template = template.rstrip("/") + "/{crate}/{version}/download"
    crate = match["crate"]
    values = {
        "crate": crate,
        "version": match["version"],
        "prefix": prefix(crate),
        "lowerprefix": prefix(crate.lower()),
        "sha256-checksum": match["digest"],
    }
    return _MARKERS.sub(lambda marker: values[marker[1]], template)


def _of(found: Found, read: Callable[[BinaryIO], _Read]) -> _Read:
    """What a source says; ValueError names its repository."""
    assert found.file is not None
    try:
        return read(found.file)
    except ValueError as error:
        raise ValueError(f"{found.resource.repository.name}: {error}") from error


def _listed(index: BinaryIO, version: str, package: str) -> tuple[str, str] | None:
    """How a crate's index file writes its name for that version, and which sum it has."""
    every = ((name, digest) for _, name, there, digest in _versions(index) if there == version)
    return next((each for each in every if normalised(each[0]) == package), None)


def _as_allowed(repository: Repository, path: str) -> str:
    """The key of a crate that patterns have allowed: under other patterns nothing of it is stored, so that no copy
    which they refuse is served while that is found out."""
    if not repository.immutable_patterns:
        return path
    return f"{path}\x1f{hashlib.sha256(' '.join(patterned(repository)).encode()).hexdigest()[:16]}"


def _crate(found: Found, desk: Desk) -> Made:
    if found.file is None or found.entry is None:
        raise found.error or NotFound("upstream has no such crate", upstream_status=404)
    while data := found.file.read(1 << 16):
        desk.write(data)
    return Made(found.entry.content_type)


def _config(body: BinaryIO) -> dict[str, Any]:
    """Raises ValueError where it is no config.json."""
    found = small(body, _LARGEST_CONFIG)
    if not isinstance(found.get("dl"), str):
        raise ValueError("config.json does not say where crates are")
    return found


def _versions(body: BinaryIO) -> Iterator[tuple[bytes, str, str, str]]:
    """Each line, the crate's name in it, its version and its checksum. Raises ValueError where one is no JSON."""
    size = 0
    while line := body.readline(_LONGEST):
        size += len(line)
        if size > LARGEST or len(line) == _LONGEST:
            raise ValueError(f"the index of a crate is longer than {LARGEST >> 20} MiB, or a line of it")
        if line.strip():
            yield line.strip(), *_version(line)


def _version(line: bytes) -> tuple[str, str, str]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the index of a crate has a line that is no JSON: {str(error)[:80]}") from error
    if not isinstance(found, dict) or not all(isinstance(found.get(key), str) for key in ("name", "vers", "cksum")):
        raise ValueError("the index of a crate has a line without a name, a version or a checksum")
    return found["name"], found["vers"], found["cksum"]


def _merge(package: str, may: Callable[[str], bool], seen: set[str], desk: Desk, body: BinaryIO) -> None:
    """Two versions that differ in nothing but their build are one to cargo; none is told whose crate is refused."""
    for line, name, version, digest in _versions(body):
        bare = version.partition("+")[0]
        if normalised(name) != package or bare in seen:
            continue
        if may(f"{SEARCH}/{name}/{version}/{digest}/download"):
            seen.add(bare)
            desk.write(line + b"\n")


CARGO = _Cargo(
    "cargo",
    (
        rule(r"config\.json", "where crates are", own=True, index=True),
        rule(_INDEX.pattern, "a crate's versions", own=True, index=True),
        rule(_CRATE.pattern, "a crate, under its digest", immutable=True),
        rule(_USUAL.pattern, "a crate, whose digest the index tells", own=True),
        rule(SEARCH, "a search", own=True, remember_missing=False),
    ),
    merged=True,
)
