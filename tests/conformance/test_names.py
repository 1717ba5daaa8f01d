"""The grammar of names, tags and digests, as Pulling Manifests and image-spec's descriptor.md have it."""

from __future__ import annotations

import pytest

from tests.conformance.asking import Api
from tests.conformance.prepared import Prepared, sha256
from tests.conformance.test_manifests import lone

ENDPOINTS = (
    "manifests/v1",
    f"manifests/{sha256(b'')}",
    f"blobs/{sha256(b'')}",
    "tags/list",
    f"referrers/{sha256(b'')}",
)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "0",
        "a/b/c/d/e",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a---b",
        "0.1_2__3--4/5",
        "manifests/blobs",
        "x/tags/list",
        "a" * 200,
    ],
)
def test_every_name_of_the_grammar_is_pulled(made: Api, prepared: Prepared, name: str) -> None:
    """Pulling Manifests (end-3), MUST: <name> is what its expression matches, here all that does."""
    blob = lone(name)
    prepared.manifest(name, "v1", blob)
    for reply in (made.ask(f"{name}/manifests/v1"), made.ask(f"{name}/manifests/v1", state="warm")):
        assert (reply.status, reply.body) == (200, blob.data), reply


@pytest.mark.parametrize(
    "name",
    ["team/A", "Team/a", "team/a_", "team/_a", "team/-a", "team/a-", "team/a..b", "team/a___b", "team/.a",
     "team/a._b", "team/a%20b", "team//a", "team/a+b", "team/%C3%A4", "team/a,b", "team/a:1", "team/a@b", "team/a~b"],
)  # fmt: skip
def test_no_other_name_is_pulled(made: Api, prepared: Prepared, name: str) -> None:
    """Pulling Manifests (end-3, code-8), MUST: <name> is nothing else than its expression matches."""
    before = prepared.count()
    for endpoint in ENDPOINTS:
        assert made.ask(f"{name}/{endpoint}").told == (400, "NAME_INVALID")
    assert prepared.count() == before


@pytest.mark.parametrize("tag", ["a", "_", "0", "A.b-C_d", "v1..2--3__4", "x" * 128, "latest.", "sha256-abc.sig"])
def test_every_tag_of_the_grammar_is_pulled(made: Api, prepared: Prepared, name: str, tag: str) -> None:
    """Pulling Manifests (end-3), MUST: a tag is what its expression matches, up to 128 characters."""
    blob = lone(name)
    prepared.manifest(name, tag, blob)
    for reply in made.every(f"{name}/manifests/{tag}"):
        assert (reply.status, reply.body) == (200, blob.data), reply


@pytest.mark.parametrize("tag", ["x" * 129, ".a", "-a", "a+b", "a%20b", "a,b", "a@b", "a~b", "%C3%A4"])
def test_no_other_tag_is_pulled(made: Api, prepared: Prepared, name: str, tag: str) -> None:
    """Pulling Manifests (end-3), MUST NOT: a reference is a tag or a digest and nothing else."""
    before = prepared.count()
    for method in ("GET", "HEAD"):
        reply = made.ask(f"{name}/manifests/{tag}", method)
        assert reply.status in (400, 404), reply
    assert made.ask(f"{name}/manifests/{tag}").told[1] in ("MANIFEST_INVALID", "MANIFEST_UNKNOWN")
    assert prepared.count() == before


@pytest.mark.parametrize(
    "digest",
    [f"sha256:{'a' * 63}", f"sha256:{'a' * 65}", f"sha256:{'A' * 64}", f"sha256:{'g' * 64}", f"sha512:{'a' * 64}",
     "sha256:", f":{'a' * 64}", f"SHA256:{'a' * 64}", f"sha256+:{'a' * 64}", f"sha256:{'a' * 63}%2B",
     f"sha256::{'a' * 64}"],
)  # fmt: skip
def test_no_other_digest_is_pulled(made: Api, prepared: Prepared, name: str, digest: str) -> None:
    """Pulling Blobs (end-2, end-3, code-4), MUST: a digest is what image-spec's descriptor.md says."""
    before = prepared.count()
    for kind in ("blobs", "manifests"):
        for method in ("GET", "HEAD"):
            assert made.ask(f"{name}/{kind}/{digest}", method).status in (400, 404)
        assert made.ask(f"{name}/{kind}/{digest}").told[1] in ("DIGEST_INVALID", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN")
    assert prepared.count() == before


@pytest.mark.parametrize(
    "digest", [f"blake3:{'a' * 64}", "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8"]
)
def test_a_digest_of_an_algorithm_to_come_finds_nothing(
    made: Api, prepared: Prepared, name: str, digest: str
) -> None:
    """Pulling Blobs (end-2, end-3), MUST: what cannot be verified is not there (404) or not asked for (400)."""
    prepared.blob(name, b"unverified", digest)
    for kind in ("blobs", "manifests"):
        reply = made.ask(f"{name}/{kind}/{digest}")
        assert reply.told[0] in (400, 404), reply
