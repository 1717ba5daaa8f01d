"""Who may write, flush and see configuration: holders of the admin token, or everyone where AUTH is open."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, request

from app.errors import Unauthorized
from app.web.node import node

blueprint = Blueprint("auth", __name__)


@blueprint.get("/api/v1/may-write")
def may_write() -> Response:
    """204 or Unauthorized: what a proxy asks before it takes a large upload; no store is asked."""
    require_admin()
    return Response(status=204)


def require_admin() -> None:
    """Unauthorized without the admin token, as Bearer or as a Basic password; never says which part is wrong."""
    settings = node().settings
    if settings.auth == "open":
        return
    _require(settings.admin_token)


def require_metrics() -> None:
    """/metrics is anonymous unless METRICS_TOKEN is set; the admin token opens it too."""
    settings = node().settings
    if settings.metrics_token is not None and settings.auth != "open":
        _require(settings.metrics_token, settings.admin_token)


def require_edge() -> None:
    """What a cache in front asks with: EDGE_TOKEN, which opens nothing else, or the admin token."""
    settings = node().settings
    if settings.auth != "open":
        _require(settings.edge_token, settings.admin_token)


def _require(*accepted: str | None) -> None:
    given = _presented().encode()
    if not any(token and hmac.compare_digest(given, token.encode()) for token in accepted):
        raise Unauthorized("this needs the admin token, as Bearer or as the password of Basic")


def _presented() -> str:
    credentials = request.authorization
    if credentials is None:
        return ""
    if credentials.type == "bearer":
        return credentials.token or ""
    return credentials.password or "" if credentials.type == "basic" else ""
