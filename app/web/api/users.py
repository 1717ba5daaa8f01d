"""/api/v1/users: accounts, for administrators; somebody stays in charge."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import Schema, fields

from app.accounts import secrets
from app.accounts.rights import Role
from app.errors import Conflict, NotFound
from app.stores.accounts import AlreadyTaken, User
from app.web import audit
from app.web.api.auth import Account
from app.web.api.may import turn
from app.web.api.shapes import HIGHEST, MOST, Email, Page, Password, Text, following
from app.web.api.tokens import Tokens
from app.web.auth import require_admin
from app.web.documented import Blueprint
from app.web.node import node

blueprint = Blueprint("users", __name__, url_prefix="/api/v1/users", description="accounts, for administrators")
ID = f"<int(max={HIGHEST}):id>"


class UsersQuery(Page):
    search = Text(254, load_default="", wants="a part of an e-mail address or a name")


class Users(Schema):
    users = fields.List(fields.Nested(Account), required=True)
    after = fields.Integer(required=True, allow_none=True)


class NewUser(Schema):
    """Without a password nobody can log in by one (AUTH=header)."""

    email = Email(required=True)
    password = Password()
    full_name = Text(200, load_default="")
    admin = fields.Boolean(load_default=False, truthy={True}, falsy={False})


class UserChanges(Schema):
    password = Password()
    full_name = Text(200)
    admin = fields.Boolean(truthy={True}, falsy={False})
    disabled = fields.Boolean(truthy={True}, falsy={False})


class Revoked(Schema):
    revoked = fields.Integer(required=True)


@blueprint.get("")
@blueprint.asks(require_admin)
@blueprint.arguments(UsersQuery, location="query")
@blueprint.response(200, Users)
def users(page: dict[str, Any]) -> dict[str, Any]:
    """Everybody, or who has this in their address or name."""
    found = node().accounts.store.users(**page)
    return {"users": found, "after": following(found, page["limit"])}


@blueprint.post("")
@blueprint.asks(require_admin)
@blueprint.arguments(NewUser)
@blueprint.response(201, Account)
def add(given: dict[str, Any]) -> User:
    """Make an account."""
    audit.note(detail=audit.told(given, "email", "admin"))
    password = secrets.hashed(given["password"]) if "password" in given else ""
    try:
        return node().accounts.store.add_user(given["email"], given["full_name"], password, given["admin"])
    except AlreadyTaken:
        raise Conflict("that e-mail address has an account already", code="already_registered") from None


@blueprint.get(f"/{ID}")
@blueprint.asks(require_admin)
@blueprint.response(200, Account)
def user(id: int) -> User:
    """One account."""
    return _found(node().accounts.store.user(id))


@blueprint.patch(f"/{ID}")
@blueprint.asks(require_admin)
@blueprint.arguments(UserChanges)
@blueprint.response(200, Account)
def change(given: dict[str, Any], id: int) -> User:
    """A new password ends every login, disabling every token."""
    audit.note(detail=audit.told(given, "admin", "disabled"))
    if "password" in given:
        given["password"] = secrets.hashed(given["password"])
    with turn():
        if given.get("disabled") or given.get("admin") is False:
            _another_administrator(_found(node().accounts.store.user(id)))
        return _found(node().accounts.store.change_user(id, **given))


@blueprint.delete(f"/{ID}")
@blueprint.asks(require_admin)
@blueprint.response(204)
def drop(id: int) -> Response:
    """Remove an account with its tokens and memberships; what it published stays."""
    with turn():
        _another_administrator(_found(node().accounts.store.user(id)))
        _other_owners(id)
        node().accounts.store.drop_user(id)
    return Response(status=204)


@blueprint.get(f"/{ID}/tokens")
@blueprint.asks(require_admin)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, Tokens)
def tokens(page: dict[str, int], id: int) -> dict[str, Any]:
    """A user's, without their secrets."""
    store = node().accounts.store
    _found(store.user(id))
    found = store.tokens(id, **page)
    return {"tokens": found, "after": following(found, page["limit"])}


@blueprint.delete(f"/{ID}/tokens")
@blueprint.asks(require_admin)
@blueprint.response(200, Revoked)
def revoke(id: int) -> dict[str, int]:
    """End every token of a user's."""
    store = node().accounts.store
    _found(store.user(id))
    return {"revoked": store.revoke_all(id)}


def _found(user: User | None) -> User:
    if user is None:
        raise NotFound("no such user", code="unknown_user")
    return user


def _another_administrator(user: User) -> None:
    """Conflict where nobody else would be one; the administrator's own token is for emergencies."""
    if not user.admin or user.disabled:
        return
    after = 0
    while found := node().accounts.store.users(after, MOST):
        if any(each.admin and not each.disabled and each.id != user.id for each in found):
            return
        after = found[-1].id
    raise Conflict("this is the last administrator", code="last_administrator")


def _other_owners(id: int) -> None:
    store = node().accounts.store
    for project, role in store.memberships(id).items():
        owners = [each for each in store.members(project) if each.role is Role.OWNER]
        if role is Role.OWNER and len(owners) == 1:
            raise Conflict(f"this is the last owner of the project {project}", code="last_owner")
