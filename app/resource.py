"""The nouns that every other file speaks in; pure values, no I/O.

Ask -> (a Format resolves it) -> Resource -> (the engine serves it) -> Entry -> Blob
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Protocol

from app.asked import Ask as Ask
from app.errors import ArtifactError, NotFound
from app.repository import UNSIGNED as UNSIGNED
from app.repository import Kind as Kind
from app.repository import Repository as Repository
from app.repository import Signing as Signing
from app.repository import UpstreamOptions as UpstreamOptions

HERE = "\u2302"  # in a stored document: where the repository's URL belongs (Resource.addressed); no text has it


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum that a body must have: `algorithm` as hashlib names it, `value` in lower-case hex."""

    algorithm: str
    value: str


class Role(StrEnum):
    """What a file is to the index that names it."""

    SAME = "same"  # the index itself under another path (a tag's manifest under its digest)
    MEMBER = "member"  # part of the set: it changes when the index does, and with it
    LISTED = "listed"  # its digest is known: verified when it is fetched, and vouched for


@dataclass(frozen=True, slots=True)
class Link:
    """One file that an index names, by its path in the same repository.

    `digest` is what the body must have, None where the index does not say (a signature beside it). `slot` names what
    stays the same from one edition of the set to the next ("primary"); the members of a new edition are fetched ahead
    exactly where the old one's slot is stored. `signs`: it is another one for every edition.
    """

    path: str
    digest: Digest | None = None
    role: Role = Role.LISTED
    slot: str = ""
    signs: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a format read in an index's body; `links` may be a generator over an open file.

    `content_type` where the body knows better than upstream's header; `until` (unix seconds, 0 for never) is
    when the index itself says that it is no longer to be believed; `kept` are more lines of Entry.kept.
    """

    links: Iterable[Link] = ()
    content_type: str | None = None
    until: float = 0.0
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Located:
    """Where upstream keeps a file, as its index says: `url` absolute, or relative to the index."""

    url: str
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One source of a made document: its entry, and its bytes open at their beginning; None where it is not there.

    `error` says why that is, or why the stored copy may be an old one; `epoch` is its repository's, before asking.
    """

    resource: Resource
    entry: Entry | None = None
    file: BinaryIO | None = None
    error: ArtifactError | None = None
    epoch: int = 0

    @property
    def silent(self) -> bool:
        """Whether nobody knows what is there: its upstream did not answer."""
        return self.error is not None and not isinstance(self.error, NotFound)


@dataclass(frozen=True, slots=True)
class Made:
    """What was made: its type, and what Format.headers will want to know of it (Entry.kept)."""

    content_type: str
    kept: str = ""


class Desk(Protocol):
    """Where a document is written."""

    def show(self, made: Made) -> None:
        """What is written may be sent while it is written, as this: nothing of its sources can be wrong any more."""

    def write(self, data: bytes, /) -> object:
        """More of the document."""

    def beside(self, path: str, content_type: str) -> BinaryIO:
        """Another file, to be written and closed, that is recorded with the document, as immutable: its path in the
        same repository should have its checksum in it."""

    def scratch(self) -> BinaryIO:
        """An empty file for what has to wait, to be written and read again; it goes with the desk."""


Headers = tuple[tuple[str, str], ...]


class Format:
    """One ecosystem's knowledge: pure functions, no socket, file or database; by itself, plain files."""

    __slots__ = ()
    name: str  # the value of `package` in remotes.json
    merged = False  # it can be a virtual's
    dotted = False  # its clients write "." segments: they mean nothing, and are dropped (RFC 3986, 5.2.4)
    edition = 1  # of what make() writes: raised with every change of it, so that nothing older is served

    def resolve(self, repository: Repository, ask: Ask) -> Resource:
        """What `ask.path` is in `repository`; raises Forbidden "blocked_by_pattern"."""
        return Resource(repository, ask.path, ask.path)

    def read(self, resource: Resource, body: BinaryIO) -> Reading:
        """What an index (Resource.index) says; raises ValueError, also from its links, where it is none."""
        return Reading()

    def promised(self, resource: Resource, headers: Mapping[str, str]) -> Digest | None:
        """The digest that upstream's response headers (any case) announce, None where they say nothing."""
        return None

    def headers(self, ask: Ask, resource: Resource, digest: str, kept: str) -> Headers:
        """What the ecosystem adds to a response; `digest` is the body's sha256 in hex, "" while unknown;
        `kept` is Entry.kept."""
        return ()

    def render(self, ask: Ask, resource: Resource, body: bytes, kept: str) -> tuple[bytes, str]:
        """What a client is sent for a stored body (Resource.rendered), and the `kept` that goes with it."""
        return body, kept

    def stated(self, ask: Ask, resource: Resource, entry: Entry, body: BinaryIO) -> Literal:
        """What a client is sent instead of a stored body (Resource.stated)."""
        raise NotImplementedError

    def asks(self, path: str) -> bool:
        """Whether a POST to that path of a remote is but a long question, for upstream to answer: nothing changes."""
        return False

    def named(self, path: str) -> str:
        """The name of the package that a path is about, as patterns of `owned` and publishers write it; "" where it
        is about none, or about many."""
        return ""

    def spelled(self, pattern: str) -> str:
        """A pattern of `owned` as named() writes names: one that is written in another way matches none."""
        return pattern

    def locate(self, resource: Resource, index: BinaryIO) -> Located | None:
        """Where upstream keeps it, by the body of its `named_in`; None for nowhere. ValueError: that is no index."""
        return None

    def lists(self, resource: Resource) -> Sequence[Resource]:
        """The documents that tell a virtual's clients of a member's file, for locate(), each as its `named_in`."""
        return (resource.named_in,) if resource.named_in else ()

    def needs(self, resource: Resource, found: Sequence[Found]) -> Sequence[Resource]:
        """What make() has to read besides; asked again with that found too, until it is nothing."""
        return ()

    def make(self, resource: Resource, found: Sequence[Found], desk: Desk) -> Made:
        """Write the document of its sources (Resource.sources, in their order, then what needs() named), in bounded
        memory, and always the same of the same. Raises ValueError, naming the repository, where a source is not what
        it should be; NotFound where, of these sources, there is no such document."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Literal:
    """A body that stands for "nothing there" in an ecosystem where that is no 404."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing in one repository, as its format resolved it: where it is upstream and how long it keeps.

    `key` names it in every store (the path, and a variant where the ecosystem has variants); `ttl` is in
    seconds, None is forever; `rule` says in words which rule decided that; `expected` is checked before the body
    is stored; `html` says whether an HTML body can be what the client asked for, `packed` that no markup of any sort
    can; `remember_missing` allows negative caching.

    index         its body is read (Format.read) before it is recorded
    listing       the name under which its links are remembered, so that what it lists is verified; "" for not
    root          the path of the index that heads the set this listing belongs to (its own where it is that)
    switched      a new edition replaces the old one only when its members are here
    listed        a recorded list may know its digest
    whole         its headers depend on its whole body: sent when that is stored, and fetched for a HEAD too
    rendered      small, and not sent as it is stored but as Format.render writes it
    stated        asked for is not the body but what Format.stated says of it, as its checksum
    head_first    an expired copy is compared by HEAD with the digest that upstream promises, before a GET
    follow_gone   upstream's 404 or 410 ends the stored copy, whatever the repository says
    area          what upstream's access tokens are for (an image's name); with one, challenges are answered
    keep          names of upstream's headers that are stored and handed to Format.headers
    vouchers      the paths that begin so are indexes whose stored bodies vouch for this one's digest
    otherwise     asked for where upstream has no such thing
    blank         served, and of a `named_in` read, where upstream has nothing of this sort
    sources       it is no upstream's, but made of these by Format.make, whenever one of them has changed
    among         it is the first of these that is there: the same path in the members of a virtual
    package       the name that it is about, for a virtual: who owns it, or locals that have files of it, stand alone
    named_in      the index that says where upstream keeps it (Format.locate); what that does not name is not there
    url           where upstream keeps it, if not under its own path
    beside        recorded when that document was made (Desk.beside)
    addressed     where its stored body has HERE, a client is sent the URL of the repository that it asked
    left_out      the members of a virtual that did not answer
    posted        upstream is asked by a POST of this text; the key has a checksum of it
    """

    repository: Repository
    key: str
    path: str
    query: str = ""
    immutable: bool = False
    ttl: float | None = None
    expected: Digest | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    html: bool = False
    packed: bool = False
    remember_missing: bool = True
    format: Format = field(default=Format(), repr=False)
    index: bool = False
    listing: str = ""
    root: str = ""
    switched: bool = False
    listed: bool = False
    whole: bool = False
    rendered: bool = False
    stated: bool = False
    head_first: bool = False
    follow_gone: bool = False
    area: str = ""
    keep: tuple[str, ...] = ()
    vouchers: str = ""
    otherwise: Resource | None = None
    blank: Literal | None = None
    sources: tuple[Resource, ...] = ()
    among: tuple[Resource, ...] = ()
    package: str = ""
    named_in: Resource | None = None
    url: str = ""
    beside: Resource | None = None
    addressed: bool = False
    left_out: tuple[str, ...] = ()
    posted: str = field(default="", repr=False)
    rule: str = ""

    @property
    def in_step(self) -> bool:
        """Whether it changes, under the name that it has, together with other files of a set."""
        return not self.immutable and (self.switched or self.listed or bool(self.root))


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a stored resource; times are unix seconds, `digest` is the blob's sha256 in hex.

    `checked` 0 means "revalidate at the next request"; `retry_at` rests a failing upstream; `gone` is
    upstream's 401/403/404/410 where it no longer has what is stored here, else 0; `fence` orders commits;
    `until` is Reading.until; `kept` are header lines ("Name: value", joined by newlines) as Resource.keep says.
    """

    digest: str
    size: int
    content_type: str = "application/octet-stream"
    etag: str | None = None
    last_modified: str | None = None
    fetched: float = 0.0
    checked: float = 0.0
    fence: int = 0
    retry_at: float = 0.0
    failures: int = 0
    gone: int = 0
    until: float = 0.0
    kept: str = ""
