"""The seam of accounts: users, tokens, projects, members, their repositories, trust in issuers, the audit trail.

The truth is in Postgres. As in base.py: "not here" is None (or False), "broken" is errors.StoreDown; what is taken
already is AlreadyTaken.

Every change that takes something away, alters it or adds to a list (not: a user, a token, an event) counts up in its
own transaction, and when that is committed tells the number to AccountsMemory: copies of principals and of lists
(60 s) that were read before it are no longer believed on any node. A Redis that was away is told the number anew
before anything in it is believed. (A node that alone cannot reach Redis cannot tell: the others believe for up to
60 s.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.accounts.rights import Role


class AlreadyTaken(Exception):
    """An e-mail address or a name that somebody else has."""


class UnknownProject(Exception):
    """The `access` of a definition names a project that is not there."""


def lowered(email: str) -> str:
    """As it is kept and looked for. Only ASCII: what looks like another letter must not become somebody's name."""
    return email.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class User:
    """Times are unix seconds; `email` is kept in lower case; `password` is a hash by argon2, "" for none."""

    id: int
    email: str
    full_name: str = ""
    password: str = field(default="", repr=False)
    admin: bool = False
    disabled: bool = False
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Token:
    """An API token, without its secret. `kind`: "token" made by its user, "login" by a password, "oidc" exchanged;
    `project` is set, and `user` 0, for one that belongs to a project's CI (exchanged); `role` is its part there."""

    id: int
    name: str
    kind: str = "token"
    user: int = 0
    project: str = ""
    role: Role | None = None
    scopes: frozenset[str] = frozenset()
    created: float = 0.0
    expires: float = 0.0  # 0 for never
    used: float = 0.0  # last time, coarsely
    revoked: float = 0.0


@dataclass(frozen=True, slots=True)
class Project:
    """`name` as in remotes.json's `access` and `project`."""

    id: int
    name: str
    description: str = ""
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Member:
    user: int
    email: str
    full_name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens a project believes: an issuer's whose claims all equal these; what it gives for one."""

    id: int
    project: str
    issuer: str
    audience: str
    claims: Mapping[str, str]
    role: Role


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit trail: who did what to what, from where, and what came of it; `at` in unix seconds."""

    at: float
    user: str
    client: str
    action: str  # "PUT", "POST", "DELETE", or "login"
    path: str
    status: int
    request_id: str
    repository: str = ""
    detail: str = ""
    id: int = 0


@dataclass(frozen=True, slots=True)
class Defined:
    """A local repository made through the API: its project, and what remotes.json would say of it."""

    name: str
    project: str
    definition: Mapping[str, Any]
    created: float = 0.0


class Accounts(Protocol):
    """Every method raises StoreDown; lists are in the order of id or name, and paged by `after`."""

    # users
    def add_user(self, email: str, full_name: str, password: str, admin: bool = False) -> User: ...
    def user(self, id: int) -> User | None: ...
    def user_by_email(self, email: str) -> User | None: ...
    def users(self, after: int = 0, limit: int = 100, search: str = "") -> Sequence[User]: ...
    def change_user(self, id: int, **changes: Any) -> User | None:
        """Any of full_name, password, admin, disabled; disabling revokes the user's tokens, a new password those that
        the old one gave (kind "login")."""

    def drop_user(self, id: int) -> bool: ...

    # tokens: `secret` is the sha256 in hex of what the client sends
    def add_token(self, token: Token, secret: str) -> Token: ...
    def token(self, secret: str) -> tuple[Token, User | None] | None:
        """The token and its user, revoked, expired and disabled ones too."""

    def tokens(self, user: int | None = None, after: int = 0, limit: int = 100) -> Sequence[Token]: ...
    def revoke(self, id: int, user: int | None = None) -> bool:
        """With `user`, only one of that user's."""

    def revoke_all(self, user: int) -> int:
        """How many of that user's there were."""

    def token_used(self, ids: Mapping[int, float]) -> None: ...

    # projects
    def add_project(self, name: str, description: str, owner: int) -> Project:
        """With its first owner, where that is not 0."""

    def project(self, name: str) -> Project | None: ...
    def projects(self, user: int | None = None, after: str = "", limit: int = 100) -> Sequence[Project]:
        """With `user`, those that this user is a member of."""

    def change_project(self, name: str, description: str) -> Project | None: ...
    def drop_project(self, name: str) -> bool:
        """False where it is not there; raises AlreadyTaken while it has repositories, or another's give it access."""

    def members(self, project: str) -> Sequence[Member]: ...
    def memberships(self, user: int) -> Mapping[str, Role]: ...
    def put_member(self, project: str, user: int, role: Role) -> bool: ...
    def drop_member(self, project: str, user: int) -> bool: ...

    # whose tokens a project believes
    def add_trust(self, trust: Trust) -> Trust: ...
    def trusts(self, project: str | None = None, issuer: str | None = None) -> Sequence[Trust]: ...
    def drop_trust(self, project: str, id: int) -> bool: ...

    # repositories made through the API; define() and redefine() raise UnknownProject
    def define(self, defined: Defined) -> Defined: ...
    def defined(self) -> Sequence[Defined]: ...
    def redefine(self, before: Defined, definition: Mapping[str, Any], rebuild: bool = False) -> Defined | None:
        """Say this of it from now on; None, and nothing is changed, where it is not as `before` says any more. With
        `rebuild` all its indexes are to be built again."""

    def undefine(self, name: str, journal: Callable[[int], None]) -> bool:
        """Also forgets what is published there, in the same transaction; the bytes go with gc. `journal` is called
        with a fence taken after all of that, before it is committed: where it raises, nothing was changed."""

    def changes(self) -> int:
        """The count of all changes that copies must know of."""

    # the audit trail
    def record(self, events: Sequence[Event]) -> None: ...
    def events(
        self, before: int = 0, limit: int = 100, user: str = "", repository: str = "", action: str = ""
    ) -> Sequence[Event]:
        """The newest first; `before` is an id, for paging."""

    def close(self) -> None: ...


class AccountsMemory(Protocol):
    """Copies in Redis of what accounts say: 60 s, and only while nothing was changed since. Raises StoreDown."""

    def recall(self, kind: str, key: str) -> tuple[Mapping[str, Any] | None, int | None]:
        """(the copy, the count under which a new one is to be remembered): one MGET. A copy that is None is not there
        or outdated; a count that is None must be told by outdate() first."""

    def remember(self, kind: str, key: str, value: Mapping[str, Any], count: int) -> None:
        """Keep a copy of what was read after recall() gave `count`."""

    def outdate(self, count: int) -> None:
        """This is Accounts.changes() now: no copy of before is believed any more. Never lowers the count."""

    def close(self) -> None: ...
