"""rubygems: what each path is, what its lists say, and what a broken upstream does."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from pathlib import Path

import pytest

from app.errors import ArtifactError, NotFound
from app.formats.rubygems import RUBYGEMS
from app.resource import Ask, Digest, Link
from tests.formats.proxied import resolved, serving

SHA = "a1" * 32

# I immutable, M mutable; O the format's own path; H may be HTML; L a list; V verified by one
TABLE = {
    "": "M O H",
    "versions": "M O L",
    "names": "M O L",
    "info/rack": "M O L",
    "specs.4.8.gz": "M O L",
    "latest_specs.4.8.gz": "M O L",
    "prerelease_specs.4.8": "M O L",
    "quick/Marshal.4.8/rack-3.0.0.gemspec.rz": "I",
    "quick/Marshal.4.8/nokogiri-1.15.0-x86_64-darwin-19.gemspec.rz": "I",
    "gems/rack-3.0.0.gem": "I V",
    "gems/net-2048-1.0-java.gem": "I V",
    "api/v1/gems/rack.json": "M H",
    "info/a/b": "M H",
}


@pytest.mark.parametrize(("path", "facts"), TABLE.items())
def test_a_path(path: str, facts: str) -> None:
    found = resolved("rubygems", path)
    assert (found.immutable, found.html) == ("I" in facts, "H" in facts)
    assert (found.index, found.listed) == ("L" in facts, "V" in facts)
    assert (found.key, found.ttl) == (path, None if "I" in facts else 60.0)
    if "O" in facts:
        assert resolved("rubygems", path, allow="^nothing$").path == path
    else:
        with pytest.raises(ArtifactError, match="pattern"):
            resolved("rubygems", path, allow="^nothing$")


def test_the_older_api_of_dependencies_is_not_there() -> None:
    with pytest.raises(NotFound):
        resolved("rubygems", "api/v1/dependencies", "gems=rack")


def test_a_gems_versions_name_its_files() -> None:
    text = (
        "---\n"
        f"1.0 |checksum:{SHA}\n"
        f"1.1-java rack:>= 2&< 4,rake:>= 0|checksum:{SHA.upper()},ruby:>= 3.0,rubygems:> 1\n"
        "1.2 |ruby:>= 3.0\n"
        f"../1.3 |checksum:{SHA}\n"
        f"1.4 evil:>= 0,checksum:{SHA}|checksum:short\n"
    )
    reading = RUBYGEMS.read(resolved("rubygems", "info/net-2048"), io.BytesIO(text.encode()))
    digest = Digest("sha256", SHA)
    assert list(reading.links) == [Link("gems/net-2048-1.0.gem", digest), Link("gems/net-2048-1.1-java.gem", digest)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("versions", b"rack 1.0 abc\n"),
        ("versions", b"<html>---\n"),
        ("names", b'{"error": "no"}'),
        ("info/rack", b"\n <!doctype html>"),
        ("info/rack", b"---\n1.0 |\0"),
        ("info/rack", b"---\n\xff\xfe |checksum:\n"),
        ("info/rack", b"---\n" + b"1" * (1 << 20) + b"\n"),
        ("info/rack", b"not a list at all\n"),
        ("info/rack", b"404 not found\n"),
        ("latest_specs.4.8.gz", b"junk"),
        ("specs.4.8.gz", gzip.compress(b"<html>", mtime=0)),
        ("prerelease_specs.4.8", b"junk"),
    ],
    ids=[
        *("headless", "page", "json", "page in info", "binary", "not utf-8", "one line", "words", "an error"),
        *("not gzip", "page in gzip", "no array"),
    ],
)
def test_no_list(path: str, body: bytes) -> None:
    with pytest.raises(ValueError):
        tuple(RUBYGEMS.read(resolved("rubygems", path), io.BytesIO(body)).links)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("info/rack", b""),
        ("info/rack", b"---\r\n"),
        ("info/rack", b"created_at: 2026-11-21\n---\n1 |\n"),
        ("info/rack", b"1.0\n"),
        ("info/rack", b"2 rake:>= 0|ruby:> 1\n"),
        ("names", b"rack\n"),
        ("specs.4.8.gz", gzip.compress(b"\x04\x08[\x00", mtime=0)),
        ("latest_specs.4.8", b"\x04\x08[\x00"),
    ],
    ids=["empty", "no version", "dated", "bare", "one number", "names", "marshalled", "unpacked"],
)
def test_a_list(path: str, body: bytes) -> None:
    tuple(RUBYGEMS.read(resolved("rubygems", path), io.BytesIO(body)).links)


def test_upstreams_digest_is_believed_of_a_body_that_is_not_coded() -> None:
    promise = f"sha-256=:{base64.b64encode(bytes.fromhex(SHA)).decode()}:"
    found = resolved("rubygems", "versions")
    assert RUBYGEMS.promised(found, {"Repr-Digest": promise}) == Digest("sha256", SHA)
    assert RUBYGEMS.promised(found, {"digest": promise.replace(":", "").upper().replace("SHA", "sha")}) is not None
    assert RUBYGEMS.promised(found, {"Repr-Digest": promise, "Content-Encoding": "gzip"}) is None
    assert RUBYGEMS.promised(found, {"Repr-Digest": "md5=:AA==:"}) is None
    assert RUBYGEMS.headers(Ask("GET", "r", "versions"), found, SHA, "") == (("Repr-Digest", promise),)
    assert RUBYGEMS.headers(Ask("GET", "r", "versions"), found, "", "") == ()


def test_a_part_of_a_list_fits_the_rest(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "rubygems") as (node, upstream):
        old, new = b"---\nrack 1.0 aa\n", b"---\nrack 1.0 aa\nrake 2.0 bb\n"
        upstream.put("/versions", old, ETag='"one"')
        first = node.get("/repository/r/versions")
        assert (first.data, first.headers["ETag"]) == (old, '"one"')
        asked = {"Range": f"bytes={len(old) - 1}-", "If-None-Match": '"one"'}
        assert node.get("/repository/r/versions", **asked).status_code == 304
        upstream.put("/versions", new, ETag='"two"')
        node.clock.forward(101)
        node.get("/repository/r/versions")
        rest = node.get("/repository/r/versions", **asked)
        assert (rest.status_code, rest.data, rest.headers["ETag"]) == (206, new[len(old) - 1 :], '"two"')
        whole = base64.b64encode(hashlib.sha256(new).digest()).decode()
        assert rest.headers["Repr-Digest"] == f"sha-256=:{whole}:"


def test_what_a_broken_upstream_sends_is_not_kept(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with serving(tmp_path, database_url, redis_url, "rubygems") as (node, upstream):
        upstream.put("/info/rack", b"---\n1.0 |checksum:%s\n" % hashlib.sha256(b"a gem").hexdigest().encode())
        upstream.put("/gems/rack-1.0.gem", b"another gem")
        upstream.put("/versions", b"<p>", Content_Type="text/plain")
        upstream.put("/names", b"page", Content_Type="text/html")
        assert node.get("/repository/r/info/rack").status_code == 200
        node.idle()
        upstream.put("/gems/rack-1.0.gem", b"another gem")
        assert node.get("/repository/r/gems/rack-1.0.gem").status_code == 502
        upstream.put("/gems/rack-1.0.gem", b"a gem")
        assert node.get("/repository/r/gems/rack-1.0.gem").data == b"a gem"
        assert node.get("/repository/r/names").status_code == 502
        upstream.put("/info/rack", b'{"no": "list"}')
        node.clock.forward(101)
        answer = node.get("/repository/r/info/rack")
        assert (answer.status_code, answer.headers["X-Cache"]) == (200, "STALE")
        node.idle()
        node.get("/repository/r/versions")  # a long list is followed while it arrives
        node.idle()
        upstream.put("/versions", b"---\nrack 1.0 aa\n")
        assert node.get("/repository/r/versions").headers["X-Cache"] == "MISS"
