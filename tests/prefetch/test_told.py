"""What is told of jobs, to whom and page by page; and a job that is somebody's before its work begins."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.prefetch.wanted import Task
from app.resource import Entry
from app.stores.base import Stored
from tests.http.node import Node
from tests.prefetch.test_jobs import Ahead
from tests.upstreams import Upstream


@pytest.fixture
def ahead(tmp_path: Path, database_url: str, redis_url: str, upstream: Upstream) -> Iterator[Ahead]:
    remotes: dict[str, dict[str, Any]] = {
        "generic": {"base_url": upstream.url},
        "inside": {"base_url": upstream.url, "access": "alpha"},
        "rpm": {"package": "rpm", "base_url": upstream.url},
    }
    document = {"remotes": remotes, "virtuals": {"mixed": {"members": ["generic", "inside"]}}}
    with Node(tmp_path, database_url, redis_url, document).running() as node:
        yield Ahead(node, upstream)


def test_what_a_job_could_not_have_is_told_to_those_who_may_read_every_member(ahead: Ahead) -> None:
    people = ahead.people
    told = ahead.done(remote="mixed", paths=["secret-plan.bin"])
    assert (told["author"], told["failures"][0]["path"]) == ("admin", "secret-plan.bin")
    other, path = people.user("other"), f"/artifacts/jobs/{told['id']}"
    for answer in (other.get(path), other.get("/artifacts/jobs"), other.get("/artifacts/jobs?remote=mixed")):
        seen = answer.get_json()
        seen = seen["jobs"][0] if "jobs" in seen else seen
        assert (seen["id"], seen["failed"], seen["author"], seen["failures"]) == (told["id"], 1, "", [])
        assert "secret" not in answer.get_data(as_text=True)


def test_a_page_of_jobs_goes_on_behind_its_last(ahead: Ahead) -> None:
    """Times as precise as the clock's: some are more when they are rounded, others less."""
    jobs, names = ahead.node.carrier.engine.shelf.catalog.index.jobs, []
    for number in range(6):
        names.append(f"{number:032x}")
        jobs.add(names[-1], "generic", "", "paths", Task([]).text(), 1763757000.1234567 + number * 3e-7)
    seen: list[str] = []
    page = ahead.people.root.get("/artifacts/jobs?limit=1").get_json()
    while page["jobs"] and len(seen) < 9:
        seen.append(page["jobs"][0]["id"])
        page = ahead.people.root.get("/artifacts/jobs", query_string={"limit": 1, "after": page["after"]}).get_json()
    assert seen == names[::-1]


def test_a_job_stays_ones_own_while_what_is_stored_is_looked_through(
    ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = ahead.node.carrier.engine.shelf.catalog.index
    made = ahead.ask(remote="rpm", include_pattern="x").get_json()["id"]
    pages = itertools.count()

    def listing(*_: Any, **__: Any) -> Sequence[Stored]:
        """Without an end; the job is cancelled meanwhile."""
        if next(pages) == 2:
            assert index.jobs.cancel(made, 1.0)
        return [Stored("rpm", "x", Entry("0" * 64, 1))]

    monkeypatch.setattr(type(index), "listing", listing)
    assert ahead.prefetching.once()
    assert (next(pages), ahead.job(made)["state"]) == (3, "cancelled")
    monkeypatch.undo()
    made = ahead.ask(remote="rpm", include_pattern="x").get_json()["id"]
    monkeypatch.setattr(type(index), "listing", listing)
    assert ahead.prefetching.once(lambda _: True)
    assert (next(pages), ahead.job(made)["state"]) == (5, "queued")
