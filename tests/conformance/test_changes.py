"""Nobody pushes to a remote: what push and content management answer there (end-4a to end-7b, end-9 to end-11)."""

from __future__ import annotations

import pytest

from tests.conformance.asking import Api
from tests.conformance.prepared import sha256
from tests.containers.images import Image
from tests.containers.registry import Registry

DIGEST = sha256(b"x")


def as_administrator(api: Api) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.node.token}"}


@pytest.mark.parametrize("kind", ["tag", "manifest", "blob"])
def test_what_cannot_be_deleted_stays(api: Api, name: str, pushed: Image, kind: str) -> None:
    """Deleting Tags, Manifests and Blobs (end-9, end-10), MUST: 400 or 405 where deleting is disabled."""
    blob = pushed.blobs[0] if kind == "blob" else pushed.manifest
    place = {"tag": "manifests/v1", "manifest": f"manifests/{blob.digest}", "blob": f"blobs/{blob.digest}"}[kind]
    for _ in range(2):
        assert api.ask(f"{name}/{place}", "DELETE", **as_administrator(api)).told == (405, "UNSUPPORTED")
        assert api.ask(f"{name}/{place}").body == blob.data


def test_a_tag_that_upstream_deleted_is_not_found(api: Api, name: str, registry: Registry, pushed: Image) -> None:
    """Deleting Tags (end-9), MUST: once deleted, GET of the tag is 404, as soon as upstream is asked again."""
    api.store(f"{name}/manifests/v1")
    registry.delete(name, pushed.manifest)
    api.expire()
    for _ in range(2):
        assert api.ask(f"{name}/manifests/v1").told == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "blobs/uploads/"),
        ("POST", f"blobs/uploads/?digest={DIGEST}"),
        ("POST", "blobs/uploads/?digest-algorithm=sha512"),
        ("POST", f"blobs/uploads/?mount={DIGEST}&from=other"),
        ("PATCH", "blobs/uploads/1"),
        ("PUT", f"blobs/uploads/1?digest={DIGEST}"),
        ("DELETE", "blobs/uploads/1"),
        ("PUT", "manifests/v1"),
        ("PUT", f"manifests/{DIGEST}?tag=v1"),
    ],
)
def test_nothing_is_pushed(api: Api, name: str, method: str, path: str) -> None:
    """Error Codes (code-13), MUST: an operation that is not supported says so, in the form of errors."""
    reply = api.ask(f"{name}/{path}", method, **as_administrator(api))
    assert (*reply.told, reply.headers["Allow"]) == (405, "UNSUPPORTED", "GET, HEAD")


def test_no_upload_is_under_way(api: Api, name: str) -> None:
    """Pushing a Blob in Chunks (end-13), MUST: there is no session whose state could be asked for."""
    assert api.ask(f"{name}/blobs/uploads/1").told[0] == 404
