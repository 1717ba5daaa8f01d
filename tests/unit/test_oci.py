"""What each error reads like to a registry's client, and to everyone else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import (
    ArtifactError,
    BadRequest,
    Forbidden,
    Gone,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    StoreDown,
    Unauthorized,
    Unavailable,
    UpstreamDenied,
    UpstreamError,
    UpstreamLied,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.resource import Ask
from app.web import problem

# "Error Codes" of the OCI distribution specification; a 4xx has one of these.
SPECIFIED = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
    "UNSUPPORTED", "TOOMANYREQUESTS",
}  # fmt: skip
MANIFEST, BLOB = "v2/library/x/manifests/1", "v2/library/x/blobs/sha256:00"
TAGS, REFERRERS = "v2/library/x/tags/list", "v2/library/x/referrers/sha256:00"


def teapot() -> ArtifactError:
    error = ArtifactError("no", code="teapot")
    error.status = 418
    return error


def rendered(error: ArtifactError, path: str, route: str = "v2", **more: Any) -> tuple[int, dict[str, str], Any]:
    status, headers, body = problem.render(error, Ask("GET", "hub", path, request_id="r1", route=route, **more))
    assert len(dict(headers)) == len(headers)
    return status, dict(headers), json.loads(body)


@pytest.mark.parametrize(
    ("error", "path", "status", "code"),
    [
        (NotFound("no"), MANIFEST, 404, "MANIFEST_UNKNOWN"),
        (NotFound("no", upstream_status=404), BLOB, 404, "BLOB_UNKNOWN"),
        (NotFound("no"), TAGS, 404, "NAME_UNKNOWN"),
        (NotFound("no"), REFERRERS, 404, "NAME_UNKNOWN"),
        (NotFound("no", code="unknown_repository"), MANIFEST, 404, "NAME_UNKNOWN"),
        (NotFound("no"), "", 404, "NAME_UNKNOWN"),
        (NotFound("no"), "v2/x", 404, "NAME_UNKNOWN"),
        (Gone("no", upstream_status=410), MANIFEST, 404, "MANIFEST_UNKNOWN"),
        (Forbidden("no", code="blocked_by_pattern"), BLOB, 403, "DENIED"),
        (Forbidden("no", code="banned_tag"), MANIFEST, 403, "DENIED"),
        (BadRequest("no", code="bad_path"), MANIFEST, 400, "NAME_INVALID"),
        (BadRequest("no", code="not_docker"), MANIFEST, 400, "NAME_INVALID"),
        (BadRequest("no", code="name_invalid"), MANIFEST, 400, "NAME_INVALID"),
        (BadRequest("no", code="digest_invalid"), BLOB, 400, "DIGEST_INVALID"),
        (BadRequest("no", code="tag_invalid"), MANIFEST, 400, "MANIFEST_INVALID"),
        (BadRequest("no", code="pagination_number_invalid"), TAGS, 400, "UNSUPPORTED"),
        (NotFound("no", code="unsupported"), "v2/x/files/1", 404, "UNSUPPORTED"),
        (Unauthorized("no"), BLOB, 401, "UNAUTHORIZED"),
        (MethodNotAllowed("no", ("PUT",)), BLOB, 405, "UNSUPPORTED"),
        (RangeNotSatisfiable("no", 5), BLOB, 416, "SIZE_INVALID"),
        (UpstreamError("no", upstream_status=429), MANIFEST, 429, "TOOMANYREQUESTS"),
        (UpstreamError("no", upstream_status=503), MANIFEST, 502, "UNAVAILABLE"),
        (UpstreamDenied("no", upstream_status=401), MANIFEST, 404, "NAME_UNKNOWN"),
        (UpstreamDenied("no", upstream_status=403), TAGS, 404, "NAME_UNKNOWN"),
        (UpstreamDenied("no", upstream_status=401), REFERRERS, 404, "NAME_UNKNOWN"),
        (UpstreamDenied("no", upstream_status=401), BLOB, 404, "BLOB_UNKNOWN"),
        (UpstreamDenied("no", code="upstream_realm_refused"), BLOB, 502, "UNAVAILABLE"),
        (UpstreamUnreachable("no"), MANIFEST, 502, "UNAVAILABLE"),
        (UpstreamLied("no"), BLOB, 502, "UNAVAILABLE"),
        (UpstreamTimeout("no"), BLOB, 504, "UNAVAILABLE"),
        (Unavailable("no"), BLOB, 503, "UNAVAILABLE"),
        (StoreDown("no"), BLOB, 503, "UNAVAILABLE"),
        (ArtifactError("no"), BLOB, 500, "UNKNOWN"),
        (teapot(), BLOB, 418, "UNSUPPORTED"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, ArtifactError) else "",
)
def test_the_code_of_an_error(error: ArtifactError, path: str, status: int, code: str) -> None:
    shown, headers, body = rendered(error, path)
    [one] = body["errors"]
    assert (shown, one["code"]) == (status, code)
    assert set(body) == {"errors"}
    assert set(one) == {"code", "message", "detail"}
    assert one["detail"] == {"error": error.code, "request_id": "r1"}
    assert headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert headers["Content-Type"] == "application/json"
    assert status >= 500 or code in SPECIFIED


def test_what_upstream_denies_is_unknown_to_registry_clients_alone() -> None:
    denied = UpstreamDenied("upstream answered 401", upstream_status=401)
    _, headers, told = rendered(denied, MANIFEST)
    assert "does not exist" in told["errors"][0]["message"] and "login" in told["errors"][0]["message"]
    assert headers["X-Upstream-Status"] == "401"
    assert "X-Cache" not in headers, "it is not remembered"
    for route in ("api", "repository"):
        assert rendered(denied, "v2/x", route)[::2] == (
            502,
            {"error": "upstream_denied", "message": "upstream answered 401", "request_id": "r1"},
        )


def test_the_message_says_why_but_not_where_a_store_is() -> None:
    blocked = rendered(Forbidden("no pattern allows it"), BLOB)[2]["errors"][0]
    assert blocked["message"] == "no pattern allows it"
    assert "10.0.0.9" not in json.dumps(rendered(StoreDown("10.0.0.9 refuses"), BLOB)[2])


def test_a_client_is_always_told_how_long_to_wait_for_a_counting_upstream() -> None:
    assert rendered(UpstreamError("no", upstream_status=429), MANIFEST)[1]["Retry-After"] == "5"
    told = rendered(UpstreamError("no", upstream_status=429, retry_after=6.2), MANIFEST)[1]
    assert (told["Retry-After"], told["X-Upstream-Status"]) == ("7", "429")


def test_what_each_status_needs_beside_it() -> None:
    assert rendered(MethodNotAllowed("no", ("PUT", "POST")), BLOB)[1]["Allow"] == "GET, HEAD"
    assert rendered(Unauthorized("no"), BLOB)[1]["WWW-Authenticate"].startswith("Basic ")
    assert rendered(RangeNotSatisfiable("no", 5), BLOB)[1]["Content-Range"] == "bytes */5"
    assert rendered(NotFound("no", upstream_status=404), BLOB)[1]["X-Cache"] == "NEGATIVE"
    assert rendered(Unavailable("no", retry_after=1), BLOB)[1]["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("route", "url_path", "oci"),
    [
        ("v2", "/repository/hub/v2/x", True),
        ("repository", "/v2", True),
        ("repository", "/v2/", True),
        ("repository", "/v2/x/manifests/1", True),
        ("repository", "/v2x", False),
        ("repository", "/repository/up/v2/x", False),
        ("api", "/api/v1/remote/hub/v2/x", False),
        ("repository", "", False),
    ],
)
def test_who_is_answered_in_that_form(route: str, url_path: str, oci: bool) -> None:
    status, headers, body = rendered(UpstreamError("no", upstream_status=429), "v2/x", route, url_path=url_path)
    assert ("errors" in body) == ("Docker-Distribution-Api-Version" in headers) == oci
    assert oci or (status, body) == (502, {"error": "upstream_error", "message": "no", "request_id": "r1"})
    assert oci == ("Retry-After" in headers)


def test_debug_adds_its_detail() -> None:
    asked = Ask("GET", "hub", BLOB, route="v2")
    assert json.loads(problem.render(ArtifactError("no"), asked, "why")[2])["errors"][0]["detail"]["debug"] == "why"
    asked = Ask("GET", "up", "x")
    assert json.loads(problem.render(ArtifactError("no"), asked, "why")[2])["detail"] == "why"
