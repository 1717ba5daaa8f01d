"""Listing referrers: GET /v2/<name>/referrers/<digest> (end-12a, end-12b), of an upstream that knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.asking import Api, Reply
from tests.conformance.prepared import INDEX, Prepared, sha256, sha512

SBOM, SIGNATURE = "application/vnd.example.sbom.v1", "application/vnd.example.signature.v1"
EMPTY = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}


def descriptor(text: str, kind: str = SBOM) -> dict[str, Any]:
    """One referrer, as a list has it."""
    return {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": sha256(text.encode()),
        "size": len(text),
        "artifactType": kind,
        "annotations": {"org.example.text": text},
    }


def listed(reply: Reply) -> list[Mapping[str, Any]]:
    """The descriptors of a list that was answered as it has to be."""
    assert (reply.status, reply.type) == (200, INDEX), reply
    told = reply.json
    assert (told["schemaVersion"], told["mediaType"]) == (2, INDEX), reply
    return list(told["manifests"])


@pytest.fixture(params=[sha256, sha512], ids=["sha256", "sha512"])
def subject(request: pytest.FixtureRequest, name: str) -> str:
    """The digest of a manifest; nobody asks for the manifest itself."""
    return str(request.param(name.encode()))


def test_what_refers_to_a_manifest_is_listed(made: Api, name: str, prepared: Prepared, subject: str) -> None:
    """Listing Referrers (end-12a), MUST: 200, an image index of descriptors, byte for byte upstream's."""
    path = f"/v2/{name}/referrers/{subject}"
    page = prepared.referrers(path, "", descriptor("one"), descriptor("two", SIGNATURE))
    for reply in made.every(f"{name}/referrers/{subject}"):
        assert listed(reply) == page.document["manifests"], reply
        assert reply.body == page.body, reply


@pytest.mark.parametrize("said", [INDEX, f"{INDEX}; charset=utf-8", "application/json"])
def test_a_list_of_referrers_is_an_index_by_its_type(
    made: Api, name: str, prepared: Prepared, subject: str, said: str
) -> None:
    """Listing Referrers (end-12a), MUST: Content-Type is that of an image index, and nothing else."""
    prepared.referrers(f"/v2/{name}/referrers/{subject}", "", descriptor("one"), Content_Type=said)
    for reply in made.every(f"{name}/referrers/{subject}"):
        assert reply.type == INDEX, reply


def test_descriptors_keep_what_they_say_of_an_artifact(
    made: Api, name: str, prepared: Prepared, subject: str
) -> None:
    """Listing Referrers (end-12a), MUST: artifactType and annotations are told as the artifact has them."""
    index = {"mediaType": INDEX, "digest": sha256(b"index"), "size": 5, "annotations": {"a": "b"}}
    prepared.referrers(f"/v2/{name}/referrers/{subject}", "", descriptor("one"), index)
    for reply in made.every(f"{name}/referrers/{subject}"):
        first, second = listed(reply)
        assert (first["artifactType"], first["annotations"]) == (SBOM, {"org.example.text": "one"})
        assert second == index


def test_nothing_refers_to_it(made: Api, name: str, prepared: Prepared, subject: str) -> None:
    """Listing Referrers (end-12a), MUST: an empty list where nothing refers to the manifest."""
    prepared.referrers(f"/v2/{name}/referrers/{subject}", "")
    for reply in made.every(f"{name}/referrers/{subject}"):
        assert listed(reply) == [], reply


@pytest.mark.parametrize("query", ["", "?artifactType=application/vnd.example.sbom.v1"])
def test_referrers_are_never_not_found(made: Api, name: str, subject: str, query: str) -> None:
    """Listing Referrers (end-12a, end-12b), MUST NOT: no 404, whatever upstream says; the list is empty."""
    for _ in range(2):
        assert made.ask(f"{name}/referrers/{subject}{query}").json == EMPTY
        assert listed(made.ask(f"{name}/referrers/{subject}{query}")) == []


@pytest.mark.parametrize(
    "digest", ["sha256:short", f"sha256:{'A' * 64}", "latest", f"sha512:{'a' * 64}", f"sha256-{'a' * 64}"]
)
def test_referrers_of_no_digest_are_a_bad_request(made: Api, name: str, prepared: Prepared, digest: str) -> None:
    """Listing Referrers (end-12a, end-12b, code-4), MUST: 400 for what is no digest."""
    before = prepared.count()
    for query in ("", "?artifactType=a/b"):
        assert made.ask(f"{name}/referrers/{digest}{query}").told == (400, "DIGEST_INVALID")
    assert prepared.count() == before


def test_referrers_are_filtered(made: Api, name: str, prepared: Prepared, subject: str) -> None:
    """Listing Referrers (end-12b), MUST: OCI-Filters-Applied says that the filter that was asked for was applied."""
    path = f"/v2/{name}/referrers/{subject}"
    query = f"artifactType={SBOM.replace('/', '%2F')}"
    prepared.referrers(path, query, descriptor("one"), OCI_Filters_Applied="artifactType")
    prepared.referrers(path, "", descriptor("one"), descriptor("two", SIGNATURE))
    for asked in (query, f"artifactType={SBOM}"):
        for reply in made.every(f"{name}/referrers/{subject}?{asked}"):
            assert listed(reply) == [descriptor("one")], reply
            assert reply.headers["OCI-Filters-Applied"] == "artifactType", reply


def test_no_filter_is_told_of_where_none_was_applied(made: Api, name: str, prepared: Prepared, subject: str) -> None:
    """Listing Referrers (end-12a, end-12b), MUST: a filter is only told of where it was asked for and applied."""
    path = f"/v2/{name}/referrers/{subject}"
    both = [descriptor("one"), descriptor("two", SIGNATURE)]
    for query in ("", f"artifactType={SBOM.replace('/', '%2F')}"):
        prepared.referrers(path, query, *both)
        for reply in made.every(f"{name}/referrers/{subject}?{query}"):
            filtered = reply.headers["OCI-Filters-Applied"] == "artifactType"
            assert listed(reply) == (both[:1] if filtered and query else both), reply
            assert query or not filtered


def test_several_filters_are_told_of(made: Api, name: str, prepared: Prepared, subject: str) -> None:
    """Listing Referrers (end-12b), MUST: several filters are one list with commas."""
    query = f"artifactType={SBOM.replace('/', '%2F')}"
    prepared.referrers(f"/v2/{name}/referrers/{subject}", query, OCI_Filters_Applied="artifactType, annotation")
    for reply in made.every(f"{name}/referrers/{subject}?{query}"):
        applied = [each.strip() for each in reply.headers["OCI-Filters-Applied"].split(",")]
        assert applied == ["artifactType", "annotation"], reply


@pytest.mark.parametrize("absolute", [False, True])
def test_links_lead_through_all_referrers(
    made: Api, name: str, prepared: Prepared, subject: str, absolute: bool
) -> None:
    """Listing Referrers (end-12a), MUST: a Link (RFC 5988, rel="next") where the list does not fit one index."""
    path = f"/v2/{name}/referrers/{subject}"
    base = prepared.url if absolute else ""
    prepared.referrers(
        path, "", descriptor("one"), link=f"{base}{path}?n=1&last={sha256(b'one').replace(':', '%3A')}"
    )
    prepared.referrers(path, f"last={sha256(b'one').replace(':', '%3A')}&n=1", descriptor("two"))
    for first in made.every(f"{name}/referrers/{subject}"):
        assert listed(first) == [descriptor("one")], first
        second = made.go(first.next)
        assert (listed(second), second.next) == ([descriptor("two")], ""), second


def test_links_keep_the_filter(made: Api, name: str, prepared: Prepared, subject: str) -> None:
    """Listing Referrers (end-12b), MUST: the Link of a filtered list leads to more of that list."""
    path, query = f"/v2/{name}/referrers/{subject}", f"artifactType={SBOM.replace('/', '%2F')}"
    applied = {"OCI_Filters_Applied": "artifactType"}
    prepared.referrers(path, query, descriptor("one"), link=f"{path}?{query}&n=1&nextToken=x", **applied)
    prepared.referrers(path, f"{query}&n=1&nextToken=x", descriptor("three"), **applied)
    first = made.ask(f"{name}/referrers/{subject}?{query}")
    second = made.go(first.next)
    assert (listed(second), second.headers["OCI-Filters-Applied"]) == ([descriptor("three")], "artifactType")


def test_referrers_are_listed_while_upstream_is_gone(made_named: Api, name: str, prepared: Prepared) -> None:
    """Listing Referrers (end-12a), MUST: 200 and the list, also when it is due and upstream cannot be asked."""
    subject = sha256(name.encode())
    prepared.referrers(f"/v2/{name}/referrers/{subject}", "", descriptor("one"))
    assert listed(made_named.stale(f"{name}/referrers/{subject}")) == [descriptor("one")]
