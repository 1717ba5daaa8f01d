"""The kind-specific form of API.md, /api/v1/virtual/<name>/<path>: what all members of a virtual have, to read."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.errors import BadRequest, MethodNotAllowed, NotFound
from app.resource import Kind
from app.web import client
from app.web.auth import readable, require_known
from app.web.node import about
from app.web.serve import serve
from app.web.target import Target

PREFIX = "/api/v1/virtual"
CHANGING = ("PUT", "POST", "PATCH", "DELETE")
blueprint = Blueprint("virtual", __name__, url_prefix=PREFIX)


@blueprint.route("/<rest:rest>", methods=["GET", "HEAD", *CHANGING], provide_automatic_options=False)
def get(rest: str) -> Response:
    if request.method in CHANGING:
        about("", "", route="api")
        require_known()
    found = target()
    if request.method in CHANGING:
        raise BadRequest("only a local repository takes uploads and deletes", code="not_local")
    if request.method == "HEAD":
        raise MethodNotAllowed("HEAD of a virtual is served under /repository/", ("GET",))
    return serve(found.ask, found.repository)


def target() -> Target:
    """What the present request is about."""
    ask = about(*client.within(request.environ, PREFIX), route="api")
    found = readable(ask.repository)
    if found.kind is not Kind.VIRTUAL:
        raise NotFound("no such virtual repository", code="unknown_repository")
    return Target(ask, found)
