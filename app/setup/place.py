"""What a client's configuration is written about: a repository, and what the client wants of it; pure."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from app.errors import Invalid
from app.repository import Kind, Repository

PLACEHOLDER = "TOKEN"  # stands where an operator puts one in
_WORD = r"[A-Za-z0-9][A-Za-z0-9._~+-]*"
_PATH = re.compile(r"[A-Za-z0-9$._~+{}-]+(?:/[A-Za-z0-9$._~+{}-]+)*")  # $releasever and the like are dnf's
_FILE = re.compile(r"/?[A-Za-z0-9._~+-]+(?:/[A-Za-z0-9._~+-]+)*")
_WORDS = re.compile(rf"{_WORD}(?:[ /-]{_WORD})*")
# What a client may say in the query, and what it is for; each is plain in every syntax that is written here.
OPTIONS: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType(
    {
        "path": (_PATH, "the directory in the repository that the client is to use"),
        "key": (
            _FILE,
            "where the key is: a path in the repository, or of a file of the client's that begins with a /",
        ),
        "suites": (_WORDS, "of a Debian archive, separated by blanks"),
        "components": (_WORDS, "likewise"),
        "scope": (re.compile(r"@?[a-z0-9][a-z0-9._-]*"), "of packages of npm: only those are of this repository"),
        "registry": (re.compile(r"[a-z0-9.-]+(?::[0-9]{1,5})?"), "the registry of images that is answered for"),
        "trusted": (re.compile("yes"), "yes: no signature is looked at, for what has none; never beside a key"),
    }
)
LONGEST = 200  # characters of an option


@dataclass(frozen=True, slots=True)
class Place:
    """`url` is the repository's own as the client reaches it, `origin` the server's; neither ends with a slash.
    `known`: whoever asks is somebody here, who may hear where the upstreams are."""

    repository: Repository
    url: str
    origin: str
    options: Mapping[str, str] = field(default_factory=dict)
    known: bool = False

    @property
    def name(self) -> str:
        return self.repository.name

    @property
    def host(self) -> str:
        """host:port of the server."""
        return urllib.parse.urlsplit(self.origin).netloc

    @property
    def prefix(self) -> str:
        """The path of the server, where it is not at the top of its host; it begins with a slash, or is ""."""
        return urllib.parse.urlsplit(self.origin).path.rstrip("/")

    @property
    def plain(self) -> bool:
        """Whether it is http."""
        return self.origin.startswith("http://")

    @property
    def private(self) -> bool:
        """Whether nobody reads it without a token."""
        return bool(self.repository.access)

    @property
    def own(self) -> bool:
        """Whether its index is made here: signed with its own key or with none."""
        return self.repository.kind is not Kind.REMOTE

    @property
    def signed(self) -> bool:
        return bool(self.repository.signing.key)

    def option(self, name: str, default: str = "") -> str:
        """What the client said, or what is usual."""
        return self.options.get(name, default)

    @property
    def tree(self) -> str:
        """`url` with the directory that the client named."""
        path = self.option("path")
        return f"{self.url}/{path}" if path else self.url


Writer = Callable[[Place], str]


def options(given: Mapping[str, str]) -> Mapping[str, str]:
    """The query, checked. Raises Invalid that names what is wrong."""
    wrong = {name: ["Not an option here."] for name in given if name not in OPTIONS}
    for name, value in given.items():
        if name in OPTIONS and (len(value) > LONGEST or not OPTIONS[name][0].fullmatch(value) or _climbs(value)):
            wrong[name] = [f"Not {OPTIONS[name][1]}."]
    if {"key", "trusted"} <= given.keys():
        wrong.setdefault("trusted", ["Not beside a key: what is signed is to be checked."])
    if wrong:
        raise Invalid(f"what is asked for is not valid: {', '.join(sorted(wrong)[:5])}", wrong)
    return given


def _climbs(value: str) -> bool:
    return not {".", ".."}.isdisjoint(value.split("/"))


def comment(place: Place, mark: str = "#") -> str:
    """The first lines of a file: what it is, and where a token belongs."""
    lines = [f"{mark} {place.name} of {place.origin}"]
    if place.private:
        lines.append(
            f"{mark} it is private: put a token of this server where {PLACEHOLDER} stands, or where it says so"
        )
    return "".join(f"{line}\n" for line in lines)


def with_token(place: Place) -> str:
    """The URL, with where a token goes, for clients that take one nowhere else."""
    scheme, _, rest = place.url.partition("://")
    return f"{scheme}://token:{PLACEHOLDER}@{rest}" if place.private else place.url
