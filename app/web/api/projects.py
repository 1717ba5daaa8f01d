"""/api/v1/projects: teams, and whose CI they trust."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from app.accounts.rights import RESERVED, Principal, Role
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.stores.accounts import AlreadyTaken, Project, Trust
from app.web import audit
from app.web.api import may
from app.web.api.shapes import HIGHEST, MOST, PLAIN, Moment, Part, ProjectName, Text, following
from app.web.auth import principal, shown
from app.web.documented import Blueprint
from app.web.node import node

blueprint = Blueprint("projects", __name__, url_prefix="/api/v1/projects", description="teams")
NAME = "<project:name>"
ANYBODYS = "iss|aud|exp|iat|nbf"  # claims that every token of an issuer has, or can have
NAMED = 10  # repositories in a message
LISTED = ("id", "name", "description", "created")


class ProjectShown(Schema):
    """`role` is the asker's own, null for an administrator who is no member; it is asked for by its name."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    created = Moment(required=True)
    role = Part(required=True, allow_none=True)


class ProjectsQuery(Schema):
    after = Text(63, load_default="", metadata={"description": "what the page before gave as such"})
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST))


class Projects(Schema):
    projects = fields.List(fields.Nested(ProjectShown), required=True)
    after = fields.String(required=True, allow_none=True)


class NewProject(Schema):
    name = ProjectName(required=True)
    description = Text(1000, load_default="")


class ProjectChanges(Schema):
    description = Text(1000, required=True)


class NewTrust(Schema):
    """A CI that shows a token of `issuer` for `audience` with all these claims gets what `role` may."""

    issuer = Text(1000, shortest=1, required=True)
    audience = Text(1000, shortest=1, required=True)
    claims = fields.Dict(
        keys=Text(100, rf"(?!(?:{ANYBODYS})$){PLAIN}", wants="a claim that tells one job from another", shortest=1),
        values=Text(1000, shortest=1),
        required=True,
        validate=validate.Length(1, 20),
        metadata={
            "description": "without one, everybody whom the issuer knows would be trusted",
            "minProperties": 1,
        },
    )
    role = Part(Role.WRITER, required=True)


class Trusted(Schema):
    id = fields.Integer(required=True)
    issuer = fields.String(required=True)
    audience = fields.String(required=True)
    claims = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    role = Part(required=True)


class Trusts(Schema):
    trusts = fields.List(fields.Nested(Trusted), required=True)


# -- projects --------------------------------------------------------------------------------------------------


@blueprint.get("")
@blueprint.asks(may.require_browsing)
@blueprint.arguments(ProjectsQuery, location="query")
@blueprint.response(200, Projects)
def projects(page: dict[str, Any]) -> dict[str, Any]:
    """One's own, or for an administrator all of them; from Redis, until something is changed."""
    found = principal()
    whose = "*" if found.administers else str(found.user) if found.user else f"{found.token}"
    key = f"{whose} {'user' if found.user else 'token'} {page['limit']} {page['after']}"
    listed = node().accounts.remembered("projects", key, lambda: _listed(found, **page))
    return {**listed, "projects": [{**each, "role": found.projects.get(each["name"])} for each in listed["projects"]]}


def _listed(asking: Principal, after: str, limit: int) -> dict[str, Any]:
    store = node().accounts.store
    if asking.administers or asking.user:
        found = store.projects(None if asking.administers else asking.user, after, limit)
    else:  # a project's own token
        found = [each for name in asking.projects if name > after and (each := store.project(name)) is not None]
    told = [{key: getattr(each, key) for key in LISTED} for each in found]
    return {"projects": told, "after": following(found, limit, "name")}


@blueprint.post("")
@blueprint.asks(may.require_managing)
@blueprint.arguments(NewProject)
@blueprint.response(201, ProjectShown)
def add(given: dict[str, str]) -> dict[str, Any]:
    """A new one; who asks owns it."""
    owner = principal()
    if not owner.user and not owner.administers:
        raise Forbidden("a project's own token makes no projects", code="not_a_user")
    if given["name"] in RESERVED or (given["name"] in _spoken_for() and not owner.administers):
        raise _taken()
    _refuse_many(owner)
    audit.note(detail=given["name"])
    try:
        made = node().accounts.store.add_project(given["name"], given["description"], owner.user)
    except AlreadyTaken:
        raise _taken() from None
    return _told(made, Role.OWNER if owner.user else None)


def _refuse_many(owner: Principal) -> None:
    most = node().settings.projects_max
    if not owner.administers and sum(role is Role.OWNER for role in owner.projects.values()) >= most:
        raise Conflict(f"you own {most} projects: more are an administrator's to make", code="too_many_projects")


def _spoken_for() -> frozenset[str]:
    """Names that remotes.json gives rights to: whoever made such a project would have them."""
    filed = node().repositories.filed
    each = [*filed.remotes.values(), *filed.locals.values(), *filed.virtuals.values()]
    return frozenset(name for repository in each for name in (repository.access, repository.project))


def _taken() -> Conflict:
    return Conflict("that name is taken", code="project_exists")


@blueprint.get(f"/{NAME}")
@blueprint.asks(may.require_member, "name")
@blueprint.response(200, ProjectShown)
def project(name: str) -> dict[str, Any]:
    """One of one's own."""
    return _told(_found(node().accounts.store.project(name)), principal().projects.get(name))


@blueprint.patch(f"/{NAME}")
@blueprint.asks(may.require_owner, "name")
@blueprint.arguments(ProjectChanges)
@blueprint.response(200, ProjectShown)
def change(given: dict[str, str], name: str) -> dict[str, Any]:
    """Change what is said of it."""
    changed = _found(node().accounts.store.change_project(name, given["description"]))
    return _told(changed, principal().projects.get(name))


@blueprint.delete(f"/{NAME}")
@blueprint.asks(may.require_owner, "name")
@blueprint.response(204)
def drop(name: str) -> Response:
    """Remove it, once it has no repositories."""
    if name in _spoken_for():
        raise Conflict(f"remotes.json gives rights to the project {name}", code="defined_in_file")
    try:
        done = node().accounts.store.drop_project(name)
    except AlreadyTaken:
        raise Conflict(f"there are repositories of it: {_naming(name)}", code="project_has_repositories") from None
    if not done:
        _found(None)
    return Response(status=204)


def _naming(project: str) -> str:
    """Repositories of a project, and others' that only its members read; they see them all, and so all of these."""
    every = shown(node().repositories.locals.values())
    found = [each.name for each in every if project in (each.project, each.access)]
    return ", ".join(found[:NAMED]) + (", ..." if len(found) > NAMED else "")


def _told(project: Project, role: Role | None) -> dict[str, Any]:
    return {**{key: getattr(project, key) for key in LISTED}, "role": role}


def _found(project: Project | None) -> Project:
    if project is None:
        raise NotFound("no such project", code="unknown_project")
    return project


# -- whose CI is trusted ----------------------------------------------------------------------------------------


@blueprint.get(f"/{NAME}/trusts")
@blueprint.asks(may.require_owner, "name")
@blueprint.response(200, Trusts)
def trusts(name: str) -> dict[str, Any]:
    """Whose tokens it takes in exchange (POST /api/v1/auth/oidc)."""
    _found(node().accounts.store.project(name))
    return {"trusts": node().accounts.store.trusts(name)}


@blueprint.post(f"/{NAME}/trusts")
@blueprint.asks(may.require_owner, "name")
@blueprint.arguments(NewTrust)
@blueprint.response(201, Trusted)
def add_trust(given: dict[str, Any], name: str) -> Trust:
    """Trust one more."""
    _found(node().accounts.store.project(name))
    if given["issuer"] not in node().settings.oidc_issuers:
        raise Invalid("this server believes no such issuer", {"issuer": ["Not one of OIDC_ISSUERS."]})
    given["role"] = Role[given["role"].upper()]
    return node().accounts.store.add_trust(Trust(0, name, **given))


@blueprint.delete(f"/{NAME}/trusts/<int(max={HIGHEST}):id>")
@blueprint.asks(may.require_owner, "name")
@blueprint.response(204)
def drop_trust(name: str, id: int) -> Response:
    """Trust one less; what it was given lives on for its quarter of an hour."""
    if not node().accounts.store.drop_trust(name, id):
        raise NotFound("no such trust", code="unknown_trust")
    return Response(status=204)
