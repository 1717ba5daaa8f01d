"""Accept and queries of the docker format as tables: what they are taken for."""

from __future__ import annotations

import pytest

from app.formats.oci_accept import LONGEST, negotiated
from app.formats.oci_manifests import DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST, SCHEMA1
from tests.formats.images import (
    ALL_FOUR,
    BLOB,
    BY_DIGEST,
    REFERRERS,
    TAG,
    TAGS,
    refusal,
    resolve,
)

# -- Accept ---------------------------------------------------------------------------------------------------

JWS = SCHEMA1[0]


@pytest.mark.parametrize(
    ("accept", "variant", "upstream"),
    [
        (ALL_FOUR, "all", ALL_FOUR),
        (f"{DOCKER_MANIFEST},{DOCKER_LIST},{MANIFEST},{INDEX}", "all", ALL_FOUR),
        (f"{ALL_FOUR}, {JWS}", "all", f"{ALL_FOUR}, {JWS}"),
        (f"{ALL_FOUR}, */*", "all", f"{ALL_FOUR}, */*"),
        (f"application/json, {ALL_FOUR}, {JWS}", "all", f"{ALL_FOUR}, {JWS}, */*"),
        (ALL_FOUR.upper(), "all", ALL_FOUR),
        (f"{MANIFEST};q=0.5, {INDEX} ; q=1", "index+manifest", f"{INDEX}, {MANIFEST}"),
        (f"{MANIFEST};charset=utf-8", "manifest", MANIFEST),
        (f"{MANIFEST}, {INDEX};q=0", "manifest", MANIFEST),
        (f"{MANIFEST}, {INDEX}; Q = 0.000", "manifest", MANIFEST),
        (f"{MANIFEST}, {INDEX};q=0.001", "index+manifest", f"{INDEX}, {MANIFEST}"),
        (f"{MANIFEST}, */*;q=0.1", "manifest+any", f"{MANIFEST}, */*"),
        (f"{MANIFEST}, */*;q=0", "manifest", MANIFEST),
        (DOCKER_MANIFEST, "v2", DOCKER_MANIFEST),
        (f"{DOCKER_MANIFEST}, {JWS}", "v2+old", f"{DOCKER_MANIFEST}, {JWS}"),
        (f"{DOCKER_MANIFEST}, {SCHEMA1[1]}", "v2+old", f"{DOCKER_MANIFEST}, {SCHEMA1[1]}"),
        (f"*/*, {JWS}", "any+old", f"{JWS}, */*"),
        (f"{DOCKER_MANIFEST}, {JWS}, */*", "v2+any+old", f"{DOCKER_MANIFEST}, {JWS}, */*"),
        (f"{JWS}, {SCHEMA1[1]}", "schema1", f"{JWS}, {SCHEMA1[1]}"),
        (f"{' ' * LONGEST}{MANIFEST}", "any", "*/*"),
        (f"{MANIFEST},{' ' * LONGEST}{INDEX}", "manifest", MANIFEST),
        (DOCKER_LIST, "list", DOCKER_LIST),
        (JWS, "schema1", JWS),
        ("*/*", "any", "*/*"),
        ("application/*", "any", "*/*"),
        ("application/json", "any", "*/*"),
        ("", "any", "*/*"),
        ("text/html, application/vnd.unheard.of", "any", "*/*"),
        (f"{MANIFEST}, application/vnd.unheard.of", "manifest", MANIFEST),
        (", ,;;q=0,", "any", "*/*"),
    ],
)
def test_classes_of_accept(accept: str, variant: str, upstream: str) -> None:
    assert negotiated(accept) == (variant, upstream)
    found = resolve(TAG, accept=accept)
    assert (found.key, found.headers) == (f"{TAG}#{variant}", {"Accept": upstream})


def test_no_accept_is_any() -> None:
    assert resolve(TAG).key == resolve(TAG, accept="*/*").key


@pytest.mark.parametrize("path", [BY_DIGEST, BLOB, TAGS, REFERRERS])
def test_nothing_but_a_tag_has_variants(path: str) -> None:
    assert resolve(path, accept=MANIFEST) == resolve(path, accept="text/html")


# -- queries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "query", "canonical"),
    [
        (TAGS, "n=2&last=b", "last=b&n=2"),
        (TAGS, "last=b&n=2", "last=b&n=2"),
        (TAGS, "n=0", ""),
        (TAGS, "n=00&last=b", ""),
        (TAGS, "n=007", "n=7"),
        (TAGS, "n=", ""),
        (TAGS, "last=", ""),
        (TAGS, "n=2&n=x", "n=2"),
        (TAGS, "ns=docker.io&n=2", "n=2"),
        (TAGS, "cursor=a&foo=b&artifactType=c", "cursor=a"),
        (TAGS, "token=secret&n=2", "n=2"),
        (TAGS, "next_page=gAAA%3D&n=50", "n=50&next_page=gAAA%3D"),
        (TAGS, "last=%62%2f%26", "last=b%2F%26"),
        (TAGS, "last=%ff%C3%A9", "last=%FF%C3%A9"),
        (TAGS, "last=a+b%2Bc", "last=a+b%2Bc"),
        (TAGS, "last=%0d%0aX:1", "last=%0D%0AX%3A1"),
        (REFERRERS, "artifactType=application/vnd.x%2Bjson", "artifactType=application%2Fvnd.x%2Bjson"),
        (REFERRERS, "artifactType=a&artifactType=b", "artifactType=a"),
        (REFERRERS, "nextToken=t&ns=x&artifactType=a&n=5", "artifactType=a&n=5&nextToken=t"),
        (TAG, "n=2&tag=x", ""),
        (BLOB, "ns=docker.io&n=x", ""),
    ],
)
def test_a_query_is_made_canonical(path: str, query: str, canonical: str) -> None:
    found = resolve(path, query, accept=ALL_FOUR)
    plain = resolve(path, accept=ALL_FOUR)
    assert found.query == canonical
    assert found.key == (f"{plain.key}?{canonical}" if canonical else plain.key)


@pytest.mark.parametrize("number", ["-1", "x", "1.0", "1e3", "+1", "%20", "٣", "9" * 19, "1%0a"])
@pytest.mark.parametrize("path", [TAGS, REFERRERS])
def test_a_number_of_entries_is_a_number(path: str, number: str) -> None:
    number = number.encode().decode("latin-1")
    assert refusal(path, f"n={number}") == (400, "pagination_number_invalid")
