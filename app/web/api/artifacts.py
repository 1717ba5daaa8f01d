"""/api/v1/artifacts: what is stored, found over all repositories that one may read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from app import paths
from app.resource import Repository
from app.stores.base import Stored
from app.web import heartbeat
from app.web.api.entries import EntryShown
from app.web.api.shapes import MOST, NEXT, RepositoryName, Text
from app.web.auth import listable, principal, require_known
from app.web.documented import Blueprint
from app.web.node import node
from app.web.serve import address

blueprint = Blueprint("artifacts", __name__, url_prefix="/api/v1/artifacts", description="what is stored")
LONGEST = 8192  # characters of a path
ALSO = {"remote": "repository", "search": "q"}  # other names of what one asks for
SEARCH = 10.0  # seconds after which a page that is not full is one, too: several repositories are looked through


class ArtifactsQuery(Schema):
    """All that is stored and may be read, narrowed by whatever is given."""

    repository = RepositoryName(load_default="")
    remote = RepositoryName(metadata={"description": "the same, as jobs call it"})
    package = Text(32, load_default="", metadata={"description": "of repositories of this package alone"})
    prefix = Text(LONGEST, load_default="", metadata={"description": "how the path begins"})
    q = Text(1000, load_default="", metadata={"description": "a part of the path"})
    search = Text(1000, metadata={"description": "the same, as a repository's entries call it"})
    digest = Text(71, "(?:sha256:)?[0-9a-f]{64}", wants="a sha256 in hex")
    after = Text(LONGEST, load_default="", metadata=NEXT)
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST))

    @post_load
    def _one_name(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        for other, name in ALSO.items():
            value = data.pop(other, data[name])
            if data[name] not in ("", value):
                raise ValidationError(f"Another value than that of {name}, which is the same.", other)
            data[name] = value
        return data


class ArtifactShown(EntryShown):
    repository = fields.String(required=True)
    package = fields.String(required=True)
    url = fields.String(required=True)


class Artifacts(Schema):
    artifacts = fields.List(fields.Nested(ArtifactShown), required=True)
    after = fields.String(required=True, allow_none=True)


@blueprint.get("")
@blueprint.asks(require_known)
@blueprint.arguments(ArtifactsQuery, location="query")
@blueprint.response(200, Artifacts)
def artifacts(given: dict[str, Any]) -> dict[str, Any]:
    """A page of what is stored, over all repositories that one may read, in their names' order."""
    known = {each.name: each for each in _searched(given)}
    with heartbeat.beating():
        found, after = _bytes(known, given) if "digest" in given else _found(known, given)
    return {"artifacts": [_artifact(known[each.repository], each) for each in found], "after": after}


def _searched(given: dict[str, Any]) -> list[Repository]:
    if given["repository"]:
        return [listable(given["repository"])]
    every = sorted(those_readable(), key=lambda each: each.name)
    return [each for each in every if given["package"] in ("", each.package)]


def those_readable() -> list[Repository]:
    """Of every kind; of virtuals, those of which they may read every member, as listable() wants it."""
    known, asking = node().repositories, principal()
    plain = {**known.remotes, **known.locals}
    unread = {name for name, each in plain.items() if not asking.may_read(each)}
    every = [*plain.values(), *known.virtuals.values()]
    return [each for each in every if asking.may_read(each) and unread.isdisjoint(each.members)]


def _bytes(known: dict[str, Repository], given: dict[str, Any]) -> tuple[Sequence[Stored], str | None]:
    """Everything that has that digest."""
    index, digest = node().shelf.catalog.index, given["digest"].removeprefix("sha256:")
    found = index.named(digest, list(known), given["prefix"], limit=MOST)
    return [each for each in found if given["q"] in each.path], None


def _found(known: dict[str, Repository], given: dict[str, Any]) -> tuple[Sequence[Stored], str | None]:
    """Repository after repository, until the page is full or that took long."""
    name, _, after = given["after"].partition("/")
    browse, limit, deadline = node().shelf.catalog.index.browse, given["limit"], time.monotonic() + SEARCH
    found: list[Stored] = []
    for each in (each for each in known if each >= name):
        begin, room = after if each == name else "", limit - len(found)
        page = browse.search(each, given["q"], given["prefix"], begin, room)
        found.extend(page)
        if len(page) >= room:
            return found, f"{each}/{page[-1].path}"
        if time.monotonic() > deadline and each != max(known):
            return found, f"{each}/{page[-1].path if page else begin}\U0010ffff"
    return found, None


def _artifact(repository: Repository, found: Stored) -> dict[str, Any]:
    entry = found.entry
    told = {key: getattr(entry, key) for key in ("size", "content_type", "fetched", "checked")}
    return told | {
        "repository": repository.name,
        "package": repository.package,
        "path": found.path,
        "url": f"{address(repository)}/{paths.quote(found.path)}",
        "sha256": entry.digest,
        "used": found.used,
        "gone": entry.gone or None,
    }
