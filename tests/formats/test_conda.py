"""conda's rules as a table, repodata as a stream, shards rewritten; what a node makes of bad answers."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
import zstandard

from app.formats.conda import CONDA
from app.formats.conda_repodata import checked, packages
from app.formats.conda_shards import read_shards, written
from app.resource import Digest, Located
from tests.formats.proxied import resolved, serving
from tests.http.node import Node
from tests.stack import eventually
from tests.upstreams import Upstream

SHA = "a1" * 32

# path -> I immutable, M mutable; O the format's own path; H may be HTML
PATHS = {
    "conda-forge/linux-64/repodata.json": "M O",
    "noarch/repodata.json.zst": "M O",
    "noarch/repodata.json.bz2": "M O",
    "noarch/repodata_from_packages.json": "M O",
    "noarch/current_repodata.json": "M O",
    "noarch/repodata_shards.msgpack.zst": "M O",
    f"noarch/shards/{SHA}.msgpack.zst": "I O",
    "noarch/run_exports.json.zst": "M O",
    "channeldata.json": "M O",
    "notices.json": "M O",
    "noarch/repodata.jlap": "M O",
    "linux-64/python-3.12.1-hab00c5b_1_cpython.conda": "I",
    "linux-64/python-3.12.1-hab00c5b_1.tar.bz2": "I",
    "noarch/index.html": "M H",
    "noarch/": "M H",
}


@pytest.mark.parametrize(("path", "facts"), PATHS.items())
def test_a_path(path: str, facts: str) -> None:
    for allow in ("", "^nothing$") if "O" in facts else ("",):
        found = resolved("conda", path, allow=allow)
        found = found.sources[0] if found.sources else found
        assert (found.immutable, found.html) == ("I" in facts, "H" in facts)


def repodata(info: dict[str, Any] | None = None, **sections: Any) -> bytes:
    return json.dumps({"info": info or {"subdir": "noarch"}, **sections}).encode()


RECORD = {"name": "a", "sha256": SHA, "depends": ["b >=1", "sha256"], "md5": "b2" * 16}
LISTED = repodata(
    packages={"a-1-0.tar.bz2": RECORD, "old-1-0.tar.bz2": {"md5": "b2" * 16}, "bad-1-0.tar.bz2": {"sha256": "no"}},
    removed=["a-0-0.conda"],
    **{"packages.conda": {"a-1-0.conda": RECORD, "../../x.conda": RECORD}},
)


@pytest.mark.parametrize("pack", [bytes, bz2.compress, zstandard.compress], ids=["plain", "bz2", "zst"])
def test_packages_are_listed_with_their_checksums(pack: Any) -> None:
    body = io.BytesIO(pack(LISTED))
    assert list(packages(body)) == [("a-1-0.tar.bz2", Digest("sha256", SHA)), ("a-1-0.conda", Digest("sha256", SHA))]
    resource = resolved("conda", "ch/noarch/repodata.json")
    assert (resource.listing, resource.root) == ("ch/noarch/#packages", "ch/noarch/repodata.json")
    links = CONDA.read(resource, io.BytesIO(pack(LISTED))).links
    assert [link.path for link in links] == ["ch/noarch/a-1-0.tar.bz2", "ch/noarch/a-1-0.conda"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"message": "not found"}',
        LISTED[:-1],
        LISTED + b"x",
        b'{"packages":' + b'{"a":' * 100,
        b'{"packages": {"a": "' + b"x" * (16 << 20) + b'"}}',
        zstandard.compress(LISTED)[:-4],
        repodata({"base_url": "https://example.org/ch/noarch/"}, packages={}),
        repodata({"base_url": "//example.org/"}, packages={}),
        repodata({"base_url": "/elsewhere/"}, packages={}),
    ],
    ids=lambda body: f"{len(body)} {body[:24]!r}",
)
def test_what_is_no_repodata_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"is|says|lists|cannot"):
        checked(io.BytesIO(body), listed=True)


def test_packages_may_be_beside_the_list() -> None:
    checked(io.BytesIO(repodata({"base_url": "../files/"}, packages={})), listed=True)
    checked(io.BytesIO(b'{"packages": {}, "subdirs": ["noarch"]}'), listed=False)


def test_a_long_list_takes_little_memory() -> None:
    body = zstandard.compress(repodata(packages={f"a-{number}-0.conda": RECORD for number in range(8_000)}))
    tracemalloc.start()
    try:
        assert sum(1 for _ in packages(io.BytesIO(body))) == 8_000
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# -- shards -------------------------------------------------------------------------------------------------


def index(info: Any, shards: Any, **more: Any) -> bytes:
    return zstandard.compress(msgpack.packb({"info": info, "shards": shards, **more}))


INFO = {
    "subdir": "noarch",
    "base_url": "https://one.example.org/ch/noarch",
    "shards_base_url": "//two.example.org/s/",
}
INDEX = index(INFO, {"a": bytes.fromhex(SHA)}, version=1, later={"list": [1, {"x": None}]})


def test_an_index_of_shards_leads_here_and_says_the_rest_as_it_was() -> None:
    once = written(read_shards(io.BytesIO(INDEX)))
    assert msgpack.unpackb(zstandard.ZstdDecompressor().decompress(once)) == {
        "info": {"subdir": "noarch", "base_url": "./", "shards_base_url": "./shards/"},
        "shards": {"a": bytes.fromhex(SHA)},
        "version": 1,
        "later": {"list": [1, {"x": None}]},
    }
    assert written(read_shards(io.BytesIO(once))) == once


def test_packages_that_are_beside_it_stay_there() -> None:
    near = written(read_shards(io.BytesIO(index({"base_url": "../files"}, {}))))
    assert read_shards(io.BytesIO(near)).packages_url == "../files/"


def test_where_upstream_keeps_what_the_index_leads_to() -> None:
    shard = resolved("conda", f"noarch/shards/{SHA}.msgpack.zst")
    assert shard.named_in is not None
    where = f"//two.example.org/s/{SHA}.msgpack.zst"
    assert CONDA.locate(shard, io.BytesIO(INDEX)) == Located(where, Digest("sha256", SHA))
    package = resolved("conda", "noarch/a-1!2.0+x-0.conda").otherwise
    assert package is not None
    assert package.named_in is not None
    assert package.named_in.key == shard.named_in.key
    where = "https://one.example.org/ch/noarch/a-1!2.0%2Bx-0.conda"
    assert CONDA.locate(package, io.BytesIO(INDEX)) == Located(where)
    assert CONDA.locate(package, io.BytesIO(index({"subdir": "noarch"}, {}))) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        zstandard.compress(b"\xc1"),
        zstandard.compress(msgpack.packb([1])),
        INDEX[:-3],
        zstandard.compress(msgpack.packb({"info": INFO, "shards": {"a": b""}})[:-1]),
        zstandard.compress(msgpack.packb({"info": INFO, "shards": {}}) + b"x"),
        index(INFO, {"a": SHA}),
        index(INFO, {"a": b"short"}),
        index(INFO, {1: bytes(32)}),
        index(INFO, [bytes(32)]),
        index({"base_url": 1}, {}),
        index({"base_url": ["x"]}, {}),
        index({}, {}),
        zstandard.compress(b"\x81\xa6shards" + b"\x91" * 100_000),
        zstandard.compress(b"\xdf\xff\xff\xff\xff"),
        zstandard.compress(bytes(17 << 20)),
    ],
    ids=lambda body: f"{len(body)} {body[-12:]!r}",
)
def test_what_is_no_index_of_shards_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"is|cannot"):
        read_shards(io.BytesIO(body))


# -- served -------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[tuple[Node, Upstream]]:
    with serving(tmp_path, database_url, redis_url, "conda") as found:
        yield found


def test_a_package_is_verified_by_the_list(served: tuple[Node, Upstream]) -> None:
    node, upstream = served
    body = b"PK a package"
    record = {"sha256": hashlib.sha256(body).hexdigest()}
    upstream.put("/noarch/repodata.json", repodata(packages={"a-1-0.conda": record}))
    upstream.put("/noarch/a-1-0.conda", b"PK another one")
    upstream.put("/noarch/b-1-0.conda", b"nothing of the kind")
    assert node.get("/repository/r/noarch/repodata.json").status_code == 200
    node.idle()
    eventually(lambda: node.get("/repository/r/noarch/a-1-0.conda").status_code == 502, "the list is known")
    upstream.put("/noarch/a-1-0.conda", body)
    assert node.get("/repository/r/noarch/a-1-0.conda").data == body
    for _ in range(2):
        node.get("/repository/r/noarch/b-1-0.conda")
        node.idle()
    assert upstream.count("/noarch/b-1-0.conda", "GET") == 2


def test_a_bad_answer_is_not_kept_and_the_stored_list_stays(served: tuple[Node, Upstream]) -> None:
    node, upstream = served
    lists = {"current_repodata.json": LISTED, "repodata_shards.msgpack.zst": INDEX, "repodata.json": LISTED}
    for name, good in lists.items():
        path = f"/noarch/{name}"
        upstream.put(path, good)
        upstream.html(path, times=1)
        assert node.get(f"/repository/r{path}").status_code == 502
        first = node.get(f"/repository/r{path}")
        assert first.status_code == 200
        node.idle()
        upstream.put(path, b'{"message": "sorry"}')
        node.clock.forward(101)
        again = node.get(f"/repository/r{path}")
        assert (again.status_code, again.data, again.headers["X-Cache"]) == (200, first.data, "STALE"), name


def test_a_shard_is_verified_by_its_name(served: tuple[Node, Upstream]) -> None:
    node, upstream = served
    shard = zstandard.compress(msgpack.packb({"packages": {}}))
    digest = hashlib.sha256(shard)
    path = f"/noarch/shards/{digest.hexdigest()}.msgpack.zst"
    upstream.put("/noarch/repodata_shards.msgpack.zst", index({"subdir": "noarch"}, {"a": digest.digest()}))
    upstream.put(path, shard[:-1] + b"x")
    assert node.get(f"/repository/r{path}").status_code == 502
    upstream.put(path, shard)
    assert node.get(f"/repository/r{path}").data == shard
    upstream.stop()
    assert node.get(f"/repository/r{path}").data == shard


def test_an_index_leads_into_no_network_of_ours(served: tuple[Node, Upstream]) -> None:
    node, upstream = served
    inside = {"base_url": "http://169.254.169.254/latest/", "shards_base_url": "http://10.0.0.1/"}
    upstream.put("/noarch/repodata_shards.msgpack.zst", index(inside, {}))
    for path in (f"shards/{SHA}.msgpack.zst", "a-1-0.conda"):
        answer = node.get(f"/repository/r/noarch/{path}")
        assert (answer.status_code, ", refused" in answer.json["message"]) == (502, True)  # type: ignore[index]
