"""Documents made of others: when they are made, what is served meanwhile, and what makes them be made again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import NoReturn

import pytest

from app import metrics, repositories
from app.errors import StoreDown
from app.stores.recalled import HELD
from tests.http.documents import Fleet, fleet
from tests.http.node import ADMIN, Node

PAGE = "/repository/one/pages/lib"
BOTH = "/repository/both/pages/lib"


@pytest.fixture
def here(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Fleet]:
    with fleet(tmp_path, database_url, redis_url) as found:
        yield found


def body(repository: str, *lines: str) -> bytes:
    return "".join(f"{line}\n" for line in (f"http://localhost/repository/{repository}/files", *lines)).encode()


def test_a_remotes_document(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"a\nb\n")
    assert here.ask(PAGE) == (200, "MISS", body("one", "a", "b"))
    assert here.ask(PAGE) == (200, "HIT", body("one", "a", "b"))
    assert here.pages.makes == ["one"]
    here.node.clock.forward(101)
    assert here.ask(PAGE) == (200, "REVALIDATED", body("one", "a", "b"))
    assert here.ask(PAGE)[1] == "HIT"
    assert here.pages.makes == ["one"], "unchanged sources are no reason"
    here.one.put("/base/pages/lib", b"c\n")
    here.node.clock.forward(101)
    assert here.ask(PAGE) == (200, "EXPIRED", body("one", "c"))
    assert here.pages.makes == ["one"] * 2
    here.node.clock.forward(101)
    here.one.stop()
    assert here.ask(PAGE) == (200, "STALE", body("one", "c"))
    assert here.ask(PAGE) == (200, "STALE", body("one", "c")), "its source rests"
    here.one.start()
    here.node.clock.forward(301)
    assert here.ask(PAGE)[1] == "REVALIDATED"
    head = here.node.head(PAGE)
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", str(len(body("one", "c"))))
    assert here.node.get(PAGE, If_None_Match=head.headers["ETag"]).status_code == 304
    assert here.ask("/repository/one/pages/none")[0] == 404
    assert here.one.count("/base/pages/none") == 1
    assert here.ask("/repository/one/pages/none")[0] == 404
    assert here.one.count("/base/pages/none") == 1, "a 404 is remembered"
    assert here.pages.makes == ["one"] * 2


def test_upstream_is_down_and_nothing_is_stored(here: Fleet) -> None:
    here.one.stop()
    here.two.stop()
    assert here.ask(PAGE)[0] == 502
    answer = here.node.get(BOTH)
    assert answer.status_code in (502, 503)
    assert here.pages.makes == []
    here.node.idle()
    assert here.node.spools() == []
    assert here.node.blobs() == []


@pytest.mark.parametrize("query", ["remote=one", "remote=one&mode=expire", "remote=both", ""])
def test_a_flush_ends_rests_and_open_breakers_on_every_node(
    here: Fleet, tmp_path: Path, database_url: str, redis_url: str, query: str
) -> None:
    (tmp_path / "other").mkdir()
    told = json.loads((tmp_path / "remotes.json").read_text())
    with Node(tmp_path / "other", database_url, redis_url, told).running() as other:
        here.one.put("/base/pages/lib", b"a\n")
        here.two.put("/pages/lib", b"b\n")
        here.one.stop()
        for node in (here.node, other):
            for number in range(6):
                node.get(f"/repository/one/{number}")
            assert node.get("/repository/one/late").status_code == 503, "its breaker is open"
            answer = node.get(BOTH)
            assert (answer.data, "left out" in answer.headers["Warning"]) == (body("both", "b"), True)
        here.one.start()
        assert here.ask(BOTH)[2] == other.get(BOTH).data == body("both", "b")
        assert here.node.admin("PUT", f"/cache/flush?{query}").status_code == 200
        answer = other.get(BOTH)
        assert (answer.data, "Warning" in answer.headers) == (body("both", "a", "b"), False)
        assert here.ask(BOTH)[2] == body("both", "a", "b")


def test_what_no_index_told_is_no_flush(here: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch that is made up where no store answers ends nothing when the true one is known again."""
    assert here.node.admin("PUT", "/cache/flush?remote=one").status_code == 200

    def down(*_: object) -> NoReturn:
        raise StoreDown("down")

    here.one.stop()
    with monkeypatch.context() as patch:
        for catalog in (
            here.node.carrier.engine.shelf.catalog,
            here.node.app.extensions["artifactapi"].shelf.catalog,
        ):
            patch.setattr(catalog, "find", down)
            patch.setattr(catalog, "look_again", down)
        for number in range(6):
            assert here.node.get(f"/repository/one/{number}").status_code in (502, 503)
    assert here.node.get("/repository/one/late").status_code == 503, "its breaker is open"
    assert here.node.admin("PUT", "/cache/flush?remote=one").status_code == 200
    assert here.node.get("/repository/one/late").status_code == 502, "and a flush ends that"


def test_a_silent_member_is_left_out_and_comes_back(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    here.two.put("/pages/lib", b"b\n")
    here.two.stop()
    left_out = metrics.LEFT_OUT.labels("both", "two")._value
    before = left_out.get()
    answer = here.node.get(BOTH)
    assert (answer.status_code, answer.data) == (200, body("both", "a"))
    assert "two did not answer and is left out" in answer.headers["Warning"]
    assert left_out.get() == before + 1
    answer = here.node.get(BOTH)
    assert answer.headers["X-Cache"] == "STALE"
    assert any("left out" in each for each in answer.headers.getlist("Warning"))
    assert left_out.get() == before + 1, "it is not asked while it rests"
    here.two.start()
    here.node.clock.forward(31)
    assert here.ask(BOTH) == (200, "EXPIRED", body("both", "a", "b"))
    answer = here.node.get(BOTH)
    assert (answer.headers["X-Cache"], "Warning" in answer.headers) == ("HIT", False)
    here.node.clock.forward(101)
    here.two.stop()
    answer = here.node.get(BOTH)
    assert (answer.headers["X-Cache"], answer.data) == ("STALE", body("both", "a", "b")), "what is cached of it stays"
    assert here.pages.makes == ["both"] * 2


def test_a_document_of_which_none_can_be_made(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"BAD\n")
    for _ in range(3):
        answer = here.node.get(PAGE)
        assert (answer.status_code, answer.get_json()["error"]) == (502, "upstream_invalid")
        assert "one: BAD" in answer.get_json()["message"]
    assert here.pages.makes == ["one"], "it is not read again while it rests"
    here.one.put("/base/pages/lib", b"good\n")
    here.node.clock.forward(101)
    assert here.ask(PAGE) == (200, "MISS", body("one", "good"))
    for bad in (b"BAD\n", b"LIE\n"):
        here.one.put("/base/pages/lib", bad)
        here.node.clock.forward(101)
        makes = len(here.pages.makes)
        assert here.ask(PAGE) == (200, "STALE", body("one", "good"))
        assert here.ask(PAGE) == (200, "STALE", body("one", "good"))
        assert len(here.pages.makes) - makes == (bad == b"BAD\n")
        here.one.put("/base/pages/lib", b"good\n")
        here.node.clock.forward(601)
        assert here.ask(PAGE)[2] == body("one", "good")
    here.node.idle()
    assert here.node.spools() == []


def test_sources_of_which_there_is_no_document(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"NONE\n")
    for _ in range(3):
        assert here.ask(PAGE)[0] == 404
    assert here.pages.makes == ["one"], "that is remembered for a moment"
    here.one.put("/base/pages/lib", b"a\n")
    here.node.clock.forward(101)
    assert here.ask(PAGE) == (200, "MISS", body("one", "a"))
    here.one.put("/base/pages/lib", b"NONE\n")
    here.node.clock.forward(101)
    assert [here.ask(PAGE)[0] for _ in range(2)] == [404, 404], "a document that was, and is no more"


def test_one_make_a_change_on_two_nodes(tmp_path: Path, here: Fleet, database_url: str, redis_url: str) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    here.two.put("/pages/lib", b"b\n")
    config = json.loads((here.node.root / "remotes.json").read_text())
    (tmp_path / "second").mkdir()
    second = Node(
        tmp_path / "second", database_url, redis_url, config, STORAGE_URL=f"file://{here.node.root}/d/blobs"
    )
    second.clock = here.node.clock
    with second.running():
        for number in range(2):
            here.pages.hold = threading.Event()
            answers = together(here, [here.node, here.node, second, second])
            assert len(here.pages.makes) == number + 1
            assert set(answers) <= {body("both", "a", "b"), body("both", "c", "b")}
            here.one.put("/base/pages/lib", b"c\n")
            here.node.clock.forward(101)
        assert here.ask(BOTH)[2] == body("both", "c", "b")


def together(here: Fleet, nodes: list[Node]) -> list[bytes]:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda node=node: found.append(node.get(BOTH).data)) for node in nodes]
    for thread in threads:
        thread.start()
    threading.Timer(0.3, here.pages.hold.set).start() if here.pages.hold else None
    for thread in threads:
        thread.join()
    return found


def test_what_makes_it_be_made_again(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    here.two.put("/pages/lib", b"b\n")
    assert here.ask(BOTH)[1] == "MISS"
    here.two.put("/pages/lib", b"c\n")
    assert here.ask(BOTH)[1] == "HIT"
    assert here.node.ask("PUT", "/cache/flush?remote=two&mode=expire", **ADMIN).status_code == 200
    assert here.ask(BOTH) == (200, "EXPIRED", body("both", "a", "c")), "a member was flushed"
    assert here.node.ask("PUT", "/cache/flush?remote=two", **ADMIN).status_code == 200
    assert here.ask(BOTH)[1:] == ("REVALIDATED", body("both", "a", "c")), (
        "its source was fetched again, and is the same"
    )
    makes = len(here.pages.makes)
    assert here.node.ask("PUT", "/cache/flush?remote=both", **ADMIN).status_code == 200
    assert here.ask(BOTH)[1] == "MISS"
    assert len(here.pages.makes) == makes + 1
    node, path = here.node, here.node.root / "remotes.json"
    told = json.loads(path.read_text())
    told["virtuals"]["both"]["members"] = ["two", "one"]
    path.write_text(json.dumps(told))
    known = repositories.load(path)
    node.carrier.reload(known)
    node.app.extensions["artifactapi"].repositories.filed = known
    assert here.ask(BOTH) == (200, "EXPIRED", body("both", "c", "a")), "in another order"


def test_a_part_beside_a_document(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    here.ask(PAGE)
    here.node.idle()
    part = f"/repository/one/parts/lib/{hashlib.sha256(b'a' + bytes([10])).hexdigest()}"
    assert here.ask(part) == (200, "HIT", b"a\n")
    catalog = here.node.carrier.engine.shelf.catalog
    assert catalog.forget("one", part.removeprefix("/repository/one/"))
    assert here.ask(part) == (200, "MISS", b"a\n"), "the document is made again for it"
    assert here.pages.makes == ["one"] * 2
    assert here.ask("/repository/one/parts/lib/0123")[0] == 404
    assert here.pages.makes == ["one"] * 2, "of a part that it never had nobody makes anything"
    here.node.ask("PUT", "/cache/flush?remote=one", **ADMIN)
    assert here.ask(part) == (200, "MISS", b"a\n"), "and where the document is gone, too"


def test_a_part_that_is_asked_for_by_head(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    part = f"/repository/one/parts/lib/{hashlib.sha256(b'a' + bytes([10])).hexdigest()}"
    answer = here.node.head(part)
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, "2"), "nothing is stored"
    assert here.node.head("/repository/one/parts/lib/0123").status_code == 404
    here.node.idle()
    here.node.ask("PUT", "/cache/flush?remote=one&mode=expire", **ADMIN)
    answer = here.node.head(part)
    assert (answer.status_code, answer.headers["X-Cache"]) == (200, "REVALIDATED")
    here.node.idle()
    assert here.ask(part)[1] == "HIT", "what was told to expire does so once"


def test_a_part_where_nothing_can_be_recorded(here: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    monkeypatch.setattr(here.node.carrier.engine.shelf.catalog.index, "next_fence", down)
    part = f"/repository/one/parts/lib/{hashlib.sha256(b'a' + bytes([10])).hexdigest()}"
    answer = here.node.get(part)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert here.node.get("/repository/one/parts/lib/0123").status_code == 404
    monkeypatch.undo()
    assert here.ask(part) == (200, "MISS", b"a\n")


def test_a_name_of_which_nobody_knows_whose_it_is(here: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    here.one.put("/base/pages/lib", b"strange\n")
    assert here.ask("/repository/mixed/pages/lib")[0] == 200
    here.node.idle()
    for shelf in (here.node.carrier.engine.shelf, here.node.app.extensions["artifactapi"].shelf):
        shelf.catalog.memory.forget("team", f"{HELD}lib")
        monkeypatch.setattr(shelf.catalog.index.hosted, "holding", down)
    assert here.ask("/repository/mixed/pages/lib")[0] == 503, "the old copy may be a stranger's"
    monkeypatch.undo()
    assert here.ask("/repository/mixed/pages/lib")[1] == "HIT"


def test_a_date_is_one_editions(here: Fleet) -> None:
    here.one.put("/base/pages/lib", b"a\n")
    first = here.node.get(PAGE).headers["Last-Modified"]
    here.one.put("/base/pages/lib", b"b\n")
    here.node.ask("PUT", "/cache/flush?remote=one&mode=expire", **ADMIN)
    answer = here.node.get(PAGE, If_Modified_Since=first)
    second = answer.headers["Last-Modified"]
    assert (answer.status_code, answer.data) == (200, body("one", "b")), "in the same second"
    assert parsedate_to_datetime(second) > parsedate_to_datetime(first)
    assert here.node.get(PAGE, If_Modified_Since=second).status_code == 304
    later = format_datetime(parsedate_to_datetime(second) + timedelta(days=1), usegmt=True)
    for other in (first, later, "yesterday"):
        assert here.node.get(PAGE, If_Modified_Since=other).status_code == 200, other


def down(*_: object, **__: object) -> NoReturn:
    raise StoreDown("away")
