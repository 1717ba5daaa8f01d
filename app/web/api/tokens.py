"""/api/v1/tokens: a user's own."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from app.errors import Forbidden, Invalid, NotFound
from app.web import audit
from app.web.api import may
from app.web.api.shapes import HIGHEST, Moment, Page, Scopes, Text, following
from app.web.auth import principal, visible
from app.web.documented import Blueprint
from app.web.node import node

blueprint = Blueprint("tokens", __name__, url_prefix="/api/v1/tokens", description="a user's own tokens")
LONGEST = 10 * 365 * 86400  # seconds


class TokenShown(Schema):
    """A token without its secret."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(("token", "login", "oidc")))
    scopes = Scopes(required=True)
    created = Moment(required=True)
    expires = Moment(required=True)
    used = Moment(required=True)


class TokenMade(TokenShown):
    token = fields.String(required=True, metadata={"description": "the secret: told now, and never again"})


class Tokens(Schema):
    tokens = fields.List(fields.Nested(TokenShown), required=True)
    after = fields.Integer(required=True, allow_none=True)


class NewToken(Schema):
    name = Text(100, shortest=1, required=True)
    scopes = Scopes(required=True)
    expires_in = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        validate=validate.Range(1, LONGEST),
        metadata={"description": "seconds; null or left out: it does not expire"},
    )


@blueprint.get("")
@blueprint.asks(may.require_manager)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, Tokens)
def tokens(page: dict[str, int]) -> dict[str, Any]:
    """One's own."""
    found = node().accounts.store.tokens(principal().user, **page)
    return {"tokens": found, "after": following(found, page["limit"])}


@blueprint.post("")
@blueprint.asks(may.require_manager)
@blueprint.arguments(NewToken)
@blueprint.response(201, TokenMade)
def make(given: dict[str, Any]) -> dict[str, Any]:
    """A new one. Who has a token of fewer scopes than admin makes none: what they made would outlive it."""
    _refuse_unseen(given["scopes"])
    audit.note(detail=audit.told(given, "name", "scopes", "expires_in"))
    lifetime = float(given["expires_in"] or 0)
    _lasting(lifetime)
    token, secret = node().accounts.make_token(principal().user, given["name"], given["scopes"], lifetime)
    return {**{name: getattr(token, name) for name in TokenShown().fields}, "token": secret}


def _refuse_unseen(scopes: list[str]) -> None:
    """Invalid for a repository that is not there, or that they may not know of."""
    names = [scope.partition(":")[2] for scope in scopes]
    wrong = {
        f"scopes.{number}": ["No such repository."] for number, name in enumerate(names) if name and not visible(name)
    }
    if wrong:
        raise Invalid("a scope names a repository that is not there", wrong)


def _lasting(lifetime: float) -> None:
    """Only a login gives what outlives itself."""
    ends, now = principal().expires, node().shelf.clock()
    if ends and not (0 < lifetime <= ends - now) and not _is_login():
        raise Forbidden("this token ends sooner than the one it asks for", code="expires_sooner")


def _is_login() -> bool:
    found = principal()
    mine = node().accounts.store.tokens(found.user, after=found.token - 1, limit=1) if found.token else []
    return any(each.id == found.token and each.kind == "login" for each in mine)


@blueprint.delete(f"/<int(max={HIGHEST}):id>")
@blueprint.asks(may.require_managing)
@blueprint.response(204)
def revoke(id: int) -> Response:
    """End one at once, on every node; an administrator anybody's."""
    if not node().accounts.revoke(id, None if principal().administers else principal().user):
        raise NotFound("no such token", code="unknown_token")
    return Response(status=204)
