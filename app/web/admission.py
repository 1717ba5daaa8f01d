"""What a proxy asks before it takes a large upload: whether it may come at all.

The upload that X-Original-Method, -URI and -Length tell of goes through the routing and the look-ups of a request of
its own, and what would refuse it there without a look at its body refuses it here.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, cast

from flask import Flask, Response, current_app, g, request

from app.errors import ArtifactError, BadRequest, MethodNotAllowed, TooLarge
from app.resource import Kind
from app.web import client, docker, local, remote, repository, virtual
from app.web.auth import require_known, require_write
from app.web.documented import EITHER, Blueprint
from app.web.node import node
from app.web.target import Target

blueprint = Blueprint("admission", __name__)
TARGETS: Mapping[str, Callable[[], Target | None]] = {
    "docker": docker.target,
    "local": local.target,
    "remote": remote.target,
    "repository": repository.target,
    "virtual": virtual.target,
}
BY_KIND = frozenset({"remote", "virtual"})  # where a PUT into what is not local is a wrong request, no wrong method


@blueprint.get("/api/v1/may-write")
@blueprint.doc(security=EITHER)
@blueprint.response(204)
def may_write() -> Response:
    """204, or what the upload would be answered; without those headers, whether it is known who asks."""
    require_known()
    uri, method = request.headers.get("X-Original-URI"), request.headers.get("X-Original-Method")
    if uri and method:
        length = request.headers.get("X-Original-Length", "")
        app = cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]
        with app.app_context(), app.request_context(_environ(method, uri)):  # the first gives it a `g` of its own
            g.ask = client.begin(request.environ, node().settings.trusted_proxies)
            _admit(int(length) if length.isascii() and length.isdigit() else 0)
    return Response(status=204)


def _admit(size: int) -> None:
    """The present request, of so many bytes as far as that is told. Raises what refuses it."""
    require_known()
    if request.routing_exception is not None:
        raise request.routing_exception
    target = TARGETS.get(request.blueprint or "")
    found = target() if target is not None and request.method in local.CHANGING else None
    most = node().settings.upload_max
    if found is not None and found.repository.kind is not Kind.LOCAL:
        raise _not_local()
    if found is None or (most is not None and size > most):
        raise TooLarge("nothing here takes so large a body")
    require_write(found.repository)


def _not_local() -> ArtifactError:
    """In the words of the route that is asked about."""
    if request.blueprint in BY_KIND:
        return BadRequest("only a local repository takes uploads and deletes", code="not_local")
    return MethodNotAllowed("only a local repository takes uploads and deletes", ("GET", "HEAD"))


def _environ(method: str, uri: str) -> dict[str, Any]:
    """The present request's environment, were it the one that is asked about."""
    path, _, query = uri.partition("?")
    if not path.startswith("/"):
        raise BadRequest("X-Original-URI is no path", code="bad_path")
    told = {"REQUEST_METHOD": method, "RAW_URI": uri, "QUERY_STRING": query, "CONTENT_LENGTH": ""}
    return {**request.environ, **told, "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1")}
