"""Who pulled what: the record as JSON, and what edges add to it of the hits that they answered by themselves."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from flask import Response, request
from marshmallow import Schema, ValidationError, fields, post_load, validate

from app import times
from app.errors import BadRequest, NotFound, StoreDown, Unprocessable
from app.paths import check
from app.stores.pulls import MINUTE, UNKNOWN, Cursor, Named, Pull, Pulls, Sought, address
from app.web import heartbeat, schemas
from app.web.auth import require_admin, require_edge
from app.web.documented import EITHER, Blueprint
from app.web.finish import PULLED
from app.web.node import node
from app.web.usage import Artifact

blueprint = Blueprint("pulls", __name__, description="who pulled what")

MOST = 1000  # pulls of a page
PARAMETERS = ("repository", "path", "digest", "client", "since", "until", "limit", "after")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_CURSOR = re.compile(r"([0-9]{1,11})\.([0-9a-f]{32})\.([0-9a-f.:]{2,45})")

HITS, BODY = 500, 96 * 1024  # rows of one report, and its bytes
SETTLED = 5.0  # seconds after which no edge serves what was replaced: its lease, and a clock that is a little off


# -- the record ------------------------------------------------------------------------------------------------


@blueprint.get("/api/v1/pulls")
@blueprint.doc(security=EITHER)
@blueprint.takes(schemas.PullsQuery)
@blueprint.response(200, schemas.PullsPage)
def pulls() -> Response:
    require_admin()
    wanted = sought(request.args.to_dict())
    with heartbeat.beating():
        page = node().shelf.catalog.index.pulls.find(wanted)
        if not page.pulls and not _known(wanted.repository):
            raise NotFound("no such repository, and nothing is recorded of one", code="unknown_repository")
        since = recorded_since(node().shelf.catalog.index.pulls, node().shelf.clock() - node().settings.pulls_keep)
    told = {"recorded_since": since, "pulls": [document(each) for each in page.pulls]}
    return Response(json.dumps(told | {"after": written(page.after)}), content_type="application/json")


def recorded_since(record: Pulls, kept: float) -> str | None:
    """The first moment that the record tells of, where pulls since `kept` are kept; None where it has none: what was
    pulled before (an upgrade, a restore, PULLS_KEEP=0) is not "nobody"."""
    oldest = record.oldest()
    return times.written(max(oldest, kept)) if oldest is not None else None


def _known(repository: str | None) -> bool:
    """A wrong name must not read as "nobody pulled it"."""
    if repository is None or node().repositories.get(repository) is not None:
        return True
    return node().shelf.catalog.index.pulls.knows(repository)


def sought(given: Mapping[str, str]) -> Sought:
    """What the parameters ask for; raises BadRequest "bad_parameter", also for one that there is not."""
    if unknown := sorted(given.keys() - set(PARAMETERS)):
        raise _refusal(f"there is no parameter {unknown[0]}: they are {', '.join(PARAMETERS)}")
    wanted = Sought(
        repository=given.get("repository"),
        path=check(given.get("path", "").lstrip("/")),
        digest=_digest(given["digest"]) if "digest" in given else None,
        client=_client(given["client"]) if "client" in given else None,
        since=_moment("since", given["since"]) if "since" in given else 0.0,
        until=_moment("until", given["until"]) if "until" in given else None,
        after=_cursor(given["after"]) if "after" in given else None,
        limit=_limit(given.get("limit", "100")),
    )
    if wanted.until is not None and wanted.until <= wanted.since:
        raise _refusal("until is not after since")
    if "\0" in (wanted.repository or ""):
        raise _refusal("no repository has such a name")
    return wanted


def document(pull: Pull) -> dict[str, object]:
    """One row as clients of the API read it; what nobody knows is null."""
    return {
        "at": times.written(pull.minute),
        "client": pull.client if pull.client != UNKNOWN else None,
        "repository": pull.repository,
        "path": pull.path,
        "digest": f"sha256:{pull.digest}" if pull.digest else None,
        "requests": pull.requests,
        "bytes": pull.bytes,
    }


def written(after: Cursor | None) -> str | None:
    return f"{after.minute}.{after.artifact}.{after.client}" if after else None


def _refusal(message: str) -> BadRequest:
    return BadRequest(message, code="bad_parameter")


def _digest(text: str) -> str:
    if not (match := _DIGEST.fullmatch(text.lower())):
        raise _refusal("digest is sha256: and 64 hexadecimal digits")
    return match[1]


def _client(text: str) -> str:
    """`-` is whoever has no address, as in the log."""
    try:
        network = ipaddress.ip_network(UNKNOWN if text == "-" else text, strict=False)
        return str(network) if "/" in text else address(str(network.network_address))
    except ValueError:
        raise _refusal("client is an address, or a network such as 10.0.0.0/8") from None


def _moment(name: str, text: str) -> float:
    try:
        return min(max(times.moment(text), 0.0), 1e11)
    except (ValueError, OverflowError):
        raise _refusal(f"{name} is a time such as 2026-11-21 or 2026-11-21T13:00:00Z") from None


def _cursor(text: str) -> Cursor:
    match = _CURSOR.fullmatch(text)
    if not match or (client := address(match[3])) != match[3]:
        raise _refusal("after is what the page before gave as such")
    return Cursor(min(int(match[1]), MINUTE * (2**31 - 1)), match[2], client)


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MOST:
        raise _refusal(f"limit is a number from 1 to {MOST}")
    return int(text)


# -- what edges report -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hits:
    """How often an edge gave one client what it kept of an entry, in the minute of `minute` (unix seconds); `digest`
    is of what it gave, "" where a node did not tell it."""

    repository: str
    key: str
    client: str
    minute: int
    requests: int
    bytes: int
    method: str = "GET"
    status: int = 200
    digest: str = ""

    @property
    def pulls(self) -> bool:
        """A HEAD or a 304 is no pull; an empty file is."""
        return self.method == "GET" and self.status in PULLED


@dataclass(frozen=True, slots=True)
class Report:
    """`report` is its number, which an edge keeps while it sends the same again."""

    report: str
    hits: Sequence[Hits]


class _Hits(Schema):
    repository = fields.String(required=True, validate=validate.Length(1, 255))
    key = fields.String(required=True, validate=validate.Regexp(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,16384}\Z"))
    client = fields.String(required=True, validate=validate.Length(1, 64))
    minute = fields.Integer(required=True, strict=True, validate=validate.Range(0, MINUTE * (2**31 - 1)))
    requests = fields.Integer(required=True, strict=True, validate=validate.Range(1, 10**9))
    bytes = fields.Integer(required=True, strict=True, validate=validate.Range(0, 2**46))  # so many of 64 KiB
    method = fields.String(validate=validate.OneOf(("GET", "HEAD")))
    status = fields.Integer(strict=True, validate=validate.Range(100, 599))
    digest = fields.String(validate=validate.Regexp(r"[0-9a-f]{64}\Z"))

    @post_load
    def made(self, data: dict[str, Any], **_: Any) -> Hits:
        return Hits(**data)


class _Report(Schema):
    report = fields.String(required=True, validate=validate.Regexp(r"[0-9a-f]{32}\Z"))
    hits = fields.List(fields.Nested(_Hits), required=True, validate=validate.Length(0, HITS))

    @post_load
    def made(self, data: dict[str, Any], **_: Any) -> Report:
        return Report(**data)


_REPORT = _Report()


@blueprint.post("/api/v1/edges/<name>/hits")
@blueprint.doc(security=EITHER)
@blueprint.takes(_REPORT, "json")
@blueprint.response(204)
def hits(name: str) -> Response:
    """204: they are counted like this node's own, or were before. What is of no repository here is left out.

    Where nobody knows whether they were, and while Redis is away, it is 503, and the edge sends them again.
    """
    require_edge()
    given, edges = _reported(), node().memory.edges
    if edges.claim(given.report):
        _count([each for each in given.hits if node().repositories.get(each.repository) is not None])
        with contextlib.suppress(StoreDown):  # a 204 that arrives tells it as well
            edges.counted(given.report)
    return Response(status=204)


def _count(reported: Sequence[Hits]) -> None:
    named = _named({(each.repository, each.key) for each in reported})
    now = node().shelf.clock()
    for each in reported:
        artifact = _artifact(each, named.get((each.repository, each.key)))
        node().finish.reported(each.repository, artifact, each.method, each.status, each.requests, each.bytes)
        if each.pulls and each.minute > now - node().settings.pulls_keep:
            at = min(each.minute, now)
            node().finish.record.add(each.repository, artifact, each.client, at, each.requests, each.bytes)


def _reported() -> Report:
    request.max_content_length = BODY
    try:
        given = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON", code="bad_body") from None
    try:
        return cast(Report, _REPORT.load(given))
    except ValidationError as error:
        first = next(_reasons(error.messages))
        raise Unprocessable(f"the report is not as an edge makes it: {first}") from None


def _reasons(messages: Any, where: str = "") -> Iterator[str]:
    """Each reason with its place, such as `hits.3.bytes: ...`; no value is repeated."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _reasons(inner, f"{where}.{name}" if where else str(name))
    else:
        yield f"{where}: {messages[0]}"


def _named(keys: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Named]:
    """What the index says of them; nothing while it is away: the hits are counted all the same."""
    try:
        return node().shelf.catalog.index.pulls.named(keys)
    except StoreDown:
        return {}


def _artifact(hits: Hits, named: Named | None) -> Artifact:
    """Under its key, which begins with the path, where the entry is gone; without a digest where no node told it and
    it may be another that was served."""
    if named is None:
        return Artifact(hits.key, hits.key, hits.digest)
    lasting = named.fetched + SETTLED <= hits.minute // MINUTE * MINUTE
    return Artifact(hits.key, named.path, hits.digest or (named.digest if lasting else ""))
