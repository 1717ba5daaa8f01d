"""What the tables of the docker format ask for, and in which repositories."""

from __future__ import annotations

import re

import pytest

from app.errors import ArtifactError
from app.formats.docker import DOCKER
from app.formats.oci_manifests import DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST
from app.resource import Ask, Kind, Repository, Resource

HEX, HEX512 = "a1" * 32, "b2" * 64
D256, D512 = f"sha256:{HEX}", f"sha512:{HEX512}"
TAG, BY_DIGEST = "v2/team/app/manifests/1.0", f"v2/team/app/manifests/{D256}"
BLOB, TAGS, REFERRERS = f"v2/team/app/blobs/{D256}", "v2/team/app/tags/list", f"v2/team/app/referrers/{D256}"
ALL_FOUR = f"{INDEX}, {MANIFEST}, {DOCKER_LIST}, {DOCKER_MANIFEST}"


def remote(*patterns: str, **facts: object) -> Repository:
    """A remote of the test's own with these immutable patterns."""
    compiled = tuple(re.compile(each) for each in patterns)
    given = {"base_urls": ("http://127.0.0.1:5000",), "mutable_ttl": 60.0, "immutable_patterns": compiled, **facts}
    return Repository("r", Kind.REMOTE, "docker", **given)  # type: ignore[arg-type]


HUB = remote(base_urls=("https://registry-1.docker.io",))


def ask(path: str, query: str = "", accept: str | None = None, url_path: str = "") -> Ask:
    headers = {} if accept is None else {"accept": accept}
    return Ask("GET", "r", path, query, headers, url_path=url_path or f"/repository/r/{path}", route="v2")


def resolve(path: str, query: str = "", accept: str | None = None, source: Repository | None = None) -> Resource:
    return DOCKER.resolve(source or remote(), ask(path, query, accept))


def refusal(path: str, query: str = "", source: Repository | None = None) -> tuple[int, str]:
    with pytest.raises(ArtifactError) as caught:
        resolve(path, query, source=source)
    return caught.value.status, caught.value.code
