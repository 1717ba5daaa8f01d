"""One download and its readers: which bytes they may have, when they wait, and how it ends for them."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from app.errors import ArtifactError, UpstreamTimeout, UpstreamUnreachable
from app.fills.fill import LEAST, SWITCH, TAIL, Fill, Flights, Stage
from app.fills.spool import Head, Spool
from app.resource import Entry

HEAD = Head("text/plain", None)
ENTRY = Entry("0" * 64, 1)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, "a", 1)
    yield spool
    spool.close()


@pytest.fixture
def fill(spool: Spool) -> Fill:
    fill = Fill("a")
    fill.arrive(HEAD, spool)
    return fill


@pytest.mark.parametrize(("written", "available"), [(0, 0), (1, 0), (TAIL, 0), (TAIL + 1, 1), (10 * TAIL, 9 * TAIL)])
def test_the_tail_is_withheld_until_verified(fill: Fill, written: int, available: int) -> None:
    fill.progress(written)
    assert (fill.available, fill.complete, fill.stage) == (available, False, Stage.ARRIVING)
    fill.verified(written)
    assert (fill.available, fill.complete, fill.stage) == (written, True, Stage.WHOLE)


def test_beyond_waits_for_more_and_tells_the_end(fill: Fill) -> None:
    with ThreadPoolExecutor(3) as readers:
        waiting = [readers.submit(fill.beyond, 10) for _ in range(3)]
        fill.progress(TAIL + 10)
        assert not any(reader.done() for reader in waiting)
        fill.progress(TAIL + 11)
        assert [reader.result(5) for reader in waiting] == [11] * 3
        at_end = readers.submit(fill.beyond, 11)
        fill.verified(11)
        assert at_end.result(5) == 11, "nothing more: the end"


def test_a_failure_reaches_everyone_who_waits_and_those_who_come_late(fill: Fill) -> None:
    with ThreadPoolExecutor(3) as readers:
        fill.progress(TAIL + 5)
        waiting = [readers.submit(fill.beyond, 5) for _ in range(3)]
        fill.fail(UpstreamTimeout("stalled"))
        for reader in waiting:
            with pytest.raises(UpstreamTimeout, match="stalled"):
                reader.result(5)
    assert fill.beyond(0) == 5, "what was right before is still right"
    with pytest.raises(UpstreamTimeout):
        fill.beyond(5)


def test_settled_with_an_old_copy_is_no_end_of_a_body(fill: Fill) -> None:
    fill.progress(10)
    fill.settle(ENTRY, "STALE")
    with pytest.raises(UpstreamUnreachable):
        fill.beyond(0)


def test_settled_after_verified_is_the_whole_body(fill: Fill) -> None:
    fill.verified(10)
    fill.settle(None)
    assert (fill.beyond(0), fill.beyond(10), fill.complete) == (10, 10, True)


def test_wait_for_bytes(fill: Fill) -> None:
    fill.wait_for_bytes(0.01)  # nothing comes: no longer than that
    with ThreadPoolExecutor(1) as readers:
        waiting = readers.submit(fill.wait_for_bytes, 60)
        fill.progress(TAIL + 1)
        waiting.result(5)


def test_wait_for_bytes_that_never_come(fill: Fill) -> None:
    with ThreadPoolExecutor(1) as readers:
        waiting = readers.submit(fill.wait_for_bytes, 60)
        fill.fail(UpstreamTimeout("stalled"))
        waiting.result(5)


def test_wait_for_a_stage(fill: Fill) -> None:
    assert fill.wait_for(Stage.ARRIVING) and not fill.wait_for(Stage.WHOLE, 0.01)
    fill.fail(ArtifactError("x"))
    assert fill.wait_for(Stage.SETTLED)


def test_readers_have_the_bytes_after_the_spool_is_gone(tmp_path: Path) -> None:
    spool, fill = Spool(tmp_path, "a", 1), Fill("a")
    fill.arrive(HEAD, spool)
    spool.write(b"bytes")
    with fill.reading() as early:
        spool.close()
        with fill.reading() as late:
            assert os.pread(early, 9, 0) == os.pread(late, 9, 0) == b"bytes"


# flights --------------------------------------------------------------------------------------------------


def test_a_settled_fill_is_joined_by_nobody_unless_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes after an answer asks again; while a set is gathered behind its old copy, nobody does."""
    monkeypatch.setattr("app.fills.fill.LINGER", 10.0)
    flights, go = Flights(), threading.Event()

    def work(fill: Fill) -> None:
        fill.settle(None, fill.name)
        threading.Timer(0.05, go.set).start()
        assert go.wait(10)

    first, _ = flights.board("REVALIDATED", work)
    assert first.wait_for(Stage.SETTLED, 10)
    second, won = flights.board("REVALIDATED", work)
    assert won and second is not first
    go.clear()

    def gather(fill: Fill) -> None:
        fill.settle(None, "UPDATING")
        go.wait(10)

    gathered, _ = flights.board("UPDATING", gather)
    assert gathered.wait_for(Stage.SETTLED, 10)
    assert flights.board("UPDATING", work) == (gathered, False)
    go.set()
    assert flights.drain(10)


def test_one_fill_a_name_while_it_runs() -> None:
    flights, go = Flights(), threading.Event()
    ran: list[Fill] = []

    def work(fill: Fill) -> None:
        go.wait(5)
        ran.append(fill)
        fill.settle(ENTRY, "HIT")

    with ThreadPoolExecutor(8) as pool:
        boarded = list(pool.map(lambda _: flights.board("a", work), range(8)))
    other, new = flights.board("b", work)
    assert [won for _, won in boarded].count(True) == 1 and new
    assert {id(fill) for fill, _ in boarded} == {id(boarded[0][0])}
    assert (flights.running(), flights.drain(0.01)) == (2, False)
    go.set()
    assert flights.drain(5) and flights.running() == 0
    assert sorted(map(id, ran)) == sorted((id(boarded[0][0]), id(other)))
    assert flights.board("a", work)[1], "the next request fills again"
    assert flights.drain(5)


def test_the_more_fills_run_the_less_often_their_threads_look_for_the_interpreters_lock() -> None:
    flights, go = Flights(), threading.Event()

    def work(fill: Fill) -> None:
        go.wait(20)
        fill.settle(ENTRY)

    assert flights.board("first", work)[1] and sys.getswitchinterval() == pytest.approx(LEAST)
    for number in range(30):
        flights.board(str(number), work)
    assert sys.getswitchinterval() == pytest.approx(31 * SWITCH)
    go.set()
    assert flights.drain(20) and sys.getswitchinterval() == pytest.approx(LEAST)


@pytest.mark.parametrize(
    ("error", "code"), [(UpstreamTimeout("slow"), "upstream_timeout"), (ZeroDivisionError(), "internal_error")]
)
def test_work_that_raises_fails_its_readers(error: Exception, code: str) -> None:
    flights = Flights()

    def work(_: Fill) -> None:
        raise error

    fill, _ = flights.board("a", work)
    assert fill.wait_for(Stage.FAILED, 5) and fill.error is not None
    assert fill.error.code == code
    assert flights.drain(5)


def _without_threads(told: Connection) -> None:
    """Board in a process whose address space has no room for another stack."""
    flights = Flights()
    threading.stack_size(1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, resource.RLIM_INFINITY))
    fill, _ = flights.board("a", lambda fill: fill.settle(ENTRY))
    told.send((fill.stage, fill.error.status if fill.error else 0, flights.running()))
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    threading.stack_size(1 << 20)
    fill, won = flights.board("a", lambda fill: fill.settle(ENTRY))
    told.send((won, fill.wait_for(Stage.SETTLED, 5)))


def test_a_fill_that_gets_no_thread_fails_and_the_next_try_works() -> None:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_without_threads, args=(theirs,))
    process.start()
    theirs.close()
    with ours:
        assert ours.poll(20) and ours.recv() == (Stage.FAILED, 503, 0)
        assert ours.poll(20) and ours.recv() == (True, True)
    process.join(20)
