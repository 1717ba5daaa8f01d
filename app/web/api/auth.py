"""/api/v1/auth: who somebody is, and what they get for saying so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response
from marshmallow import Schema, ValidationError, fields, validates_schema

from app.accounts import secrets
from app.accounts.people import EXCHANGED, LOGIN
from app.accounts.rights import Principal
from app.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from app.stores.accounts import AlreadyTaken, User
from app.web import audit
from app.web.api.may import require_manager
from app.web.api.shapes import Email, Moment, Part, Password, ProjectName, Scopes, Text
from app.web.auth import principal, require_known
from app.web.documented import Blueprint
from app.web.node import node
from app.web.rates import rates

blueprint = Blueprint("accounts", __name__, url_prefix="/api/v1/auth", description="who somebody is")


class Registration(Schema):
    email = Email(required=True)
    password = Password(required=True)
    full_name = Text(200, load_default="")


class Account(Schema):
    """A user as others see one: there is no password in it."""

    id = fields.Integer(required=True)
    email = fields.String(required=True)
    full_name = fields.String(required=True)
    admin = fields.Boolean(required=True)
    disabled = fields.Boolean(required=True)
    created = Moment(required=True)


class Credentials(Schema):
    email = Text(254, required=True)
    password = fields.String(required=True, load_only=True)


class Access(Schema):
    access_token = fields.String(required=True)
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds"})


class Membership(Schema):
    name = fields.String(required=True)
    role = Part(required=True)


class Me(Schema):
    """Who asks, and what their token may; `id` is null for who has no account."""

    id = fields.Integer(required=True, allow_none=True)
    email = fields.String(required=True)
    full_name = fields.String(required=True)
    admin = fields.Boolean(required=True)
    scopes = Scopes(required=True)
    projects = fields.List(fields.Nested(Membership), required=True)
    expires = Moment(required=True)


class MyChanges(Schema):
    full_name = Text(200)
    password = Password()
    current_password = fields.String(load_only=True)

    @validates_schema
    def _both(self, data: dict[str, Any], **_: Any) -> None:
        if "password" in data and "current_password" not in data:
            raise ValidationError("Needed for a new password.", "current_password")


class Exchange(Schema):
    token = fields.String(required=True, load_only=True, metadata={"description": "an OIDC token of the CI system"})
    project = ProjectName(required=True)


@dataclass(frozen=True, slots=True)
class Given:
    """What a login answers."""

    access_token: str
    expires_in: int
    token_type: str = "bearer"  # noqa: S105 - RFC 6750


def _may_register() -> None:
    if node().settings.registration != "open" and not principal().administers:
        raise Forbidden("registration is closed: ask an administrator", code="registration_closed")
    if not principal().administers:
        rates().login("register")


@blueprint.post("/register")
@blueprint.asks(_may_register, open=True)
@blueprint.arguments(Registration)
@blueprint.response(201, Account)
def register(given: dict[str, str]) -> User:
    """Make an account, where registration is open or an administrator asks."""
    try:
        user = node().accounts.register(given["email"], given["password"], given["full_name"])
    except AlreadyTaken:
        raise Conflict("that e-mail address has an account already", code="already_registered") from None
    audit.note(user=principal().name or user.email)
    return user


def _count() -> None:
    rates().login()


@blueprint.post("/login")
@blueprint.asks(_count, open=True)
@blueprint.arguments(Credentials)
@blueprint.response(200, Access)
def login(given: dict[str, str]) -> Given:
    """A token for half a day, for a password."""
    audit.note("login", user=given["email"], detail="password")
    found = node().accounts.login(given["email"], given["password"])
    if found is None:
        raise Unauthorized("wrong e-mail address or password", code="wrong_credentials")
    return Given(found[1], int(LOGIN))


def _count_exchange() -> None:
    rates().login("oidc")


@blueprint.post("/oidc")
@blueprint.asks(_count_exchange, open=True)
@blueprint.arguments(Exchange)
@blueprint.response(200, Access)
def exchange(given: dict[str, str]) -> Given:
    """A project's token for a quarter of an hour, for one that its CI's issuer signed."""
    audit.note("login", user=f"{given['project']}/", detail="oidc")
    token, secret = node().accounts.exchange(given["token"], given["project"])
    audit.note("login", user=f"{given['project']}/{token.name}", detail="oidc")
    return Given(secret, int(EXCHANGED))


@blueprint.post("/logout")
@blueprint.asks(require_known)
@blueprint.response(204)
def logout() -> Response:
    """End the token that this is asked with."""
    if not principal().token:
        raise BadRequest("what was sent is no token that can be ended", code="not_a_token")
    node().accounts.revoke(principal().token)
    return Response(status=204)


@blueprint.get("/me")
@blueprint.asks(require_known)
@blueprint.response(200, Me)
def me() -> dict[str, Any]:
    """Who asks."""
    found = principal()
    return _me(found, node().accounts.store.user(found.user) if found.user else None)


@blueprint.patch("/me")
@blueprint.asks(require_manager)
@blueprint.arguments(MyChanges)
@blueprint.response(200, Me)
def change(given: dict[str, str]) -> dict[str, Any]:
    """Change one's name or password; a new password ends every login."""
    changes = {key: given[key] for key in ("full_name",) if key in given}
    if "password" in given:
        _confirm(given["current_password"])
        changes["password"] = secrets.hashed(given["password"])
    user = node().accounts.store.change_user(principal().user, **changes)
    if user is None:
        raise NotFound("the account is gone", code="unknown_user")
    return _me(principal(), user)


def _confirm(password: str) -> None:
    """A stolen token is no password, does not find one by trying, and makes none where there is none."""
    rates().login()
    user = node().accounts.store.user(principal().user)
    if user is not None and not user.password and not principal().token:  # named by a trusted proxy
        return
    if user is None or not secrets.verified(password, user.password):
        raise Forbidden("the current password is another one", code="wrong_password")


def _me(found: Principal, user: User | None) -> dict[str, Any]:
    return {
        "id": found.user or None,
        "email": found.name,
        "full_name": user.full_name if user is not None else "",
        "admin": found.admin,
        "scopes": found.scopes,
        "projects": [{"name": name, "role": role} for name, role in sorted(found.projects.items())],
        "expires": found.expires,
    }
