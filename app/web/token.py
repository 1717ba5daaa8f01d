"""/v2/token, where clients of images get what they send with every request (distribution, spec/auth/token.md).

    GET   Basic, a token as the password    that very token
    GET   without credentials               a word that opens nothing: public images are pulled with it
    POST  grant_type=password, =refresh_token (OAuth2)   as GET, with a token as the password or the refresh token

Nothing new is made here: a token that is revoked ends at once, wherever it is.
"""

from __future__ import annotations

import re

from flask import Blueprint, Response, jsonify, request

from app.accounts.rights import Principal
from app.errors import BadRequest, Unauthorized
from app.resource import Ask
from app.web.auth import NOBODYS, WRONG, presented, principal, whose
from app.web.client import origin
from app.web.node import about, node
from app.web.problem import BASIC

PATH = "/v2/token"
SERVICE = "artifactapi"
LIFETIME = 60, 3600  # seconds: what every client counts on, and after which it asks again
LONGEST = 16 * 1024  # bytes of a form
NAMED = re.compile(r"/v2/([a-z0-9._/-]{1,255})/(?:manifests|blobs|tags|referrers)/.*")

blueprint = Blueprint("token", __name__)


@blueprint.get(PATH)
def get() -> Response:
    about("", "", route="v2")
    if "Authorization" not in request.headers:
        return _answer(NOBODYS, principal())
    if not principal().known:
        raise Unauthorized(WRONG, challenge=BASIC)
    secret = presented()  # not one's password of elsewhere, where a proxy in front says who it is
    return _answer(secret if whose(secret).known else NOBODYS, principal())


@blueprint.post(PATH)
def post() -> Response:
    about("", "", route="v2")
    request.max_content_length = LONGEST
    form = request.form
    field = {"password": "password", "refresh_token": "refresh_token"}.get(form.get("grant_type", ""))
    if field is None:
        raise BadRequest("grant_type is password or refresh_token", code="unsupported_grant_type")
    secret = form.get(field, "")
    found = whose(secret)
    if not found.known:
        raise Unauthorized(WRONG, challenge=BASIC)
    return _answer(secret, found, refresh=form.get("access_type") == "offline" or field == "refresh_token")


def challenge(ask: Ask) -> str:
    """What a client of images is told to ask here for, before it asks again."""
    where = f"{origin(request.environ, node().settings)}{PATH}"
    named = NAMED.fullmatch(ask.url_path)
    actions = "pull" if ask.method in ("GET", "HEAD") else "pull,push"
    scope = f',scope="repository:{named[1]}:{actions}"' if named else ""
    return f'Bearer realm="{where}",service="{SERVICE}"{scope}'


def _answer(token: str, found: Principal, *, refresh: bool = False) -> Response:
    least, most = LIFETIME
    left = found.expires - node().shelf.clock() if found.expires else most
    told = {"token": token, "access_token": token, "expires_in": int(min(max(left, least), most))}
    response = jsonify(told | ({"refresh_token": token} if refresh else {}))
    response.headers["Cache-Control"] = "no-store"
    return response
