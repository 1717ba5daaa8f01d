"""Files that upstream keeps where an index of its own says: on whichever host, under the digest that stands there."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.upstream.breakers import Breakers
from tests.http.documents import PACKAGE, Fleet, fleet, remotes, standing_in
from tests.http.node import Node
from tests.upstreams import Upstream

FILE = "/repository/one/files/lib/"
LOGIN = "Basic " + b64encode(b"me:a-secret").decode()


@pytest.fixture
def here(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Fleet]:
    with fleet(tmp_path, database_url, redis_url) as found:
        yield found


@pytest.fixture
def far() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.stop()


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_where_the_index_says(here: Fleet, far: Upstream) -> None:
    lines = [
        f"far {far.url}/deep/far {digest(b'far')}",
        "near near.bin",
        "rooted /rooted.bin",
        f"whole {here.one.url}/base/pages/whole.bin",
        f"wrong {far.url}/wrong {digest(b'right')}",
        f"fled {far.url}/fled",
        "inward http://169.254.169.254/latest/meta-data",
        "nowhere ftp://127.0.0.1/x",
        "garbled http://[::1",
        f"known {far.url}/known#sha256=1",
    ]
    here.one.put("/base/pages/lib", "\n".join(lines).encode())
    for path, content in (
        ("/base/pages/near.bin", b"near"),
        ("/rooted.bin", b"root"),
        ("/base/pages/whole.bin", b"whole"),
    ):
        here.one.put(path, content)
    for path, content in (("/deep/far", b"far"), ("/wrong", b"wrong"), ("/known", b"known")):
        far.put(path, content)
    far.redirect(f"{here.one.url}/rooted.bin", "/fled")
    got = {name: here.ask(FILE + name)[::2] for name in ("far", "near", "rooted", "whole")}
    assert got == {"far": (200, b"far"), "near": (200, b"near"), "rooted": (200, b"root"), "whole": (200, b"whole")}
    assert {each.headers.get("authorization") for each in far.requests} == {None}, "another host is told no secret"
    home = {each.headers.get("authorization") for each in here.one.requests}
    assert home == {LOGIN}, home
    for name, code in (("wrong", 502), ("inward", 502), ("nowhere", 502), ("garbled", 502), ("unlisted", 404)):
        assert here.ask(FILE + name)[0] == code, name
    blobs = {path.read_bytes() for path in here.node.blobs()}
    assert b"wrong" not in blobs
    assert here.ask(FILE + "far")[1] == "HIT"
    assert here.node.head(FILE + "known").status_code == 200
    assert far.count("/known", "GET") == 0
    assert here.node.head(FILE + "unlisted").status_code == 404
    here.one.requests.clear()
    assert here.ask(FILE + "fled")[::2] == (200, b"root")
    assert [each.headers.get("authorization") for each in here.one.requests] == [None], (
        "whoever was sent there is nobody"
    )


def test_an_index_is_asked_again_for_what_it_does_not_list(here: Fleet, far: Upstream) -> None:
    here.one.put("/base/pages/lib", f"a {far.url}/a".encode())
    far.put("/a", b"a")
    far.put("/b", b"b")
    assert here.ask(FILE + "a")[0] == 200
    for _ in range(3):
        assert here.ask(FILE + "b")[0] == 404
    asked = here.one.count("/base/pages/lib")
    assert asked == 1, "it was read a moment ago"
    here.one.put("/base/pages/lib", f"a {far.url}/a\nc {far.url}/b".encode())
    here.node.clock.forward(31)
    assert here.ask(FILE + "c")[::2] == (200, b"b")
    assert here.one.count("/base/pages/lib") == 2
    assert here.ask(FILE + "d")[0] == 404
    assert here.one.count("/base/pages/lib") == 2
    here.node.clock.forward(31)
    here.one.stop()
    assert here.ask(FILE + "e")[0] in (404, 502, 503)
    assert here.ask(FILE + "c")[:2] == (200, "HIT"), "what is stored does not depend on any index"
    here.one.start()
    assert here.ask("/repository/one/files/none/x")[0] == 404
    assert here.ask("/repository/one/files/none/y")[0] == 404
    assert here.one.count("/base/pages/none") == 1, "that there is no such index is remembered"


def test_what_is_below_the_base_url_fails_over_with_it(
    tmp_path: Path, database_url: str, redis_url: str, far: Upstream
) -> None:
    one, two = Upstream(), Upstream()
    try:
        told = remotes(one, two)
        told["remotes"]["one"] = {"package": PACKAGE, "base_urls": [f"{one.url}/base", f"{two.url}/mirror"]}
        for server, root in ((one, "/base"), (two, "/mirror")):
            server.put(f"{root}/pages/lib", f"near near.bin\nfar {far.url}/far".encode())
            server.put(f"{root}/pages/near.bin", b"near")
        far.put("/far", b"far")
        node = Node(tmp_path, database_url, redis_url, told)
        with standing_in(), node.running():
            assert node.get("/repository/one/pages/lib").status_code == 200
            one.stop()
            node.upstreams.breakers = Breakers(node.clock)
            assert node.get(FILE + "near").data == b"near"
            assert two.count("/mirror/pages/near.bin") == 1
            for _ in range(8):
                node.get(f"{FILE}near?{_}")
            two.stop()
            assert node.get(FILE + "far").data == b"far", "another host is asked although the index's own rest"
    finally:
        one.stop()
        two.stop()
