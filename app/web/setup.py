"""/setup/<repository>/<file>: a client's ready configuration, for the same readers as the repository's own files."""

from __future__ import annotations

import urllib.parse
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields

from app import setup
from app.errors import NotFound, StoreDown
from app.setup.place import OPTIONS, Place, options
from app.web import client
from app.web.auth import principal, readable, visible
from app.web.documented import EITHER, Blueprint
from app.web.node import about, node
from app.web.serve import address

blueprint = Blueprint("setup", __name__, url_prefix="/setup", description="clients' configurations")


class FileShown(Schema):
    name = fields.String(required=True)
    url = fields.String(required=True)


class Files(Schema):
    repository = fields.String(required=True)
    package = fields.String(required=True)
    files = fields.List(fields.Nested(FileShown), required=True)


class OptionsQuery(Schema):
    """What a client wants otherwise than usual."""

    path = fields.String(metadata={"description": OPTIONS["path"][1]})
    key = fields.String(metadata={"description": OPTIONS["key"][1]})
    suites = fields.String(metadata={"description": OPTIONS["suites"][1]})
    components = fields.String(metadata={"description": OPTIONS["components"][1]})
    scope = fields.String(metadata={"description": OPTIONS["scope"][1]})
    registry = fields.String(metadata={"description": OPTIONS["registry"][1]})
    trusted = fields.String(metadata={"description": OPTIONS["trusted"][1]})


class PlaceShown(Schema):
    repository = fields.String(required=True)
    package = fields.String(required=True)
    url = fields.String(required=True, metadata={"description": "where its files are listed"})


class Places(Schema):
    repositories = fields.List(fields.Nested(PlaceShown), required=True)


@blueprint.get("/")
@blueprint.doc(security=[*EITHER, {}])
@blueprint.response(200, Places)
def places() -> dict[str, Any]:
    """Which repositories there are files for: those that one may read."""
    known, origin = node().repositories, client.origin(request.environ, node().settings)
    every = sorted({**known.remotes, **known.listed, **known.virtuals})
    seen = [found for name in every if (found := visible(name))]
    listed = [
        {"repository": each.name, "package": each.package, "url": f"{origin}/setup/{each.name}/"} for each in seen
    ]
    return {"repositories": listed}


@blueprint.get("/<repository:name>/")
@blueprint.doc(security=[*EITHER, {}])
@blueprint.response(200, Files)
def files(name: str) -> dict[str, Any]:
    """Which files there are."""
    place = _place(name)
    base = f"{place.origin}/setup/{name}"
    listed = [{"name": each, "url": f"{base}/{urllib.parse.quote(each)}"} for each in setup.files(place)]
    return {"repository": name, "package": place.repository.package, "files": listed}


@blueprint.get("/<repository:name>/<file>")
@blueprint.doc(security=[*EITHER, {}])
@blueprint.arguments(OptionsQuery, location="query")
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
def file(given: dict[str, str], name: str, file: str) -> Response:
    """One of them, as it is to be saved."""
    place = _place(name, given)
    writer = setup.writer(place, file)
    if writer is None:
        raise NotFound(f"there is no such file: /setup/{name}/ lists those there are", code="file_not_found")
    response = Response(writer(place), content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = "private, no-cache" if place.known else "no-cache"
    response.headers["Vary"] = "Host, Authorization"
    return response


def _place(name: str, given: dict[str, str] | None = None) -> Place:
    """Raises as readable() does, and Invalid."""
    about(name, "")
    found = readable(name)
    origin = client.origin(request.environ, node().settings)
    return Place(found, address(found), origin, options(given or {}), _known())


def _known() -> bool:
    """Whether they are somebody here; public files are told where nobody can say so, too."""
    try:
        return principal().known
    except StoreDown:
        return False
