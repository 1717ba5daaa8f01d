"""/api/v1/repositories/<name>/entries: what is stored in a repository, by folder or by a part of its path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from app import paths
from app.errors import BadRequest, NotFound
from app.resource import Entry, Kind, Repository
from app.stores.base import Stored
from app.web import audit, docker, heartbeat, local
from app.web.api.shapes import MOST, NEXT, Moment, Text, following
from app.web.auth import listable, readable, require_admin, require_known
from app.web.documented import Blueprint
from app.web.node import about, node

blueprint = Blueprint(
    "entries", __name__, url_prefix="/api/v1/repositories/<repository:name>/entries", description="what is stored"
)
LONGEST = 8192  # characters of a path


class EntriesQuery(Schema):
    """`folder` lists what is directly in one ("" is the top), else everything whose path begins with `prefix`."""

    prefix = Text(LONGEST, load_default="")
    folder = Text(LONGEST)
    search = Text(1000, load_default="", metadata={"description": "a part of the path"})
    after = Text(LONGEST, load_default="", metadata=NEXT)
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST))


class EntryShown(Schema):
    path = fields.String(required=True)
    size = fields.Integer(required=True)
    sha256 = fields.String(required=True)
    content_type = fields.String(required=True)
    fetched = Moment(required=True, metadata={"description": "published, in a local repository"})
    checked = Moment(required=True)
    used = Moment(required=True, metadata={"description": "served last, as eviction goes by it"})
    gone = fields.Integer(required=True, allow_none=True, metadata={"description": "upstream's status, if not 200"})


class Entries(Schema):
    entries = fields.List(fields.Nested(EntryShown), required=True)
    folders = fields.List(fields.String(), required=True)
    after = fields.String(required=True, allow_none=True)


class OneEntry(Schema):
    path = Text(LONGEST, shortest=1, required=True)


@blueprint.get("")
@blueprint.asks(require_known)
@blueprint.arguments(EntriesQuery, location="query")
@blueprint.response(200, Entries)
def entries(given: dict[str, Any], name: str) -> dict[str, Any]:
    """A page of what is stored."""
    listable(name)
    with heartbeat.beating():
        return _in_folder(name, given) if "folder" in given else _found(name, given)


def _found(name: str, given: dict[str, Any]) -> dict[str, Any]:
    browse, limit = node().shelf.catalog.index.browse, given["limit"]
    found = browse.search(name, given["search"], given["prefix"], given["after"], limit)
    return _told([(each.path, each.entry, each.used) for each in found], [], following(found, limit, "path"))


def _in_folder(name: str, given: dict[str, Any]) -> dict[str, Any]:
    if given["search"] or given["prefix"]:
        raise BadRequest("a folder is listed whole: without search and prefix", code="bad_parameter")
    plain = given["folder"].strip("/")
    folder = f"{plain}/" if plain else ""
    found = node().shelf.catalog.index.hosted.children(name, folder, given["after"], given["limit"])
    files = [(folder + each.name, each.entry, each.used) for each in found if each.entry is not None]
    folders = [folder + each.name for each in found if each.entry is None]
    return _told(files, folders, following(found, given["limit"], "name"))


def _told(files: Sequence[tuple[str, Entry, float]], folders: Sequence[str], after: str | None) -> dict[str, Any]:
    return {"entries": [_listed(*each) for each in files], "folders": folders, "after": after}


def _listed(path: str, entry: Entry, used: float) -> dict[str, Any]:
    told = {key: getattr(entry, key) for key in ("size", "content_type", "fetched", "checked")}
    return told | {"path": path, "sha256": entry.digest, "used": used, "gone": entry.gone or None}


@blueprint.delete("")
@blueprint.asks(require_known)
@blueprint.arguments(OneEntry, location="query")
@blueprint.response(204)
def drop(given: dict[str, str], name: str) -> Response:
    """Withdraw what was published at this path, or forget what was fetched (it is fetched again when asked for)."""
    found, path = readable(name), paths.check(given["path"].lstrip("/"))
    audit.note(repository=name, detail=path)
    if found.kind is Kind.LOCAL:
        return _withdraw(found, path)
    require_admin()
    keys = {each.key: each.entry.fence for each in _at(name, path)}
    with heartbeat.beating():
        if not node().shelf.catalog.forget_all(name, keys):
            raise NotFound("no such entry", code="entry_not_found")
    return Response(status=204)


def _at(name: str, path: str) -> list[Stored]:
    """Every variant of one path."""
    found = node().shelf.catalog.index.listing(name, path, limit=1)  # the shortest that begins so is the path itself
    return [each for each in found if each.path == path]


def _withdraw(found: Repository, path: str) -> Response:
    """As a DELETE of its URL would: what goes with it is for its host to say."""
    asked = about(found.name, path, route="api")
    done = docker.changed(asked, found) if docker.is_docker(found) else local.change(asked, found)
    return Response(status=204) if done.status_code < 300 else done
