"""Pulling manifests: GET /v2/<name>/manifests/<tag or digest> (end-3)."""

from __future__ import annotations

import json

import pytest

from tests.conformance.asking import Api
from tests.conformance.prepared import INDEX, Prepared, sha256, sha512
from tests.containers.images import Blob, Form, Image, image, layer, manifest, multi
from tests.containers.registry import Registry

MANIFEST = Form.OCI.value[1]
NOWHERE = sha256(b"nowhere")


def lone(name: str, size: int = 0) -> Blob:
    """A manifest that no other name gives, with an annotation of so many characters."""
    config = Blob("application/vnd.oci.empty.v1+json", b"{}")
    return manifest(config, config, annotations={"org.example.name": name, "org.example.noise": "x" * size})


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_manifest_that_exists_is_answered_whole(api: Api, name: str, pushed: Image, by: str) -> None:
    """Pulling Manifests (end-3), MUST: GET of a manifest that exists is 200 with exactly that manifest."""
    for reply in api.every(f"{name}/manifests/{'v1' if by == 'tag' else pushed.manifest.digest}"):
        assert (reply.status, reply.body) == (200, pushed.manifest.data), reply


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest_comes_with_its_digest_even_if_upstream_tells_none(
    made: Api, name: str, prepared: Prepared, method: str
) -> None:
    """Pulling Manifests (end-3), MUST: Docker-Content-Digest is there, also before a registry of an older version."""
    blob = lone(name)
    for reference in ("v1", blob.digest):
        prepared.put(f"/v2/{name}/manifests/{reference}", bytes(blob.data), Content_Type=MANIFEST)
        for reply in made.every(f"{name}/manifests/{reference}", method):
            assert (reply.status, reply.digest) == (200, blob.digest), reply


def test_upstream_is_told_what_the_client_accepts(made: Api, name: str, prepared: Prepared) -> None:
    """Pulling Manifests (end-3), SHOULD: a client says in Accept what it supports, and so does this one."""
    prepared.manifest(name, "v1", lone(name))
    kinds = [kind for form in Form for kind in form.value[:2]]
    assert made.ask(f"{name}/manifests/v1", Accept=", ".join(kinds)).status == 200
    (seen,) = [seen for seen in prepared.requests if seen.path == f"/v2/{name}/manifests/v1"]
    assert {kind.strip() for kind in seen.headers["accept"].split(",")} >= set(kinds)


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_manifest_comes_with_its_digest(api: Api, name: str, pushed: Image, by: str) -> None:
    """Pulling Manifests (end-3), MUST: Docker-Content-Digest is the digest of what is answered (1.1: SHOULD)."""
    for reply in api.every(f"{name}/manifests/{'v1' if by == 'tag' else pushed.manifest.digest}"):
        assert reply.digest == pushed.manifest.digest == sha256(reply.body), reply


@pytest.mark.parametrize("form_of_image", Form)
def test_the_type_of_a_manifest_is_the_one_it_was_pushed_with(
    api: Api, name: str, registry: Registry, form_of_image: Form
) -> None:
    """Pulling Manifests (end-3), SHOULD: Content-Type is the pushed one, of images and of indexes."""
    several = multi(name.replace("/", "-"), form_of_image)
    registry.push(name, "v1", several)
    for reply in api.every(f"{name}/manifests/v1"):
        assert reply.type == several.manifest.media_type, reply
    for child in several.images:
        for reply in api.every(f"{name}/manifests/{child.manifest.digest}"):
            assert reply.type == child.manifest.media_type == reply.json["mediaType"], reply


@pytest.mark.parametrize("form_of_image", Form)
def test_a_client_gets_a_type_that_it_accepts(api: Api, name: str, registry: Registry, form_of_image: Form) -> None:
    """Pulling Manifests (end-3), MAY: Content-Type says which of the accepted kinds of manifest it is."""
    single = image(layer(name.replace("/", "-"), 500, form_of_image), form=form_of_image)
    registry.push(name, "v1", single)
    for reply in api.every(f"{name}/manifests/v1", Accept=single.manifest.media_type):
        assert (reply.status, reply.type) == (200, single.manifest.media_type), reply
        assert "accept" in reply.headers["Vary"].lower()


def test_a_type_has_no_parameters(made: Api, name: str, prepared: Prepared) -> None:
    """Pulling Manifests (end-3), SHOULD NOT: no parameters on Content-Type, and upstream's are passed over."""
    blob = lone(name)
    for reference in ("v1", blob.digest):
        prepared.manifest(name, reference, blob, Content_Type=f"{MANIFEST}; charset=utf-8")
        for reply in made.every(f"{name}/manifests/{reference}"):
            assert (reply.status, reply.type, reply.body) == (200, MANIFEST, blob.data), reply


def test_a_manifest_is_never_labelled_as_another_kind_than_it_says(made: Api, name: str, prepared: Prepared) -> None:
    """Pulling Manifests (end-3), SHOULD: clients reject a mediaType other than Content-Type, so both are one here."""
    blob = lone(name)
    for reference in ("v1", blob.digest):
        prepared.manifest(name, reference, blob, Content_Type=INDEX)
        for reply in made.every(f"{name}/manifests/{reference}"):
            assert reply.status != 200 or reply.type == reply.json["mediaType"], reply


@pytest.mark.parametrize("reference", ["absent", NOWHERE])
def test_a_manifest_that_does_not_exist_is_not_found(api: Api, name: str, pushed: Image, reference: str) -> None:
    """Pulling Manifests (end-3, code-7), MUST: 404 where the repository has no such manifest."""
    for _ in range(2):
        assert api.ask(f"{name}/manifests/{reference}").told == (404, "MANIFEST_UNKNOWN")
    assert api.ask(f"{name}/manifests/v1").body == pushed.manifest.data


def test_a_repository_that_does_not_exist_is_not_found(api: Api, name: str) -> None:
    """Pushing Manifests (end-3), MUST: pulling from a repository that does not exist is 404."""
    for path in (
        f"{name}/manifests/v1",
        f"{name}/manifests/{NOWHERE}",
        f"{name}/blobs/{NOWHERE}",
        f"{name}/tags/list",
    ):
        for _ in range(2):
            assert api.ask(path).told[0] == 404, path


def test_a_manifest_of_another_repository_is_not_found(
    api: Api, name: str, pushed: Image, registry: Registry
) -> None:
    """Pulling Manifests (end-3), MUST: stored for one repository is not found in the next."""
    registry.push(f"{name}-other", "v1", image(layer(f"{name}-other".replace("/", "-"), 100)))
    api.store(f"{name}/manifests/{pushed.manifest.digest}")
    assert api.ask(f"{name}-other/manifests/{pushed.manifest.digest}").told == (404, "MANIFEST_UNKNOWN")


def test_a_manifest_is_found_under_another_algorithm_s_digest(made: Api, name: str, prepared: Prepared) -> None:
    """Pulling Manifests (end-3), MAY: the digest told may be of another algorithm, but is right."""
    blob = lone(name)
    prepared.manifest(name, sha512(bytes(blob.data)), blob)
    for reply in made.every(f"{name}/manifests/{sha512(bytes(blob.data))}"):
        assert (reply.status, reply.body) == (200, blob.data), reply
        assert reply.digest in (sha256(reply.body), sha512(reply.body)), reply


@pytest.mark.parametrize("digest", [sha256, sha512])
def test_a_manifest_that_is_not_what_its_digest_says_is_never_answered(
    made: Api, name: str, prepared: Prepared, digest: object
) -> None:
    """Pulling Manifests (end-3), SHOULD: who pulls by digest verifies it, and this server pulls too."""
    assert callable(digest)
    promised = digest(bytes(lone(f"{name} as promised").data))
    prepared.manifest(name, promised, lone(name), Docker_Content_Digest=promised)
    for _ in range(2):
        assert made.ask(f"{name}/manifests/{promised}").status == 502


def test_a_tag_that_is_not_what_upstream_s_header_says_is_never_answered(
    made: Api, name: str, prepared: Prepared
) -> None:
    """Pulling Manifests (end-3), MUST: a client that uses Docker-Content-Digest verifies it, as this server does."""
    prepared.manifest(name, "v1", lone(name), Docker_Content_Digest=NOWHERE)
    for _ in range(2):
        assert made.ask(f"{name}/manifests/v1").status == 502


def test_content_is_pulled_in_any_order(api: Api, name: str, pushed: Image) -> None:
    """Pull (end-2, end-3), MAY: blobs before the manifest, the manifest by digest before its tag."""
    parts = {f"blobs/{blob.digest}": blob for blob in reversed(pushed.blobs)}
    parts |= {f"manifests/{pushed.manifest.digest}": pushed.manifest, "manifests/v1": pushed.manifest}
    for path, blob in parts.items():
        assert api.ask(f"{name}/{path}").body == blob.data, path


def test_a_manifest_of_four_megabytes_is_pulled(api: Api, name: str, registry: Registry) -> None:
    """Pushing Manifests (end-3), SHOULD: implementations expect manifests of at least four megabytes."""
    large = lone(name, 4_000_000 - len(lone(name).data))
    assert len(large.data) == 4_000_000
    registry.push_blob(name, Blob("application/vnd.oci.empty.v1+json", b"{}"))
    registry.push_manifest(name, "v1", large)
    for reply in api.every(f"{name}/manifests/v1"):
        assert (reply.status, reply.digest, len(reply.body)) == (200, large.digest, 4_000_000), reply.state


def test_a_manifest_is_answered_as_the_bytes_it_was_pushed_as(api: Api, name: str, registry: Registry) -> None:
    """Pushing Manifests (end-3), MUST: bytes are kept exactly, odd spacing, order and unknown members included."""
    kept = lone(name)
    odd = Blob(
        MANIFEST, b"\n" + json.dumps(json.loads(bytes(kept.data)) | {"zz": "\u00e9"}, indent=7).encode() + b" \n"
    )
    registry.push_blob(name, Blob("application/vnd.oci.empty.v1+json", b"{}"))
    registry.push_manifest(name, "v1", odd)
    for reply in api.every(f"{name}/manifests/v1"):
        assert reply.body == odd.data, reply
