"""Go modules: a version's files never change; which versions there are does; the checksum database passes through.

    <module>/@v/list                          one version a line; merged in a virtual, without what patterns refuse
    <module>/@latest                          what to use where list is empty; the newest of all members' in a virtual
    <module>/@v/<version>.info, .mod, .zip    a version
    <module>/@v/<branch or commit>.info       what that is at present
    sumdb/<database>/supported                whether upstream passes on that checksum database
    sumdb/<database>/lookup/..., tile/...     its records and its tree, which clients verify themselves
    sumdb/<database>/latest                   its newest signed tree

Capital letters of modules and versions are written !x, so that no two paths differ in case alone. Which databases
there are is for upstream to say: no client's path names an address that is dialled.

Source: go.dev/ref/mod, "GOPROXY protocol", "Communicating with proxies", "Checksum database"; semver.org.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import BinaryIO, TypeVar

from app.errors import NotFound
from app.formats.base import PathRules, allows, rule
from app.formats.virtual import made, merged
from app.resource import Ask, Desk, Found, Kind, Located, Made, Reading, Repository, Resource

LARGEST = 8 << 20  # bytes of a list; the longest ones have some thousand versions
_LARGEST_INFO = 1 << 16

_ALLOWED = "\x1fallowed"  # the end of a key; no client's path has that character
_MERGED = re.compile(r".+/(?:@v/list|@latest)")
_MODULE = re.compile(r"(?P<module>.+)/(?:@v/[^/]+|@latest)")
_LOOKUP = re.compile(r"sumdb/.+/lookup/(?P<module>[^@]+)@[^/]+")
_ESCAPE = re.compile(r"!([a-z])")
_SPELT = re.compile(r"(?:[^A-Z!]|![a-z])*")

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIERS = r"[0-9A-Za-z!-]+(?:\.[0-9A-Za-z!-]+)*"
_CANONICAL = rf"v{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_IDENTIFIERS})?(?:\+incompatible)?"
_VERSION = re.compile(
    rf"v(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    rf"(?:-(?P<before>{_IDENTIFIERS}))?(?:\+{_IDENTIFIERS})?"
)
_PSEUDO = re.compile(r"(?:.*[.-])?[0-9]{14}-[0-9a-f]{12}")  # of what stands behind the first hyphen

_What = TypeVar("_What")
_Order = tuple[int, tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...], str]


class _Go(PathRules):
    __slots__ = ()

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format; NotFound where a capital letter stands as itself."""
        if _MODULE.fullmatch(ask.path) and not _SPELT.fullmatch(ask.path):
            raise NotFound("in a module's path capital letters are written !x (go.dev/ref/mod, GOPROXY protocol)")
        if repository.kind is Kind.VIRTUAL and _MERGED.fullmatch(ask.path):
            return merged(self, repository, ask.path, ask.path, lambda part: self._plain(part, ask.path))
        found = super().resolve(repository, ask)
        if repository.kind is Kind.REMOTE and repository.immutable_patterns and _MERGED.fullmatch(ask.path):
            return made(self, repository, f"{ask.path}{_ALLOWED}", ask.path, (found,), "go: what the patterns allow")
        return replace(found, whole=found.index and not ask.path.endswith(".zip"))

    def _plain(self, repository: Repository, path: str) -> Resource:
        """As upstream, or the local repository, has it."""
        return super().resolve(repository, Ask("GET", repository.name, path))

    def named(self, path: str) -> str:
        """See Format: the module's path as it is imported, with its capital letters."""
        found = _MODULE.fullmatch(path) or _LOOKUP.fullmatch(path)
        return _unescaped(found["module"]) if found else ""

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """See Format: a list of versions, what a version is, or its files."""
        if resource.path.endswith(".zip"):
            if body.read(2) != b"PK":
                raise ValueError("is no zip file")
        elif resource.path.endswith("/@v/list"):
            _versions(body)
        else:
            _described(body)
        return Reading()

    def lists(self, resource: Resource) -> Sequence[Resource]:
        """See Format: of a version's file, the module's versions."""
        (module, named, _), member = resource.path.rpartition("/@v/"), resource.repository
        if not named or member.kind is not Kind.REMOTE:
            return ()
        return (self._plain(member, f"{module}/@v/list"),)

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """See Format: whether the version is there."""
        version = _unescaped(resource.path.rpartition("/")[2].rpartition(".")[0])
        return Located(resource.path) if version in _versions(index) else None

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """Every version once, in the order in which members name them (the go command sorts them itself); or of what
        members call the newest, what the go command would choose."""
        if resource.path.endswith("/@v/list"):
            listed = ((each, version) for each in found for version in _said(each, _versions))
            versions = dict.fromkeys(version for each, version in listed if _allowed(each, version))
            desk.write(b"".join(f"{version}\n".encode() for version in versions))
            return Made("text/plain; charset=utf-8")
        newest = ((each, said) for each in found for said in _said(each, lambda file: [_described(file)]))
        latest = [said for each, said in newest if _allowed(each, said[0])]
        if not latest:
            raise NotFound("nobody may bring the newest version of that module", code="file_not_found")
        desk.write(max(latest, key=lambda each: newer(each[0]))[1])  # of two that are the same, the first member's
        return Made("application/json")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: match[1].upper(), text)


def newer(version: str) -> _Order:
    """What versions are ordered by: semver's order, but before each release all that are none, and first of all what
    was never given a number, as the go command chooses ("Version queries", latest)."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return 0, (0, 0, 0), False, (), version
    before = match["before"] or ""
    rank = 3 if not before else 1 if _PSEUDO.fullmatch(before) else 2
    parts = tuple((not each.isdigit(), int(each) if each.isdigit() else 0, each) for each in before.split("."))
    return rank, (int(match["major"]), int(match["minor"]), int(match["patch"])), not before, parts, version


def _said(found: Found, read: Callable[[BinaryIO], list[_What]]) -> list[_What]:
    """What a member says, nothing where it is not there; ValueError with its name."""
    if found.file is None:
        return []
    try:
        return read(found.file)
    except ValueError as error:
        raise ValueError(f"what {found.resource.repository.name} has {error}") from error


def _allowed(found: Found, version: str) -> bool:
    """Whether the member's patterns let anyone have that version's files, of which its code stands for all."""
    module = found.resource.path.rpartition("/@v/" if found.resource.path.endswith("/@v/list") else "/@latest")[0]
    spelt = re.sub("[A-Z]", lambda match: f"!{match[0].lower()}", version)
    return allows(found.resource.repository, f"{module}/@v/{spelt}.zip")


def _versions(file: BinaryIO) -> list[str]:
    """The versions of a list. The go command ignores what else stands in it; a list of nothing else is none."""
    text = _text(file, LARGEST)
    lines = [line.split()[0] for line in text.splitlines() if line.strip()]
    found = [each for each in lines if len(each) < 256 and _VERSION.fullmatch(each)]
    if lines and not found:
        raise ValueError(f"is no list of versions: it begins with {lines[0][:40]!r}")
    return found


def _described(file: BinaryIO) -> tuple[str, bytes]:
    """The version that an .info is about, and the whole document."""
    text = _text(file, _LARGEST_INFO)
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from error
    version = said.get("Version") if isinstance(said, dict) else None
    if not isinstance(version, str) or not version:
        raise ValueError("names no version")
    return version, text.encode()


def _text(file: BinaryIO, limit: int) -> str:
    data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"is longer than {limit} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


GO = _Go(
    "go",
    (
        rule(r".+/@v/list", "a module's versions", own=True, index=True),
        rule(r".+/@latest", "a module's newest version", own=True, index=True),
        rule(rf".+/@v/{_CANONICAL}\.info", "a version", immutable=True, index=True),
        rule(rf".+/@v/{_CANONICAL}\.mod", "a version's go.mod", immutable=True),
        rule(rf".+/@v/{_CANONICAL}\.zip", "a version's code", immutable=True, index=True),
        rule(r".+/@v/[^/]+\.info", "a branch or a commit", index=True),
        rule(r".+/@v/[^/]+\.(?:mod|zip)", "a file of a branch or a commit"),
        rule(r"sumdb/.+/(?:lookup/.+|tile/[0-9]+/.+)", "of a checksum database", immutable=True, own=True),
        rule(r"sumdb/.+/(?:supported|latest)", "a checksum database", own=True),
    ),
    merged=True,
)
