"""POST /api/v1/artifacts and .../jobs: what is to be fetched ahead of clients, and how far that is."""

from __future__ import annotations

import dataclasses
import re
import secrets
import time
from typing import Any

from flask import Response, request
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.accounts.rights import Role
from app.errors import BadRequest, Conflict, Forbidden, NotFound, TooManyRequests
from app.prefetch.wanted import MOST as MOST_WANTED
from app.repositories.values import LONGEST_PATTERN
from app.resource import Kind, Repository
from app.stores.jobs import MOST_OPEN, Job, State
from app.web import audit, client, heartbeat
from app.web.api import tasks
from app.web.api.artifacts import LONGEST
from app.web.api.shapes import MOST, NEXT, Moment, RepositoryName, Text
from app.web.auth import principal, readable, require_admin, require_known, visible
from app.web.documented import Blueprint, Parser
from app.web.node import node

blueprint = Blueprint("prefetch", __name__, url_prefix="/api/v1/artifacts", description="what is fetched ahead")
BODY = 16 << 20  # bytes of a request: lock files are large
KINDS = ("requirements.txt", "package-lock.json", "Cargo.lock", "go.sum", "images")
ONE_OF = ("paths", "include_pattern", "lock")
HIDDEN = "where it is another's, and of a virtual of which one may not read every member"


class Large(Parser):
    """Takes lock files."""

    most = BODY


blueprint.ARGUMENTS_PARSER = Large()


class LockSent(Schema):
    """`platforms` of images, such as linux/arm64: none is all that there are."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    text = fields.String(required=True, validate=validate.Length(1, BODY))


class NewJob(Schema):
    """Exactly one of `paths`, `include_pattern` and `lock`."""

    remote = RepositoryName(required=True, metadata={"description": "a remote or a virtual repository"})
    paths = fields.List(Text(LONGEST, shortest=1), validate=validate.Length(1, MOST_WANTED))
    include_pattern = fields.String(
        validate=validate.Length(1, LONGEST_PATTERN),
        metadata={"description": "a regular expression, found in paths that the indexes list; for administrators"},
    )
    indexes = fields.List(
        Text(LONGEST, shortest=1),
        load_default=list,
        validate=validate.Length(0, 1000),
        metadata={"description": "for include_pattern: their paths; else those that are stored"},
    )
    lock = fields.Nested(LockSent)
    platforms = fields.List(
        Text(100, shortest=1),
        load_default=list,
        validate=validate.Length(0, 20),
        metadata={"description": "for images: linux/amd64 and the like; none is all of them"},
    )

    @validates_schema
    def _one(self, data: dict[str, Any], **_: Any) -> None:
        given = [key for key in ONE_OF if key in data]
        if len(given) != 1:
            raise ValidationError("Exactly one of paths, include_pattern and lock.", given[-1] if given else "paths")


class FailureShown(Schema):
    path = fields.String(required=True)
    error = fields.String(required=True, metadata={"description": "as a client would have got it"})
    message = fields.String(required=True)


class JobShown(Schema):
    """`done` counts what was tried: `stored` was fetched and is stored now, `failed` could not be had, the rest was
    there already. `total` grows with what indexes name."""

    id = fields.String(required=True)
    remote = fields.String(required=True)
    source = fields.String(required=True)
    author = fields.String(required=True, metadata={"description": f"{HIDDEN}: empty"})
    state = fields.String(required=True, validate=validate.OneOf([each.value for each in State]))
    reason = fields.String(required=True, metadata={"description": "of one that failed as a whole"})
    total = fields.Integer(required=True)
    done = fields.Integer(required=True)
    stored = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    bytes = fields.Integer(required=True, metadata={"description": "of what was fetched"})
    failures = fields.List(
        fields.Nested(FailureShown), required=True, metadata={"description": f"the first of them; {HIDDEN}: none"}
    )
    created = Moment(required=True)
    started = Moment(required=True)
    finished = Moment(required=True)


class Listed(Schema):
    jobs = fields.List(fields.Nested(JobShown), required=True)
    after = fields.String(required=True, allow_none=True)


class JobsQuery(Schema):
    remote = RepositoryName(load_default="")
    after = Text(64, r"[0-9.]{1,32}-[0-9a-f]{1,32}", load_default="", metadata=NEXT)
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST))


@blueprint.post("")
@blueprint.asks(require_known)
@blueprint.arguments(NewJob)
@blueprint.response(202, JobShown, headers={"Location": {"schema": {"type": "string"}}})
def prefetch(given: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Fetch ahead of clients: paths, what indexes list, or what a lock file pins."""
    repository = _prefetchable(given["remote"])
    if "include_pattern" in given:
        require_admin()  # a pattern can take for ever, and the process that tries it serves every download
    source = next(key for key in ONE_OF if key in given)
    audit.note(repository=repository.name, detail=source)
    with heartbeat.beating():
        task = tasks.made_of(repository, given)
    source = given["lock"]["kind"] if source == "lock" else source
    job, jobs = secrets.token_hex(16), node().shelf.catalog.index.jobs
    if not jobs.add(job, repository.name, principal().name, source, task.text(), time.time()):
        raise TooManyRequests(f"{MOST_OPEN} jobs wait already", code="too_many_jobs", retry_after=60)
    made = jobs.find(job)
    where = f"{_origin()}/api/v1/artifacts/jobs/{job}"
    return _told(made, repository) if made is not None else {}, 202, {"Location": where}


@blueprint.get("/jobs")
@blueprint.asks(require_known)
@blueprint.arguments(JobsQuery, location="query")
@blueprint.response(200, Listed)
def jobs(given: dict[str, Any]) -> dict[str, Any]:
    """Those of repositories that one may read, the newest first."""
    seen = {given["remote"]: readable(given["remote"])} if given["remote"] else _seen()
    created, _, last = given["after"].rpartition("-")
    try:
        before = (float(created) if created else float("inf"), last)
    except ValueError:
        raise BadRequest("`after` is not what a page gave", code="bad_parameter") from None
    found = node().shelf.catalog.index.jobs.recent(list(seen), before, given["limit"])
    after = f"{found[-1].created!r}-{found[-1].id}" if len(found) >= given["limit"] else None
    return {"jobs": [_told(each, seen[each.repository]) for each in found], "after": after}


@blueprint.get("/jobs/<job>")
@blueprint.asks(require_known)
@blueprint.response(200, JobShown)
def job(job: str) -> dict[str, Any]:
    """How far it is."""
    return _told(*_known(job))


@blueprint.delete("/jobs/<job>")
@blueprint.asks(require_known)
@blueprint.response(204)
def cancel(job: str) -> Response:
    """Leave what is not fetched yet; what is stored stays."""
    found, _ = _known(job)
    _prefetchable(found.repository)
    audit.note(repository=found.repository, detail=job)
    if not node().shelf.catalog.index.jobs.cancel(job, time.time()):
        raise Conflict("it has ended", code="job_ended")
    return Response(status=204)


def _seen() -> dict[str, Repository]:
    """All that have jobs and that they may know of."""
    known = node().repositories
    return {name: seen for name in (*known.remotes, *known.virtuals) if (seen := visible(name)) is not None}


def _known(job: str) -> tuple[Job, Repository]:
    """NotFound for that of a repository that they may not know of, too."""
    found = node().shelf.catalog.index.jobs.find(job) if re.fullmatch("[0-9a-f]{32}", job) else None
    seen = visible(found.repository) if found is not None else None
    if found is None or seen is None:
        raise NotFound("no such job", code="unknown_job")
    return found, seen


def _prefetchable(name: str) -> Repository:
    """NotFound, BadRequest for a local one, Forbidden for who is no administrator and writes in no project of it."""
    found = readable(name)
    if found.kind is Kind.LOCAL:
        raise BadRequest(f"{name} is a local repository: it has no upstream", code="not_a_remote")
    asking = principal()
    scoped = bool(asking.scopes & {"admin", "write", f"write:{name}"})
    if not asking.may_write(found) and not (scoped and asking.projects.get(found.access, 0) >= Role.WRITER):
        reason = f"an administrator, or a writer of the project that {name} is for, may prefetch"
        raise Forbidden(reason, code="not_a_writer")
    return found


def _origin() -> str:
    return client.origin(request.environ, node().settings)


def _told(found: Job, seen: Repository) -> dict[str, Any]:
    """As they see it who see that of its repository: what could not be had may name what only others may read."""
    progress, whole = found.progress, not seen.unread or found.author == principal().name
    counts = {name: getattr(progress, name) for name in ("total", "done", "stored", "failed", "bytes")}
    times = {name: getattr(found, name) for name in ("created", "started", "finished")}
    author = found.author if whole else ""
    said = {"id": found.id, "remote": found.repository, "author": author, "source": found.source}
    failures = [dataclasses.asdict(each) for each in progress.failures if whole]
    return said | counts | times | {"state": found.state.value, "reason": found.reason, "failures": failures}
