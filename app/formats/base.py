"""What a format is, and the rules that formats made only of paths share.

A path is classified in this order; the first that decides, decides:

    the format's own path   its rule's lifetime; the patterns are not asked
    mutable_patterns        mutable
    immutable_patterns      immutable
    none of those is set    the lifetime of the format's rule, else mutable
    otherwise               Forbidden
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.errors import BadRequest, Forbidden
from app.formats.virtual import among
from app.paths import LONGEST, check
from app.resource import Ask, Digest, Format, Kind, Link, Repository, Resource

# hashlib's name by the length of the digest in hex; md5 (32) proves nothing and is left out.
ALGORITHMS = {40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}

# Of links: the largest suites name some ten thousand files, and list some hundred thousand packages.
MOST_MEMBERS = 200_000
MOST_LISTED = 5_000_000

_HEX = re.compile(r"[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a format knows of the paths that `regex` matches in full.

    `words` says what they are. `own` paths are served whatever the patterns say. A group named `digest` in the
    regex holds the body's checksum in hex. `html`: a page can be the right answer; `remember_missing`: that it is
    not there may be remembered. `index`, `switched` and `listed` are Resource's; so are `listing` and `root`, as
    templates that the match expands.
    """

    regex: re.Pattern[str]
    words: str = ""
    immutable: bool = False
    own: bool = False
    html: bool = False
    remember_missing: bool = True
    index: bool = False
    switched: bool = False
    listed: bool = False
    listing: str = ""
    root: str = ""


def rule(
    regex: str,
    words: str = "",
    *,
    immutable: bool = False,
    own: bool = False,
    html: bool = False,
    remember_missing: bool = True,
    index: bool = False,
    switched: bool = False,
    listed: bool = False,
    listing: str = "",
    root: str = "",
) -> Rule:
    """A Rule from a regex's text."""
    return Rule(
        re.compile(regex), words, immutable, own, html, remember_missing, index, switched, listed, listing, root
    )


# What every format falls back on: a login page answered for one of these must never be kept, anything else may
# well be a page.
FILE = rule(
    r".*\.(?:7z|adb|apk|appimage|asc|bin|bz2|conda|crate|crx|deb|dmg|drpm|egg|exe|gem|gpg|gz|img|iso|jar|lz4|lzma"
    r"|msi|nupkg|pkg|rpm|sha1|sha256|sha256sum|sha512|sig|snap|sqlite|tar|tbz2|tgz|txz|udeb|vsix|war|wasm|whl|xz"
    r"|zck|zip|zst)"
)
ANYTHING = rule(r".*", html=True)
# Files whose first bytes are known, and never "<", by how their names end. Of a tar, an image of a disk and the like
# they can be anything; and lists of XML are said to be packed by servers that unpack them on the way.
_PACKED = frozenset({
    "7z", "adb", "apk", "appimage", "bz2", "conda", "crate", "crx", "deb", "drpm", "egg", "exe", "gem", "gz", "jar",
    "lz4", "msi", "nupkg", "rpm", "snap", "sqlite", "tbz2", "tgz", "txz", "udeb", "vsix", "war", "wasm", "whl", "xz",
    "zck", "zip", "zst",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class PathRules(Format):
    """A format that is nothing but rules on paths; the first that matches tells."""

    name: str
    rules: tuple[Rule, ...] = ()
    merged: bool = False

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """See Format; the query is dropped, for none of these ecosystems gives it a meaning."""
        if repository.kind is Kind.VIRTUAL:
            return among(self, repository, ask)
        if repository.kind is Kind.LOCAL:
            said = "local: kept as it was published"
            return Resource(repository, ask.path, ask.path, immutable=True, html=True, format=self, rule=said)
        match, found = self._rule(ask.path)
        immutable, said = self._lifetime(repository, ask.path, found)
        return Resource(
            repository,
            key=ask.path,
            path=ask.path,
            immutable=immutable,
            ttl=repository.immutable_ttl if immutable else repository.mutable_ttl,
            expected=_digest(match),
            html=found.html,
            packed=_packed(ask.path),
            remember_missing=found.remember_missing,
            format=self,
            index=found.index,
            listing=found.listing and match.expand(found.listing),  # which reads the template anew each time
            root=found.root and match.expand(found.root),
            switched=found.switched,
            listed=found.listed,
            rule=said,
        )

    def _rule(self, path: str) -> tuple[re.Match[str], Rule]:
        for candidate in (*self.rules, FILE, ANYTHING):
            if match := candidate.regex.fullmatch(path):
                return match, candidate
        raise AssertionError("ANYTHING matches everything")  # pragma: no cover

    def _lifetime(self, repository: Repository, path: str, found: Rule) -> tuple[bool, str]:
        """Whether the path is immutable, as the patterns say, then as the rule says; and which it was."""
        if found.own:
            return found.immutable, f"{self.name}: {found.words}"
        if (index := matching(repository.mutable_patterns, path)) is not None:
            return False, f"mutable_patterns[{index}]"
        if not repository.immutable_patterns:
            said = f"{self.name}: {found.words}" if found.words else f"no {_unset(repository)}: everything is mutable"
            return found.immutable, said
        if (index := matching(repository.immutable_patterns, path)) is not None:
            return True, f"immutable_patterns[{index}]"
        raise Forbidden(
            f"{repository.name} does not serve this path: no pattern allows it", code="blocked_by_pattern"
        )


def _unset(repository: Repository) -> str:
    return "immutable_patterns" if repository.mutable_patterns else "patterns"


def _packed(path: str) -> bool:
    """Whether a file of that name never begins as markup; each hit asks this, so no pattern is tried on the path."""
    name, dot, end = path.rpartition(".")
    return end in _PACKED and dot != "" and not name.endswith(".xml")


def matching(patterns: tuple[re.Pattern[str], ...], path: str) -> int | None:
    """The number of the first pattern that is found in the path, None where none is.

    A pattern that begins with `.*` finds at the first position whatever it finds at all; trying every other
    position too would let a client's 4 KiB path of repetitions hold a worker for minutes.
    """
    for index, pattern in enumerate(patterns):
        if pattern.match(path) if _anywhere(pattern) else pattern.search(path):
            return index
    return None


def allows(repository: Repository, path: str) -> bool:
    """Whether its patterns let anyone have the file of that path."""
    if not repository.immutable_patterns:
        return True
    every = (repository.mutable_patterns, repository.immutable_patterns)
    return any(matching(patterns, path) is not None for patterns in every)


def _anywhere(pattern: re.Pattern[str]) -> bool:
    return pattern.pattern.startswith(".*") and "|" not in pattern.pattern


def _digest(match: re.Match[str]) -> Digest | None:
    value = match.groupdict().get("digest") or ""
    return checksum(ALGORITHMS.get(len(value), ""), value)


def checksum(algorithm: str, value: str) -> Digest | None:
    """The digest that an index wrote; None where it is none, or proves nothing; `algorithm` as hashlib names it."""
    if ALGORITHMS.get(len(value)) != algorithm or not _HEX.fullmatch(value):
        return None
    return Digest(algorithm, value.lower())


def at_most(limit: int, links: Iterable[Link]) -> Iterator[Link]:
    """The links of an index; raises ValueError behind the last one that there may be."""
    links = iter(links)
    yield from itertools.islice(links, limit)
    if next(links, None) is not None:
        raise ValueError(f"names more than {limit} files")


def within(directory: str, href: str) -> str | None:
    """The path that `href`, as an index wrote it, has below `directory` ("" or ending with a slash).

    None where it is absolute, leaves the directory, or is nothing that a client could ask for.
    """
    path = "/".join(each for each in href.split("/") if each != ".")
    try:
        check(path)
    except BadRequest:
        return None
    whole = directory + path
    return whole if path and path[-1] != "/" and len(whole.encode()) <= LONGEST else None
