"""What the service's own JSON routes take and answer, as /openapi.json says it; nothing here is enforced."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from app.stores.edges import NAME

TEXT: dict[str, Any] = {"type": "string"}
ANYTHING = fields.Dict  # an object whose keys the configuration decides


def _text(description: str = "", **more: Any) -> fields.String:
    return fields.String(metadata={"description": description}, **more)


def _number(description: str = "", **more: Any) -> fields.Integer:
    return fields.Integer(metadata={"description": description}, **more)


class Service(Schema):
    name = _text(required=True)
    version = _text(required=True)
    remotes = fields.List(fields.String(), required=True)
    virtuals = fields.List(fields.String(), required=True)
    locals = fields.List(fields.String(), required=True)


class Health(Schema):
    status = _text(required=True, validate=validate.OneOf(("healthy", "unhealthy")))
    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    upstreams = ANYTHING(metadata={"description": "each remote's state and its base URLs'"})
    config_sha256 = _text(required=True)


class State(Schema):
    status = _text(required=True)


class MetricsQuery(Schema):
    format = _text("json: totals and each repository's; else the text of Prometheus")


class Counts(Schema):
    hits = _number(required=True)
    misses = _number(required=True)
    bytes = _number("of bodies", required=True)
    ratio = fields.Float(required=True)


class Metrics(Schema):
    totals = fields.Nested(Counts, required=True)
    repositories = fields.Dict(keys=fields.String(), values=fields.Nested(Counts), required=True)


class Config(Schema):
    remotes = ANYTHING(required=True)
    virtuals = ANYTHING(required=True)
    locals = ANYTHING(required=True)


class FlushQuery(Schema):
    remote = _text("only this remote's")
    path = _text("only paths that begin so")
    mode = _text("expire keeps the bytes and asks about them", validate=validate.OneOf(("delete", "expire")))


class Removed(Schema):
    redis_keys = _number("copies removed from Redis", required=True)
    s3_objects = _number("blobs that nothing refers to any more", required=True)


class Flushed(Schema):
    remote = _text(required=True, allow_none=True)
    flushed = fields.Nested(Removed, required=True)
    warning = _text("what is not settled")


EDGE = {"in": "path", "name": "name", "schema": {"type": "string", "pattern": f"^{NAME.pattern}$"}}


class Poll(Schema):
    cursor = _number("the last number that was given, at first 0", required=True, validate=validate.Range(0))


class Purge(Schema):
    number = _number(required=True)
    repository = _text(required=True)
    key = _text("all of the repository where it is null", required=True, allow_none=True)


class News(Schema):
    cursor = _number(required=True)
    everything = fields.Boolean(required=True)
    purges = fields.List(fields.Nested(Purge), required=True)
    lease = fields.Float(required=True, metadata={"description": "in seconds"})


class PullsQuery(Schema):
    repository = _text()
    path = _text("paths that begin so")
    digest = _text("sha256: and 64 hexadecimal digits")
    client = _text("an address or a network")
    since = _text("a date, or a date and time")
    until = _text("a date, or a date and time")
    limit = _number(validate=validate.Range(1, 1000))
    after = _text("what the page before gave as such")


class PulledBy(Schema):
    at = fields.DateTime(required=True)
    client = _text(required=True, allow_none=True)
    repository = _text(required=True)
    path = _text(required=True)
    digest = _text(required=True, allow_none=True)
    requests = _number(required=True)
    bytes = _number(required=True)


class PullsPage(Schema):
    recorded_since = fields.DateTime(required=True, allow_none=True)
    pulls = fields.List(fields.Nested(PulledBy), required=True)
    after = _text("for the next page", required=True, allow_none=True)


class ExplainQuery(Schema):
    url = _text("what a client asks for: an http URL or a path", required=True)
    accept = _text("the client's Accept header")


class Explanation(Schema):
    """app/web/explained.py draws it."""

    url = _text(required=True)
    answer = ANYTHING(required=True)
    repository = ANYTHING(required=True, allow_none=True)
    resource = ANYTHING(required=True, allow_none=True)
    known = ANYTHING(allow_none=True)
    bytes = ANYTHING(allow_none=True)
    download = ANYTHING(allow_none=True)
    upstreams = fields.List(fields.Dict(), allow_none=True)
    last_answer = ANYTHING(allow_none=True)
    next_try = ANYTHING(allow_none=True)
    not_told = ANYTHING(data_key="unknown", allow_none=True)
    members = fields.List(fields.Dict())
