"""Every error a client can be shown; each knows its HTTP status and its stable code.

ArtifactError 500
+-- Moved 301                      the path has another spelling
+-- BadRequest 400                 malformed path, header, body
+-- Unauthorized 401
+-- Forbidden 403                  a pattern blocks the path
+-- NotFound 404
|   +-- Gone 410                   upstream dropped it, and the remote says to follow
+-- MethodNotAllowed 405
+-- TooSlow 408                    a body that does not come
+-- Conflict 409                   published already
+-- PreconditionFailed 412          what the client says of the state is not so
+-- TooLarge 413                   more bytes than are taken
+-- UnsupportedMedia 415           a body of another type
+-- RangeNotSatisfiable 416
+-- Unprocessable 422              well-formed, and says nothing that can be done
|   +-- Invalid 422                names each field that is wrong
+-- TooManyRequests 429            of one token or address
+-- UpstreamError 502              upstream answered with an error
|   +-- UpstreamDenied 502         401 or 403 from upstream
|   +-- UpstreamUnreachable 502    no connection, or it broke
|   +-- UpstreamLied 502           the body is not what was asked for
|   +-- UpstreamTimeout 504
+-- Unavailable 503                this server cannot, for now
    +-- StoreDown 503              a database, cache or disk does not answer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DEFECT = "this is a defect of the server; the request id is in its log"


class ArtifactError(Exception):
    """Base of all; `retry_after` is in seconds, `upstream_status` what upstream said, both 0 for none."""

    status = 500
    code = "internal_error"

    def __init__(
        self, message: str, *, code: str | None = None, retry_after: float = 0, upstream_status: int = 0
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.retry_after = retry_after
        self.upstream_status = upstream_status


class Moved(ArtifactError):
    """`location` is where it is, as a Location header writes it, relative to what was asked for."""

    status, code = 301, "moved"

    def __init__(self, location: str) -> None:
        super().__init__("it is at another address")
        self.location = location


class BadRequest(ArtifactError):
    status, code = 400, "bad_request"


class Unauthorized(ArtifactError):
    """`challenge` is the WWW-Authenticate line that says how to ask again (RFC 9110, 11.6.1); "" leaves it to the
    form of the URL."""

    status, code = 401, "unauthorized"

    def __init__(self, message: str, *, code: str | None = None, challenge: str = "") -> None:
        super().__init__(message, code=code)
        self.challenge = challenge


class Forbidden(ArtifactError):
    status, code = 403, "forbidden"


class NotFound(ArtifactError):
    status, code = 404, "not_found"


class Gone(NotFound):
    status, code = 410, "gone"


class MethodNotAllowed(ArtifactError):
    status, code = 405, "method_not_allowed"

    def __init__(self, message: str, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


class TooSlow(ArtifactError):
    status, code = 408, "too_slow"


class Conflict(ArtifactError):
    status, code = 409, "conflict"


class RangeNotSatisfiable(ArtifactError):
    status, code = 416, "range_not_satisfiable"

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class PreconditionFailed(ArtifactError):
    status, code = 412, "precondition_failed"


class TooLarge(ArtifactError):
    status, code = 413, "too_large"


class UnsupportedMedia(ArtifactError):
    status, code = 415, "unsupported_media_type"


class Unprocessable(ArtifactError):
    status, code = 422, "unprocessable"


class Invalid(Unprocessable):
    """`fields`: the reasons by the name of what is wrong; none of them repeats a value."""

    code = "invalid"

    def __init__(self, message: str, fields: Mapping[str, Sequence[str]]) -> None:
        super().__init__(message)
        self.fields = fields


class TooManyRequests(ArtifactError):
    status, code = 429, "too_many_requests"


class UpstreamError(ArtifactError):
    status, code = 502, "upstream_error"


class UpstreamDenied(UpstreamError):
    code = "upstream_denied"


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"


class UpstreamLied(UpstreamError):
    code = "upstream_invalid"


class UpstreamPage(UpstreamLied):
    """An HTML page where there can be none: of a login, an error, a site that answers whatever is asked."""


class UpstreamTimeout(UpstreamError):
    status, code = 504, "upstream_timeout"


class Unavailable(ArtifactError):
    status, code = 503, "unavailable"


class StoreDown(Unavailable):
    code = "store_unavailable"
