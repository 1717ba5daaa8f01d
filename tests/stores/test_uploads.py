"""The contract of Uploads: pieces in order, one writer at a time, none collected while its upload lives."""

from __future__ import annotations

from functools import partial

import pytest

from app.stores.base import Index
from app.stores.uploads import Piece, Uploads
from tests.stores.conftest import Make
from tests.stores.values import at_once, digest

NOW = 1000.0


def here(_: str) -> bool:
    return True


def piece(start: int, text: str) -> Piece:
    return Piece(start, len(text), digest(text))


def begun(index: Index, name: str = "one") -> str:
    index.uploads.begin(name, "team", "app", NOW)
    return name


def test_pieces_are_there_in_order(make: Make) -> None:
    index, other = make(), make()
    begun(index)
    assert other.uploads.pieces("one", "team", "app") == []
    assert index.uploads.append("one", piece(0, "first"), NOW, here)
    assert other.uploads.append("one", piece(5, "second"), NOW, here)
    assert index.uploads.pieces("one", "team", "app") == [piece(0, "first"), piece(5, "second")]


@pytest.mark.parametrize("names", [("two", "team", "app"), ("one", "other", "app"), ("one", "team", "ap")])
def test_an_upload_is_known_by_all_its_names(index: Index, names: tuple[str, str, str]) -> None:
    begun(index)
    assert index.uploads.pieces(*names) is None


def test_a_piece_goes_on_where_the_others_end(index: Index) -> None:
    begun(index)
    assert not index.uploads.append("one", piece(1, "x"), NOW, here)
    assert index.uploads.append("one", piece(0, "first"), NOW, here)
    for start in (0, 4, 6):
        assert not index.uploads.append("one", piece(start, "x"), NOW, here)
    assert not index.uploads.append("none", piece(0, "x"), NOW, here)
    assert index.uploads.pieces("one", "team", "app") == [piece(0, "first")]


def test_of_several_at_once_one_goes_on(make: Make) -> None:
    begun(make())
    indexes, done = [make() for _ in range(8)], list[bool]()

    def go_on(uploads: Uploads, text: str) -> None:
        done.append(uploads.append("one", piece(0, text), NOW, here))

    at_once([partial(go_on, each.uploads, f"{number}") for number, each in enumerate(indexes)])
    assert sorted(done) == [False] * 7 + [True]


def test_a_piece_whose_bytes_are_gone_is_none(index: Index) -> None:
    begun(index)
    assert not index.uploads.append("one", piece(0, "x"), NOW, lambda _: False)
    assert index.uploads.append("one", piece(0, "y"), NOW, here)


def test_no_piece_is_collected_before_its_upload_ends(index: Index) -> None:
    begun(index)
    index.uploads.append("one", piece(0, "x"), NOW, here)
    assert index.unreferenced([digest("x"), digest("y")]) == [digest("y")]
    assert not index.drop_blob(digest("x"), lambda: pytest.fail("it is removed"))
    assert index.uploads.end("one")
    assert not index.uploads.end("one")
    assert index.unreferenced([digest("x")]) == [digest("x")]
    assert index.drop_blob(digest("x"), lambda: None)


def test_what_nobody_went_on_with_is_forgotten(index: Index) -> None:
    begun(index, "old")
    begun(index, "used")
    index.uploads.append("used", piece(0, "x"), NOW + 10, here)
    assert index.uploads.expire(NOW + 5) == 1
    assert index.uploads.pieces("old", "team", "app") is None
    assert index.uploads.pieces("used", "team", "app") == [piece(0, "x")]
