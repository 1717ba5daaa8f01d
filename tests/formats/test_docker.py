"""The docker format as tables: what each path is, and whether an image may be had."""

from __future__ import annotations

import json
import re

import pytest

from app.formats.docker import DOCKER, NO_REFERRERS, parse
from app.formats.oci_manifests import INDEX, MANIFEST
from app.resource import Digest, Repository
from tests.formats.images import (
    ALL_FOUR,
    BLOB,
    BY_DIGEST,
    D256,
    D512,
    HEX,
    HEX512,
    HUB,
    REFERRERS,
    TAG,
    TAGS,
    refusal,
    remote,
    resolve,
)

# -- what a resource is ---------------------------------------------------------------------------------------


def test_a_tag() -> None:
    found = resolve(TAG, accept=ALL_FOUR)
    assert (found.key, found.path, found.query) == (f"{TAG}#all", TAG, "")
    assert (found.immutable, found.ttl, found.expected) == (False, 60.0, None)
    assert found.index and found.whole and found.head_first and found.follow_gone and found.remember_missing
    assert (found.vouchers, found.otherwise, found.blank) == ("", None, None)
    assert found.headers == {"Accept": ALL_FOUR}


def test_a_manifest_by_digest() -> None:
    found = resolve(BY_DIGEST, accept=MANIFEST)
    assert (found.key, found.path) == (BY_DIGEST, BY_DIGEST)
    assert (found.immutable, found.ttl, found.expected) == (True, None, Digest("sha256", HEX))
    assert found.index and found.whole and found.head_first and not found.follow_gone
    assert found.vouchers == "v2/team/app/manifests/"
    assert found.headers == {"Accept": f"{ALL_FOUR}, */*"}


@pytest.mark.parametrize(("reference", "expected"), [(D256, ("sha256", HEX)), (D512, ("sha512", HEX512))])
def test_a_blob(reference: str, expected: tuple[str, str]) -> None:
    path = f"v2/team/app/blobs/{reference}"
    found = resolve(path)
    assert (found.key, found.path, found.immutable, found.ttl) == (path, path, True, None)
    assert found.expected == Digest(*expected)
    assert found.vouchers == "v2/team/app/manifests/"
    assert not found.index and not found.whole


def test_what_never_changes_keeps_for_its_own_ttl() -> None:
    source = remote(immutable_ttl=7.0)
    assert {resolve(path, source=source).ttl for path in (BLOB, BY_DIGEST)} == {7.0}


def test_a_list_of_tags() -> None:
    found = resolve(TAGS)
    assert (found.key, found.query, found.immutable, found.ttl) == (TAGS, "", False, 60.0)
    assert (found.keep, found.index, found.headers) == (("Link",), False, {"Accept": "application/json"})


@pytest.mark.parametrize("query", ["", "n=2", "last=b", "ns=x", "next_page=n"])
def test_only_a_list_of_tags_is_written_here(query: str) -> None:
    assert resolve(TAGS, query).rendered and resolve(TAGS, query).whole
    assert not resolve(REFERRERS, query).rendered


def test_a_list_of_referrers_and_its_tag() -> None:
    found = resolve(REFERRERS)
    assert (found.key, found.immutable, found.ttl, found.index) == (REFERRERS, False, 60.0, True)
    assert found.keep == ("Link", "OCI-Filters-Applied")
    assert found.headers == {"Accept": INDEX}
    tag = found.otherwise
    assert tag is not None
    assert (tag.path, tag.key) == (
        f"v2/team/app/manifests/sha256-{HEX}",
        f"v2/team/app/manifests/sha256-{HEX}#referrers",
    )
    assert tag.index and tag.whole and tag.follow_gone and not tag.immutable
    assert (tag.blank, tag.otherwise, tag.keep, tag.area) == (NO_REFERRERS, None, (), "team/app")
    assert found.blank is None


def test_the_tag_of_a_sha512_digest_is_cut() -> None:
    tag = resolve(f"v2/a/referrers/{D512}").otherwise
    assert tag is not None
    assert tag.path == f"v2/a/manifests/sha512-{HEX512[:64]}"
    assert parse(tag.path).tag


def test_no_referrers_is_an_empty_index() -> None:
    assert json.loads(NO_REFERRERS.body) == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    assert NO_REFERRERS.content_type == INDEX


@pytest.mark.parametrize("path", [TAG, BY_DIGEST, BLOB, TAGS, REFERRERS])
def test_what_all_have_in_common(path: str) -> None:
    found = resolve(path)
    assert (found.area, found.html, found.listed, found.listing, found.root) == ("team/app", False, False, "", "")
    assert found.format is DOCKER


# -- Docker Hub -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (HUB, "alpine", "library/alpine"),
        (HUB, "library/alpine", "library/alpine"),
        (HUB, "team/app", "team/app"),
        (remote(serves=("docker.io",)), "alpine", "library/alpine"),
        (remote(serves=("quay.example.org",)), "alpine", "alpine"),
        (remote(base_urls=("https://docker.io/",)), "alpine", "library/alpine"),
        (remote(base_urls=("https://INDEX.docker.io:443",)), "alpine", "library/alpine"),
        (remote(base_urls=("https://registry.hub.docker.com",)), "alpine", "library/alpine"),
        (remote(base_urls=("http://127.0.0.1:1", "https://registry-1.docker.io")), "alpine", "library/alpine"),
        (remote(base_urls=("https://registry-1.docker.io.example.org",)), "alpine", "alpine"),
        (remote(base_urls=("https://example.org/registry-1.docker.io",)), "alpine", "alpine"),
        (remote(), "alpine", "alpine"),
    ],
)
def test_one_word_names_of_docker_hub(source: Repository, name: str, expected: str) -> None:
    for rest in ("manifests/latest", f"manifests/{D256}", f"blobs/{D256}", "tags/list", f"referrers/{D256}"):
        found = resolve(f"v2/{name}/{rest}", source=source)
        assert found.path == f"v2/{expected}/{rest}"
        assert found.key.startswith(found.path)
        assert found.area == expected


# -- patterns and banned tags ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "source", "name", "allowed"),
    [
        ((), {}, "team/app", True),
        (("^team/",), {}, "team/app", True),
        (("^team/app$",), {}, "team/app", True),
        (("^team/ap$",), {}, "team/app", False),
        (("^other$", "^team/app$"), {}, "team/app", True),
        (("^team/app/",), {}, "team/app", True),
        (("^v2/",), {}, "team/app", True),
        (("^v2/team/app/",), {}, "team/app", True),
        (("^v2/other/",), {}, "team/app", False),
        (("^v2/alpine/",), {"serves": ("docker.io",)}, "library/alpine", True),
        (("^library/alpine$",), {}, "alpine", False),
        (("^library/alpine$",), {"serves": ("docker.io",)}, "alpine", True),
        (("^alpine$",), {"serves": ("docker.io",)}, "alpine", True),
        (("^alpine$",), {"serves": ("docker.io",)}, "library/alpine", True),
        (("^alpine/",), {"serves": ("docker.io",)}, "library/alpine", True),
        (("^alpine$",), {}, "library/alpine", False),
        (("^alpine$",), {"serves": ("docker.io",)}, "evil/alpine", False),
    ],
)
@pytest.mark.parametrize("kind", ["immutable_patterns", "mutable_patterns"])
def test_patterns_are_of_images(
    patterns: tuple[str, ...], source: dict[str, object], name: str, allowed: bool, kind: str
) -> None:
    facts = {"immutable_patterns": (), kind: tuple(re.compile(each) for each in patterns)}
    where = remote(**{**facts, **source})
    for rest in ("manifests/latest", f"manifests/{D256}", f"blobs/{D256}", "tags/list", f"referrers/{D256}"):
        path = f"v2/{name}/{rest}"
        if allowed:
            resolve(path, source=where)
        else:
            assert refusal(path, source=where) == (403, "blocked_by_pattern")


def test_a_pattern_may_mean_a_whole_path() -> None:
    source = remote(r"^team/app/(manifests/1\.|blobs/)")
    assert resolve(TAG, source=source) and resolve(BLOB, source=source)
    assert refusal("v2/team/app/manifests/2.0", source=source) == (403, "blocked_by_pattern")


@pytest.mark.parametrize("prefix", ["", "v2/"])
def test_the_whole_path_is_with_v2_or_without(prefix: str) -> None:
    source = remote(rf"^{prefix}team/app/manifests/1\.0$")
    assert resolve(TAG, source=source)
    assert refusal("v2/team/app/manifests/1.0.1", source=source) == (403, "blocked_by_pattern")


def test_a_banned_tag_is_only_a_tag() -> None:
    source = remote(ban_tags=frozenset({"1.0", D256, "list", f"sha256-{HEX}"}))
    assert refusal(TAG, source=source) == (403, "banned_tag")
    for path in (BY_DIGEST, BLOB, TAGS, REFERRERS, "v2/team/app/manifests/1.0.1"):
        assert resolve(path, source=source).path == path
    tag = resolve(REFERRERS, source=source).otherwise
    assert tag is not None and tag.path.endswith(f"sha256-{HEX}")


def test_a_blocked_image_is_blocked_before_its_tag_is_looked_at() -> None:
    assert refusal(TAG, source=remote("^x$", ban_tags=frozenset({"1.0"}))) == (403, "blocked_by_pattern")
