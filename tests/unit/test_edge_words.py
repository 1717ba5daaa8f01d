"""What a cache in front may keep, and how long: the table in app/web/edge.py, row by row."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from app.formats import FORMATS
from app.resource import Ask, Entry, Kind, Repository, Resource
from app.shelf import Served
from app.web import edge

NOW = 1_900_000_000.0
LEASED = {"x-edge": "1800000000.250"}
DIGEST = "ab" * 32
LATEST = re.compile("latest")

FILES = Repository(
    "files", Kind.REMOTE, immutable_patterns=(re.compile(r".*\.bin"),), mutable_patterns=(re.compile("l"),)
)
IMAGES = Repository("hub", Kind.REMOTE, "docker")
PACKAGES = Repository("alma", Kind.REMOTE, "rpm")
ARCHIVE = Repository("ubuntu", Kind.REMOTE, "deb")


def resolved(repository: Repository, path: str) -> Resource:
    return FORMATS[repository.package].resolve(repository, Ask("GET", repository.name, path))


def kept(resource: Resource, headers: dict[str, str], state: str = "HIT", stamp: int = 7) -> dict[str, str]:
    served = Served(Entry(DIGEST, 10, checked=NOW - 40), state, io.BytesIO())
    return dict(edge.kept(Ask("GET", "x", "y", headers=headers), resource, served, stamp, NOW))


@pytest.mark.parametrize(
    ("repository", "path"),
    [
        (FILES, "a.bin"),
        (IMAGES, f"v2/library/alpine/manifests/sha256:{DIGEST}"),
        (IMAGES, f"v2/library/alpine/blobs/sha256:{DIGEST}"),
        (PACKAGES, f"9/repodata/{DIGEST}-primary.xml.gz"),
        (PACKAGES, "9/Packages/x-1.rpm"),
        (ARCHIVE, f"dists/noble/main/binary-amd64/by-hash/SHA256/{DIGEST}"),
    ],
)
def test_what_never_changes_is_kept_for_a_day_and_without_news_for_a_second(
    repository: Repository, path: str
) -> None:
    resource = resolved(repository, path)
    assert kept(resource, LEASED)["X-Accel-Expires"] == f"@{1_800_000_000 + 86400}"
    assert kept(resource, LEASED, stamp=0)["X-Accel-Expires"] == "@1800000000"  # nobody could tell it of changes


@pytest.mark.parametrize(
    ("repository", "path"),
    [(FILES, "latest"), (IMAGES, "v2/library/alpine/manifests/3"), (IMAGES, "v2/library/alpine/tags/list")],
)
def test_what_may_change_is_kept_to_the_end_of_the_edges_second(repository: Repository, path: str) -> None:
    assert kept(resolved(repository, path), LEASED)["X-Accel-Expires"] == "@1800000000"


@pytest.mark.parametrize(
    ("repository", "path"),
    [
        (PACKAGES, "9/repodata/repomd.xml"),
        (PACKAGES, "9/repodata/repomd.xml.asc"),
        (PACKAGES, "9/repodata/primary.xml.gz"),
        (ARCHIVE, "dists/noble/InRelease"),
        (ARCHIVE, "dists/noble/Release.gpg"),
        (ARCHIVE, "dists/noble/main/binary-amd64/Packages.gz"),
    ],
)
def test_a_set_under_plain_names_is_not_kept_for_its_parts_change_together(repository: Repository, path: str) -> None:
    assert kept(resolved(repository, path), LEASED) == {}


@pytest.mark.parametrize("state", ["STALE", "UPDATING", "REVALIDATED", "MISS", "EXPIRED"])
def test_only_a_fresh_stored_body_is_kept(state: str) -> None:
    assert kept(resolved(FILES, "a.bin"), LEASED, state) == {}


@pytest.mark.parametrize(
    "repository",
    [replace(FILES, kind=Kind.LOCAL), replace(FILES, verify_on_read=True), replace(FILES, access="authenticated")],
    ids=["local", "verified", "private"],
)
def test_what_must_be_asked_for_each_time_is_not_kept(repository: Repository) -> None:
    assert kept(resolved(repository, "a.bin"), LEASED) == {}


@pytest.mark.parametrize("told", ["", "leased", "soon", "-1", "1e9", "1800000000 leased", "9" * 16])
def test_who_does_not_ask_in_these_words_is_told_nothing(told: str) -> None:
    assert kept(resolved(FILES, "a.bin"), {"x-edge": told}) == {}
    assert kept(resolved(FILES, "a.bin"), {}) == {}


@pytest.mark.parametrize(("ttl", "seconds"), [(100.0, 60), (30.0, 0), (1e9, 86400)])
def test_it_is_kept_no_longer_than_it_is_fresh(ttl: float, seconds: int) -> None:
    resource = replace(resolved(FILES, "a.bin"), ttl=ttl)
    assert kept(resource, LEASED)["X-Accel-Expires"] == f"@{1_800_000_000 + seconds}"


def test_the_entry_is_named_in_one_word_whatever_its_key_holds() -> None:
    told = kept(replace(resolved(FILES, "a.bin"), key="a b/ü\t%20\u0000?v=1"), LEASED)["X-Edge-Entry"]
    assert told == f"7 files a%20b/%C3%BC%09%2520%00%3Fv%3D1 {DIGEST}"


def test_an_edge_decides_ranges_and_conditions_itself() -> None:
    asked = {"range": "bytes=0-1", "if-none-match": '"x"', "if-range": '"x"', "accept": "*/*", **LEASED}
    assert edge.whole(Ask("GET", "x", "y", headers=asked)).headers == {"accept": "*/*", **LEASED}
