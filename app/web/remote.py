"""The kind-specific form of API.md, /api/v1/remote/<name>/<path>: local repositories answer here too."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, Response, request

from app.errors import BadRequest, MethodNotAllowed
from app.resource import Kind
from app.web import client, local
from app.web.auth import readable, require_known
from app.web.node import about
from app.web.serve import serve
from app.web.target import Target

PREFIX = "/api/v1/remote"
blueprint = Blueprint("remote", __name__, url_prefix=PREFIX)


@blueprint.route("/<rest:rest>", methods=["GET", "HEAD"], provide_automatic_options=False)
def get(rest: str) -> Response:
    found = _asked()
    if found.ask.method == "HEAD" and found.repository.kind is not Kind.LOCAL:
        raise MethodNotAllowed("HEAD of a remote is served under /repository/", ("GET",))
    if found.repository.kind is Kind.LOCAL:
        return local.get(found.ask, found.repository)
    return serve(found.ask, found.repository)


def target() -> Target:
    """What the present request is about, once it is to read."""
    found = _asked()
    return replace(found, ask=local.placed(found.ask, found.repository))


def _asked() -> Target:
    ask = about(*client.within(request.environ, PREFIX), route="api")
    return Target(ask, readable(ask.repository))


@blueprint.route("/<rest:rest>", methods=["PUT", "POST", "PATCH", "DELETE"], provide_automatic_options=False)
def change(rest: str) -> Response:
    ask = about(*client.within(request.environ, PREFIX), route="api")
    require_known()
    found = readable(ask.repository)
    if found.kind is not Kind.LOCAL:
        raise BadRequest("only a local repository takes uploads and deletes", code="not_local")
    return local.change(ask, found)
