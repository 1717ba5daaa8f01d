"""Hits while twenty cold streams run: what they keep of their idle rate, and who answers /health/live meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from bench import client
from bench.figures import MILLISECONDS, Figure, at_most
from bench.hits import beside
from bench.load import Load, load
from bench.site import MIB, SMALL, Site
from tests.stack import eventually

STREAMS = 20
RATE = 5_000_000  # bytes a second, each
SECONDS = 5.0  # of load; the streams begin before and end after it
SIZE = 40 * MIB
EVERY = 0.05  # seconds between two looks at /health/live
GATHER = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Round:
    """The same load without and with streams, seconds of each /health/live meanwhile, seconds of each stream."""

    idle: Load
    busy: Load
    alive: list[float]
    streams: list[float]
    overlapped: bool


def measure(site: Site) -> Iterator[Figure]:
    rounds = [_round(site) for _ in range(site.rounds)]
    yield from beside(f"hits beside {STREAMS} cold streams", [(each.idle, each.busy) for each in rounds])
    slowest = [max(each.alive) for each in rounds]
    note = f"of {sum(len(each.alive) for each in rounds)} the very slowest {MILLISECONDS.write(max(slowest))}"
    yield at_most("  /health/live, slowest of a round", slowest, 0.1, MILLISECONDS, note)
    yield _streams(rounds)


def _streams(rounds: list[_Round]) -> Figure:
    """The streams must have been there all the time, and as quick as they are alone."""
    seconds = [each for one in rounds for each in one.streams]
    rate = SIZE / max(seconds) / 1e6
    running = all(each.overlapped for each in rounds)
    found = f"{rate:.1f} MB/s" + ("" if running else ", ended before the load did")
    return Figure("  the slowest stream", found, "running throughout", running, tuple(seconds))


def _round(site: Site) -> _Round:
    body = site.files.body("hit", SMALL)
    path = site.files.path("hit")
    site.through(path, body)
    address = site.address(path)
    idle = load(site.node.port, address, SECONDS)
    site.touch_memory(STREAMS * SIZE)
    with ThreadPoolExecutor(STREAMS) as pool:
        streams = _start(site, pool)
        busy, alive = _watched(site, address)
        overlapped = not any(each.done() for each in streams)
        return _Round(idle, busy, alive, [each.result() for each in streams], overlapped)


def _start(site: Site, pool: ThreadPoolExecutor) -> list[Future[float]]:
    """Begin every stream; return when bytes of all are arriving."""
    spool = site.node.data_dir / "spool"
    streams = [pool.submit(_stream, site, number) for number in range(STREAMS)]
    eventually(lambda: len(list(spool.glob("*.json"))) >= STREAMS or any(s.done() for s in streams), "streams", 20)
    return streams


def _stream(site: Site, number: int) -> float:
    name = f"stream-{number}"
    return site.through(site.files.path(name, RATE), site.files.body(name, SIZE), gather=GATHER).total


def _watched(site: Site, address: str) -> tuple[Load, list[float]]:
    """The load, and how long /health/live took each time while it ran."""
    alive: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            alive.append(client.seconds(site.node.port, "/health/live"))
            time.sleep(EVERY)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return load(site.node.port, address, SECONDS), alive
    finally:
        over.set()
        watcher.join()
