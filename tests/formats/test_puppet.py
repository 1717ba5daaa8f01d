"""puppet: what each path is, what pages name, and what a broken upstream does."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest

from app.errors import BadRequest, Forbidden, NotFound
from app.formats.puppet import PUPPET
from app.resource import Digest, Link
from tests.formats.proxied import resolved, serving

SHA = "a1" * 32

# I immutable, M mutable; O the format's own path; L a list; V verified by one
TABLE = {
    "v3/releases": "M O L",
    "v3/releases/team-stone-1.0.0": "M O L",
    "v3/modules/team-stone": "M O L",
    "v3/modules": "M O L",
    "v3/files/team-stone-1.0.0.tar.gz": "I V",
    "v3/users/team": "M",
}


@pytest.mark.parametrize(("path", "facts"), TABLE.items())
def test_a_path(path: str, facts: str) -> None:
    found = resolved("puppet", path)
    assert (found.key, found.immutable) == (path, "I" in facts)
    assert (found.index, found.whole, found.listed) == ("L" in facts, "L" in facts, "V" in facts)
    if "O" in facts:
        assert resolved("puppet", path, allow="^nothing$").path == path
    else:
        with pytest.raises(Forbidden):
            resolved("puppet", path, allow="^nothing$")


def test_a_query_is_known_by_what_it_says() -> None:
    found = resolved("puppet", "v3/releases", "sort_by=version&module=team-stone&x=1&module=y&exclude_fields=a,b")
    assert found.query == "exclude_fields=a%2Cb&module=team-stone&sort_by=version"
    assert (found.key, found.listing) == (f"v3/releases?{found.query}",) * 2
    assert resolved("puppet", "v3/files/team-stone-1.0.0.tar.gz", "limit=x").query == ""
    with pytest.raises(BadRequest):
        resolved("puppet", "v3/releases", "limit=x")
    with pytest.raises(NotFound):
        resolved("puppet", found.key)


def test_a_page_names_files() -> None:
    listed = [
        {"file_uri": "/v3/files/a-1.tar.gz", "file_sha256": SHA},
        {"file_uri": "/v3/files/../b.tar.gz", "file_sha256": SHA},
        {"file_uri": "/v3/files/c-1.tar.gz", "file_md5": "d4" * 16},
        {"file_uri": "/v3/files/d-1.tar.gz", "file_sha256": "no"},
        {"file_uri": None, "file_sha256": SHA},
        {"metadata": {"file_uri": "/v3/files/a-1.tar.gz", "file_sha256": "b2" * 32}},
        {"current_release": {"file_uri": "/v3/files/e-1.tar.gz", "file_sha256": SHA}},
    ]
    pages = resolved("puppet", "v3/releases")
    reading = PUPPET.read(pages, io.BytesIO(json.dumps({"results": listed}).encode()))
    links = [Link("v3/files/a-1.tar.gz", Digest("sha256", SHA)), Link("v3/files/d-1.tar.gz")]
    links.append(Link("v3/files/e-1.tar.gz", Digest("sha256", SHA)))
    assert list(reading.links) == links
    marked = io.BytesIO(b"\xef\xbb\xbf" + json.dumps(listed[0]).encode())
    one = PUPPET.read(resolved("puppet", "v3/releases/a-1"), marked)
    assert list(one.links) == links[:1]
    for body in (b"[]", b'{"results": 1}', b'{"results": [1]}', b"<html>", b"{"):
        with pytest.raises(ValueError):
            PUPPET.read(pages, io.BytesIO(body))


def test_what_a_broken_upstream_sends_is_not_kept(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "puppet") as (node, upstream):
        path, page = "/v3/files/team-stone-1.0.0.tar.gz", "/repository/r/v3/releases?module=team-stone"
        upstream.put("/v3/releases", b"{")
        assert node.get(page).status_code == 502
        told = {"results": [{"file_uri": path, "file_sha256": hashlib.sha256(b"right").hexdigest()}]}
        upstream.put("/v3/releases", json.dumps(told).encode())
        first = node.get(page)
        assert (first.status_code, json.loads(first.data)) == (200, told)
        node.idle()
        upstream.put(path, b"wrong")
        assert node.get(f"/repository/r{path}").status_code == 502
        upstream.put(path, b"right")
        assert node.get(f"/repository/r{path}").data == b"right"
        upstream.html("/v3/releases")
        node.clock.forward(101)
        again = node.get(page)
        assert (again.status_code, again.headers["X-Cache"], again.data) == (200, "STALE", first.data)
