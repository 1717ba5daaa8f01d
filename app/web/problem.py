"""How an error reads to a client: JSON with a stable code, never a stack trace."""

from __future__ import annotations

import json
import math

from app.errors import ArtifactError, MethodNotAllowed, NotFound, RangeNotSatisfiable, StoreDown, Unauthorized
from app.web.reply import Headers

STORE = "a store of this server does not answer or is full; the request id is in its log"


def render(error: ArtifactError, request_id: str, detail: str = "") -> tuple[int, Headers, bytes]:
    """(status, headers, body) of API.md's error form; `detail` is only for DEBUG."""
    message = STORE if isinstance(error, StoreDown) else error.message  # which names addresses and accounts
    told = {"error": error.code, "message": message, "request_id": request_id}
    if detail:
        told["detail"] = detail
    headers = [("Content-Type", "application/json")]
    if error.retry_after > 0:
        headers.append(("Retry-After", str(math.ceil(error.retry_after))))
    if error.upstream_status:
        headers.append(("X-Upstream-Status", str(error.upstream_status)))
    if isinstance(error, NotFound) and error.upstream_status:
        headers.append(("X-Cache", "NEGATIVE"))
    if isinstance(error, RangeNotSatisfiable):
        headers.append(("Content-Range", f"bytes */{error.size}"))
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", ", ".join(error.allow)))
    if isinstance(error, Unauthorized):
        headers.append(("WWW-Authenticate", 'Basic realm="artifactapi", charset="UTF-8"'))
    return error.status, tuple(headers), json.dumps(told).encode() + b"\n"
