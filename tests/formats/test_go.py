"""Go's rules as tables; what a node makes of bad answers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import NotFound
from app.formats.go import GO, newer
from app.resource import Ask, Kind, Repository
from tests.formats.made import remote, virtual, written
from tests.formats.proxied import resolved, serving
from tests.http.node import Node
from tests.upstreams import Upstream

PSEUDO = "v0.0.0-20261101000000-abcdefabcdef"

# path -> I immutable, M mutable; O the format's own path
PATHS = {
    "example.org/lib/@v/list": "M O",
    "example.org/lib/@latest": "M O",
    "example.org/!upper/@v/v1.0.0.info": "I",
    "example.org/lib/v2/@v/v2.0.0-rc.1.mod": "I",
    "example.org/lib/@v/v1.0.0-!r!c.1.zip": "I",
    "example.org/lib/@v/v4.0.0+incompatible.zip": "I",
    f"example.org/lib/@v/{PSEUDO}.info": "I",
    "golang.org/toolchain/@v/v0.0.1-go1.27.0.linux-amd64.zip": "I",
    "example.org/lib/@v/master.info": "M",
    "example.org/lib/@v/v1.info": "M",
    "example.org/lib/@v/v1.2.info": "M",
    "example.org/lib/@v/v01.2.3.info": "M",
    "example.org/lib/@v/abcdef123456.mod": "M",
    "sumdb/sum.example.org/supported": "M O",
    "sumdb/sum.example.org/latest": "M O",
    "sumdb/sum.example.org/lookup/example.org/!upper@v1.0.0": "I O",
    "sumdb/sum.example.org/tile/8/0/x001/234": "I O",
    "sumdb/sum.example.org/tile/8/1/000.p/17": "I O",
    "sumdb/sum.example.org/tile/8/data/000": "I O",
}


@pytest.mark.parametrize(("path", "facts"), PATHS.items())
def test_a_path(path: str, facts: str) -> None:
    found = resolved("go", path)
    assert found.immutable is ("I" in facts)
    if "O" in facts:
        assert resolved("go", path, allow="^nothing$").immutable is ("I" in facts)


@pytest.mark.parametrize("path", ["example.org/Lib/@v/list", "example.org/lib/@v/v1.0.0-RC.1.zip", "e.org/!/@latest"])
def test_capital_letters_are_written_otherwise(path: str) -> None:
    with pytest.raises(NotFound, match="capital letters"):
        resolved("go", path)


NAMES = {
    "corp.example.org/!team/lib/@v/list": "corp.example.org/Team/lib",
    "corp.example.org/lib/v2/@v/v2.0.0.zip": "corp.example.org/lib/v2",
    "corp.example.org/lib/@latest": "corp.example.org/lib",
    "sumdb/sum.example.org/lookup/corp.example.org/!lib@v1.0.0": "corp.example.org/Lib",
    "sumdb/sum.example.org/tile/8/0/000": "",
    "sumdb/sum.example.org/latest": "",
    "README": "",
}


@pytest.mark.parametrize(("path", "name"), NAMES.items())
def test_a_path_is_about_a_module(path: str, name: str) -> None:
    assert GO.named(path) == name


def test_the_newest_version_is_the_one_that_go_would_take() -> None:
    """go.dev/ref/mod, "Version queries": the highest release, else the highest pre-release, else a commit."""
    versions = [
        "master",
        PSEUDO,
        "v0.0.0-20261102000000-abcdefabcdef",
        "v3.0.1-0.20261101000000-abcdefabcdef",
        "v1.0.0-alpha",
        "v1.0.0-rc.2",
        "v1.0.0-rc.10",
        "v1.0.0-rc.x",
        "v2.0.0-beta",
        "v1.9.0",
        "v1.10.0",
        "v2.0.0+incompatible",
    ]
    shuffled = [*versions[1::2], *versions[::2]]
    assert sorted(shuffled, key=newer) == versions


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("m/@v/list", b'{"error": "not found"}\n'),
        ("m/@v/list", b"\xff\n"),
        ("m/@v/list", b"v1.0.0\n" * 2_000_000),
        ("m/@latest", b"v1.0.0"),
        ("m/@latest", b'{"version": "v1.0.0"}'),
        ("m/@latest", b"[" * 60_000),
        ("m/@v/v1.0.0.info", b"[]"),
        ("m/@v/v1.0.0.zip", b"404"),
    ],
    ids=["json", "no text", "endless", "no json", "no version", "deep", "no object", "no zip"],
)
def test_what_cannot_be_it_is_refused(path: str, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"is|names"):
        GO.read(resolved("go", path), io.BytesIO(body))


@pytest.mark.parametrize("body", [b"", b"v1.0.0\n", b"v1.0.0 2026-11-01T00:00:00Z\nnonsense\n"])
def test_a_list_may_have_more_or_nothing(body: bytes) -> None:
    assert GO.read(resolved("go", "m/@v/list"), io.BytesIO(body)).links == ()


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_repository_answers(kind: Kind) -> None:
    repository = Repository("r", kind, "go", parts=(Repository("p", Kind.LOCAL, "go"),))
    assert GO.resolve(repository, Ask("GET", "r", "m/@v/list")).path == "m/@v/list"


def test_what_a_members_patterns_refuse_is_not_told_of() -> None:
    narrow = replace(remote("go", "one"), immutable_patterns=(re.compile(r"@v/v1\.|!r!c"),))
    both = virtual("go", narrow, remote("go", "two"))
    lists = {"one": b"v1.0.0\nv9.9.9\nv3.0.0-RC1\n", "two": b"v2.0.0\n"}
    assert written(both, "m/@v/list", lists) == b"v1.0.0\nv3.0.0-RC1\nv2.0.0\n"
    latest = {"one": b'{"Version": "v9.9.9"}', "two": b'{"Version": "v2.0.0"}'}
    assert written(both, "m/@latest", latest) == latest["two"]
    with pytest.raises(NotFound):
        written(both, "m/@latest", {"one": latest["one"]})
    assert written(narrow, "m/@v/list", lists) == b"v1.0.0\nv3.0.0-RC1\n", "its own is not upstream's either"
    with pytest.raises(NotFound):
        written(narrow, "m/@latest", latest)
    for repository in (
        remote("go", "two"),
        replace(narrow, immutable_patterns=(), mutable_patterns=(re.compile("x"),)),
    ):
        assert not GO.resolve(repository, Ask("GET", repository.name, "m/@v/list")).sources


@pytest.fixture
def served(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[tuple[Node, Upstream]]:
    with serving(tmp_path, database_url, redis_url, "go") as found:
        yield found


def test_a_bad_answer_is_a_502_and_the_stored_list_stays(served: tuple[Node, Upstream]) -> None:
    node, upstream = served
    upstream.html("/m/@v/list", times=1)
    upstream.put("/m/@v/list", b"v1.0.0\n")
    assert node.get("/repository/r/m/@v/list").status_code == 502
    assert node.get("/repository/r/m/@v/list").data == b"v1.0.0\n"
    node.idle()
    upstream.put("/m/@v/list", b"<error/>\n")
    node.clock.forward(101)
    answer = node.get("/repository/r/m/@v/list")
    assert (answer.status_code, answer.data, answer.headers["X-Cache"]) == (200, b"v1.0.0\n", "STALE")


def test_a_login_page_is_no_module(served: tuple[Node, Upstream]) -> None:
    node, upstream = served
    upstream.html()
    for name in ("@latest", "@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"):
        upstream.put(f"/m/{name}", b"PK")
        answer = node.get(f"/repository/r/m/{name}")
        assert (answer.status_code, answer.json["error"]) == (502, "upstream_invalid"), name  # type: ignore[index]
    assert node.blobs() == []


def test_go_asks_the_next_proxy_where_upstream_has_nothing(served: tuple[Node, Upstream]) -> None:
    """go.dev/ref/mod, GOPROXY: 404 and 410 let it go on behind a comma, anything else does not."""
    node, upstream = served
    upstream.status(410, "/m/@v/list")
    upstream.status(403, "/secret/@v/list")
    statuses = [node.get(f"/repository/r/{name}/@v/list").status_code for name in ("m", "none", "M", "secret")]
    assert statuses == [404, 404, 404, 502]
