"""The names of an OCI registry as tables: images, tags, digests and paths."""

from __future__ import annotations

import re

import pytest

from app.formats.docker import CATALOG, Endpoint, Target, parse, valid_name
from tests.formats.images import (
    BLOB,
    BY_DIGEST,
    D256,
    D512,
    HEX,
    HEX512,
    REFERRERS,
    TAG,
    TAGS,
    refusal,
    resolve,
)

# -- names and paths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (TAG, Target(Endpoint.MANIFESTS, "team/app", "1.0")),
        ("v2/a/manifests/list", Target(Endpoint.MANIFESTS, "a", "list")),
        ("v2/a/manifests/_under.Score-", Target(Endpoint.MANIFESTS, "a", "_under.Score-")),
        (f"v2/a/manifests/{'t' * 128}", Target(Endpoint.MANIFESTS, "a", "t" * 128)),
        (f"v2/a/manifests/{D512}", Target(Endpoint.MANIFESTS, "a", D512)),
        (BLOB, Target(Endpoint.BLOBS, "team/app", D256)),
        (TAGS, Target(Endpoint.TAGS, "team/app", "list")),
        (REFERRERS, Target(Endpoint.REFERRERS, "team/app", D256)),
        ("v2/a/manifests/b/manifests/c", Target(Endpoint.MANIFESTS, "a/manifests/b", "c")),
        ("v2/manifests/manifests/manifests", Target(Endpoint.MANIFESTS, "manifests", "manifests")),
        ("v2/a/tags/tags/list", Target(Endpoint.TAGS, "a/tags", "list")),
        ("v2/a/manifests/tags/list", Target(Endpoint.TAGS, "a/manifests", "list")),
    ],
)
def test_a_path_and_its_target(path: str, target: Target) -> None:
    assert parse(path) == target
    assert target.path == path
    assert resolve(path).path == path


@pytest.mark.parametrize(
    "path",
    [
        "", "v2", "v2/", "v2/_catalog", "v2/a", "v2/manifests/latest", "v2/a/manifests", "v2/a/manifests/",
        "v2/a/tags", "v2/a/tags/", "v2/a/tags/list/", "v2/a/tags/1.0", "v2/a/blobs/uploads/", "v1/a/manifests/latest",
        "v2/a/blobs/uploads/5f3c", "a/manifests/latest", "repodata/repomd.xml", f"v2/a/blobs/{D256}/",
        "v3/a/tags/list", "v2/a/Manifests/latest", "x/v2/a/manifests/latest",
    ],
)  # fmt: skip
def test_any_other_path_is_not_found(path: str) -> None:
    assert refusal(path) == (404, "unsupported")


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("a", True),
        ("library/alpine", True),
        ("a.b/c_d/e__f/g-h/i---j", True),
        ("0/1/2", True),
        ("a" * 255, True),
        ("a" * 256, False),
        ("", False),
        ("A", False),
        ("a/B", False),
        ("a..b", False),
        ("a___b", False),
        ("a._b", False),
        ("-a", False),
        ("a-", False),
        ("a//b", False),
        ("/a", False),
        ("a/", False),
        ("a/../b", False),
        ("_catalog", False),
        ("a b", False),
        ("a\n", False),
        ("é", False),
        ("a:5000/b", False),
    ],
)
def test_the_grammar_of_names(name: str, valid: bool) -> None:
    assert valid_name(name) is valid
    if not valid and name.strip("/") == name != "":
        assert refusal(f"v2/{name}/tags/list") == (400, "name_invalid")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("v2/a/manifests/.hidden", "tag_invalid"),
        ("v2/a/manifests/-x", "tag_invalid"),
        ("v2/a/manifests/a+b", "tag_invalid"),
        ("v2/a/manifests/a\n", "tag_invalid"),
        ("v2/a/manifests/é", "tag_invalid"),
        (f"v2/a/manifests/{'t' * 129}", "tag_invalid"),
        ("v2/a/manifests/sha256:", "digest_invalid"),
        (f"v2/a/manifests/{D256}0", "digest_invalid"),
        (f"v2/a/manifests/{D256.upper()}", "digest_invalid"),
        (f"v2/a/manifests/sha256:{HEX.upper()}", "digest_invalid"),
        (f"v2/a/manifests/sha256:{HEX512}", "digest_invalid"),
        (f"v2/a/manifests/sha512:{HEX}", "digest_invalid"),
        (f"v2/a/manifests/sha384:{'c3' * 48}", "digest_invalid"),
        (f"v2/a/manifests/latest@{D256}", "digest_invalid"),
        ("v2/a/blobs/latest", "digest_invalid"),
        ("v2/a/blobs/uploads", "digest_invalid"),
        (f"v2/a/blobs/md5:{'d4' * 16}", "digest_invalid"),
        (f"v2/a/blobs/{D256}\n", "digest_invalid"),
        ("v2/a/referrers/latest", "digest_invalid"),
        (f"v2/a/referrers/sha256-{HEX}", "digest_invalid"),
    ],
)
def test_references_that_break_the_grammar(path: str, code: str) -> None:
    assert refusal(path) == (400, code)


def test_a_name_made_to_be_slow_is_not() -> None:
    """The suite's own time limit is the assertion."""
    assert not valid_name("a-" * 127 + "!")
    assert refusal(f"v2/{'a/' * 1500}a/tags/list") == (400, "name_invalid")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (TAG, "team/app"),
        (BY_DIGEST, "team/app"),
        ("v2/a/manifests/b/manifests/c", "a/manifests/b"),
        (BLOB, None),
        (TAGS, None),
        (REFERRERS, None),
    ],
)
def test_the_catalog_is_read_from_the_paths_of_manifests(path: str, name: str | None) -> None:
    found = re.search(CATALOG, path)
    assert (found[1] if found else None) == name
