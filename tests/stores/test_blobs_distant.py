"""A distant body as a file: whole reads, seeks, and nothing left open."""

from __future__ import annotations

import io
from collections.abc import Generator

import pytest

from app.errors import StoreDown
from app.stores import blobs
from app.stores.blobs import Distant
from tests.stores.bodies import noise

BODY = noise(10_000)


class Drips(Distant):
    """A body that comes seven bytes at a time; `asked` are its spans, `open` how many of them are not ended."""

    def __init__(self, body: bytes, size: int = len(BODY)) -> None:
        super().__init__(size)
        self.body = body
        self.asked: list[tuple[int, int]] = []
        self.open = 0

    def span(self, start: int, length: int) -> Generator[bytes, None, None]:
        self.asked.append((start, length))
        self.open += 1
        try:
            for at in range(start, start + length, 7):
                if piece := self.body[at : min(at + 7, start + length)]:
                    yield piece
        finally:
            self.open -= 1

    def link(self, seconds: int, content_type: str) -> str:
        raise NotImplementedError


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Drips:
    monkeypatch.setattr(blobs, "WINDOW", 1000)
    return Drips(BODY)


def test_a_read_is_short_only_at_the_end(body: Drips) -> None:
    assert body.read(4) == BODY[:4]
    assert body.read(2500) == BODY[4:2504]
    assert body.seek(-3, io.SEEK_END) == len(BODY) - 3
    assert body.read(100) == BODY[-3:]
    assert body.read(100) == b""


def test_reading_on_asks_for_one_window_after_the_other(body: Drips) -> None:
    assert b"".join(iter(lambda: body.read(64), b"")) == BODY
    assert body.asked == [(start, 1000) for start in range(0, 10_000, 1000)]


def test_all_at_once_and_by_a_buffer_above(body: Drips) -> None:
    assert body.read() == BODY
    body.seek(0)
    buffered = io.BufferedReader(body)
    assert buffered.read(5) == BODY[:5]
    assert buffered.read() == BODY[5:]


def test_looking_at_the_size_asks_for_nothing(body: Drips) -> None:
    assert body.seek(0, 2) == len(BODY)
    assert body.seek(0) == 0
    assert body.asked == []


@pytest.mark.parametrize("leave", [lambda body: body.close(), lambda body: body.seek(9)])
def test_who_stops_early_ends_what_was_asked_for(body: Drips, leave: object) -> None:
    assert body.read(10) == BODY[:10]
    assert body.open == 1
    assert callable(leave)
    leave(body)
    assert body.open == 0


def test_a_closed_one_reads_nothing(body: Drips) -> None:
    body.close()
    with pytest.raises(ValueError):
        body.read(1)
    assert body.asked == []


def test_an_early_end_is_no_end() -> None:
    with pytest.raises(StoreDown):
        Drips(BODY[:500]).read()
