"""Room is made in the order that costs least: garbage, what was used longest ago, what is gone upstream."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app import eviction, repositories
from app.eviction import ROW, Evictor, Limits, Round
from app.fills import spool
from app.maintenance import collect
from app.stores.blobs import Room
from app.stores.filesystem import FilesystemBlobs
from app.web import usage
from tests.disk.index import age, entries, used
from tests.disk.small import SmallDisk
from tests.http.node import Node, body
from tests.upstreams import Upstream

KIB, MIB = 1 << 10, 1 << 20
NAMES = ("a", "b", "c", "d", "e", "f")
SIZE = 50 * KIB  # so small that a worker answers its hits


def noise(name: str, size: int = SIZE) -> bytes:
    return random.Random(name).randbytes(size)


def evictor_of(node: Node, most: int | None = None, free: str = "0", offline: bool = False) -> Evictor:
    settings = replace(node.settings, storage_max=most, storage_min_free=free, offline=offline)
    shelf = node.carrier.engine.shelf
    evictor = Evictor(shelf.catalog, shelf.blobs, lambda: node.carrier.repositories.filed, settings)
    evictor.noted = 0.0  # a test flushes what it wants to be noted
    return evictor


def fetched(node: Node, upstream: Upstream, *names: str, repository: str = "up", size: int = SIZE) -> None:
    """These are stored since hours, and were last used in this order."""
    for name in names:
        upstream.put(f"/{name}", noise(name, size))
        assert node.get(f"/repository/{repository}/{name}").status_code == 200
    node.idle()
    node.carrier.finish.usage.flush()
    age(node)
    used(node, *names)


@pytest.mark.parametrize(
    ("limits", "bytes_used", "room", "lower", "wanted"),
    [
        (Limits(), 10**15, Room(0, 100), 0.0, 0),
        (Limits(most=1000), 1000, None, 0.0, 0),
        (Limits(most=1000), 1001, None, 0.0, 1),
        (Limits(most=1000), 1001, None, 0.05, 51),
        (Limits(most=1000), 950, None, 0.05, 0),
        (Limits(share=0.1), 5, Room(100, 1000), 0.0, 0),
        (Limits(share=0.1), 5, Room(99, 1000), 0.0, 1),
        (Limits(share=0.1), 5, Room(99, 1000), 0.05, 6),
        (Limits(free=300), 5, Room(200, 1000), 0.0, 100),
        (Limits(most=1000, share=0.1), 1200, Room(50, 1000), 0.0, 200),
        (Limits(share=0.1), 5, None, 0.0, 0),
        (Limits(free=300), 5, Room(0, 0), 0.0, 0),
    ],
)
def test_how_much_is_wanted(limits: Limits, bytes_used: int, room: Room | None, lower: float, wanted: int) -> None:
    assert max(limits.wanted(bytes_used, room, lower), 0) == wanted


def test_limits_are_read_from_the_settings(node: Node) -> None:
    assert Limits.of(node.settings) == Limits(share=0.1)
    assert Limits.of(replace(node.settings, storage_max=5, storage_min_free="2.5%")) == Limits(5, share=0.025)
    assert Limits.of(replace(node.settings, storage_min_free="4096")) == Limits(free=4096)


def test_below_the_limit_nothing_goes(node: Node, upstream: Upstream) -> None:
    fetched(node, upstream, *NAMES)
    assert evictor_of(node, most=len(NAMES) * (SIZE + ROW)).round() == Round()
    assert entries(node) == {"up": set(NAMES)}


def test_cold_entries_go_used_ones_and_hosted_files_stay(node: Node, upstream: Upstream) -> None:
    fetched(node, upstream, *NAMES)
    assert node.admin("PUT", "/repository/team/mine", noise("mine")).status_code == 201
    age(node)
    assert node.get("/repository/up/a").headers["X-Cache"] == "HIT"
    node.app.extensions["artifactapi"].finish.usage.flush()
    most = 5 * SIZE
    done = evictor_of(node, most=most).round()
    assert (done.entries, done.bytes) == (3, 3 * SIZE)  # 7 of 5 are there, and 5 % below 5 is 4
    assert entries(node) == {"up": {"a", "e", "f"}, "team": {"mine"}}
    assert {blob.name for blob in node.blobs()} == {
        hashlib.sha256(noise(n)).hexdigest() for n in ("a", "e", "f", "mine")
    }
    assert evictor_of(node, most=most).round() == Round()
    upstream.reset()
    assert body(node.get("/repository/up/a")) == noise("a")
    assert upstream.count() == 0
    assert body(node.get("/repository/up/b")) == noise("b")  # as if it had never been here
    assert upstream.count("/b", "GET") == 1


def test_a_use_of_a_moment_ago_counts(node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes note what they serve in batches: whoever makes room for STORAGE_MAX waits for theirs."""
    assert eviction.NOTED > usage.NOTED
    fetched(node, upstream, *NAMES)
    evictor = evictor_of(node, most=5 * SIZE)
    evictor.noted = 0.01
    flush = node.app.extensions["artifactapi"].finish.usage.flush
    monkeypatch.setattr(evictor._ended, "wait", lambda seconds: flush())
    assert node.get("/repository/up/a").headers["X-Cache"] == "HIT"
    assert evictor.round().entries == 2
    assert entries(node) == {"up": {"a", "d", "e", "f"}}


def test_waiting_for_notes_is_no_work_to_rest_from(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(node, upstream, *NAMES)
    evictor = evictor_of(node, most=5 * SIZE)
    evictor.noted = eviction.NOTED
    now, rests = [time.monotonic()], []

    def rest(seconds: float, watch: bool) -> None:
        rests.append((seconds, watch))
        now[0] += seconds
        if len(rests) > 1:
            evictor._ended.set()

    monkeypatch.setattr(eviction, "time", SimpleNamespace(time=time.time, monotonic=lambda: now[0]))
    monkeypatch.setattr(evictor, "_rest", rest)
    evictor._run()
    assert len(entries(node)["up"]) == 4
    assert rests == [(eviction.NOTED, True), (eviction.EVERY, True)]


@pytest.mark.parametrize("low", [False, True])
def test_a_disk_that_runs_full_waits_for_no_notes(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, low: bool
) -> None:
    """Neither statvfs(3)'s word nor a download's, also where STORAGE_MAX is exceeded and notes are waited for."""
    fetched(node, upstream, *NAMES)
    evictor = evictor_of(node, most=5 * SIZE)
    evictor.noted, waits = 3600.0, []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 3 and not low:
            spool.full.set()
        return False

    monkeypatch.setattr(evictor._ended, "wait", wait)
    monkeypatch.setattr(evictor, "_low", lambda: low and len(waits) == 3)
    assert evictor.round().entries == 2
    assert waits == [eviction.LOOK] * 3
    assert not spool.full.is_set(), "that room was made"


def test_a_round_that_goes_on_waits_for_no_notes(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(node, upstream, *NAMES)
    evictor, waits = evictor_of(node, most=5 * SIZE), []
    monkeypatch.setattr(evictor, "_rest", lambda seconds, watch: waits.append(seconds))
    monkeypatch.setattr(eviction, "ROUND", -1.0)
    assert evictor.round().more
    assert evictor.round().more
    assert len(waits) == 1
    monkeypatch.undo()
    assert evictor.round().entries == 2


def test_a_touch_above_the_limit_ends_five_percent_below(node: Node, upstream: Upstream) -> None:
    names = [f"n{number:02d}" for number in range(20)]
    fetched(node, upstream, *names, size=KIB)
    evictor = evictor_of(node, most=20 * (KIB + ROW) - 100)
    assert evictor.round().entries == 2
    assert entries(node) == {"up": set(names[2:])}
    assert not evictor.round().short


def test_many_names_of_the_same_bytes_are_not_free(node: Node, upstream: Upstream) -> None:
    """An upstream that answers one page for every path costs a row each."""
    names = [f"n{number:02d}" for number in range(20)]
    for name in names:
        upstream.put(f"/{name}", b"the same page")
        body(node.get(f"/repository/up/{name}"))
    node.idle()
    age(node)
    done = evictor_of(node, most=10 * ROW).round()
    assert 10 < done.entries < 15
    assert len(entries(node)["up"]) == 20 - done.entries


def test_garbage_goes_once_room_is_made_and_only_past_its_grace(
    node: Node, upstream: Upstream, small_disk: Any
) -> None:
    disk: SmallDisk = small_disk("store", "8m")
    blobs = FilesystemBlobs(disk.place)
    for each in (node.carrier.engine.shelf, node.app.extensions["artifactapi"].shelf):
        each.blobs = blobs
    for name in ("garbage", "young"):
        file = node.settings.layout.spool / name
        file.write_bytes(noise(name, MIB))
        blobs.adopt(file, hashlib.sha256(noise(name, MIB)).hexdigest())
    old = blobs.path(hashlib.sha256(noise("garbage", MIB)).hexdigest())
    os.utime(old, times=(time.time() - 7200,) * 2)
    fetched(node, upstream, "a", "b", size=MIB)
    for blob in disk.place.rglob("sha256/??/*"):
        if blob.name != hashlib.sha256(noise("young", MIB)).hexdigest():
            os.utime(blob, times=(time.time() - 7200,) * 2)
    evictor = evictor_of(node, free=str(disk.free + 1))
    walk = blobs.walk
    walked: list[set[str]] = []

    def walking() -> Iterator[tuple[str, float]]:
        walked.append(entries(node)["up"])
        return walk()

    blobs.walk = walking  # type: ignore[method-assign]
    done = evictor.round()
    assert (done.garbage, done.entries) == (1, 1)
    assert walked == [{"b"}]
    assert evictor_of(node, free=str(disk.free + 1)).round().garbage == 0, (
        "it is looked for once an hour, by one node"
    )
    assert len(walked) == 1
    assert not old.exists()
    assert blobs.exists(hashlib.sha256(noise("young", MIB)).hexdigest())


def test_what_storage_max_counts_is_not_looked_for_in_the_store(
    node: Node, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts what entries refer to, and the store may have millions of objects."""
    fetched(node, upstream, "a", "b")
    walked: list[FilesystemBlobs] = []
    monkeypatch.setattr(FilesystemBlobs, "walk", walked.append)
    assert evictor_of(node, most=KIB).round().entries == 2
    assert walked == []


def test_a_collection_ends_where_it_is_told_to(node: Node, tmp_path: Path) -> None:
    shelf = node.carrier.engine.shelf
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(noise(name))
        shelf.blobs.adopt(tmp_path / name, hashlib.sha256(noise(name)).hexdigest())
    age(node)
    answers = iter([False, True, True])
    assert collect(shelf.catalog.index, shelf.blobs, stop=lambda: next(answers)).removed == 1
    assert len(node.blobs()) == 2


def test_without_redis_a_round_ends_one_epoch_and_not_one_an_entry(
    tmp_path: Path, database_url: str, own_valkey: Any, remotes: dict[str, Any], upstream: Upstream
) -> None:
    with Node(tmp_path, database_url, own_valkey.url, remotes).running() as node:
        fetched(node, upstream, *(f"{number}" for number in range(20)), size=KIB)
        own_valkey.stop()
        assert evictor_of(node, most=1).round().entries == 20
        assert entries(node) == {}
        assert node.carrier.engine.shelf.catalog.index.epochs() == {"up": 1}


def test_what_upstream_no_longer_has_goes_last(node: Node, upstream: Upstream) -> None:
    fetched(node, upstream, *NAMES)
    for name in ("a", "b"):
        upstream.remove(f"/{name}")
        node.clock.forward(200)
        assert node.get(f"/repository/up/{name}").headers["X-Upstream-Status"] == "404"
    node.idle()
    used(node, *NAMES)
    evictor = evictor_of(node, most=4 * SIZE)
    assert evictor.round().entries == 3
    assert entries(node) == {"up": {"a", "b", "f"}}
    assert evictor_of(node, most=int(1.2 * SIZE)).round().entries == 2
    assert entries(node) == {"up": {"b"}}


def test_what_is_offline_goes_after_what_is_gone(
    node: Node, upstream: Upstream, remotes: dict[str, Any], tmp_path: Path
) -> None:
    fetched(node, upstream, "a", "b")
    fetched(node, upstream, "c", "d", repository="drop")
    used(node, "a", "b", "c", "d")
    remotes["remotes"]["up"]["offline"] = True
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(remotes))
    evictor = evictor_of(node, most=int(2.2 * SIZE))
    node.carrier.reload(repositories.load(changed))
    evictor.round()
    assert entries(node) == {"up": {"a", "b"}}
    evictor.limits = Limits(most=KIB)
    evictor.round()
    assert entries(node) == {}


def test_a_repository_that_is_not_configured_is_left_alone(
    node: Node, upstream: Upstream, remotes: dict[str, Any], tmp_path: Path
) -> None:
    fetched(node, upstream, "a")
    fetched(node, upstream, "c", repository="drop")
    del remotes["remotes"]["up"]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(remotes))
    evictor = evictor_of(node, most=KIB)
    node.carrier.reload(repositories.load(changed))
    evictor.round()
    assert entries(node) == {"up": {"a"}}


def test_bytes_that_are_someone_elses_too_stay(node: Node, upstream: Upstream) -> None:
    upstream.put("/same", noise("b"))
    fetched(node, upstream, "a", "b")
    assert body(node.get("/repository/drop/same")) == noise("b")
    assert node.admin("PUT", "/repository/team/same", noise("a")).status_code == 201
    age(node)
    evictor_of(node, most=KIB).round()
    assert entries(node) == {"team": {"same"}}
    assert body(node.get("/repository/team/same")) == noise("a")
    assert [blob.name for blob in node.blobs()] == [hashlib.sha256(noise("a")).hexdigest()]


def test_what_was_adopted_a_moment_ago_waits_and_nothing_goes_in_its_place(node: Node, upstream: Upstream) -> None:
    fetched(node, upstream, "a", "b")
    for name in ("a", "b"):
        upstream.remove(f"/{name}")
        node.clock.forward(200)
        node.get(f"/repository/up/{name}")
    node.idle()
    upstream.put("/young", noise("young"))
    assert node.get("/repository/up/young").status_code == 200
    node.idle()
    evictor = evictor_of(node, most=KIB)
    done = evictor.round()
    assert (done.short, done.entries) == (True, 0)
    evictor.young = 0
    assert evictor.round().entries == 3


def test_one_node_of_a_fleet_evicts_at_a_time(node: Node, upstream: Upstream) -> None:
    fetched(node, upstream, "a")
    held = node.carrier.engine.shelf.catalog.memory.lock("eviction")
    assert held is not None
    assert evictor_of(node, most=KIB).round().entries == 0
    held.release()
    assert evictor_of(node, most=KIB).round().entries == 1


def test_a_new_database_beside_old_bytes_removes_nothing(node: Node, upstream: Upstream) -> None:
    fetched(node, upstream, "a")
    node.carrier.engine.shelf.blobs.note(f"{10**9:020d}-ab", b"{}")
    with pytest.raises(Exception, match="restore --from-store"):
        evictor_of(node, most=KIB).round()
    assert entries(node) == {"up": {"a"}}


def test_a_filesystem_that_runs_full_is_relieved_at_once(
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    remotes: dict[str, Any],
    upstream: Upstream,
    small_disk: Callable[[str, str], SmallDisk],
) -> None:
    disk = small_disk("d", "16m")
    with Node(tmp_path, database_url, redis_url, remotes).running() as node:
        fetched(node, upstream, *NAMES, size=MIB)
        evictor = evictor_of(node, free=str(MIB))
        evictor.start()
        try:
            disk.fill(left=MIB // 2)
            deadline = time.monotonic() + 20
            while len(entries(node).get("up", ())) > 5:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            evictor.close()
        assert entries(node) == {"up": set(NAMES[1:])}
        spool.full.set()  # a quota, of which statvfs(3) says nothing
        assert evictor_of(node).round().entries == 1
        assert not spool.full.is_set()
