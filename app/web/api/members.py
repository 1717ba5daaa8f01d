"""/api/v1/projects/<name>/members: who is in a project, and what each may there; an owner stays."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import Schema, fields

from app.accounts.rights import Role
from app.errors import Conflict, NotFound
from app.stores.accounts import Member, User
from app.web import audit
from app.web.api import may
from app.web.api.shapes import HIGHEST, Part, Text
from app.web.auth import principal
from app.web.documented import Blueprint
from app.web.node import node

blueprint = Blueprint(
    "members", __name__, url_prefix="/api/v1/projects/<project:name>/members", description="who is in a team"
)
WHO = "<string(maxlength=254):who>"


class MemberShown(Schema):
    id = fields.Integer(required=True, attribute="user")
    email = fields.String(required=True)
    full_name = fields.String(required=True)
    role = Part(required=True)


class Members(Schema):
    members = fields.List(fields.Nested(MemberShown), required=True)


class MemberRole(Schema):
    role = Part(required=True)


class NewMember(MemberRole):
    email = Text(254, shortest=1, required=True)


@blueprint.get("")
@blueprint.asks(may.require_member, "name")
@blueprint.response(200, Members)
def members(name: str) -> dict[str, Any]:
    """Who is in it."""
    may.require_project(name)
    return {"members": node().accounts.store.members(name)}


@blueprint.put(f"/{WHO}")
@blueprint.asks(may.require_owner, "name")
@blueprint.arguments(MemberRole)
@blueprint.response(200, MemberShown)
def put_member(given: dict[str, str], name: str, who: str) -> Member:
    """Add somebody by their address, or give a member another role."""
    return _put(given, name, who)


@blueprint.post("")
@blueprint.asks(may.require_owner, "name")
@blueprint.arguments(NewMember)
@blueprint.response(201, MemberShown)
def add_member(given: dict[str, str], name: str) -> Member:
    """The same, with the address in the body."""
    return _put(given, name, given["email"])


def _put(given: dict[str, str], name: str, who: str) -> Member:
    user, role = _found(_user(name, who)), Role[given["role"].upper()]
    audit.note(detail=audit.told(given, "email", "role"))
    with may.turn():
        if role is not Role.OWNER:
            _another_owner(name, user.id)
        if not node().accounts.store.put_member(name, user.id, role):
            raise may.unknown_project()
    return Member(user.id, user.email, user.full_name, role)


@blueprint.delete(f"/{WHO}")
@blueprint.asks(may.require_member, "name")
@blueprint.response(204)
def drop_member(name: str, who: str) -> Response:
    """Owners remove anybody, others themselves."""
    asking, user = principal(), _user(name, who)
    own = asking.user and user is not None and user.id == asking.user
    if not (own and "admin" in asking.scopes):
        may.require_owner(name)
    found = _found(user)
    with may.turn():
        _another_owner(name, found.id)
        if not node().accounts.store.drop_member(name, found.id):
            raise NotFound("no such member", code="unknown_member")
    return Response(status=204)


def _user(project: str, who: str) -> User | None:
    """By their address or name. By a number only a member, or for administrators: who the others are is not to be
    found out by counting."""
    store = node().accounts.store
    found = store.user_by_email(who) if who.isprintable() else None
    if found is None and who.isascii() and who.isdigit() and int(who) <= HIGHEST:
        number = int(who)
        if principal().administers or any(each.user == number for each in store.members(project)):
            return store.user(number)
    return found


def _found(user: User | None) -> User:
    if user is None:
        raise NotFound("no such user", code="unknown_user")
    return user


def _another_owner(project: str, user: int) -> None:
    owners = [each.user for each in node().accounts.store.members(project) if each.role is Role.OWNER]
    if owners == [user]:
        raise Conflict("this is the project's last owner", code="last_owner")
