"""Manifests as tables: what is read in them, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json

import pytest

from app.formats.docker import DOCKER, NO_REFERRERS
from app.formats.oci_manifests import DOCKER_LIST, DOCKER_MANIFEST, INDEX, LARGEST, MANIFEST
from app.resource import Digest, Link, Reading, Role
from tests.formats.images import (
    BY_DIGEST,
    D256,
    D512,
    HEX,
    HEX512,
    REFERRERS,
    TAG,
    resolve,
)

# -- manifests ------------------------------------------------------------------------------------------------


def body(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def read(document: object, path: str = TAG) -> tuple[list[Link], str | None]:
    reading: Reading = DOCKER.read(resolve(path), io.BytesIO(body(document)))
    return list(reading.links), reading.content_type


def same(document: object, algorithm: str = "sha256") -> Link:
    value = hashlib.new(algorithm, body(document)).hexdigest()
    return Link(f"v2/team/app/manifests/{algorithm}:{value}", Digest(algorithm, value), Role.SAME)


def listed(kind: str, value: str, algorithm: str = "sha256") -> Link:
    return Link(f"v2/team/app/{kind}/{algorithm}:{value}", Digest(algorithm, value), Role.LISTED)


def descriptor(value: str, media_type: str = "application/octet-stream", **facts: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{value}", "size": 7, **facts}


C, L1, L2 = "c0" * 32, "1a" * 32, "2b" * 32
IMAGE = {
    "schemaVersion": 2,
    "mediaType": MANIFEST,
    "config": descriptor(C, "application/vnd.oci.image.config.v1+json"),
    "layers": [descriptor(L1), descriptor(L2, urls=[]), descriptor(L1)],
    "subject": descriptor("5b" * 32, MANIFEST),
}
LIST = {
    "schemaVersion": 2,
    "mediaType": INDEX,
    "manifests": [
        descriptor(L1, MANIFEST, platform={"architecture": "amd64", "os": "linux"}),
        descriptor(L2, INDEX),
        descriptor(L1, MANIFEST, platform={"architecture": "arm64", "os": "linux"}),
    ],
}


def without(document: dict[str, object], *names: str, **others: object) -> dict[str, object]:
    return {name: value for name, value in document.items() if name not in names} | others


def test_an_image_names_its_config_and_layers() -> None:
    links, kind = read(IMAGE)
    assert links == [same(IMAGE), listed("blobs", C), listed("blobs", L1), listed("blobs", L2)]
    assert kind == MANIFEST


@pytest.mark.parametrize(
    "layer",
    [
        descriptor(L2, urls=["https://example.org/foreign"]),
        descriptor(L2, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        descriptor(L2, "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"),
        descriptor(L2, "application/vnd.OCI.image.layer.NonDistributable.v1.tar"),
    ],
    ids=lambda layer: str(layer["mediaType"]),
)
def test_a_layer_that_may_be_elsewhere_is_not_vouched_for(layer: dict[str, object]) -> None:
    """Anybody can name it: the registry need not have it."""
    document = without(IMAGE, layers=[descriptor(L1), layer])
    assert read(document)[0] == [same(document), listed("blobs", C), listed("blobs", L1)]
    with pytest.raises(ValueError, match="digest"):
        read(without(IMAGE, layers=[layer | {"digest": "sha256:../x"}]))


def test_an_index_names_its_manifests() -> None:
    links, kind = read(LIST)
    assert links == [same(LIST), listed("manifests", L1), listed("manifests", L2)]
    assert kind == INDEX


def test_an_index_of_a_build_cache_names_what_may_be_blobs() -> None:
    document = without(LIST, manifests=[descriptor(L1, "application/vnd.oci.image.layer.v1.tar+gzip")])
    assert read(document)[0][1:] == [listed("manifests", L1), listed("blobs", L1)]


def test_digests_of_sha512_and_of_algorithms_to_come() -> None:
    blake = {"digest": "blake3:" + "e5" * 32}
    document = without(IMAGE, "subject", layers=[{"digest": D512}, blake, {"digest": "multihash+base58:QmRZ"}])
    assert read(document)[0] == [same(document), listed("blobs", C), listed("blobs", HEX512, "sha512")]


def test_a_manifest_asked_by_sha512_is_the_same_under_both() -> None:
    own = f"v2/team/app/manifests/sha512:{hashlib.sha512(body(LIST)).hexdigest()}"
    assert read(LIST, own)[0][:2] == [same(LIST), same(LIST, "sha512")]


@pytest.mark.parametrize("path", [f"v2/team/app/blobs/{D256}", f"v2/team/app/blobs/{D512}", BY_DIGEST])
def test_an_index_never_vouches_for_what_it_does_not_name(path: str) -> None:
    expected = resolve(path).expected
    assert expected not in [link.digest for link in read(IMAGE, path)[0]]
    assert expected not in [link.digest for link in read(LIST, path)[0]]


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (IMAGE, MANIFEST),
        (without(IMAGE, mediaType=DOCKER_MANIFEST), DOCKER_MANIFEST),
        (without(LIST, mediaType=DOCKER_LIST), DOCKER_LIST),
        (without(IMAGE, "mediaType"), MANIFEST),
        (without(LIST, "mediaType"), INDEX),
        (without(LIST, mediaType="application/vnd.team.list+json"), "application/vnd.team.list+json"),
        (without(LIST, mediaType="text/html"), INDEX),
        (without(LIST, mediaType=f"{INDEX}; charset=utf-8"), INDEX),
        (without(LIST, mediaType="application/a\r\nX: b+json"), INDEX),
        (without(LIST, mediaType=7), INDEX),
        (without(IMAGE, mediaType="application/xhtml+xml"), MANIFEST),
        (without(IMAGE, mediaType=""), MANIFEST),
        (without(LIST, manifests=None), INDEX),
        (without(IMAGE, layers=[]), MANIFEST),
        ({"schemaVersion": 2, "mediaType": "application/vnd.to.come+json"}, "application/vnd.to.come+json"),
    ],
)
def test_a_body_s_own_type(document: object, kind: str) -> None:
    assert read(document)[1] == kind


def test_schema_1_has_no_links() -> None:
    document = {"schemaVersion": 1, "name": "a", "fsLayers": [{"blobSum": D256}], "signatures": [{}]}
    assert read(document) == ([], None)


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"null", b"[]", b"7", b'"x"', b"<html>", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"[" * 100_000,
        b'{"a":' * 100_000, b'{"schemaVersion":2,"config":' + b"[" * 5000 + b"]" * 5000 + b',"layers":[]}',
        b'{"schemaVersion":' + b"2" * 5000 + b"}",
        {}, {"errors": []}, {"name": "a", "tags": []}, {"schemaVersion": 2}, {"schemaVersion": "2"},
        without(IMAGE, schemaVersion=3), without(IMAGE, schemaVersion=True), without(IMAGE, schemaVersion=2.0),
        without(IMAGE, "schemaVersion"), without(IMAGE, "mediaType", "layers"), without(IMAGE, "mediaType", "config"),
        IMAGE | LIST, without(IMAGE, manifests=[]), without(LIST, "mediaType", layers=[]),
        without(IMAGE, layers={}), without(IMAGE, layers="x"), without(IMAGE, layers=[D256]),
        without(IMAGE, layers=[None]), without(IMAGE, layers=[{}]), without(IMAGE, layers=[{"digest": 7}]),
        without(IMAGE, config=[]), without(IMAGE, config={}), without(IMAGE, config=D256),
        without(LIST, manifests={"0": {}}), without(LIST, manifests=[[]]),
        *(without(IMAGE, config={"digest": each}) for each in (
            "", "sha256", "sha256:", "sha256:../../../etc/passwd", f"sha256:{HEX}/../x", f"../{D256}", D256 + "\n",
            f"sha256:{HEX.upper()}", f"sha256:{HEX}00", f"sha512:{HEX}", "sha256:" + "%2e" * 3, f"{D256}?x", "a b:c",
            f"sha256/{HEX}", "blake3:../x",
        )),
    ],
    ids=lambda document: repr(document)[:60],
)  # fmt: skip
def test_what_is_no_manifest(document: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(document)


def test_a_manifest_is_as_large_as_the_specification_says_and_no_larger() -> None:
    document = body(IMAGE)
    assert len(read(document + b" " * (LARGEST - len(document)))[0]) == 4
    with pytest.raises(ValueError, match="larger"):
        read(document + b" " * (LARGEST - len(document) + 1))


def test_sizes_are_nobody_s_business_here() -> None:
    huge = (
        b'{"schemaVersion":2,"config":{"digest":"%s","size":1e999},"layers":[{"digest":"%s","size":-99999999999999}]}'
    )
    assert len(read(huge % (D256.encode(), D256.encode()))[0]) == 2


def test_many_duplicates_are_one_link() -> None:
    assert len(read(without(IMAGE, layers=[descriptor(L1)] * 20_000))[0]) == 3


def test_a_key_said_twice_counts_as_its_last() -> None:
    """As clients in Go read it."""
    twice = b'{"schemaVersion":2,"manifests":[{"digest":"x"}],"manifests":[]}'
    assert read(twice) == ([same(twice)], INDEX)


def test_only_an_index_is_a_list_of_referrers() -> None:
    tag = resolve(REFERRERS).otherwise
    assert tag is not None
    assert DOCKER.read(tag, io.BytesIO(body(LIST))).content_type == INDEX
    assert DOCKER.read(tag, io.BytesIO(NO_REFERRERS.body)).content_type == INDEX
    for document in (IMAGE, {"schemaVersion": 1}, without(LIST, mediaType=DOCKER_LIST)):
        with pytest.raises(ValueError, match="referrers"):
            DOCKER.read(tag, io.BytesIO(body(document)))
