"""The nouns that every other file speaks in; pure values, no I/O.

Ask -> (a Format resolves it) -> Resource -> (the engine serves it) -> Entry -> Blob
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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


@dataclass(frozen=True, slots=True)
class Repository:
    """One named repository as remotes.json defines it; TTLs are seconds, None is forever."""

    name: str
    kind: Kind
    package: str = "generic"
    description: str = ""
    base_urls: tuple[str, ...] = ()
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
    members: tuple[str, ...] = ()


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
    route: str = "repository"  # "repository" or "api": the api form adds Content-Disposition and types by suffix
    protocol: str = "HTTP/1.1"
    client: str = "-"
    started: float = 0.0  # unix seconds


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum that a body must have: `algorithm` as hashlib names it, `value` in lower-case hex."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing in one repository, as its format resolved it: where it is upstream and how long it keeps.

    `key` names it in every store (the path, and a variant where the ecosystem has variants); `ttl` is in
    seconds, None is forever; `expected` is checked before the body is stored; `html` says whether an HTML
    body can be what the client asked for; `remember_missing` allows negative caching.
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


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a stored resource; times are unix seconds, `digest` is the blob's sha256 in hex.

    `checked` 0 means "revalidate at the next request"; `retry_at` rests a failing upstream; `gone` is
    upstream's 401/403/404/410 where it no longer has what is stored here, else 0; `fence` orders commits.
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
