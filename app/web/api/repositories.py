"""/api/v1/repositories: what there is to read, and local repositories that a project's owners make."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from flask import Response, request
from marshmallow import Schema, ValidationError, fields

from app.accounts.rights import EVERYBODY
from app.errors import Conflict, Invalid, Unprocessable
from app.hosting.defining import Defining
from app.repositories.made import MadeSchema
from app.resource import Kind, Repository
from app.stores.accounts import UnknownProject
from app.web import audit, heartbeat
from app.web.api import may
from app.web.api.shapes import ProjectName, RepositoryName
from app.web.auth import principal, readable, require_known, require_write
from app.web.documented import Blueprint, Parser, invalid
from app.web.node import node
from app.web.serve import address

blueprint = Blueprint(
    "repositories", __name__, url_prefix="/api/v1/repositories", description="what there is to read and publish into"
)
NAME = "<repository:name>"
SHOWN = ("name", "package", "description", "access", "project", "overwrite", "verify_on_read", "repodata_depth")


class RepositoryShown(Schema):
    """A repository as everybody sees it who may read it; never a secret."""

    name = fields.String(required=True)
    kind = fields.String(required=True)
    package = fields.String(required=True)
    description = fields.String(required=True)
    access = fields.String(required=True)
    project = fields.String(required=True)
    overwrite = fields.Boolean(required=True)
    verify_on_read = fields.Boolean(required=True)
    repodata_depth = fields.Integer(required=True)
    signed = fields.Boolean(required=True, metadata={"description": "whether its index is"})
    defined_in = fields.String(required=True, metadata={"enum": ["file", "api"]})
    url = fields.String(required=True)


class Repositories(Schema):
    repositories = fields.List(fields.Nested(RepositoryShown), required=True)


class RepositoryChanges(MadeSchema):
    """What remotes.json may say of a local repository; null takes a key away."""


class NewRepository(MadeSchema):
    """What remotes.json may say of a local repository, its name, and the project that owns it."""

    name = RepositoryName(required=True)
    project = ProjectName(required=True)  # type: ignore[assignment]


class _Name(Schema):
    name = RepositoryName(required=True)
    project = ProjectName(required=True)


class Behind(Schema):
    scopes = fields.Integer(required=True, metadata={"description": "indexes that are built again now"})


@blueprint.get("")
@blueprint.asks(may.require_browsing)
@blueprint.response(200, Repositories)
def repositories() -> dict[str, Any]:
    """Those that one may read."""
    known, asking = node().repositories, principal()
    every = [*known.remotes.values(), *known.virtuals.values(), *known.locals.values()]
    return {"repositories": [_described(each) for each in every if asking.may_read(each)]}


@blueprint.post("")
@blueprint.asks(may.require_managing)
@blueprint.takes(NewRepository, "json")
@blueprint.response(201, RepositoryShown)
def define() -> dict[str, Any]:
    """Make a local one, which every node serves at once."""
    given = _sent()
    with _refusing():
        told = _Name().load({key: given[key] for key in ("name", "project") if key in given})
    audit.note(repository=told["name"])
    may.require_owner(told["project"])
    may.require_project(told["project"])
    rest = {key: value for key, value in given.items() if key not in told}
    audit.note(detail=audit.told(given, *SHOWN))
    _refuse_many(told["project"])
    with _refusing():
        made = _defining().define(told["name"], told["project"], rest, administrator=principal().administers)
    return _described(made)


@blueprint.get(f"/{NAME}")
@blueprint.asks(require_known)
@blueprint.response(200, RepositoryShown)
def repository(name: str) -> dict[str, Any]:
    """One that one may read."""
    return _described(readable(name))


@blueprint.patch(f"/{NAME}")
@blueprint.asks(require_known)
@blueprint.takes(RepositoryChanges, "json")
@blueprint.response(200, RepositoryShown)
def change(name: str) -> dict[str, Any]:
    """Change what is said of one that was made here."""
    _require_own(name)
    given = _sent()
    fixed = sorted({"name", "project"} & given.keys())
    if fixed:
        raise Invalid(f"not to be changed: {fixed[0]}", {key: ["It stays as it was made."] for key in fixed})
    audit.note(detail=audit.told(given, *SHOWN))
    with _refusing():
        return _described(_defining().redefine(name, given))


@blueprint.delete(f"/{NAME}")
@blueprint.asks(require_known)
@blueprint.response(204)
def remove(name: str) -> Response:
    """Remove one that was made here, with everything that is published in it."""
    _require_own(name)
    with heartbeat.beating():
        _defining().remove(name)
    return Response(status=204)


@blueprint.post(f"/{NAME}/reindex")
@blueprint.asks(require_known)
@blueprint.response(202, Behind)
def reindex(name: str) -> dict[str, int]:
    """Have all its indexes built anew, within seconds."""
    found = readable(name)
    audit.note(repository=name)
    require_write(found)
    if found.kind is not Kind.LOCAL:
        raise Unprocessable("only a local repository has indexes of its own", code="not_local")
    with heartbeat.beating():
        return {"scopes": node().shelf.catalog.index.hosted.touch(name)}


def _require_own(name: str) -> Repository:
    """NotFound, Forbidden; what the file says of one is Defining's to refuse."""
    found = readable(name)
    audit.note(repository=name)
    if not principal().administers:
        may.require_managing()
        may.require_owner(found.project)
    return found


def _sent() -> dict[str, Any]:
    given = Parser().load_json(request, MadeSchema())
    if not isinstance(given, dict):
        raise Invalid("the body is not an object", {"body": ["Not an object."]})
    return given


def _refuse_many(project: str) -> None:
    most, made = node().settings.repositories_max, node().repositories.all_made().values()
    if not principal().administers and sum(each.project == project for each in made) >= most:
        reason = f"{project} has {most} repositories: more are an administrator's to make"
        raise Conflict(reason, code="too_many_repositories")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise invalid(error.messages) from None
    except UnknownProject as error:
        raise invalid({"access": [f"There is no project {error}."]}) from None


def _defining() -> Defining:
    return Defining(node().repositories, node().shelf)


def _described(repository: Repository) -> dict[str, Any]:
    filed = repository.name in node().repositories.filed.names
    return {
        **{key: getattr(repository, key) for key in SHOWN},
        "access": repository.access or EVERYBODY,
        "kind": repository.kind.value,
        "signed": bool(repository.signing.key),
        "defined_in": "file" if filed else "api",
        "url": address(repository),
    }
