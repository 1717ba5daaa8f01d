"""Checking if content exists: HEAD of manifests and blobs (end-2, end-3)."""

from __future__ import annotations

import pytest

from tests.conformance.asking import Api, Reply
from tests.conformance.prepared import Prepared, sha256, sha512
from tests.containers.images import Blob, Image
from tests.containers.registry import Registry

SAME = ("Content-Type", "Content-Length", "Docker-Content-Digest", "ETag", "Last-Modified", "Vary", "Accept-Ranges")
NOWHERE = sha256(b"nowhere")


@pytest.fixture(params=["tag", "manifest", "config", "layer"])
def part(request: pytest.FixtureRequest, name: str, pushed: Image) -> tuple[str, Blob]:
    """(path, what is there) of each thing whose existence can be checked."""
    if request.param in ("tag", "manifest"):
        reference = "v1" if request.param == "tag" else pushed.manifest.digest
        return f"{name}/manifests/{reference}", pushed.manifest
    blob = pushed.config if request.param == "config" else pushed.blobs[-1]
    return f"{name}/blobs/{blob.digest}", blob


def heads(api: Api, path: str) -> tuple[Reply, ...]:
    return api.every(path, "HEAD")


def test_what_exists_is_200(api: Api, part: tuple[str, Blob]) -> None:
    """Checking if content exists (end-2, end-3), MUST: HEAD of what exists is 200, and has no body."""
    for reply in heads(api, part[0]):
        assert (reply.status, reply.body) == (200, b""), reply


def test_what_exists_is_told_with_its_digest(api: Api, part: tuple[str, Blob]) -> None:
    """Checking if content exists (end-2, end-3), MUST: Docker-Content-Digest is there (1.1: SHOULD)."""
    for reply in heads(api, part[0]):
        assert reply.digest == part[1].digest, reply


def test_what_exists_is_told_with_its_size(api: Api, part: tuple[str, Blob]) -> None:
    """Checking if content exists (end-2, end-3), MUST: Content-Length is the size in bytes (1.1: SHOULD)."""
    for reply in heads(api, part[0]):
        assert reply.headers["Content-Length"] == str(len(part[1].data)), reply


def test_head_says_what_get_says(api: Api, part: tuple[str, Blob]) -> None:
    """Checking if content exists (end-2, end-3), SHOULD: the same headers as of a GET (RFC 9110, 9.3.2)."""
    for head, get in zip(api.stored(part[0], "HEAD"), api.stored(part[0]), strict=True):
        assert [(name, head.headers[name]) for name in SAME] == [(name, get.headers[name]) for name in SAME]


def test_what_exists_under_sha512_is_told_so(made: Api, name: str, prepared: Prepared) -> None:
    """Checking if content exists (end-2), MUST: 200, size and digest, also for a digest of sha512."""
    body = f"a layer of {name}".encode() * 99
    prepared.blob(name, body, sha512(body))
    for reply in heads(made, f"{name}/blobs/{sha512(body)}"):
        assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(body))), reply
        assert reply.digest in (sha256(body), sha512(body)), reply


def test_what_exists_is_told_when_the_copy_is_due_and_upstream_gone(named: Api, name: str, pushed: Image) -> None:
    """Checking if content exists (end-2, end-3), MUST: still 200, digest and size, while upstream cannot be asked."""
    for path, blob in (
        (f"{name}/manifests/v1", pushed.manifest),
        (f"{name}/blobs/{pushed.blobs[-1].digest}", pushed.blobs[-1]),
    ):
        reply = named.stale(path, "HEAD")
        assert (reply.status, reply.digest) == (200, blob.digest), reply
        assert reply.headers["Content-Length"] == str(len(blob.data)), reply


@pytest.mark.parametrize(
    "path", ["manifests/absent", f"manifests/{NOWHERE}", f"blobs/{NOWHERE}", f"blobs/{sha512(b'nowhere')}"]
)
def test_what_does_not_exist_is_404(api: Api, name: str, registry: Registry, pushed: Image, path: str) -> None:
    """Checking if content exists (end-2, end-3), MUST: HEAD of what is not there is 404, in any repository."""
    for repository in (name, f"{name}-absent"):
        for method in ("HEAD", "GET", "HEAD"):
            reply = api.ask(f"{repository}/{path}", method)
            assert (reply.status, method == "GET" or not reply.body) == (404, True), reply
