"""Who somebody is by what they show, and what gives them something to show: accounts together with their copies.

    a token      `aapi_...`, as Bearer or as the password of Basic: its user's rights, as far as its scopes go
    a password   only for login(), which gives a token of half a day
    a name       AUTH=header: a trusted proxy says who it is; an account is made at first sight
    a CI's own   oidc.py

What is read of Postgres is believed for 60 s from Redis while nothing was changed; see AccountsMemory.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from app.accounts import secrets
from app.accounts.rights import Principal, Role
from app.errors import StoreDown
from app.stores.accounts import Accounts, AccountsMemory, AlreadyTaken, Token, User, lowered

if TYPE_CHECKING:
    from app.accounts.oidc import Issuers

LOGIN = 12 * 3600.0  # seconds that a token by password lives
EXCHANGED = 900.0  # seconds that one for a CI's own lives
LONGEST_NAME = 254  # characters (RFC 5321, 4.5.3.1: what an address can have)
EVERYTHING = frozenset({"admin"})  # the scopes of who may all that their user may

Copy = Mapping[str, Any]


class Uses(Protocol):
    """Who is told of every token that opened something."""

    def add(self, token: int, at: float) -> None: ...
    def close(self) -> None: ...


class People:
    """One per process, for many threads. Every method may raise StoreDown."""

    def __init__(
        self,
        store: Accounts,
        memory: AccountsMemory,
        clock: Callable[[], float] = time.time,
        uses: Uses | None = None,
        issuers: Issuers | None = None,
    ) -> None:
        self.store = store
        self._issuers = issuers
        self._memory, self._clock, self._uses = memory, clock, uses

    def close(self) -> None:
        """Write what has gathered, and give connections back."""
        if self._uses is not None:
            self._uses.close()
        self.store.close()
        self._memory.close()

    def principal_of(self, secret: str) -> Principal | None:
        """Whose token this is; None for an unknown, revoked or expired one, or a disabled user's."""
        if not secrets.TOKEN.fullmatch(secret):
            return None
        digest = secrets.digest_of(secret)
        found = _principal(self.remembered("principal", digest, lambda: self._read(digest)))
        if found is None or 0 < found.expires <= self._clock():
            return None
        if self._uses is not None:
            self._uses.add(found.token, self._clock())
        return found

    def principal_named(self, name: str) -> Principal | None:
        """The user of that name, made where there is none; None for a disabled one."""
        email = lowered(name)
        return _principal(self.remembered("named", email, lambda: self._named(email)))

    def remembered(self, kind: str, key: str, read: Callable[[], Copy]) -> Copy:
        """What `read` says of `key`, or said up to 60 s ago if nothing was changed since; it is asked where Redis is
        down. The values are JSON's."""
        copy, count = self._recalled(kind, key)
        if copy is not None:
            return copy
        found = read()
        if count is not None:
            with contextlib.suppress(StoreDown):
                self._memory.remember(kind, key, found, count)
        return found

    def _recalled(self, kind: str, key: str) -> tuple[Copy | None, int | None]:
        try:
            copy, count = self._memory.recall(kind, key)
        except StoreDown:
            return None, None
        if count is not None:
            return copy, count
        count = self.store.changes()
        try:
            self._memory.outdate(count)
        except StoreDown:
            return None, None
        return None, count

    # -- what they show ---------------------------------------------------------------------------------------

    def register(self, email: str, password: str, full_name: str = "", admin: bool = False) -> User:
        """A new user with a password. Raises AlreadyTaken; ValueError where the password is too short or too long."""
        if self.store.user_by_email(email) is not None:  # before a hash that costs 19 MiB
            raise AlreadyTaken(email)
        return self.store.add_user(email, full_name, secrets.hashed(password), admin)

    def login(self, email: str, password: str) -> tuple[Token, str] | None:
        """A token that does all that its user may, and its secret; None for a wrong pair, whatever is wrong with it,
        and after the same time."""
        user = self.store.user_by_email(email) if _storable(email) else None
        right = secrets.verified(password, user.password if user is not None else "")
        if user is None or user.disabled or not right:
            return None
        return self._given(Token(0, "login", "login", user.id, scopes=EVERYTHING), LOGIN)

    def make_token(
        self, user: int, name: str, scopes: Collection[str] = EVERYTHING, lifetime: float = 0.0
    ) -> tuple[Token, str]:
        """A token of a user's and its secret, which nobody is told again; `lifetime` in seconds, 0 for ever."""
        return self._given(Token(0, name, "token", user, scopes=frozenset(scopes)), lifetime)

    def exchange(self, token: str, project: str) -> tuple[Token, str]:
        """A token of a project's own and its secret, for one of a CI's whose issuer the project trusts; of no more
        than 15 minutes. Raises what Issuers.claims() raises."""
        from app.accounts import oidc  # PyJWT is 3 MiB a process, for those who have issuers

        claims = (self._issuers or oidc.Issuers((), lambda url, named_by: b"")).claims(token)
        role = oidc.believed(claims, self.store.trusts(project, claims["iss"]))
        return self.give(project, role, oidc.subject(claims), EXCHANGED)

    def give(self, project: str, role: Role, name: str, lifetime: float) -> tuple[Token, str]:
        """A token of a project's own, for its CI."""
        scopes = frozenset({"admin"} if role is Role.OWNER else {"read", "write"})
        return self._given(Token(0, name, "oidc", project=project, role=role, scopes=scopes), lifetime)

    def revoke(self, token: int, user: int | None = None) -> bool:
        """End a token, on every node at once; with `user`, only one of that user's."""
        return self.store.revoke(token, user)

    def _given(self, token: Token, lifetime: float) -> tuple[Token, str]:
        now, secret = self._clock(), secrets.new_token()
        timed = replace(token, created=now, expires=now + lifetime if lifetime else 0.0)
        return self.store.add_token(timed, secrets.digest_of(secret)), secret

    # -- who they are -----------------------------------------------------------------------------------------

    def _read(self, digest: str) -> Copy:
        found = self.store.token(digest)
        if found is None or found[0].revoked:
            return {}
        token, user = found
        if user is None:
            return _copy(f"{token.project}/{token.name}", token, {token.project: token.role or Role.READER})
        return {} if user.disabled else _copy(user.email, token, self.store.memberships(user.id), user)

    def _named(self, email: str) -> Copy:
        user = self.store.user_by_email(email) or self._made(email)
        if user is None or user.disabled:
            return {}
        return _copy(user.email, Token(0, "", user=user.id, scopes=EVERYTHING), self.store.memberships(user.id), user)

    def _made(self, email: str) -> User | None:
        try:
            return self.store.add_user(email, "", "")
        except AlreadyTaken:  # by another request of theirs, just now
            return self.store.user_by_email(email)


def _copy(name: str, token: Token, projects: Mapping[str, Role], user: User | None = None) -> Copy:
    return {
        "name": name,
        "user": token.user,
        "admin": user is not None and user.admin,
        "scopes": sorted(token.scopes),
        "projects": {project: int(role) for project, role in projects.items()},
        "token": token.id,
        "expires": token.expires,
    }


def _principal(copy: Copy) -> Principal | None:
    """None for who is nobody, and for what another version wrote."""
    try:
        projects = {name: Role(role) for name, role in copy["projects"].items()}
        scopes = frozenset(copy["scopes"])
        return Principal(**{**copy, "scopes": scopes, "projects": projects})
    except (KeyError, TypeError, ValueError):
        return None


def _storable(email: str) -> bool:
    return len(email) <= LONGEST_NAME and email.isprintable()
