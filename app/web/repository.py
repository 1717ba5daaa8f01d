"""The client URL of any repository, /repository/<name>/<path>: full HTTP, whatever its kind."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app import paths
from app.errors import MethodNotAllowed
from app.formats import FORMATS
from app.resource import Ask, Kind
from app.web import client, docker, local
from app.web.asking import asked
from app.web.auth import readable, require_known, visible
from app.web.node import about
from app.web.serve import serve
from app.web.target import Target

PREFIX = "/repository"
blueprint = Blueprint("repository", __name__, url_prefix=PREFIX)


@blueprint.route("/<rest:rest>", methods=["GET", "HEAD"], provide_automatic_options=False)
def get(rest: str) -> Response:
    ask = _asked()
    found = readable(ask.repository)
    if docker.is_docker(found):
        return docker.answer(ask, found)
    return local.get(ask, found) if found.kind is Kind.LOCAL else serve(ask, found)


def target() -> Target | None:
    """What the present request is about, once it is to read; None for a page of this server's own."""
    ask = _asked()
    found = readable(ask.repository)
    own = docker.is_docker(found) and docker.is_own(docker.below(ask))
    return None if own else Target(local.placed(ask, found), found)


@blueprint.route("/<rest:rest>", methods=["PUT", "POST", "PATCH", "DELETE"], provide_automatic_options=False)
def change(rest: str) -> Response:
    ask = _asked()
    if (question := asked(ask)) is not None:
        return serve(*question)
    require_known()
    found = readable(ask.repository)
    if found.kind is not Kind.LOCAL:
        raise MethodNotAllowed("only a local repository takes uploads and deletes", ("GET", "HEAD"))
    return docker.changed(ask, found) if docker.is_docker(found) else local.change(ask, found)


def _asked() -> Ask:
    """What the request is about; below a registry's API even a harmful path is refused in that API's form."""
    name, raw = client.split(request.environ, PREFIX)
    route = "v2" if docker.is_api(name, raw) else "repository"
    about(name, "", route=route)
    found = visible(name)
    if found is not None and FORMATS[found.package].dotted:
        raw = client.undotted(raw)
    return about(name, paths.parse(raw), route=route)
