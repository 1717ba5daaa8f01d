"""Pulling blobs: GET /v2/<name>/blobs/<digest> (end-2)."""

from __future__ import annotations

import contextlib
import http.client

import pytest

from tests.conformance.asking import Api
from tests.conformance.prepared import Prepared, sha256, sha512
from tests.containers.images import Image
from tests.containers.registry import Registry

NOWHERE = sha256(b"nowhere")


def test_a_blob_that_exists_is_answered_whole(api: Api, name: str, pushed: Image) -> None:
    """Pulling Blobs (end-2), MUST: GET of a blob that exists is 200 with exactly that blob."""
    for blob in pushed.blobs:
        for reply in api.every(f"{name}/blobs/{blob.digest}"):
            assert (reply.status, reply.body) == (200, blob.data), reply


def test_a_blob_comes_with_its_digest(api: Api, name: str, pushed: Image) -> None:
    """Pulling Blobs (end-2), MUST: Docker-Content-Digest is there and is the body's (there in 1.1: SHOULD)."""
    for blob in pushed.blobs:
        for reply in api.every(f"{name}/blobs/{blob.digest}"):
            assert reply.digest == sha256(reply.body) == blob.digest, reply


def test_a_blob_without_bytes_is_a_blob(api: Api, name: str, registry: Registry, pushed: Image) -> None:
    """Pulling Blobs (end-2), MUST: 200 and the expected blob, were it of no bytes."""
    empty = type(pushed.manifest)("application/octet-stream", b"")
    registry.push_blob(name, empty)
    for reply in api.every(f"{name}/blobs/{empty.digest}"):
        assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "0"), reply


def test_a_blob_is_found_by_its_sha512(made: Api, name: str, prepared: Prepared) -> None:
    """Pulling Blobs (end-2), MUST: the digest told is the body's, also for a digest of sha512."""
    body = f"a layer of {name}".encode() * 999
    prepared.blob(name, body, sha512(body))
    for reply in made.every(f"{name}/blobs/{sha512(body)}"):
        assert (reply.status, reply.body) == (200, body), reply
        assert reply.digest in (sha256(body), sha512(body)), reply


@pytest.mark.parametrize("digest", [NOWHERE, sha512(b"nowhere")])
def test_a_blob_that_does_not_exist_is_not_found(api: Api, name: str, pushed: Image, digest: str) -> None:
    """Pulling Blobs (end-2, code-1), MUST: 404 where the repository has no such blob."""
    for _ in range(2):
        assert api.ask(f"{name}/blobs/{digest}").told == (404, "BLOB_UNKNOWN")
    assert api.ask(f"{name}/blobs/{pushed.blobs[0].digest}").status == 200


def test_a_blob_of_another_repository_is_not_found(api: Api, name: str, pushed: Image) -> None:
    """Pulling Blobs (end-2, code-1), MUST: stored for one repository is not found in the next."""
    blob = pushed.blobs[-1]
    api.store(f"{name}/blobs/{blob.digest}")
    for _ in range(2):
        assert api.ask(f"{name}-other/blobs/{blob.digest}").told == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("digest", [sha256, sha512])
@pytest.mark.parametrize("size", [100, 300_000])
def test_a_blob_that_is_not_what_its_digest_says_never_looks_whole(
    made: Api, name: str, prepared: Prepared, digest: object, size: int
) -> None:
    """Pulling Blobs (end-2), SHOULD: who pulls a blob verifies it, and this server pulls too."""
    assert callable(digest)
    body = name.encode().ljust(size, b".")
    promised = digest(body + b"!")
    prepared.blob(name, body, promised)
    for _ in range(2):
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            assert made.ask(f"{name}/blobs/{promised}").status == 502
    assert made.ask(f"{name}/blobs/{promised}", "HEAD").headers["X-Cache"] == "MISS"
