"""The contract of jobs: one holder at a time, and what becomes of those that nobody does any more."""

from __future__ import annotations

import psycopg
import pytest

from app.stores.base import Index
from app.stores.jobs import ATTEMPTS, KEPT, MOST_OPEN, Failure, Progress, State

PROGRESS = Progress(3, 2, 1, 1, 100, (Failure("a", "file_not_found", "no such file"),))


@pytest.fixture
def expire(database_url: str) -> object:
    """End every lease, as 30 seconds would."""

    def ended() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE jobs SET leased = now() - interval '1 second' WHERE state = 'running'")

    return ended


def test_one_is_done_by_one(index: Index) -> None:
    jobs = index.jobs
    assert jobs.claim("one", 1.0) is None
    assert jobs.add("j1", "up", "somebody", "paths", "the task", 10.0)
    claimed = jobs.claim("one", 11.0)
    assert claimed is not None
    assert (claimed.task, claimed.job.state, claimed.job.started, claimed.job.attempts) == (
        "the task",
        State.RUNNING,
        11.0,
        1,
    )
    assert jobs.claim("two", 12.0) is None
    assert not jobs.report("j1", "two", PROGRESS)
    assert jobs.report("j1", "one", PROGRESS)
    found = jobs.find("j1")
    assert found is not None
    assert (found.progress, found.author, found.source) == (PROGRESS, "somebody", "paths")
    assert jobs.finish("j1", "one", State.DONE, "", PROGRESS, 13.0)
    assert not jobs.finish("j1", "one", State.FAILED, "", PROGRESS, 14.0)
    found = jobs.find("j1")
    assert found is not None
    assert (found.state, found.finished) == (State.DONE, 13.0)
    assert jobs.find("j2") is None


def test_a_dead_process_leaves_its_job_to_another_but_not_for_ever(index: Index, expire: object) -> None:
    jobs = index.jobs
    jobs.add("j1", "up", "", "paths", "t", 10.0)
    for number in range(ATTEMPTS):
        claimed = jobs.claim(f"holder {number}", 11.0)
        assert claimed is not None
        assert claimed.job.attempts == number + 1
        assert not jobs.report("j1", f"holder {number - 1}", PROGRESS)
        expire()  # type: ignore[operator]
    assert jobs.claim("another", 12.0) is None
    found = jobs.find("j1")
    assert found is not None
    assert found.state is State.FAILED
    assert found.reason.startswith("interrupted")


def test_what_is_released_is_begun_anew_and_that_is_no_attempt(index: Index) -> None:
    jobs = index.jobs
    jobs.add("j1", "up", "", "paths", "t", 10.0)
    for _ in range(ATTEMPTS + 1):
        claimed = jobs.claim("one", 11.0)
        assert claimed is not None
        assert claimed.job.attempts == 1
        jobs.release("j1", "one")


def test_cancelled(index: Index) -> None:
    jobs = index.jobs
    jobs.add("j1", "up", "", "paths", "t", 10.0)
    jobs.add("j2", "up", "", "paths", "t", 11.0)
    assert jobs.claim("one", 12.0) is not None
    assert jobs.cancel("j1", 13.0)
    assert jobs.cancel("j2", 13.0)
    assert not jobs.cancel("j1", 14.0)
    assert not jobs.report("j1", "one", PROGRESS)
    assert not jobs.finish("j1", "one", State.DONE, "", PROGRESS, 15.0)
    assert jobs.claim("one", 16.0) is None
    found = jobs.find("j1")
    assert found is not None
    assert (found.state, found.finished) == (State.CANCELLED, 13.0)


def test_lists_page_from_the_newest_and_the_oldest_are_dropped(index: Index) -> None:
    jobs = index.jobs
    for number in range(4):
        jobs.add(f"j{number}", "up" if number < 3 else "other", "", "paths", "t", 10.0 + number)
        jobs.cancel(f"j{number}", 20.0)
    assert [each.id for each in jobs.recent(["up"], (float("inf"), ""), 2)] == ["j2", "j1"]
    assert [each.id for each in jobs.recent(["up"], (11.0, "j1"), 2)] == ["j0"]
    jobs.add("new", "up", "", "paths", "t", 21.0 + KEPT)
    assert [each.id for each in jobs.recent(["up", "other"], (float("inf"), ""), 9)] == ["new"]


def test_so_many_are_open_at_most(index: Index) -> None:
    assert all(index.jobs.add(f"j{number}", "up", "", "paths", "t", 1.0) for number in range(MOST_OPEN))
    assert not index.jobs.add("more", "up", "", "paths", "t", 1.0)
    index.jobs.cancel("j0", 2.0)
    assert index.jobs.add("more", "up", "", "paths", "t", 1.0)
