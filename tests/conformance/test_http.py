"""What the specification leaves to HTTP: "API" refers to RFC 9110."""

from __future__ import annotations

import pytest

from tests.conformance.asking import Api
from tests.conformance.test_manifests import lone
from tests.containers.images import Blob, Image
from tests.containers.registry import Registry


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_has_not_changed_is_not_sent_again(api: Api, name: str, pushed: Image, method: str) -> None:
    """API (end-2, end-3, end-8a), SHOULD: If-None-Match of the ETag that was given is 304 (RFC 9110, 13.1.2)."""
    for path in (
        "manifests/v1",
        f"manifests/{pushed.manifest.digest}",
        f"blobs/{pushed.blobs[0].digest}",
        "tags/list",
    ):
        api.store(f"{name}/{path}")
        given = api.ask(f"{name}/{path}")
        for reply in api.stored(f"{name}/{path}", method, If_None_Match=given.headers["ETag"]):
            assert (reply.status, reply.body) == (304, b""), (path, reply)
            assert reply.headers["Docker-Content-Digest"] == given.headers["Docker-Content-Digest"]
        assert api.ask(f"{name}/{path}", method, If_None_Match='"other"').status == 200


def test_a_moved_tag_has_changed(api: Api, name: str, registry: Registry) -> None:
    """API (end-3), SHOULD: another manifest under the tag is another ETag, and no 304 (RFC 9110, 8.8.1)."""
    registry.push_blob(name, Blob("application/vnd.oci.empty.v1+json", b"{}"))
    registry.push_manifest(name, "v1", lone(f"{name} once"))
    api.store(f"{name}/manifests/v1")
    old = api.ask(f"{name}/manifests/v1")
    registry.push_manifest(name, "v1", lone(f"{name} now"))
    api.expire()
    new = api.ask(f"{name}/manifests/v1", If_None_Match=old.headers["ETag"])
    assert (new.status, new.digest) == (200, lone(f"{name} now").digest)
    assert new.headers["ETag"] != old.headers["ETag"]
    assert api.ask(f"{name}/manifests/{old.digest}").body == old.body


def test_bodies_have_their_length(api: Api, name: str, pushed: Image) -> None:
    """API (end-2, end-3, end-8a), SHOULD: Content-Length is that of the body (RFC 9110, 8.6)."""
    for path in ("manifests/v1", f"blobs/{pushed.blobs[0].digest}", "tags/list"):
        for reply in api.every(f"{name}/{path}"):
            assert reply.headers["Content-Length"] == str(len(reply.body)), reply
