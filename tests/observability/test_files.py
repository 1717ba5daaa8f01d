"""The files of counters: where they lie, and that adding up those of the dead loses and doubles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import metric_files

COUNT = """
from app import metrics
for number in range(100):
    metrics.request(f"r{number % 7}", "GET", 200, "HIT", 10, 0.001)
"""
READ = """
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from app import metric_files
with metric_files.unfolded():
    page = MultiProcessCollector(CollectorRegistry()).collect()
print(sum(each.value for family in page for each in family.samples if each.name == "artifactapi_requests_total"))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    found = tmp_path / "metrics"
    metric_files.renew(found)
    monkeypatch.setenv(metric_files.VARIABLE, str(found))
    yield found
    metric_files.discard(found)


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout


def test_they_lie_in_memory_and_nobody_else_reads_them(place: Path) -> None:
    assert place.resolve().is_relative_to(metric_files.MEMORY)
    assert place.stat().st_mode & 0o777 == 0o700


def test_what_an_earlier_start_left_is_gone(place: Path) -> None:
    old = place.resolve()
    (old / "counter_1.db").write_bytes(b"x")
    metric_files.renew(place)
    assert not old.exists()
    assert list(place.iterdir()) == []
    place.resolve().rmdir()  # as a reboot does
    metric_files.renew(place)
    assert place.is_dir()


def test_without_memory_they_lie_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_files, "MEMORY", tmp_path / "none")
    metric_files.renew(tmp_path / "metrics")
    metric_files.renew(tmp_path / "metrics")
    assert (tmp_path / "metrics").is_dir()
    assert not (tmp_path / "metrics").is_symlink()


def test_folding_beside_readers_loses_and_doubles_nothing(place: Path) -> None:
    for _ in range(3):
        run(COUNT)
    with ThreadPoolExecutor(3) as pool:
        pages = [pool.submit(run, READ) for _ in range(4)]
        for _ in range(20):
            metric_files.fold()
    assert {float(page.result()) for page in pages} == {300.0}
    metric_files.fold()
    run(COUNT)
    metric_files.fold()
    assert float(run(READ)) == 400.0
    assert sorted(each.name for each in place.glob("*.db")) == ["counter_0.db", "histogram_0.db"]


def test_a_dead_process_has_no_gauges_though_a_page_is_being_read(place: Path) -> None:
    dead = int(run("import os; print(os.getpid())"))
    gauge = place / f"gauge_livesum_{dead}.db"
    gauge.write_bytes(b"")
    with metric_files.unfolded():
        metric_files.fold()
        assert not gauge.exists()


def test_the_living_are_left_alone(place: Path) -> None:
    own = place / f"counter_{os.getpid()}.db"
    own.write_bytes(b"being written")
    metric_files.fold()
    assert own.exists()
