"""Error codes: the form of every refusal, and its code ("Error Codes", code-1 to code-14)."""

from __future__ import annotations

import re

import pytest

from tests.conformance.asking import Api, Reply
from tests.conformance.prepared import Prepared, sha256
from tests.containers.images import Image
from tests.containers.registry import Registry

CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
    "UNSUPPORTED", "TOOMANYREQUESTS",
}  # fmt: skip
NOWHERE = sha256(b"nowhere")


def code(reply: Reply) -> str:
    """The code of a refusal, whose form is checked."""
    assert 400 <= reply.status < 500, reply
    assert reply.type.partition(";")[0] == "application/json", reply
    assert list(reply.json) == ["errors"], reply
    (error,) = reply.json["errors"]
    assert set(error) <= {"code", "message", "detail"}, reply
    assert isinstance(error.get("message", ""), str), reply
    return str(error["code"])


REFUSED = [
    ("GET", "{name}/manifests/absent", 404, "MANIFEST_UNKNOWN"),
    ("GET", f"{{name}}/manifests/{NOWHERE}", 404, "MANIFEST_UNKNOWN"),
    ("GET", f"{{name}}/blobs/{NOWHERE}", 404, "BLOB_UNKNOWN"),
    ("GET", "{name}-absent/tags/list", 404, "NAME_UNKNOWN"),
    ("GET", "{name}/Upper/manifests/v1", 400, "NAME_INVALID"),
    ("GET", "{name}/blobs/sha256:short", 400, "DIGEST_INVALID"),
    ("GET", "{name}/manifests/sha256:short", 400, "DIGEST_INVALID"),
    ("GET", "{name}/referrers/latest", 400, "DIGEST_INVALID"),
    ("GET", "{name}/manifests/-v1", 400, "MANIFEST_INVALID"),
    ("GET", "{name}/tags/list?n=-1", 400, ""),
    ("GET", "{name}/tags/list?n=many", 400, ""),
    ("GET", "{name}/files/v1", 404, ""),
    ("GET", "{name}/../{name}/manifests/v1", 400, "NAME_INVALID"),
    ("POST", "{name}/blobs/uploads/", 401, "UNAUTHORIZED"),
    ("DELETE", "{name}/manifests/v1", 401, "UNAUTHORIZED"),
    ("OPTIONS", "{name}/manifests/v1", 405, "UNSUPPORTED"),
]


@pytest.mark.parametrize(("method", "path", "status", "expected"), REFUSED, ids=[f"{e[0]} {e[1]}" for e in REFUSED])
def test_a_refusal_has_the_specification_s_form(
    api: Api, lasting: tuple[str, Image], method: str, path: str, status: int, expected: str
) -> None:
    """Error Codes (code-1 to code-14), MUST: JSON is {"errors": [{code, message, detail}]}."""
    for _ in range(2):
        reply = api.ask(path.format(name=lasting[0]), method)
        found = code(reply)
        assert (reply.status, expected or found) == (status, found), reply


def test_a_code_is_one_of_the_fourteen(api: Api, lasting: tuple[str, Image]) -> None:
    """Error Codes (code-1 to code-14), MUST: in capitals and underscores, and one of the table."""
    found = {(method, path): code(api.ask(path.format(name=lasting[0]), method)) for method, path, *_ in REFUSED}
    assert {
        asked: each for asked, each in found.items() if each not in CODES or not re.fullmatch("[A-Z_]+", each)
    } == {}


def test_a_refusal_of_head_has_the_status_of_get(api: Api, lasting: tuple[str, Image]) -> None:
    """Error Codes (end-2, end-3), SHOULD: HEAD says what GET says, without a body (RFC 9110, 9.3.2)."""
    for path in (each[1].format(name=lasting[0]) for each in REFUSED if each[0] == "GET"):
        get, head = (api.ask(path, method) for method in ("GET", "HEAD"))
        assert (head.status, head.body, head.type) == (get.status, b"", get.type), path


def test_a_range_that_cannot_be_met_is_refused_in_form(api: Api, name: str, pushed: Image) -> None:
    """Error Codes (code-10), MUST: the form holds for 416 too."""
    for reply in api.stored(f"{name}/blobs/{pushed.blobs[-1].digest}", Range="bytes=9999999-"):
        assert (reply.status, code(reply) in CODES) == (416, True), reply


def test_what_is_forbidden_is_denied(strict: Api, name: str, registry: Registry, pushed: Image) -> None:
    """Error Codes (code-12), MUST: what may not be had is DENIED."""
    registry.push_manifest(name, "banned", pushed.manifest)
    for _ in range(2):
        reply = strict.ask(f"{name}/manifests/banned")
        assert (reply.status, code(reply)) == (403, "DENIED")
    assert strict.ask(f"{name}/manifests/v1").status == 200


def test_who_is_not_known_is_told_how_to_log_in(api: Api, name: str) -> None:
    """Error Codes (code-11), MUST: a 401 has a challenge (RFC 9110, 15.5.2)."""
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic bm86bm8="}):
        reply = api.ask(f"{name}/manifests/v1", "PUT", **headers)
        assert (reply.status, code(reply)) == (401, "UNAUTHORIZED")
        assert reply.headers["WWW-Authenticate"]


def test_too_many_requests_say_when_to_come_back(api: Api, name: str, registry: Registry, pushed: Image) -> None:
    """Error Codes (code-14), SHOULD: 429 has Retry-After, and is only for what is not stored."""
    stored = f"{name}/manifests/{pushed.manifest.digest}"
    api.store(stored)
    with registry.front.limited():
        for path in ("manifests/v1", f"blobs/{pushed.blobs[0].digest}", "tags/list"):
            reply = api.ask(f"{name}/{path}")
            assert (reply.status, code(reply)) == (429, "TOOMANYREQUESTS"), path
            assert int(reply.headers["Retry-After"]) > 0, path
        assert api.ask(stored).body == pushed.manifest.data
    assert api.ask(f"{name}/manifests/v1").body == pushed.manifest.data


@pytest.mark.parametrize("said", ["", "7"])
def test_too_many_requests_say_what_upstream_says(made: Api, name: str, prepared: Prepared, said: str) -> None:
    """Error Codes (code-14), SHOULD: Retry-After is upstream's, and one is there even if upstream says none."""
    prepared.status(429, f"/v2/{name}/manifests/v1", times=1, headers={"Retry-After": said} if said else {})
    reply = made.ask(f"{name}/manifests/v1")
    assert (reply.status, code(reply)) == (429, "TOOMANYREQUESTS")
    assert reply.headers["Retry-After"] == said or (not said and int(reply.headers["Retry-After"]) > 0)


def test_an_upstream_s_refusal_is_told_in_form(made: Api, name: str, prepared: Prepared) -> None:
    """Error Codes (end-2, end-3), MUST: upstream's own body is never passed on where its form is another."""
    body = b'{"error": "no such thing"}'
    for path in (f"blobs/{NOWHERE}", "manifests/v1", f"manifests/{NOWHERE}", "tags/list"):
        prepared.status(404, f"/v2/{name}/{path}", headers={"Content-Type": "application/json"}, body=body, times=1)
        assert code(made.ask(f"{name}/{path}")) in CODES
