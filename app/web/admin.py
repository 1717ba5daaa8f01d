"""The service itself: what it is, how it is, what it counts, how it is configured, and flush."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, jsonify, request
from prometheus_flask_exporter import PrometheusMetrics

from app import __version__, maintenance, metric_files, paths
from app.errors import BadRequest, NotFound
from app.metrics import only
from app.web import audit, health, heartbeat, schemas
from app.web.auth import require_admin, require_metrics, shown
from app.web.documented import EITHER, Blueprint
from app.web.node import node

log = logging.getLogger(__name__)
blueprint = Blueprint("admin", __name__, description="the service itself")
exporter = PrometheusMetrics(app=None, path=None, export_defaults=False)
MODES = ("delete", "expire")
CACHED = frozenset({"HIT", "STALE", "REVALIDATED", "UPDATING"})


@blueprint.get("/")
@blueprint.response(200, schemas.Service)
def index() -> Response:
    known = node().repositories
    return jsonify(
        name="artifactapi",
        version=__version__,
        remotes=[each.name for each in shown(known.remotes.values())],
        virtuals=[each.name for each in shown(known.virtuals.values())],
        locals=[each.name for each in shown(known.listed.values())],
    )


@blueprint.get("/health")
@blueprint.response(200, schemas.Health)
@blueprint.alt_response(503, schema=schemas.Health)
def report() -> Response:
    """The stores' state decides; upstreams are told of, and what cannot be asked in time has none to tell."""
    stores = health.stores()
    answers = health.asked({**stores, **health.fills()}, health.KEPT)
    checks = {"api": "healthy"} | {
        name: "healthy" if health.well(name, answers[name]) else "unhealthy" for name in stores
    }
    well = all(state == "healthy" for state in checks.values())
    told = answers[health.FILLS]
    response = jsonify(
        status="healthy" if well else "unhealthy",
        checks=checks,
        upstreams=_upstreams(told.result()) if health.well(health.FILLS, told) else {},
        config_sha256=node().repositories.sha256,
    )
    response.status_code = 200 if well else 503
    return response


@blueprint.get("/health/live")
@blueprint.response(200, schemas.State)
def live() -> Response:
    return jsonify(status="alive")


@blueprint.get("/health/ready")
@blueprint.response(200, schemas.State)
@blueprint.alt_response(503, schema=schemas.State)
def ready() -> Response:
    """Stored artifacts can be served: the bytes are readable, one of the two knows where they are, and the process
    that sends everything large takes requests. That nothing can be written is /health's to tell."""
    answers = health.asked({**health.reading(), **health.fills()}, health.KEPT)
    state = {name: health.well(name, answer) for name, answer in answers.items()}
    known = state[health.REDIS] or state[health.READ_DATABASE]
    well = state[health.READ_STORAGE] and known and state[health.FILLS]
    response = jsonify(status="ready" if well else "not ready")
    response.status_code = 200 if well else 503
    return response


@blueprint.get("/metrics")
@blueprint.takes(schemas.MetricsQuery)
@blueprint.response(200, schemas.Metrics)
@blueprint.alt_response(200, schema=schemas.TEXT, content_type="text/plain")
@blueprint.alt_response(200, schema=schemas.TEXT, content_type="application/openmetrics-text")
def metrics() -> Response:
    everything = require_metrics()
    if request.args.get("format") == "json":
        return jsonify(counts(everything))
    with metric_files.unfolded():
        text, content_type = exporter.generate_metrics(request.headers.get("Accept"))
    if not everything:
        text = only(text, _shown())
    return Response(text, content_type=content_type)


@blueprint.get("/config")
@blueprint.doc(security=EITHER)
@blueprint.response(200, schemas.Config)
def config() -> Response:
    require_admin()
    return jsonify(node().repositories.effective())


@blueprint.put("/cache/flush")
@blueprint.doc(security=EITHER)
@blueprint.takes(schemas.FlushQuery)
@blueprint.response(200, schemas.Flushed)
def flush() -> Response:
    require_admin()
    mode = request.args.get("mode", "delete")
    if mode not in MODES:
        raise BadRequest(f"mode is one of {', '.join(MODES)}", code="bad_mode")
    remote, prefix = request.args.get("remote"), request.args.get("path", "").lstrip("/")
    known = node().repositories
    cached = [*known.remotes, *known.virtuals]  # of a virtual, what was made of its members
    if remote is not None and remote not in cached:
        raise NotFound("no such remote", code="unknown_remote")
    names = [remote] if remote is not None else cached
    audit.note(repository=remote or "", detail=audit.told({"path": prefix, "mode": mode}, "path", "mode"))
    with heartbeat.beating():
        done = maintenance.flush(node().shelf.catalog, names, paths.check(prefix), expire=mode == "expire")
    log.info("flush", extra={"fields": {"remote": remote, "path": prefix, "mode": mode}})
    told = {} if done.settled else {"warning": maintenance.UNSETTLED}
    if told:
        log.warning("flush: %s", maintenance.UNSETTLED)
    return jsonify(remote=remote, flushed={"redis_keys": done.redis_keys, "s3_objects": done.unreferenced}, **told)


def _shown() -> set[str]:
    """The names of the repositories that they may know of."""
    known = node().repositories
    every = (*known.remotes.values(), *known.listed.values(), *known.virtuals.values())
    return {"", *(each.name for each in shown(every))}


def _upstreams(told: health.Told) -> dict[str, dict[str, Any]]:
    remotes = {each.name for each in shown(node().repositories.remotes.values())}
    return {name: each for name, each in health.upstreams(told).items() if name in remotes}


def counts(everything: bool) -> dict[str, object]:
    """The fleet's totals and each repository's, from Redis; StoreDown while it is away."""
    counted = node().memory.counts()
    known = node().repositories
    seen = counted.keys() if everything else _shown()
    names = [name for name in counted if name in seen and known.get(name) is not None]
    each = {name: _summary([counted[name]]) for name in names}
    return {"totals": _summary([counted[name] for name in names]), "repositories": each}


def _summary(counted: list[dict[str, tuple[int, int]]]) -> dict[str, float]:
    hits = sum(requests for states in counted for state, (requests, _) in states.items() if state in CACHED)
    misses = sum(requests for states in counted for state, (requests, _) in states.items() if state not in CACHED)
    sent = sum(sent for states in counted for _, sent in states.values())
    return {"hits": hits, "misses": misses, "bytes": sent, "ratio": round(hits / ((hits + misses) or 1), 4)}
