"""How an error reads to a registry's client: the codes of the OCI distribution specification ("Error Codes").

    404  BLOB_UNKNOWN, MANIFEST_UNKNOWN or NAME_UNKNOWN, by what the path names     405  UNSUPPORTED
         (upstream's 401 and 403: BLOB_UNKNOWN or NAME_UNKNOWN)
    400  NAME_INVALID, DIGEST_INVALID, MANIFEST_INVALID, UNSUPPORTED   413, 416  SIZE_INVALID
    401  UNAUTHORIZED       403  DENIED       500  UNKNOWN       other 5xx  UNAVAILABLE       429  TOOMANYREQUESTS

The two of 5xx are not in its table: what docker's own registry says.
"""

from __future__ import annotations

from app.errors import ArtifactError, Gone, MethodNotAllowed, NotFound, UpstreamDenied, UpstreamError
from app.resource import Ask

VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
READING = ("GET", "HEAD")
PAUSE = 5.0  # seconds to ask for where an upstream that counts requests does not say how long to wait

BY_CODE = {
    "digest_invalid": "DIGEST_INVALID",
    "tag_invalid": "MANIFEST_INVALID",  # its table has no word for a tag
    "manifest_invalid": "MANIFEST_INVALID",
    "manifest_blob_unknown": "MANIFEST_BLOB_UNKNOWN",
    "blob_upload_invalid": "BLOB_UPLOAD_INVALID",
    "blob_upload_unknown": "BLOB_UPLOAD_UNKNOWN",
    "upload_incomplete": "BLOB_UPLOAD_INVALID",
    "size_invalid": "SIZE_INVALID",
    "pagination_number_invalid": "UNSUPPORTED",  # nor for a number; docker's registry has one of its own
    "unsupported": "UNSUPPORTED",
}
BY_STATUS = {
    400: "NAME_INVALID",
    401: "UNAUTHORIZED",
    403: "DENIED",
    413: "SIZE_INVALID",
    416: "SIZE_INVALID",
    429: "TOOMANYREQUESTS",
    500: "UNKNOWN",
}
BY_PLACE = {"manifests": "MANIFEST_UNKNOWN", "blobs": "BLOB_UNKNOWN"}


def spoken(ask: Ask) -> bool:
    """Whether the request came by the registry's API, or at least by its address."""
    return ask.route == "v2" or f"{ask.url_path}/".startswith("/v2/")


def translated(error: ArtifactError) -> ArtifactError:
    """The error with the status that this API gives it.

    A 429 with nothing stored to serve is passed on, so that clients wait and try again; gone for good is no more
    than unknown ("the response code MUST be 404"); and nobody pushes here. Docker Hub denies what does not exist, and
    clients take every 5xx for something to try again: so what upstream denies is unknown, though not remembered.
    """
    if error.code == UpstreamDenied.code:
        reason = f"{error.message}: the image does not exist there, or needs a login"
        denied = UpstreamDenied(reason, upstream_status=error.upstream_status)
        denied.status = 404
        return denied
    if error.upstream_status == 429:
        told = UpstreamError(
            error.message, code=error.code, retry_after=error.retry_after or PAUSE, upstream_status=429
        )
        told.status = 429
        return told
    if isinstance(error, Gone):
        return NotFound(error.message, code=error.code, upstream_status=error.upstream_status)
    if isinstance(error, MethodNotAllowed):
        return MethodNotAllowed(error.message, READING)
    return error


def body(error: ArtifactError, ask: Ask, message: str, debug: str) -> dict[str, object]:
    """The form of API.md; `debug` is told in `detail` where it is not empty."""
    detail = {"error": error.code, "request_id": ask.request_id} | ({"debug": debug} if debug else {})
    return {"errors": [{"code": code(error, ask), "message": message, "detail": detail}]}


def code(error: ArtifactError, ask: Ask) -> str:
    """The specification's word for the error."""
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    if error.status == 404:
        return _unknown(error, ask)
    return BY_STATUS.get(error.status, "UNAVAILABLE" if error.status > 500 else "UNSUPPORTED")


def _unknown(error: ArtifactError, ask: Ask) -> str:
    """What is missing: the path's last but one segment says it, unless the repository or the image itself is."""
    place = "".join(ask.path.split("/")[-2:-1])
    nameless = error.code == "unknown_repository" or (error.code == UpstreamDenied.code and place == "manifests")
    return "NAME_UNKNOWN" if nameless else BY_PLACE.get(place, "NAME_UNKNOWN")
