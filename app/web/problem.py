"""How an error reads to a client: JSON with a stable code, never a stack trace."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from app.errors import (
    ArtifactError,
    Invalid,
    MethodNotAllowed,
    Moved,
    NotFound,
    RangeNotSatisfiable,
    StoreDown,
    Unauthorized,
)
from app.resource import Ask, Headers
from app.web import oci

BASIC = 'Basic realm="artifactapi", charset="UTF-8"'
SOON = 5  # seconds after which to try again, where nothing tells more
STORE = "a store of this server does not answer or is full; the request id is in its log"


def render(error: ArtifactError, ask: Ask, detail: str = "") -> tuple[int, Headers, bytes]:
    """(status, headers, body) of API.md's error form, or of OCI's; `detail` is only for DEBUG."""
    error = oci.translated(error) if oci.spoken(ask) else error
    message = STORE if isinstance(error, StoreDown) else error.message  # which names addresses and accounts
    if oci.spoken(ask):
        return error.status, (*_headers(error), oci.VERSION), _line(oci.body(error, ask, message, detail))
    told: dict[str, object] = {"error": error.code, "message": message, "request_id": ask.request_id}
    if isinstance(error, Invalid):
        told["fields"] = error.fields
    return error.status, _headers(error), _line(told | ({"detail": detail} if detail else {}))


def _line(told: Mapping[str, object]) -> bytes:
    return json.dumps(told).encode() + b"\n"


def _headers(error: ArtifactError) -> Headers:
    headers = [("Content-Type", "application/json")]
    wait = error.retry_after or (SOON if error.status == 503 else 0)
    if wait > 0:
        headers.append(("Retry-After", str(math.ceil(wait))))
    if error.upstream_status:
        headers.append(("X-Upstream-Status", str(error.upstream_status)))
    if isinstance(error, NotFound) and error.upstream_status:
        headers.append(("X-Cache", "NEGATIVE"))
    if isinstance(error, RangeNotSatisfiable):
        headers.append(("Content-Range", f"bytes */{error.size}"))
    if isinstance(error, Moved):
        headers.append(("Location", error.location))
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", ", ".join(error.allow)))
    if isinstance(error, Unauthorized):
        headers.append(("WWW-Authenticate", error.challenge or BASIC))
    return tuple(headers)
