"""/api/v1/projects: teams, their members, and whose CI they trust; a project always has an owner."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from app.accounts.rights import AUTHENTICATED, Principal, Role
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.stores.accounts import AlreadyTaken, Member, Project, Trust, User
from app.web.api import may
from app.web.api.shapes import HIGHEST, MOST, Moment, Part, ProjectName, Text, following
from app.web.auth import principal
from app.web.documented import Blueprint
from app.web.node import node

blueprint = Blueprint("projects", __name__, url_prefix="/api/v1/projects", description="teams")
NAME = "<project:name>"
LISTED = ("name", "description", "created")


class ProjectShown(Schema):
    """`role` is the asker's own, null for an administrator who is no member."""

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


class MemberShown(Schema):
    id = fields.Integer(required=True, attribute="user")
    email = fields.String(required=True)
    full_name = fields.String(required=True)
    role = Part(required=True)


class Members(Schema):
    members = fields.List(fields.Nested(MemberShown), required=True)


class MemberRole(Schema):
    role = Part(required=True)


class NewTrust(Schema):
    """A CI that shows a token of `issuer` for `audience` with all these claims gets what `role` may."""

    issuer = Text(1000, shortest=1, required=True)
    audience = Text(1000, shortest=1, required=True)
    claims = fields.Dict(
        keys=Text(100, shortest=1),
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
    if given["name"] == AUTHENTICATED or (given["name"] in _spoken_for() and not owner.administers):
        raise _taken()
    try:
        made = node().accounts.store.add_project(given["name"], given["description"], owner.user)
    except AlreadyTaken:
        raise _taken() from None
    return _told(made, Role.OWNER if owner.user else None)


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
        raise Conflict("it has repositories: remove them first", code="project_has_repositories") from None
    if not done:
        _found(None)
    return Response(status=204)


def _told(project: Project, role: Role | None) -> dict[str, Any]:
    return {**{key: getattr(project, key) for key in LISTED}, "role": role}


def _found(project: Project | None) -> Project:
    if project is None:
        raise NotFound("no such project", code="unknown_project")
    return project


# -- members ---------------------------------------------------------------------------------------------------


@blueprint.get(f"/{NAME}/members")
@blueprint.asks(may.require_member, "name")
@blueprint.response(200, Members)
def members(name: str) -> dict[str, Any]:
    """Who is in it."""
    _found(node().accounts.store.project(name))
    return {"members": node().accounts.store.members(name)}


@blueprint.put(f"/{NAME}/members/<string(maxlength=254):who>")
@blueprint.asks(may.require_owner, "name")
@blueprint.arguments(MemberRole)
@blueprint.response(200, MemberShown)
def put_member(given: dict[str, str], name: str, who: str) -> Member:
    """Add somebody, by address or number, or give them another role."""
    store, user, role = node().accounts.store, _user(who), Role[given["role"].upper()]
    with may.turn():
        if role is not Role.OWNER:
            _another_owner(name, user.id)
        if not store.put_member(name, user.id, role):
            _found(None)
    return Member(user.id, user.email, user.full_name, role)


@blueprint.delete(f"/{NAME}/members/<string(maxlength=254):who>")
@blueprint.asks(may.require_member, "name")
@blueprint.response(204)
def drop_member(name: str, who: str) -> Response:
    """Owners remove anybody, others themselves."""
    asking = principal()
    own = who in (str(asking.user), asking.name) and "admin" in asking.scopes
    if not (own and asking.user):
        may.require_owner(name)
    user = _user(who)
    with may.turn():
        _another_owner(name, user.id)
        if not node().accounts.store.drop_member(name, user.id):
            raise NotFound("no such member", code="unknown_member")
    return Response(status=204)


def _user(who: str) -> User:
    """By number or address; only to owners, who must be able to add people."""
    store = node().accounts.store
    if who.isascii() and who.isdigit():
        found = store.user(int(who)) if int(who) <= HIGHEST else None
    else:
        found = store.user_by_email(who.lower()) if who.isprintable() else None
    if found is None:
        raise NotFound("no such user", code="unknown_user")
    return found


def _another_owner(project: str, user: int) -> None:
    owners = [each.user for each in node().accounts.store.members(project) if each.role is Role.OWNER]
    if owners == [user]:
        raise Conflict("this is the project's last owner", code="last_owner")


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
