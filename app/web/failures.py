"""The one error handler, and the end of every request that a worker answers itself."""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from app.errors import DEFECT, ArtifactError, MethodNotAllowed, StoreDown, Unauthorized
from app.web import audit, client, docker, problem, token
from app.web.node import ask, node
from app.web.reply import PRIVATE
from app.web.settled import Settled

log = logging.getLogger(__name__)

PHRASE = 120  # characters of a status line's reason


def install(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)
    app.register_error_handler(Exception, _answer)


def _begin() -> None:
    g.ask = client.begin(request.environ, node().settings.trusted_proxies)


def _answer(error: Exception) -> Response:
    """Every exception as JSON; what is not ours is a defect, logged whole and told as nothing but a 500."""
    detail = ""
    if not ask().repository and docker.addressed():  # refused before any view knew what it is about
        g.ask = replace(ask(), route="v2")
    if isinstance(error, HTTPException):
        error = _ours(error)
    elif not isinstance(error, ArtifactError):
        log.exception("%s %s", ask().method, ask().url_path)
        detail = "".join(traceback.format_exception_only(error)).strip() if node().settings.debug else ""
        error = ArtifactError(DEFECT)
    if isinstance(error, Unauthorized) and ask().route == "v2":
        error.challenge = error.challenge or token.challenge(ask())
    if isinstance(error, StoreDown):
        log.warning("%s", error.message, extra={"fields": {"request_id": ask().request_id}})
    g.refused = error
    status, headers, body = problem.render(error, ask(), detail)
    return Response(body, _told(status, error), headers=list(headers))


def _told(status: int, error: ArtifactError) -> str | int:
    """What twine, Maven and apt show of a refused upload is the reason phrase alone (RFC 9112, 4): so it is the
    message, in characters that every server in between lets pass."""
    if ask().route != "repository" or request.method in audit.READING or not 400 <= status < 500:
        return status
    words = "".join(each if each.isascii() and each.isprintable() else "?" for each in error.message[:PHRASE])
    return f"{status} {words}" if words else status


def _ours(error: HTTPException) -> ArtifactError:
    """Flask's and Werkzeug's own refusals in this project's form."""
    if isinstance(error, WrongMethod):
        return MethodNotAllowed("this method is not served here", tuple(error.valid_methods or ()))
    ours = ArtifactError(error.description or error.name, code=error.name.lower().replace(" ", "_"))
    ours.status = error.code or 500
    return ours


def _end(response: Response) -> Response:
    settled = response if isinstance(response, Settled) else None
    if settled is not None and settled.handed:
        return response
    asked, headers = ask(), response.headers
    headers.add("X-Request-Id", asked.request_id)
    source = node().repositories.known(asked.repository) if response.status_code < 400 else None
    if source is not None and source.access:  # a refusal must not tell that it is
        headers.setdefault(*PRIVATE)
    told = settled.told if settled is not None else 0
    sent = 0 if asked.method == "HEAD" or told else response.content_length or 0
    artifact = settled.artifact if settled is not None else None
    audit.record(asked, response.status_code)
    refused: ArtifactError | None = g.get("refused")
    why = (refused.message, refused.code) if refused is not None else ("", "")
    state = headers.get("X-Cache", "")
    node().finish(asked, told or response.status_code, state, sent, why[0], artifact, error=why[1])
    return response
