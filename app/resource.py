"""The nouns that every other file speaks in; pure values, no I/O.

Ask -> (a Format resolves it) -> Resource -> (the engine serves it) -> Entry -> Blob
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO


class Kind(StrEnum):
    """What a repository is: filled from upstream, published into, or several shown as one."""

    REMOTE = "remote"
    LOCAL = "local"
    VIRTUAL = "virtual"


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """How one remote's upstream is dialled; every time limit is in seconds."""

    proxy: str | None = field(default=None, repr=False)  # it and the headers may hold secrets
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_timeout: float = 5.0
    first_byte_timeout: float = 30.0
    stall_timeout: float = 30.0
    max_connections: int = 64
    max_rate: float | None = None  # requests a second; None is no limit
    auth_hosts: tuple[str, ...] = ()  # besides the registry's own site, who may be asked for its tokens


@dataclass(frozen=True, slots=True)
class Signing:
    """What a local repository's indexes are signed with: PEM (RSA) or ASCII armour (OpenPGP), "" for not at all.

    `name` is what clients know an RSA key by: the file in /etc/apk/keys.
    """

    key: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    name: str = ""


UNSIGNED = Signing()


@dataclass(frozen=True, slots=True)
class Repository:
    """One named repository as remotes.json defines it; TTLs are seconds, None is forever."""

    name: str
    kind: Kind
    package: str = "generic"
    description: str = ""
    base_urls: tuple[str, ...] = ()  # empty where a mirror list names them
    metalink: str | None = None  # the URL of a list of mirrors, with the checksum of the index they must have
    mirrorlist: str | None = None  # the URL of a plain list of mirrors
    immutable_patterns: tuple[re.Pattern[str], ...] = ()
    mutable_patterns: tuple[re.Pattern[str], ...] = ()
    immutable_ttl: float | None = None
    mutable_ttl: float | None = 3600.0
    check_mutable_updates: bool = True
    on_upstream_gone: str = "keep"
    upstream: UpstreamOptions = field(default_factory=UpstreamOptions)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    offline: bool = False
    overwrite: bool = False
    verify_on_read: bool = False  # stored bytes are hashed each time before they are served
    members: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()  # registries answered for where a client names one (?ns=)
    hosts: tuple[str, ...] = ()  # host names under which clients reach this repository without its name
    default: bool = False  # answers where neither the path nor ?ns= nor the host names a repository
    ban_tags: frozenset[str] = frozenset()
    access: str = ""  # who may read: "" everybody, "authenticated" whoever is known, else a project's name
    project: str = ""  # whose writers publish into a local repository; "" leaves it to administrators
    signing: Signing = field(default_factory=lambda: UNSIGNED, repr=False)  # of a local repository's indexes
    repodata_depth: int = 0  # local rpm: how many directories deep its indexes are; 0 is one for all
    created: float = 0.0  # unix seconds when it was made through the API; 0 for one of remotes.json


@dataclass(frozen=True, slots=True)
class Ask:
    """What a client asks for, after the one path check: `path` is decoded and has no leading slash."""

    method: str
    repository: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    request_id: str = "-"
    url_path: str = ""  # as the client wrote it, for the log
    # "repository"; "api" adds Content-Disposition and types by suffix; "v2" answers errors in the form of OCI;
    # "fill" is another node that follows a download, "status" a worker that asks how the fills process is
    route: str = "repository"
    protocol: str = "HTTP/1.1"
    client: str = "-"
    user: str = ""  # who asks, where that was asked; for the log
    address: str = ""  # the repository's own URL as the client reaches it, where that was asked; for Format.render
    started: float = 0.0  # unix seconds


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

    `digest` is what the body must have, None where the index does not say (a signature beside it). `slot` names
    what stays the same from one edition of the set to the next ("primary"); the members of a new edition are
    fetched ahead exactly where the old one's slot is stored. `signs`: it is another one for every edition.
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
    when the index itself says that it is no longer to be believed.
    """

    links: Iterable[Link] = ()
    content_type: str | None = None
    until: float = 0.0


Headers = tuple[tuple[str, str], ...]


class Format:
    """One ecosystem's knowledge: pure functions, no socket, file or database; by itself, plain files."""

    __slots__ = ()
    name: str  # the value of `package` in remotes.json
    proxied = True  # it can be a remote's; else it is only hosted
    dotted = False  # its clients write "." segments: they mean nothing, and are dropped (RFC 3986, 5.2.4)

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
    is stored; `html` says whether an HTML
    body can be what the client asked for; `remember_missing` allows negative caching.

    index         its body is read (Format.read) before it is recorded
    listing       the name under which its links are remembered, so that what it lists is verified; "" for not
    root          the path of the index that heads the set this listing belongs to (its own where it is that)
    switched      a new edition replaces the old one only when its members are here
    listed        a recorded list may know its digest
    whole         its headers depend on its whole body: sent when that is stored, and fetched for a HEAD too
    rendered      small, and not sent as it is stored but as Format.render writes it
    head_first    an expired copy is compared by HEAD with the digest that upstream promises, before a GET
    follow_gone   upstream's 404 or 410 ends the stored copy, whatever the repository says
    area          what upstream's access tokens are for (an image's name); with one, challenges are answered
    keep          names of upstream's headers that are stored and handed to Format.headers
    vouchers      the paths that begin so are indexes whose stored bodies vouch for this one's digest
    otherwise     asked for where upstream has no such thing
    blank         served where upstream has nothing of this sort
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
    remember_missing: bool = True
    format: Format = field(default=Format(), repr=False)
    index: bool = False
    listing: str = ""
    root: str = ""
    switched: bool = False
    listed: bool = False
    whole: bool = False
    rendered: bool = False
    head_first: bool = False
    follow_gone: bool = False
    area: str = ""
    keep: tuple[str, ...] = ()
    vouchers: str = ""
    otherwise: Resource | None = None
    blank: Literal | None = None
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
