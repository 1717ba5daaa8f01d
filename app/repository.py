"""What a repository is, as remotes.json or the API defines it; pure values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase


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
    parts: tuple[Repository, ...] = field(default=(), repr=False)  # virtual: the members that the client may read
    unread: tuple[Repository, ...] = field(default=(), repr=False)  # virtual: the others; they own names, too
    owned: tuple[str, ...] = ()  # names (with *) that a virtual looks for nowhere but here
    serves: tuple[str, ...] = ()  # registries answered for where a client names one (?ns=)
    hosts: tuple[str, ...] = ()  # host names under which clients reach this repository without its name
    default: bool = False  # answers where neither the path nor ?ns= nor the host names a repository
    ban_tags: frozenset[str] = frozenset()
    access: str = ""  # who may read: "" everybody, "authenticated" whoever is known, else a project's name
    project: str = ""  # whose writers publish into a local repository; "" leaves it to administrators
    signing: Signing = field(default_factory=lambda: UNSIGNED, repr=False)  # of a local repository's indexes
    repodata_depth: int = 0  # local rpm: how many directories deep its indexes are; 0 is one for all
    created: float = 0.0  # unix seconds when it was made through the API; 0 for one of remotes.json

    @property
    def private(self) -> bool:
        """Whether not everybody may read all of it."""
        return bool(self.access) or any(part.access for part in (*self.parts, *self.unread))

    def read_by(self, may_read: Callable[[Repository], bool]) -> Repository:
        """A virtual as a client sees it who may read these of its members."""
        judged = [(may_read(part), part) for part in (*self.parts, *self.unread)]
        seen = tuple(part for read, part in judged if read)
        return replace(self, parts=seen, unread=tuple(part for read, part in judged if not read))


def variant(repository: Repository, key: str) -> str:
    """The key of what is made of a virtual's members, which is another one for clients who may not read every member.

    What follows cannot be in a path (app/paths.py), so no client names it."""
    names = [part.name for part in repository.parts]
    if names == list(repository.members):
        return key
    return f"{key}\x1f{hashlib.sha256(' '.join(names).encode()).hexdigest()[:16]}"


def patterned(repository: Repository) -> list[str]:
    """All that its patterns say, as text: what a pattern itself is written as is cut where it is long."""
    kinds = (("mutable", repository.mutable_patterns), ("immutable", repository.immutable_patterns))
    return [f"{kind} {each.flags} {each.pattern!r}" for kind, patterns in kinds for each in patterns]


def owns(repository: Repository, package: str) -> bool:
    """Whether its `owned` names that package."""
    return any(fnmatchcase(package, pattern) for pattern in repository.owned)
