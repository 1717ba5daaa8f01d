"""What a node counts, over its workers, its fills process and their deaths; and that no client names a series."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from app import metrics
from tests.http.raw import ask, request
from tests.observability.conftest import BIG, HITS, SMALL, say, unread
from tests.observability.page import Page, scrape
from tests.stack import Stack, eventually
from tests.upstreams import Upstream

REPOSITORIES = {"", "up", "dead", "team"}


@pytest.fixture
def stack(nodes: list[Stack]) -> Stack:
    return nodes[0]


def settled(stack: Stack, name: str, at_least: float, **labels: str) -> Page:
    """The page once a line that comes after the response's last byte has been counted."""
    eventually(lambda: scrape(stack).total(name, **labels) >= at_least, f"{name} {labels}")
    return scrape(stack)


def test_every_request_is_counted_once_by_whoever_answered_it(stack: Stack) -> None:
    page = settled(stack, "artifactapi_requests_total", 2 * HITS, repository="up", cache="HIT", status="200")
    assert page.total("artifactapi_requests_total", repository="up", cache="HIT") == 2 * HITS
    assert page.total("artifactapi_response_bytes_total", repository="up", cache="HIT") == HITS * len(SMALL + BIG)
    for state in ("MISS", "REVALIDATED", "STALE", "NEGATIVE"):
        assert page.total("artifactapi_requests_total", repository="up", cache=state) >= 1, state
    assert page.total("artifactapi_requests_total", repository="up", status="403") == 1
    assert page.total("artifactapi_requests_total", repository="team", method="PUT", status="201") == 1


def test_durations_tell_where_the_bytes_came_from(stack: Stack) -> None:
    page = scrape(stack)
    for source, least in (("cache", 2 * HITS), ("remote", 4), ("none", 3)):
        assert page.total("artifactapi_first_byte_seconds_count", repository="up", source=source) >= least
    whole = page.total("artifactapi_request_seconds_sum", repository="up")
    assert whole >= page.total("artifactapi_first_byte_seconds_sum", repository="up") > 0


def test_what_upstream_did_is_counted(stack: Stack) -> None:
    page = scrape(stack)
    for status in ("200", "304", "404", "500", "503", "other"):
        assert page.total("artifactapi_upstream_responses_total", repository="up", status=status) >= 1, status
    assert page.total("artifactapi_upstream_seconds_count", repository="up") >= 8
    assert page.total("artifactapi_upstream_bytes_total", repository="up") == len(BIG) + 4 * len(SMALL)
    assert page.total("artifactapi_fills_total", repository="up", result="stored") == 5
    assert page.total("artifactapi_fills_total", repository="dead", result="upstream_unreachable") >= 1
    assert page.total("artifactapi_fills_running") == 0
    assert page.total("artifactapi_upstream_quota", repository="up", what="remaining") == 76
    assert page.total("artifactapi_lock_wait_seconds_count", repository="up") == 1


def test_a_running_download_is_seen_and_its_bytes_as_they_come(stack: Stack, origin: Upstream) -> None:
    origin.put("/slow.bin", BIG)
    origin.stall(100_000, "/slow.bin")
    before = scrape(stack).total("artifactapi_upstream_bytes_total", repository="up")
    with unread(stack, "/repository/up/slow.bin"):
        page = settled(stack, "artifactapi_upstream_bytes_total", before + 100_000, repository="up")
        assert page.total("artifactapi_fills_running") == 1
        origin.clear("/slow.bin")
        eventually(lambda: scrape(stack).total("artifactapi_fills_running") == 0, "done")


def test_a_local_file_needs_no_upstream(stack: Stack) -> None:
    page = scrape(stack)
    assert "team" not in page.values("artifactapi_upstream_responses_total", "repository")


def test_the_configuration_in_force_is_told(stack: Stack) -> None:
    sha256 = json.loads(stack.get("/health")[1])["config_sha256"]
    assert scrape(stack).values("artifactapi_config_info", "sha256") == {sha256}


def test_two_nodes_add_up(nodes: list[Stack]) -> None:
    pages = [settled(each, "artifactapi_requests_total", 2 * HITS, repository="up", cache="HIT") for each in nodes]
    before = sum(page.total("artifactapi_requests_total", repository="up", cache="HIT") for page in pages)
    for each in nodes:
        assert say(each, "GET", "/repository/up/a.bin") == 200
    after = sum(scrape(each).total("artifactapi_requests_total", repository="up", cache="HIT") for each in nodes)
    assert after - before == len(nodes), "each counts its own and nobody's else"


def test_metrics_take_their_own_token_and_no_other(stack: Stack) -> None:
    assert say(stack, "GET", "/metrics") == 401
    assert say(stack, "GET", "/metrics", "Authorization: Bearer nonsense") == 401
    assert say(stack, "GET", "/metrics", f"Authorization: Bearer {stack.token}") == 200


def test_no_client_can_make_a_series(stack: Stack) -> None:
    hostile = ("X-Cache: EVIL", "X-Artifact-Source: evil", "X-Upstream-Status: 777", 'X-Repository: e"vil')
    for number in range(30):
        say(stack, "GET", f"/repository/evil-{number}/a", *hostile)
        say(stack, "GET", f"/v2/evil-{number}/manifests/latest", *hostile)
        say(stack, "GET", f"/evil-{number}", *hostile)
        say(stack, f"EVIL{number}", "/repository/up/a.bin", *hostile)
        say(stack, "GET", f"/repository/up/evil-{number}.bin?x=evil", *hostile)
    first = settled(stack, "artifactapi_requests_total", 30, repository="up", status="404")
    told = {value for each in first.samples for value in each.labels.values()}
    assert not [value for value in told if "evil" in value.lower() or value == "777"]
    for name, labels in first.labels().items():
        if "repository" in labels:
            assert first.values(name, "repository") <= REPOSITORIES, name
    assert first.values("artifactapi_requests_total", "method") <= {"GET", "HEAD", "PUT", "OTHER"}
    assert first.values("artifactapi_requests_total", "cache") <= metrics.STATES | {""}
    for name in ("artifactapi_requests_total", "artifactapi_upstream_responses_total"):
        assert first.values(name, "status") <= {*map(str, metrics.STATUSES), "other"}
    for upstream in first.values("artifactapi_upstream_breaker_open", "upstream"):
        assert "@" not in upstream


def test_counts_survive_a_worker_and_its_gauges_do_not(nodes: list[Stack]) -> None:
    stack = nodes[1]
    before = settled(stack, "artifactapi_requests_total", 2 * HITS, repository="up", cache="HIT")
    files = stack.data_dir / "metrics"
    for _ in range(2):
        dead = stack.workers()
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda dead=dead: len(set(stack.workers()) - set(dead)) == 2, "two new workers")  # type: ignore[misc]
        eventually(lambda dead=dead: not _files(files, dead), "what the dead left was added up")  # type: ignore[misc]
    after = scrape(stack)
    for name in (
        "artifactapi_requests_total",
        "artifactapi_response_bytes_total",
        "artifactapi_request_seconds_count",
    ):
        assert after.total(name, repository="up") == before.total(name, repository="up"), name
    assert after.total("artifactapi_config_info") == 1
    assert sorted(file.name for file in files.glob("*_0.db")) == ["counter_0.db", "histogram_0.db"]


def _files(directory: Path, pids: list[int]) -> list[str]:
    return [file.name for pid in pids for file in directory.glob(f"*_{pid}.db")]


def test_a_killed_fills_process_runs_nothing_any_more(nodes: list[Stack], origin: Upstream) -> None:
    stack = nodes[1]
    origin.put("/hung.bin", BIG)
    origin.stall(100_000, "/hung.bin")
    stored = scrape(stack).total("artifactapi_fills_total", repository="up", result="stored")
    with unread(stack, "/repository/up/hung.bin"):
        eventually(lambda: scrape(stack).total("artifactapi_fills_running") == 1, "it runs")
        os.kill(stack.pids()["fills"], signal.SIGKILL)
        eventually(lambda: scrape(stack).total("artifactapi_fills_running") == 0, "nothing runs")
    origin.clear("/hung.bin")
    eventually(lambda: ask(stack.port, request("GET", "/repository/up/hung.bin")).status == 200, "served again")
    page = settled(stack, "artifactapi_fills_total", stored + 1, repository="up", result="stored")
    assert page.total("artifactapi_fills_total", repository="up", result="stored") == stored + 1, "counts survived"


def test_a_reload_counts_on_and_shows_one_configuration(nodes: list[Stack]) -> None:
    stack = nodes[1]
    before, known = scrape(stack), stack.workers()
    document = json.loads(stack.config.read_text())
    document["remotes"]["up"]["description"] = "changed"
    stack.configure(document)
    stack.reload()
    eventually(lambda: not set(stack.workers()) & set(known) and len(stack.workers()) == 2, "new workers")
    eventually(lambda: len(scrape(stack).values("artifactapi_config_info", "sha256")) == 1, "one configuration")
    after = scrape(stack)
    assert after.values("artifactapi_config_info", "sha256") != before.values("artifactapi_config_info", "sha256")
    assert after.total("artifactapi_requests_total", cache="HIT") == before.total(
        "artifactapi_requests_total", cache="HIT"
    )
