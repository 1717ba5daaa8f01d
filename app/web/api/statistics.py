"""/api/v1/statistics: how much is stored, and how often it was there, for administrators."""

from __future__ import annotations

from typing import Any, cast

from marshmallow import Schema, fields

from app.web import admin, heartbeat
from app.web.auth import require_admin
from app.web.documented import Blueprint
from app.web.node import node

blueprint = Blueprint("statistics", __name__, url_prefix="/api/v1/statistics", description="how much there is")


class Counted(Schema):
    entries = fields.Integer(required=True)
    bytes = fields.Integer(required=True)
    hits = fields.Integer(required=True)
    misses = fields.Integer(required=True)


class Totals(Counted):
    """`bytes` counts equal files once; those of the repositories count each."""

    blobs = fields.Integer(required=True)


class Statistics(Schema):
    totals = fields.Nested(Totals, required=True)
    repositories = fields.Dict(keys=fields.String(), values=fields.Nested(Counted), required=True)


@blueprint.get("")
@blueprint.asks(require_admin)
@blueprint.response(200, Statistics)
def statistics() -> dict[str, Any]:
    """Reads every entry once: a second for some millions."""
    index, known = node().shelf.catalog.index, node().repositories
    with heartbeat.beating():
        footprint = index.footprint()
        stored = {each.repository: each for each in index.browse.totals()}
    counted = cast(dict[str, dict[str, int]], admin.counts(everything=True)["repositories"])
    every: dict[str, dict[str, int]] = {}
    for name in sorted(known.names | stored.keys()):
        each, served = stored.get(name), counted.get(name, {})
        every[name] = {
            "entries": each.entries if each is not None else 0,
            "bytes": each.bytes if each is not None else 0,
            **{key: served.get(key, 0) for key in ("hits", "misses")},
        }
    sums = {key: sum(each[key] for each in every.values()) for key in ("hits", "misses")}
    sizes = {"entries": footprint.entries, "bytes": footprint.bytes, "blobs": footprint.blobs}
    return {"totals": sums | sizes, "repositories": every}
