"""/api/v1/audit: who changed what and who logged in, for administrators."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from app.web.api.shapes import HIGHEST, MOST, NEXT, Moment, Text, following
from app.web.auth import require_admin
from app.web.documented import Blueprint
from app.web.node import node

blueprint = Blueprint("audit", __name__, url_prefix="/api/v1/audit", description="the audit trail")


class AuditQuery(Schema):
    before = fields.Integer(
        load_default=0,
        validate=validate.Range(0, HIGHEST),
        metadata=NEXT,
    )
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST))
    user = Text(254, load_default="")
    repository = Text(63, load_default="")
    action = Text(16, load_default="", metadata={"description": "login, or a method such as PUT"})


class Recorded(Schema):
    id = fields.Integer(required=True)
    at = Moment(required=True)
    user = fields.String(required=True, metadata={"description": "empty where nobody said who they are"})
    client = fields.String(required=True)
    action = fields.String(required=True)
    path = fields.String(required=True)
    repository = fields.String(required=True)
    status = fields.Integer(required=True)
    request_id = fields.String(required=True)
    detail = fields.String(required=True)


class Trail(Schema):
    events = fields.List(fields.Nested(Recorded), required=True)
    before = fields.Integer(required=True, allow_none=True)


@blueprint.get("")
@blueprint.asks(require_admin)
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, Trail)
def trail(page: dict[str, Any]) -> dict[str, Any]:
    """The newest first."""
    found = node().accounts.store.events(**page)
    return {"events": found, "before": following(found, page["limit"])}
