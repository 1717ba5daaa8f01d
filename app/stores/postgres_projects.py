"""Projects in PostgreSQL: their members, whom they trust, and their repositories made through the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg.errors import ForeignKeyViolation
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from app.accounts.rights import RESERVED, Role
from app.stores import indexes, lists, statements
from app.stores.accounts import AlreadyTaken, Defined, Member, Project, Trust, UnknownProject
from app.stores.connections import Patient
from app.stores.postgres_users import Counting

_PROJECT = SQL("id, name, description, created")
_ADD = SQL(
    """
    INSERT INTO projects (name, description, created) VALUES (%s, %s, %s) ON CONFLICT (name) DO NOTHING
    RETURNING {columns}
    """
).format(columns=_PROJECT)
_ONE = SQL("SELECT {columns} FROM projects WHERE name = %s").format(columns=_PROJECT)
_ALL = SQL(
    """
    SELECT {columns} FROM projects
    WHERE name > %(after)s AND (%(user)s::bigint IS NULL OR EXISTS (
        SELECT FROM members WHERE project_id = projects.id AND user_id = %(user)s
    )) ORDER BY name LIMIT %(limit)s
    """
).format(columns=_PROJECT)
_CHANGE = SQL("UPDATE projects SET description = %s WHERE name = %s RETURNING {columns}").format(columns=_PROJECT)
# who gives a project access holds its row, so that it is not dropped meanwhile; who drops it waits for them first
_KEEP = "SELECT 1 FROM projects WHERE name = %s FOR KEY SHARE"
_HOLD = "SELECT 1 FROM projects WHERE name = %s FOR UPDATE"
_GIVEN_ACCESS = "SELECT 1 FROM defined WHERE definition ->> 'access' = %s LIMIT 1"
_MEMBERS = """
    SELECT users.id, email, full_name, role FROM members
    JOIN users ON users.id = user_id JOIN projects ON projects.id = project_id
    WHERE projects.name = %s ORDER BY users.id
    """
_MEMBERSHIPS = "SELECT name, role FROM members JOIN projects ON projects.id = project_id WHERE user_id = %s"
_PUT_MEMBER = """
    INSERT INTO members (project_id, user_id, role)
    SELECT projects.id, users.id, %s FROM projects, users WHERE projects.name = %s AND users.id = %s
    ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role
    """
_DROP_MEMBER = "DELETE FROM members USING projects WHERE projects.id = project_id AND name = %s AND user_id = %s"
_ADD_TRUST = """
    INSERT INTO trusts (project_id, issuer, audience, claims, role)
    SELECT id, %s, %s, %s, %s FROM projects WHERE name = %s RETURNING id
    """
_TRUSTS = """
    SELECT trusts.id, name, issuer, audience, claims, role FROM trusts JOIN projects ON projects.id = project_id
    WHERE (%(project)s::text IS NULL OR name = %(project)s) AND (%(issuer)s::text IS NULL OR issuer = %(issuer)s)
    ORDER BY trusts.id
    """
_DROP_TRUST = "DELETE FROM trusts USING projects WHERE projects.id = project_id AND name = %s AND trusts.id = %s"
_DEFINED = SQL("defined.name, projects.name, definition, defined.created")
_DEFINE = """
    INSERT INTO defined (name, project_id, definition, created) SELECT %s, id, %s, %s FROM projects WHERE name = %s
    ON CONFLICT (name) DO NOTHING
    """
_ALL_DEFINED = SQL(
    "SELECT {columns} FROM defined JOIN projects ON projects.id = project_id ORDER BY defined.name"
).format(columns=_DEFINED)
_REDEFINE = SQL(
    """
    UPDATE defined SET definition = %(definition)s FROM projects
    WHERE projects.id = project_id AND (defined.name, projects.name) = (%(name)s, %(project)s)
    AND (definition, defined.created) = (%(before)s, %(created)s::double precision)
    RETURNING {columns}
    """
).format(columns=_DEFINED)
_FORGET = (
    "DELETE FROM descriptions WHERE repository = %s",
    "DELETE FROM scopes WHERE repository = %s",
    "DELETE FROM generated WHERE repository = %s",
)
FORGETTING = 120.0  # seconds of patience with what forgets all of a repository


class Projects(Counting):
    """See Accounts."""

    def add_project(self, name: str, description: str, owner: int) -> Project:
        with self._changing() as connection:
            found = connection.execute(_ADD, [name, description, time.time()]).fetchone()
            if found is None:
                raise AlreadyTaken(name)
            if owner:
                connection.execute(_PUT_MEMBER, [Role.OWNER, name, owner])
        return Project(*found)

    def project(self, name: str) -> Project | None:
        with self._connections.read() as connection:
            found = connection.execute(_ONE, [name]).fetchone()
        return Project(*found) if found else None

    def projects(self, user: int | None = None, after: str = "", limit: int = 100) -> Sequence[Project]:
        with self._connections.lend() as connection:  # a list that is remembered must not come from a standby
            rows = connection.execute(_ALL, {"user": user, "after": after, "limit": limit})
            return [Project(*found) for found in rows]

    def change_project(self, name: str, description: str) -> Project | None:
        with self._changing() as connection:
            found = connection.execute(_CHANGE, [description, name]).fetchone()
        return Project(*found) if found else None

    def drop_project(self, name: str) -> bool:
        with self._changing() as connection:
            connection.execute(_HOLD, [name])
            if connection.execute(_GIVEN_ACCESS, [name]).fetchone():
                raise AlreadyTaken(f"{name} has access to repositories")
            try:
                return connection.execute("DELETE FROM projects WHERE name = %s", [name]).rowcount == 1
            except ForeignKeyViolation as error:
                raise AlreadyTaken(f"{name} has repositories") from error

    def members(self, project: str) -> Sequence[Member]:
        with self._connections.read() as connection:
            rows = connection.execute(_MEMBERS, [project])
            return [Member(user, email, name, Role(role)) for user, email, name, role in rows]

    def memberships(self, user: int) -> Mapping[str, Role]:
        with self._connections.lend() as connection:  # it is remembered
            return {name: Role(role) for name, role in connection.execute(_MEMBERSHIPS, [user], prepare=True)}

    def put_member(self, project: str, user: int, role: Role) -> bool:
        with self._changing() as connection:
            return connection.execute(_PUT_MEMBER, [role, project, user]).rowcount == 1

    def drop_member(self, project: str, user: int) -> bool:
        with self._changing() as connection:
            return connection.execute(_DROP_MEMBER, [project, user]).rowcount == 1

    def add_trust(self, trust: Trust) -> Trust:
        values = [trust.issuer, trust.audience, Jsonb(dict(trust.claims)), trust.role, trust.project]
        with self._changing() as connection:
            found = statements.one(connection.execute(_ADD_TRUST, values))
        return replace(trust, id=found[0])

    def trusts(self, project: str | None = None, issuer: str | None = None) -> Sequence[Trust]:
        with self._connections.lend() as connection:
            rows = connection.execute(_TRUSTS, {"project": project, "issuer": issuer})
            return [_trust(*found) for found in rows]

    def drop_trust(self, project: str, id: int) -> bool:
        with self._changing() as connection:
            return connection.execute(_DROP_TRUST, [project, id]).rowcount == 1

    def define(self, defined: Defined) -> Defined:
        created = time.time()
        values = [defined.name, Jsonb(dict(defined.definition)), created, defined.project]
        with self._changing() as connection:
            _keep(connection, defined.definition)
            if connection.execute(_DEFINE, values).rowcount != 1:
                raise AlreadyTaken(defined.name)
        return replace(defined, created=created)

    def defined(self) -> Sequence[Defined]:
        with self._connections.lend() as connection:
            return [Defined(*found) for found in connection.execute(_ALL_DEFINED, prepare=True)]

    def redefine(self, before: Defined, definition: Mapping[str, Any], rebuild: bool = False) -> Defined | None:
        values = {"name": before.name, "project": before.project, "created": before.created}
        values |= {"before": Jsonb(dict(before.definition)), "definition": Jsonb(dict(definition))}
        with self._changing() as connection:
            _keep(connection, definition)
            found = connection.execute(_REDEFINE, values).fetchone()
            if found and rebuild:
                connection.execute(indexes.TOUCH, [before.name])
        return Defined(*found) if found else None

    def undefine(self, name: str, journal: Callable[[int], None]) -> bool:
        """As a flush that deletes: its epoch is raised, so copies of before are believed nowhere once Redis knows."""
        with self._changing(FORGETTING) as connection:
            connection.wait_longer()
            connection.execute(statements.LOCK, [statements.number("repository", name)])
            if connection.execute("DELETE FROM defined WHERE name = %s", [name]).rowcount != 1:
                return False
            connection.execute(statements.RAISE, [name])
            connection.execute(statements.FORGOTTEN, [name])
            lists.flush(connection, name, "")
            connection.execute(statements.DELETE, statements.within(name, ""), prepare=False)
            for statement in _FORGET:
                connection.execute(statement, [name])
            journal(int(statements.one(connection.execute(statements.NEXT_FENCE))[0]))
        return True


def _keep(connection: Patient, definition: Mapping[str, Any]) -> None:
    """The project that it gives access, until this is committed. Raises UnknownProject."""
    name = definition.get("access")
    if name and name not in RESERVED and not connection.execute(_KEEP, [name]).fetchone():
        raise UnknownProject(name)


def _trust(number: int, project: str, issuer: str, audience: str, claims: Mapping[str, str], role: int) -> Trust:
    return Trust(number, project, issuer, audience, claims, Role(role))
