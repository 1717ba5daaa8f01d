"""Lists of mirrors as they come over the wire: which repositories they name, and the checksum they pin.

    metalink 3.0    metalink > files > file[name] > verification > hash[type]; resources > url[protocol preference]
    metalink 4      metalink > file[name] > hash[type], url[priority]                        (RFC 5854, 4.1)
    mirror list     a base URL a line, `#` begins a comment

3.0 is what MirrorManager serves, with its own `mm0:alternates` beside `verification`: older editions of the file,
which pin nothing here. Checksums of pieces have no place of their own in this table and are not taken either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.parsers import expat

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from app import paths
from app.errors import BadRequest
from app.resource import Digest

INDEX = "repodata/repomd.xml"  # what a metalink's URLs lead to, below the base URL
MOST = 256  # mirrors remembered of one list
LONGEST = 2048  # characters of a mirror's URL
_DEEPEST = 16  # elements within each other

_STRENGTH = ("sha512", "sha256", "sha1")  # md5 proves nothing
_HEX = {"sha512": 128, "sha256": 64, "sha1": 40}
_PLAIN = re.compile(r"https?://[!%&'()*+,\-./0-9:;=@A-Z\[\]_a-z~]+", re.IGNORECASE)  # no query, no variable of dnf's
_COMMENT = re.compile(r"(?:^|\s)#.*")
_UNRANKED = 999_999  # RFC 5854, 4.2.16.2: a URL without a priority


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Base URLs without their last slash, the preferred first; what repodata/repomd.xml has, the strongest first."""

    urls: tuple[str, ...]
    pins: tuple[Digest, ...] = ()


def read_metalink(body: bytes) -> Mirrors:
    """What a metalink of a repository says; raises ValueError (a clause for a message) where it is none."""
    found = _Reader().read(body)
    if found is None:
        raise ValueError(f"names no {INDEX.rpartition('/')[2]}: it is not a repository's")
    ranked = sorted(found.urls, key=lambda each: each[0])
    return Mirrors(_usable(url.removesuffix(INDEX) for _, url in ranked if url.endswith(f"/{INDEX}")), found.pins())


def read_mirrorlist(body: bytes) -> Mirrors:
    """What a plain list says; raises ValueError where it names no mirror."""
    text = body.decode("utf-8", "replace").lstrip("\ufeff")
    if text.lstrip().startswith("<"):
        raise ValueError("is a document, not a list of URLs; a metalink is named by the key metalink")
    lines = (_COMMENT.sub("", line).strip() for line in text.splitlines())
    return Mirrors(_usable(line.removesuffix(INDEX) for line in lines))


def _usable(urls: Iterable[str]) -> tuple[str, ...]:
    """Those that can be asked, each once, in their order; raises ValueError where none is left."""
    found = dict.fromkeys(base for url in urls if (base := _base(url)))
    if not found:
        raise ValueError("names no mirror that can be asked by http or https")
    return tuple(found)[:MOST]


def _base(url: str) -> str | None:
    """The URL in one spelling; None for what is no plain http or https URL of a directory."""
    if not 0 < len(url) <= LONGEST or not _PLAIN.fullmatch(url):
        return None
    try:
        parts = parse_url(url)
        paths.parse(urlsplit(url).path.strip("/"))  # as it is written: parse_url resolves dot segments
    except (LocationParseError, ValueError, BadRequest):
        return None
    if not parts.host or parts.auth or parts.port == 0:
        return None
    return parts.url.rstrip("/")


@dataclass(slots=True)
class _File:
    """The one file of a metalink that heads a repository."""

    urls: list[tuple[int, str]] = field(default_factory=list)  # (rank, URL), the lowest rank first
    hashes: dict[str, str] = field(default_factory=dict)

    def pins(self) -> tuple[Digest, ...]:
        return tuple(Digest(name, self.hashes[name]) for name in _STRENGTH if name in self.hashes)

    def add_hash(self, kind: str, value: str) -> None:
        name, value = kind.lower().replace("-", ""), value.strip().lower()
        if len(value) == _HEX.get(name) and re.fullmatch("[0-9a-f]+", value):
            self.hashes.setdefault(name, value)


class _Reader:
    """One pass of expat, which resolves nothing: a DOCTYPE ends it, and without one there are no entities."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._namespace = ""
        self._attributes: dict[str, str] = {}
        self._text: list[str] = []
        self._file: _File | None = None
        self._found: _File | None = None

    def read(self, body: bytes) -> _File | None:
        """The repository's file; raises ValueError."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(body, True)
        except expat.ExpatError as error:
            raise ValueError(f"is not XML: {expat.ErrorString(error.code)}") from None
        return self._found

    def _doctype(self, *_: object) -> None:
        raise ValueError("has a DOCTYPE, which no list of mirrors needs")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if not self._path:
            self._namespace = namespace
        if len(self._path) == _DEEPEST:
            raise ValueError("is nested too deeply")
        self._path.append(local if namespace == self._namespace else name)  # others' elements keep theirs
        self._attributes = attributes
        self._text.clear()
        if self._path in (["metalink", "files", "file"], ["metalink", "file"]):
            self._file = _File() if _heads(attributes.get("name", "")) else None

    def _end(self, _: str) -> None:
        match self._path:
            case ["metalink", "files", "file"] | ["metalink", "file"]:
                self._found, self._file = self._found or self._file, None
            case _ if self._file is not None:
                self._leaf(self._file, self._path[1:])
        self._path.pop()
        self._text.clear()

    def _leaf(self, file: _File, path: list[str]) -> None:
        match path:
            case ["files", "file", "verification", "hash"] | ["file", "hash"]:
                file.add_hash(self._attributes.get("type", ""), "".join(self._text))
            case ["files", "file", "resources", "url"]:
                file.urls.append((-_number(self._attributes.get("preference"), 0), "".join(self._text).strip()))
            case ["file", "url"]:
                file.urls.append((_number(self._attributes.get("priority"), _UNRANKED), "".join(self._text).strip()))


def _heads(name: str) -> bool:
    return name.rpartition("/")[2] == INDEX.rpartition("/")[2]


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and re.fullmatch("[0-9]{1,6}", text) else otherwise
