"""Documents that name this server: under which address a client reaches it, and that each address has an ETag of its
own; small and large, from files and from S3, while stores are away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.resource import HERE
from app.web.parts import PIECE, Addressed
from tests.http.documents import Fleet, fleet, remotes
from tests.http.node import Node, body
from tests.http.variant import NOBODY, without_database, worker

PAGE = "/repository/one/pages/lib"
LARGE = b"".join(b"%07d\n" % number for number in range(20_000))  # more than a worker sends itself


@pytest.fixture
def here(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Fleet]:
    with fleet(tmp_path, database_url, redis_url, TRUSTED_PROXIES="127.0.0.1") as found:
        yield found


def test_the_address_is_the_clients(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    here.two.put("/pages/lib", b"b\n")
    here.node.get(PAGE)
    told = [
        ({}, "http://localhost/repository/one/files"),
        ({"Host": "Cache.Example.org:8443"}, "http://cache.example.org:8443/repository/one/files"),
        (
            {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "a.example.org"},
            "https://a.example.org/repository/one/files",
        ),
        ({"Host": 'evil"}/x'}, "http://localhost:80/repository/one/files"),
    ]
    etags = set()
    for headers, wanted in told:
        answer = here.node.get(PAGE, **headers)
        assert answer.data == f"{wanted}\na\n".encode(), headers
        assert answer.headers["Content-Length"] == answer.headers["X-Artifact-Size"] == str(len(answer.data))
        assert "Accept-Ranges" not in answer.headers
        assert "X-Checksum-Sha256" not in answer.headers
        etags.add(answer.headers["ETag"])
        assert here.node.get(PAGE, If_None_Match=answer.headers["ETag"], **headers).status_code == 304
        assert here.node.get(PAGE, Range="bytes=0-3", **headers).status_code == 200
    assert len(etags) == len(told)
    with worker(here.node, public_url="https://packages.example.org/cache") as other:
        answer = other.get(PAGE, headers={"Host": "elsewhere"})
        assert answer.data == b"https://packages.example.org/cache/repository/one/files\na\n"
    assert here.node.get("/repository/both/pages/lib").data.startswith(b"http://localhost/repository/both/files\n")
    assert here.node.get("/api/v1/remote/one/pages/lib").data.startswith(b"http://localhost/repository/one/files\n")
    strange = here.node.ask("GET", PAGE, None, X_Forwarded_Host="b.example.org", X_Forwarded_For="10.0.0.1")
    assert strange.data.startswith(b"http://b.example.org/")


def test_a_large_one_goes_through_the_fills_process(here: Fleet) -> None:
    here.one.put("/base/pages/lib", LARGE)
    wanted = b"http://localhost/repository/one/files\n" + LARGE
    for state in ("MISS", "HIT"):
        answer = here.node.get(PAGE)
        assert (answer.headers["X-Cache"], body(answer) == wanted) == (state, True)
        assert answer.headers["Content-Length"] == str(len(wanted))
        here.node.idle()
    head = here.node.head(PAGE)
    assert (head.headers["Content-Length"], head.data) == (str(len(wanted)), b"")
    assert here.node.get(PAGE, If_None_Match=head.headers["ETag"]).status_code == 304


def test_the_mark_is_found_across_pieces(tmp_path: Path) -> None:
    mark = HERE.encode()
    for place in range(PIECE - 4, PIECE + 2):
        stored = b"x" * place + mark + mark[:2] + b"y"
        (tmp_path / "blob").write_bytes(stored)
        with (tmp_path / "blob").open("rb") as file:
            found = b"".join(Addressed(len(stored), b"http://a", 0).chunks(file))
        assert found == b"x" * place + b"http://a" + mark[:2] + b"y"


def test_on_s3(tmp_path: Path, database_url: str, redis_url: str, s3_url: str) -> None:
    settings = {"STORAGE_URL": s3_url, "S3_ENDPOINT_URL": os.environ["S3_ENDPOINT_URL"], "S3_REDIRECT": "true"}
    with fleet(tmp_path, database_url, redis_url, **settings) as here:
        for name, content in (("small", b"a\n"), ("large", LARGE)):
            here.one.put(f"/base/pages/{name}", content)
            for state in ("MISS", "HIT"):
                answer = here.node.get(f"/repository/one/pages/{name}")
                assert (answer.status_code, answer.headers["X-Cache"]) == (200, state)
                assert body(answer) == b"http://localhost/repository/one/files\n" + content
                here.node.idle()


def test_without_postgres_redis_or_both(here: Fleet, postgres_url: str) -> None:
    node = here.node
    here.one.put("/base/pages/lib", b"a\n")
    here.one.put("/base/pages/new", b"n\n")
    node.get(PAGE)
    wanted = b"http://localhost/repository/one/files\n"
    with without_database(node, postgres_url):
        answer = node.get(PAGE)
        assert (answer.status_code, answer.headers["X-Cache"], answer.data) == (200, "HIT", wanted + b"a\n")
        answer = node.get("/repository/one/pages/new")
        assert (answer.status_code, answer.data) == (200, wanted + b"n\n"), "passed through, not recorded"
        assert node.get("/repository/mixed/pages/new").status_code == 503, "nobody guesses what a local holds"
        makes = len(here.pages.makes)
        node.clock.forward(101)
        assert node.get(PAGE).data == wanted + b"a\n"
        assert len(here.pages.makes) <= makes + 1
    assert node.get("/repository/one/pages/new").status_code == 200
    node.idle()
    assert node.spools() == []


def test_without_redis(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    here.node.get(PAGE)
    with worker(here.node, redis_url=NOBODY["redis_url"]) as other:
        answer = other.get(PAGE)
        assert (answer.headers["X-Cache"], answer.data) == ("HIT", b"http://localhost/repository/one/files\na\n")


def test_both_gone(tmp_path: Path, here: Fleet) -> None:
    """No store knows anything: what upstream has is read, written and given out, and kept by nobody."""
    here.one.put("/base/pages/lib", b"a\n")
    (tmp_path / "x").mkdir()
    with Node(
        tmp_path / "x", NOBODY["database_url"], NOBODY["redis_url"], remotes(here.one, here.two)
    ).running() as bare:
        for _ in range(2):
            assert bare.get(PAGE).data == b"http://localhost/repository/one/files\na\n"
        bare.idle()
        assert bare.spools() == []
