"""The client URL of any repository, /repository/<name>/<path>: full HTTP, whatever its kind."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.errors import MethodNotAllowed
from app.resource import Kind
from app.web import client, local
from app.web.auth import require_admin
from app.web.node import about
from app.web.serve import repository, serve

PREFIX = "/repository"
blueprint = Blueprint("repository", __name__, url_prefix=PREFIX)


@blueprint.route("/<rest:rest>", methods=["GET", "HEAD"], provide_automatic_options=False)
def get(rest: str) -> Response:
    ask = about(*client.within(request.environ, PREFIX))
    return serve(ask, repository(ask.repository))


@blueprint.route("/<rest:rest>", methods=["PUT", "DELETE"], provide_automatic_options=False)
def change(rest: str) -> Response:
    ask = about(*client.within(request.environ, PREFIX))
    require_admin()
    found = repository(ask.repository)
    if found.kind is not Kind.LOCAL:
        raise MethodNotAllowed("only a local repository takes uploads and deletes", ("GET", "HEAD"))
    return local.put(ask, found) if ask.method == "PUT" else local.delete(ask, found)
