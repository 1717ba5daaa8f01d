"""GET /api/v1/explain?url=: what any client URL means here, what is known of it, and what a GET of it would get.

The URL goes through the very routing and look-ups of a request (`target()` of each blueprint), and what refuses it
through the very handler of errors, so that a refusal reads here as it does to the client.
"""

from __future__ import annotations

import io
import json
import re
import string
import sys
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from app.accounts.rights import ROOT
from app.errors import ArtifactError, BadRequest
from app.explain_members import explain
from app.explanation import Here
from app.formats import FORMATS
from app.stores.filesystem import FilesystemBlobs
from app.upstream.breaker import Health
from app.web import docker, health, local, remote, repository, schemas, virtual
from app.web.auth import require_admin
from app.web.documented import EITHER, Blueprint
from app.web.explained import Document, document, own_page, refusal
from app.web.node import ask, node
from app.web.rates import COUNTED
from app.web.target import Target

blueprint = Blueprint("explain", __name__, description="why a client gets what it gets")
TARGETS: Mapping[str, Callable[[], Target | None]] = {
    "docker.get": docker.target,
    "local.file": local.target,
    "remote.get": remote.target,
    "repository.get": repository.target,
    "virtual.get": virtual.target,
}
ABSOLUTE = re.compile(r"(https?)://([^/?]*)(.*)", re.IGNORECASE)
AS_IT_IS = string.ascii_letters + string.digits + string.punctuation  # what a client sends unencoded, or did encode


class NotOurs(Exception):
    """The URL is of nothing that is explained here; no ArtifactError, for no client is ever told so."""


@blueprint.get("/api/v1/explain")
@blueprint.doc(security=EITHER)
@blueprint.takes(schemas.ExplainQuery)
@blueprint.response(200, schemas.Explanation)
def get() -> Response:
    require_admin()
    told = explained(request.args.get("url", ""), request.args.get("accept", ""))
    return Response(json.dumps(told), content_type="application/json")  # in its own order: the answer comes first


def explained(url: str, accept: str = "") -> Document:
    """What a client URL, or its path alone, means here and would get; `accept` is the client's Accept header.

    Raises BadRequest "not_a_client_url". Needs an application's context.
    """
    app = cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]
    try:
        environ = environment(url, accept)
        with app.app_context(), app.request_context(environ):  # the first gives the inner request a `g` of its own
            g.principal = ROOT  # whoever asks for an explanation may know of everything
            return {"url": _shown(environ)} | _told(app)
    except NotOurs as error:
        raise BadRequest(str(error), code="not_a_client_url") from None


def _told(app: Flask) -> Document:
    """What the inner request is about, and what it would get."""
    found: Target | None = None
    try:
        found = _target(app)
        if found is None:
            return own_page()
        resource = FORMATS[found.repository.package].resolve(found.repository, found.ask)
    except (ArtifactError, HTTPException) as error:
        return refusal(cast(Response, app.handle_user_exception(error)), found)
    here = _here()
    return document(found, explain(here, resource), ask(), here.clock())


def _target(app: Flask) -> Target | None:
    """As the request would be dispatched."""
    app.preprocess_request()
    if request.routing_exception is not None:
        raise request.routing_exception
    target = TARGETS.get(request.endpoint or "")
    if target is None:
        raise NotOurs("this is a page of the service, not the URL of something in a repository")
    return target()


def _here() -> Here:
    """This node, as a look goes by it."""
    settings, shelf = node().settings, node().shelf
    return Here(
        shelf.catalog.index,
        node().memory,
        shelf.blobs,
        shelf.clock,
        place,
        settings.node_url or "",
        settings.offline,
        _health(),
    )


def _health() -> Mapping[str, Sequence[Health]] | None:
    """What the fills process says of the upstreams; None where it does not answer."""
    answer = health.asked(health.fills())[health.FILLS]
    if not health.well(health.FILLS, answer):
        return None
    return {name: [Health(**each) for each in urls] for name, urls in answer.result()["upstreams"].items()}


def place(digest: str) -> str:
    blobs, bucket = node().shelf.blobs, node().settings.bucket
    if isinstance(blobs, FilesystemBlobs):
        return str(blobs.path(digest))
    name, prefix = bucket or ("", "")
    return f"s3://{name}/{prefix}sha256/{digest[:2]}/{digest}"


# -- the request that nobody sent -----------------------------------------------------------------------------


def environment(url: str, accept: str) -> dict[str, Any]:
    """The WSGI environment of a GET of that URL; BadRequest "not_a_client_url" where it is neither http nor a path.

    The path stays as it is on the wire: what a client would send encoded is encoded, nothing is decoded.
    """
    scheme, host, target = _split(url)
    path, _, query = target.partition("?")
    given = {"HTTP_HOST": host, "HTTP_ACCEPT": accept}
    return {
        "REQUEST_METHOD": "GET",
        "RAW_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        COUNTED: "1",
    } | {name: value for name, value in given.items() if value}


def _split(url: str) -> tuple[str, str, str]:
    """(scheme, host with port or "", path and query as on the wire); credentials and a fragment are dropped."""
    encoded = urllib.parse.quote(url.partition("#")[0], safe=AS_IT_IS, errors="surrogateescape")
    if match := ABSOLUTE.fullmatch(encoded):
        scheme, host, target = match.groups()
        return scheme.lower(), host.rpartition("@")[2], target if target.startswith("/") else f"/{target}"
    if encoded.startswith("/"):
        return "http", "", encoded
    raise NotOurs("url is neither the http URL of a client nor a path")


def _shown(environ: Mapping[str, Any]) -> str:
    """The URL without credentials."""
    host, target = environ.get("HTTP_HOST", ""), environ["RAW_URI"]
    return f"{environ['wsgi.url_scheme']}://{host}{target}" if host else str(target)
