"""Users and tokens in PostgreSQL, and how every change of accounts counts up; see migration 0007."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg.sql import SQL, Identifier

from app.accounts.rights import Role
from app.stores.accounts import AlreadyTaken, Token, User, lowered
from app.stores.connections import Connections, Patient
from app.stores.statements import one

CHANGEABLE = frozenset({"full_name", "password", "admin", "disabled"})
KEPT = 7 * 86400.0  # seconds for which a token that has expired is still listed

_USER = SQL("id, email, full_name, password, admin, disabled, created")
_TOKEN = SQL(
    """
    tokens.id, tokens.name, kind, coalesce(user_id, 0), coalesce(projects.name, ''), role, scopes, tokens.created,
    expires, used, revoked
    """
)
_COUNT_UP = "UPDATE account_changes SET count = count + 1 RETURNING count"
_CHANGES = "SELECT count FROM account_changes"
_ADD_USER = SQL(
    """
    INSERT INTO users (email, full_name, password, admin, created) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (email) DO NOTHING RETURNING {columns}
    """
).format(columns=_USER)
_USERS = SQL(
    """
    SELECT {columns} FROM users WHERE id > %(after)s AND (email ILIKE %(like)s OR full_name ILIKE %(like)s)
    ORDER BY id LIMIT %(limit)s
    """
).format(columns=_USER)
_BY_ID = SQL("SELECT {columns} FROM users WHERE id = %s").format(columns=_USER)
_BY_EMAIL = SQL("SELECT {columns} FROM users WHERE email = %s").format(columns=_USER)
_REVOKE_ALL = "UPDATE tokens SET revoked = %s WHERE user_id = %s AND revoked = 0 AND kind = ANY (%s)"
_EVERY_KIND, _BY_PASSWORD = ["token", "login", "oidc"], ["login"]

_TIDY = "DELETE FROM tokens WHERE expires > 0 AND expires < %s AND (user_id = %s OR project_id = %s)"
_INSERT = """
    INSERT INTO tokens (secret, name, kind, user_id, project_id, role, scopes, created, expires)
    VALUES (%(secret)s, %(name)s, %(kind)s, nullif(%(user)s, 0), %(project)s, %(role)s, %(scopes)s, %(created)s,
        %(expires)s) RETURNING id
    """
_BY_SECRET = SQL(
    """
    SELECT {token}, users.id, email, full_name, password, admin, disabled, users.created
    FROM tokens LEFT JOIN projects ON projects.id = project_id LEFT JOIN users ON users.id = user_id
    WHERE secret = %s
    """
).format(token=_TOKEN)
_TOKENS = SQL(
    """
    SELECT {token} FROM tokens LEFT JOIN projects ON projects.id = project_id
    WHERE tokens.id > %(after)s AND (%(user)s::bigint IS NULL OR user_id = %(user)s) AND revoked = 0
    ORDER BY tokens.id LIMIT %(limit)s
    """
).format(token=_TOKEN)
_REVOKE = """
    UPDATE tokens SET revoked = %(now)s
    WHERE id = %(id)s AND revoked = 0 AND (%(user)s::bigint IS NULL OR user_id = %(user)s)
    """
_USED = """
    UPDATE tokens SET used = given.at FROM unnest(%s::bigint[], %s::double precision[]) AS given (id, at)
    WHERE tokens.id = given.id AND used < given.at
    """


class Counting:
    """Changes of accounts in one database; `tell` is told the new count of each."""

    def __init__(self, connections: Connections, tell: Callable[[int], None]) -> None:
        self._connections, self._tell = connections, tell

    @contextlib.contextmanager
    def _changing(self, patience: float = 3.0) -> Iterator[Patient]:
        """A transaction that takes something away or alters it."""
        with self._connections.lend(patience) as connection, connection.transaction():
            yield connection
            count = int(one(connection.execute(_COUNT_UP))[0])
        self._tell(count)

    def changes(self) -> int:
        """See Accounts.changes; a server that takes no writes may be behind, and is not asked."""
        with self._connections.lend() as connection:
            return int(one(connection.execute(_CHANGES, prepare=True))[0])

    def close(self) -> None:
        self._connections.close()


class Users(Counting):
    """See Accounts."""

    def add_user(self, email: str, full_name: str, password: str, admin: bool = False) -> User:
        with self._connections.lend() as connection:
            found = connection.execute(
                _ADD_USER, [lowered(email), full_name, password, admin, time.time()]
            ).fetchone()
        if found is None:
            raise AlreadyTaken(email)
        return User(*found)

    def user(self, id: int) -> User | None:
        return self._user(_BY_ID, id)

    def user_by_email(self, email: str) -> User | None:
        return self._user(_BY_EMAIL, lowered(email))

    def _user(self, statement: Any, value: int | str) -> User | None:
        with self._connections.read() as connection:
            found = connection.execute(statement, [value]).fetchone()
        return User(*found) if found else None

    def users(self, after: int = 0, limit: int = 100, search: str = "") -> Sequence[User]:
        values = {"after": after, "limit": limit, "like": like(search)}
        with self._connections.read() as connection:
            return [User(*found) for found in connection.execute(_USERS, values)]

    def change_user(self, id: int, **changes: Any) -> User | None:
        if strange := set(changes) - CHANGEABLE:
            raise ValueError(f"a user has no {', '.join(sorted(strange))} to change")
        with self._changing() as connection:
            if changes:
                said = SQL(", ").join(SQL("{} = {}").format(Identifier(name), changes[name]) for name in changes)
                connection.execute(SQL("UPDATE users SET {said} WHERE id = {id}").format(said=said, id=id))
            kinds = _EVERY_KIND if changes.get("disabled") else _BY_PASSWORD if "password" in changes else []
            connection.execute(_REVOKE_ALL, [time.time(), id, kinds])
            found = connection.execute(_BY_ID, [id]).fetchone()
        return User(*found) if found else None

    def drop_user(self, id: int) -> bool:
        with self._changing() as connection:
            return connection.execute("DELETE FROM users WHERE id = %s", [id]).rowcount == 1

    def add_token(self, token: Token, secret: str) -> Token:
        """What expired long ago goes with it, so that logins do not fill the table."""
        with self._connections.lend() as connection, connection.transaction():
            project = None
            if token.project:
                project = one(connection.execute("SELECT id FROM projects WHERE name = %s", [token.project]))[0]
            connection.execute(_TIDY, [token.created - KEPT, token.user, project])
            values = {
                "secret": bytes.fromhex(secret),
                "name": token.name,
                "kind": token.kind,
                "user": token.user,
                "project": project,
                "role": token.role,
                "scopes": sorted(token.scopes),
                "created": token.created,
                "expires": token.expires,
            }
            number = int(one(connection.execute(_INSERT, values))[0])
        return replace(token, id=number)

    def token(self, secret: str) -> tuple[Token, User | None] | None:
        with self._connections.lend() as connection:  # a standby may not know yet that it is revoked
            found = connection.execute(_BY_SECRET, [bytes.fromhex(secret)], prepare=True).fetchone()
        if found is None:
            return None
        return _token(found[:11]), User(*found[11:]) if found[11] is not None else None

    def tokens(self, user: int | None = None, after: int = 0, limit: int = 100) -> Sequence[Token]:
        with self._connections.read() as connection:
            rows = connection.execute(_TOKENS, {"user": user, "after": after, "limit": limit})
            return [_token(found) for found in rows]

    def revoke(self, id: int, user: int | None = None) -> bool:
        with self._changing() as connection:
            return connection.execute(_REVOKE, {"id": id, "user": user, "now": time.time()}).rowcount == 1

    def revoke_all(self, user: int) -> int:
        with self._changing() as connection:
            return connection.execute(_REVOKE_ALL, [time.time(), user, _EVERY_KIND]).rowcount

    def token_used(self, ids: Mapping[int, float]) -> None:
        order = sorted(ids.items())
        with self._connections.lend() as connection:
            connection.execute(_USED, [[token for token, _ in order], [at for _, at in order]])


def like(search: str) -> str:
    """What contains `search`, whose own signs mean themselves."""
    plain = search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{plain}%"


def _token(found: Sequence[Any]) -> Token:
    number, name, kind, user, project, role, scopes, *times = found
    return Token(number, name, kind, user, project, Role(role) if role else None, frozenset(scopes), *times)
