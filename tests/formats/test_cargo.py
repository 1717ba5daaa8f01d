"""cargo: where upstream's crates are, what of its index is served, and what two registries are as one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from app import repositories
from app.errors import Forbidden, NotFound
from app.formats import FORMATS
from app.formats.cargo import CONFIG
from app.resource import HERE, Ask, Digest, Found, Located
from tests.clients.crates import Crate, in_index, publish
from tests.formats.made import remote, virtual, written
from tests.formats.proxied import serving
from tests.http.node import Node
from tests.upstreams import Upstream

CARGO = FORMATS["cargo"]
SUM = "0123456789abcdef" * 4
ONE, TWO = remote("cargo", "one"), remote("cargo", "two")


def line(name: str, version: str, **more: object) -> bytes:
    return json.dumps({"name": name, "vers": version, "deps": [], "cksum": SUM, "features": {}, **more}).encode()


@pytest.mark.parametrize(
    ("template", "crate", "url"),
    [
        (
            "https://h.example.org/api/v1/crates",
            "Serde",
            "https://h.example.org/api/v1/crates/Serde/1.0.0+b/download",
        ),
        ("https://h.example.org/c/", "a", "https://h.example.org/c/a/1.0.0+b/download"),
        ("https://h.example.org/{crate}/{crate}-{version}.crate", "ab", "https://h.example.org/ab/ab-1.0.0+b.crate"),
        ("https://h.example.org/{prefix}/{crate}", "Serde", "https://h.example.org/Se/rd/Serde"),
        ("https://h.example.org/{lowerprefix}/{crate}", "Serde", "https://h.example.org/se/rd/Serde"),
        ("https://h.example.org/{prefix}", "Abc", "https://h.example.org/3/A"),
        ("https://h.example.org/{lowerprefix}", "Ab", "https://h.example.org/2"),
        ("https://h.example.org/{sha256-checksum}.crate", "a", f"https://h.example.org/{SUM}.crate"),
    ],
)
def test_a_crate_is_where_upstreams_config_says(template: str, crate: str, url: str) -> None:
    found = CARGO.resolve(ONE, Ask("GET", "one", f"api/v1/crates/{crate}/1.0.0+b/{SUM}/download"))
    assert (found.immutable, found.named_in is not None) == (True, True)
    config = json.dumps({"dl": template}).encode()
    assert CARGO.locate(found, BytesIO(config)) == Located(url, Digest("sha256", SUM))


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({"dl": "x", "api": "https://h.example.org/"}, "https://h.example.org/api/v1/crates?page=2&q=a%20b"),
        ({"dl": "x", "api": None}, None),
        ({"dl": "x"}, None),
    ],
)
def test_a_search_goes_where_upstreams_config_says(config: dict[str, str], url: str | None) -> None:
    found = CARGO.resolve(ONE, Ask("GET", "one", "api/v1/crates", "q=a+b&page=2&token=x"))
    located = CARGO.locate(found, BytesIO(json.dumps(config).encode()))
    assert (located.url if located else None) == url
    assert found.key == "api/v1/crates?page=2&q=a%20b"
    for repository in (ONE, virtual("cargo", ONE, TWO)):
        with pytest.raises(NotFound):  # a path of that very key, whose 404 would be remembered of the search
            CARGO.resolve(repository, Ask("GET", "one", found.key))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("1/a", "a"),
        ("2/ab", "ab"),
        ("3/a/abc", "abc"),
        ("my/_c/my_crate", "my-crate"),
        (f"api/v1/crates/My_Crate/1.0.0/{SUM}/download", "my-crate"),
        ("api/v1/crates/My_Crate/1.0.0/download", "my-crate"),
        (CONFIG, ""),
        ("api/v1/crates", ""),
        ("ab/cd/../abcd", ""),
    ],
)
def test_the_crate_that_a_path_is_about(path: str, name: str) -> None:
    assert CARGO.named(path) == name


def test_config_names_this_server() -> None:
    body = {"dl": "https://h.example.org", "api": "https://h.example.org", "auth-required": True}
    made = json.loads(written(ONE, CONFIG, {"one": json.dumps(body).encode()}))
    assert made == {"dl": f"{HERE}/api/v1/crates/{{crate}}/{{version}}/{{sha256-checksum}}/download", "api": HERE}
    assert "api" not in json.loads(written(ONE, CONFIG, {"one": b'{"dl": "x"}'}))
    assert "api" in json.loads(written(virtual("cargo", TWO, ONE), CONFIG, {"one": json.dumps(body).encode()}))


def test_a_token_is_wanted_everywhere_where_not_everybody_may_read() -> None:
    """What cargo was told of one that everybody may read must not be what it is told of one that they may not."""
    for public in (ONE, virtual("cargo", ONE, TWO)):
        private = replace(public, access="team")
        assert json.loads(written(private, CONFIG, {"one": b'{"dl": "x"}'}))["auth-required"] is True
        assert "auth-required" not in json.loads(written(public, CONFIG, {"one": b'{"dl": "x"}'}))
        keys = {CARGO.resolve(each, Ask("GET", each.name, CONFIG)).key for each in (public, private)}
        assert len(keys) == 2


def test_what_a_members_patterns_refuse_is_in_no_merged_index() -> None:
    narrow = replace(ONE, immutable_patterns=(re.compile(r"/abcd/1\.0\.0/"),))
    first = line("abcd", "1.0.0") + b"\n" + line("abcd", "9.9.9")
    both = virtual("cargo", narrow, TWO)
    expected = line("abcd", "1.0.0") + b"\n"
    assert written(both, in_index("abcd"), {"one": first}) == expected
    second = line("abcd", "9.9.9", yanked=True)
    assert written(both, in_index("abcd"), {"one": first, "two": second}) == expected + second + b"\n"
    with pytest.raises(NotFound):
        written(both, in_index("other"), {"one": line("other", "1.0.0")})
    assert written(narrow, in_index("abcd"), {"one": first}) == expected, "its own is not upstream's either"
    assert not CARGO.resolve(ONE, Ask("GET", "one", in_index("abcd"))).sources


def test_lines_are_merged_by_version() -> None:
    first = line("My_Crate", "1.0.0+one") + b"\n" + line("My_Crate", "1.1.0", yanked=True)
    second = (
        b"\n" + line("my-crate", "1.0.0+two") + b"\r\n" + line("my-crate", "0.9.0") + b"\n" + line("evil", "9.9.9")
    )
    both = virtual("cargo", ONE, TWO)
    expected = first + b"\n" + line("my-crate", "0.9.0") + b"\n"
    assert written(both, "my/_c/my_crate", {"one": first, "two": second}) == expected


BAD = {
    "page": b"<!DOCTYPE html><html></html>",
    "no JSON": line("abcd", "1.0.0") + b"\n{",
    "no checksum": b'{"name": "abcd", "vers": "1.0.0"}',
    "a list": b"[]",
    "deep": b'{"a": ' * 100_000,
    "no UTF-8": b'{"name": "\xff"}',
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_index_is_refused(kind: str) -> None:
    for path in (in_index("abcd"), CONFIG):
        resource = CARGO.resolve(ONE, Ask("GET", "one", path))
        source = resource.sources[0] if resource.sources else resource
        with pytest.raises(ValueError, match=r"."):
            CARGO.read(source, BytesIO(BAD[kind]))


def test_a_long_index_is_refused() -> None:
    resource = CARGO.resolve(ONE, Ask("GET", "one", in_index("abcd")))
    with pytest.raises(ValueError, match="longer"):
        CARGO.read(resource, BytesIO(line("abcd", "1.0.0") + b" " * (8 << 20)))


# -- served -------------------------------------------------------------------------------------------------

DEMO = Crate("Demo", "1.0.0")


@pytest.fixture
def served(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[tuple[Node, Upstream, Upstream]]:
    """A node, its registry, and the host where that keeps crates."""
    files = Upstream()
    try:
        with serving(tmp_path, database_url, redis_url, "cargo", "/cargo") as (node, upstream):
            publish(upstream, files, DEMO)
            yield node, upstream, files
    finally:
        files.stop()


def download(node: Node, crate: Crate, name: str = "") -> str:
    config = json.loads(node.get("/repository/r/config.json").data)
    cksum = json.loads(crate.line)["cksum"]
    values = {"crate": name or crate.name, "version": crate.version, "sha256-checksum": cksum}
    url: str = config["dl"]
    for marker, value in values.items():
        url = url.replace(f"{{{marker}}}", value)
    return url.removeprefix("http://localhost")


def test_an_index_file_is_upstreams_own(served: tuple[Node, Upstream, Upstream]) -> None:
    node, upstream, _ = served
    path = f"/repository/r/{in_index('demo')}"
    first = node.get(path)
    assert (first.data, first.headers["X-Cache"]) == (DEMO.line, "MISS")
    node.idle()
    assert node.get(path, If_None_Match=first.headers["ETag"]).status_code == 304
    node.clock.forward(101)
    assert node.get(path).headers["X-Cache"] == "REVALIDATED"
    for bad in ("page", "no JSON"):
        upstream.put(f"/cargo/{in_index('demo')}", BAD[bad])
        node.idle()
        node.clock.forward(1000)
        assert (node.get(path).data, node.get(path).headers["X-Cache"]) == (DEMO.line, "STALE")


@pytest.mark.parametrize("status", [404, 410, 451])
def test_a_crate_that_is_not_there(served: tuple[Node, Upstream, Upstream], status: int) -> None:
    node, upstream, _ = served
    upstream.status(status, f"/cargo/{in_index('gone')}")
    assert node.get(f"/repository/r/{in_index('gone')}").status_code == 404


def test_only_the_crate_that_the_index_lists_is_kept(served: tuple[Node, Upstream, Upstream]) -> None:
    node, _, files = served
    good = node.get(download(node, DEMO))
    assert (good.status_code, good.data, good.headers["Content-Type"]) == (200, DEMO.body, "application/gzip")
    node.idle()
    assert node.get(download(node, DEMO)).headers["X-Cache"] == "HIT"
    other = replace(DEMO, text="another")
    assert node.get(download(node, other)).status_code == 502
    assert node.get(download(node, DEMO, "absent")).status_code == 404
    page = Crate("Page", "1.0.0")
    files.put("/crates/Page/Page-1.0.0.crate", BAD["page"], Content_Type="text/html")
    assert node.get(download(node, page)).status_code == 502
    node.idle()
    assert node.spools() == []


def test_a_crate_whose_digest_the_client_does_not_know(served: tuple[Node, Upstream, Upstream]) -> None:
    node, _, files = served
    for name in ("demo", "Demo"):
        answer = node.get(f"/repository/r/api/v1/crates/{name}/1.0.0/download")
        assert (answer.status_code, answer.data, answer.headers["Content-Type"]) == (
            200,
            DEMO.body,
            "application/gzip",
        )
    node.idle()
    assert node.get("/repository/r/api/v1/crates/demo/1.0.0/download").headers["X-Cache"] == "HIT"
    assert len([each for each in files.requests if "Demo" in each.path]) == 1
    for strange in ("demo/2.0.0", "absent/1.0.0"):
        assert node.get(f"/repository/r/api/v1/crates/{strange}/download").status_code == 404
    refused = replace(ONE, immutable_patterns=(re.compile("/other/"),))
    usual = CARGO.resolve(refused, Ask("GET", "one", "api/v1/crates/demo/1.0.0/download"))
    with pytest.raises(Forbidden):
        CARGO.needs(usual, [Found(usual.sources[0], None, BytesIO(DEMO.line))])
    odd = BytesIO(line("demo", "1.0.0", cksum="../x"))
    with pytest.raises(ValueError, match="no sha256"):
        CARGO.needs(usual, [Found(usual.sources[0], None, odd)])


TOOLS = {name: Crate("tool", "1.0.0", name) for name in ("one", "two")}  # the same version of other bytes
USUAL = "api/v1/crates/tool/1.0.0/download"


@contextmanager
def both(
    root: Path, database_url: str, redis_url: str, **more: object
) -> Iterator[tuple[Node, Mapping[str, Upstream], dict[str, Any]]]:
    """A virtual of two registries, each of which keeps its crates itself; `more` are other keys of the first."""
    servers = {name: Upstream() for name in TOOLS}
    remotes: dict[str, dict[str, object]] = {
        name: {"package": "cargo", "base_url": f"{each.url}/cargo"} for name, each in servers.items()
    }
    remotes["one"] |= more
    known = {"remotes": remotes, "virtuals": {"all": {"package": "cargo", "members": list(TOOLS)}}}
    try:
        for name, server in servers.items():
            publish(server, server, TOOLS[name], replace(TOOLS[name], name="late"), Crate("same", "1.0.0"))
        with Node(root, database_url, redis_url, known).running() as node:
            yield node, servers, known
    finally:
        for server in servers.values():
            server.stop()


def test_no_other_bytes_than_a_members_index_shows(tmp_path: Path, database_url: str, redis_url: str) -> None:
    with both(tmp_path, database_url, redis_url) as (node, servers, _):
        for name in ("tool", "late", "same"):
            assert node.get(f"/repository/all/{in_index(name)}").data.startswith(b"{")
        assert node.get(f"/repository/two/{USUAL}").data == TOOLS["two"].body, "and is stored"
        servers["one"].status(404, "/crates/late/late-1.0.0.crate")
        for _ in range(2):
            assert node.get(f"/repository/all/{USUAL.replace('tool', 'late')}").status_code == 404, (
                "its mirror lags behind its index"
            )
        servers["one"].stop()
        for method in ("HEAD", "GET"):
            assert node.ask(method, f"/repository/all/{USUAL}").status_code in (502, 503), method
        assert node.get(f"/repository/all/{USUAL.replace('tool', 'same')}").data == Crate("same", "1.0.0").body
        servers["one"].start()
        node.clock.forward(301)
        assert node.get(f"/repository/all/{USUAL}").data == TOOLS["one"].body


def test_a_crate_that_patterns_have_come_to_refuse(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """Nobody has it from then on, however long it takes to find that out; of a virtual the next member's is there."""
    with both(tmp_path, database_url, redis_url) as (node, servers, known):
        url = f"/repository/one/{USUAL}"
        assert node.get(url).data == TOOLS["one"].body
        assert node.get(url).headers["X-Cache"] == "HIT"
        known["remotes"]["one"]["immutable_patterns"] = ["/other/"]
        (tmp_path / "remotes.json").write_text(json.dumps(known))
        narrow = repositories.load(tmp_path / "remotes.json")
        node.carrier.reload(narrow)
        node.app.extensions["artifactapi"].repositories.filed = narrow
        for _ in range(2):
            assert node.get(url).status_code == 403
        assert node.get(f"/repository/all/{USUAL}").data == TOOLS["two"].body
        publish(servers["one"], servers["one"], Crate("own", "1.0.0"))
        assert node.get(f"/repository/all/{USUAL.replace('tool', 'own')}").status_code == 403, (
            "as where it knows its sum"
        )
        servers["one"].stop()
        node.clock.forward(4000)
        assert node.get(url).status_code == 403


def test_a_crate_whose_new_digest_patterns_refuse(tmp_path: Path, database_url: str, redis_url: str) -> None:
    """The copy of before goes, though its patterns are the same."""
    cksum = json.loads(TOOLS["one"].line)["cksum"]
    more = {"immutable_patterns": [f"/{cksum}/"], "cache": {"mutable_ttl": 100}}
    with both(tmp_path, database_url, redis_url, **more) as (node, servers, _):
        url = f"/repository/one/{USUAL}"
        assert node.get(url).data == TOOLS["one"].body
        node.idle()
        publish(servers["one"], servers["one"], TOOLS["two"])
        node.clock.forward(101)
        for _ in range(2):
            assert node.get(url).status_code == 403
        servers["one"].stop()
        node.clock.forward(101)
        assert node.get(url).status_code == 403


def test_crates_on_an_address_inside_are_not_asked_for(served: tuple[Node, Upstream, Upstream]) -> None:
    node, upstream, _ = served
    upstream.put("/cargo/config.json", b'{"dl": "http://169.254.169.254/latest"}')
    assert node.get(download(node, DEMO)).status_code == 502
    node.idle()
    upstream.put("/cargo/config.json", b"{")
    node.clock.forward(1000)
    assert node.get("/repository/r/config.json").status_code == 200  # the old copy
