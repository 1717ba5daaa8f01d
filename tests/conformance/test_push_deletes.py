"""Content management: tags, manifests and blobs that are deleted (end-9, end-10)."""

from __future__ import annotations

from tests.conformance.pushing import Local, body, digest
from tests.containers.images import artifact, image, layer


def test_a_tag_is_deleted(local: Local, name: str) -> None:
    """Deleting Tags (end-9), MUST: 202, then 404; the manifest stays, and so do its other tags."""
    pushed = image(layer(name.replace("/", "-"), 500))
    known = local.push(name, "v1", pushed)
    local.push(name, "v2", pushed)
    assert local.ask(f"{name}/manifests/v1", "DELETE").status == 202
    for method in ("GET", "DELETE"):
        assert local.ask(f"{name}/manifests/v1", method).told == (404, "MANIFEST_UNKNOWN")
    assert local.ask(f"{name}/manifests/{known}").status == 200
    assert local.tags(name) == ["v2"]


def test_a_manifest_is_deleted(local: Local, name: str) -> None:
    """Deleting Manifests (end-9), MUST: 202, then 404 by its digests, and by its tags, which are listed no more."""
    pushed = image(layer(name.replace("/", "-"), 500))
    known = local.push(name, "v1", pushed)
    other = local.push(name, "other", image(layer(f"{name}-2".replace("/", "-"), 500)))
    longer = digest(bytes(pushed.manifest.data), "sha512")
    assert local.put(name, longer, pushed.manifest).status == 201
    local.push(f"{name}-2", "v1", pushed)
    assert local.ask(f"{name}/manifests/{known}", "DELETE").status == 202
    for reference in ("v1", known, longer):
        for method in ("GET", "DELETE"):
            assert local.ask(f"{name}/manifests/{reference}", method).told == (404, "MANIFEST_UNKNOWN")
    assert local.tags(name) == ["other"]
    assert local.ask(f"{name}/manifests/{other}").status == 200
    assert local.ask(f"{name}-2/manifests/v1").digest == known
    assert local.push(name, "v1", pushed) == known


def test_a_blob_is_deleted(local: Local, name: str) -> None:
    """Deleting Blobs (end-10), MUST: 202, then 404; another repository's stays."""
    data = body()
    known = local.blob(name, data)
    local.blob(f"{name}-2", data)
    assert local.ask(f"{name}/blobs/{known}", "DELETE").status == 202
    for method in ("GET", "DELETE"):
        assert local.ask(f"{name}/blobs/{known}", method).told == (404, "BLOB_UNKNOWN")
    assert local.ask(f"{name}-2/blobs/{known}").body == data
    assert local.blob(name, data) == known


def test_a_referrer_is_deleted(local: Local, name: str) -> None:
    """Deleting Manifests (end-9, end-12a), MUST: what is deleted refers to nothing any more."""
    subject = image(layer(name.replace("/", "-"), 500))
    local.push(name, "v1", subject)
    first, second = artifact(subject.manifest, "first"), artifact(subject.manifest, "second")
    for each in (first, second):
        local.push(name, each.manifest.digest, each)
    assert local.ask(f"{name}/manifests/{first.manifest.digest}", "DELETE").status == 202
    assert local.referrers(name, subject.manifest.digest) == [second.manifest.digest]
    assert local.ask(f"{name}/manifests/{subject.manifest.digest}", "DELETE").status == 202
    assert local.referrers(name, subject.manifest.digest) == [second.manifest.digest]


def test_the_tags_of_an_image_without_any_are_an_empty_list(local: Local, name: str) -> None:
    """Deleting Tags (end-8a, end-9), MUST: once its last tag is deleted an image has an empty list."""
    local.push(name, "v1", image(layer(name.replace("/", "-"), 500)))
    assert local.ask(f"{name}/manifests/v1", "DELETE").status == 202
    assert local.tags(name) == []


def test_what_was_never_there_is_not_deleted(local: Local, name: str) -> None:
    """Deleting Tags, Manifests and Blobs (end-9, end-10, code-1, code-7), MUST: 404 where there is no such thing."""
    absent = digest(b"absent")
    assert local.ask(f"{name}/manifests/v1", "DELETE").told == (404, "MANIFEST_UNKNOWN")
    assert local.ask(f"{name}/manifests/{absent}", "DELETE").told == (404, "MANIFEST_UNKNOWN")
    assert local.ask(f"{name}/blobs/{absent}", "DELETE").told == (404, "BLOB_UNKNOWN")
