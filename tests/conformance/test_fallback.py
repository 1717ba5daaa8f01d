"""Referrers of an upstream without such an API: Unavailable Referrers API, Referrers Tag Schema (end-3, end-12a)."""

from __future__ import annotations

import json

import pytest

from tests.conformance.asking import Api
from tests.conformance.prepared import INDEX, Prepared, sha256, sha512
from tests.conformance.test_referrers import EMPTY, descriptor, listed
from tests.containers.images import Blob, Image, artifact, referrers_index
from tests.containers.registry import Registry

DIGESTS = pytest.mark.parametrize("digest", [sha256, sha512], ids=["sha256", "sha512"])


def tag_of(digest: str) -> str:
    """The referrers tag: the algorithm, a dash, at most 64 characters of the encoded part."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def signed(registry: Registry, name: str, pushed: Image) -> list[Image]:
    """Two artifacts that refer to the image, listed under its tag as a client does."""
    found = [artifact(pushed.manifest, f"{name} {each}") for each in ("one", "two")]
    for each in found:
        registry.push(name, each.manifest.digest, each)
    registry.push_manifest(name, tag_of(pushed.manifest.digest), referrers_index(*found))
    return found


def test_what_clients_listed_under_the_tag_is_found(api: Api, name: str, pushed: Image, registry: Registry) -> None:
    """Listing Referrers (end-12a), MUST: where upstream's API is a 404, the referrers tag is what is pulled."""
    found = signed(registry, name, pushed)
    for reply in api.every(f"{name}/referrers/{pushed.manifest.digest}"):
        assert [each["digest"] for each in listed(reply)] == [each.manifest.digest for each in found], reply
    for each in found:
        assert api.ask(f"{name}/manifests/{each.manifest.digest}").body == each.manifest.data


def test_the_tag_itself_is_pulled(api: Api, name: str, pushed: Image, registry: Registry) -> None:
    """Referrers Tag Schema (end-3), SHOULD: the tag is an index with what the API would list."""
    signed(registry, name, pushed)
    for reply in api.every(f"{name}/manifests/{tag_of(pushed.manifest.digest)}"):
        assert (reply.status, reply.type) == (200, INDEX), reply
        assert reply.body == api.ask(f"{name}/referrers/{pushed.manifest.digest}").body, reply


@DIGESTS
def test_the_tag_is_made_of_the_digest(made: Api, name: str, prepared: Prepared, digest: object) -> None:
    """Referrers Tag Schema (end-3), MUST: algorithm, dash and encoded part, which is cut after 64 characters."""
    assert callable(digest)
    subject = digest(name.encode())
    index = Blob(INDEX, json.dumps({**EMPTY, "manifests": [descriptor(name)]}).encode())
    prepared.manifest(name, tag_of(subject), index)
    for reply in made.every(f"{name}/referrers/{subject}"):
        assert (listed(reply), reply.body) == ([descriptor(name)], index.data), reply


def test_without_a_tag_nothing_refers(api: Api, name: str, pushed: Image) -> None:
    """Listing Referrers (end-12a), SHOULD: a 404 of both, and nothing refers to the manifest."""
    for _ in range(2):
        assert api.ask(f"{name}/referrers/{pushed.manifest.digest}").json == EMPTY
        assert listed(api.ask(f"{name}/referrers/{pushed.manifest.digest}")) == []


@pytest.mark.parametrize("body", [b"{}", b"no JSON", b"[]", b'{"schemaVersion": 2, "config": {}, "layers": []}'])
def test_a_tag_that_is_no_index_lists_nothing(made: Api, name: str, prepared: Prepared, body: bytes) -> None:
    """Listing Referrers (end-12a), SHOULD: what stands under the tag and is no valid index is no referrers."""
    subject = sha256(name.encode())
    prepared.manifest(name, tag_of(subject), Blob("application/vnd.oci.image.manifest.v1+json", body))
    for _ in range(2):
        assert listed(made.ask(f"{name}/referrers/{subject}")) == []


def test_a_list_by_tag_is_told_to_be_filtered_only_if_it_is(
    api: Api, name: str, pushed: Image, registry: Registry
) -> None:
    """Listing Referrers (end-12b), MUST: OCI-Filters-Applied and a filtered list, or neither."""
    found = signed(registry, name, pushed)
    for reply in api.every(f"{name}/referrers/{pushed.manifest.digest}?artifactType=application/vnd.example.other"):
        filtered = reply.headers["OCI-Filters-Applied"] == "artifactType"
        assert len(listed(reply)) == (0 if filtered else len(found)), reply
