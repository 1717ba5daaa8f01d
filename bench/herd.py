"""Fifty clients at once for one cold object: one download, fifty right bodies, none of them late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from bench.figures import TIMES, Figure, at_most, median
from bench.site import FILES, MIB, Layout, Site
from tests.stack import eventually

CLIENTS = 50
RATE = 25_000_000  # bytes a second: 200 Mbit/s
GATHER = 128 * 1024


def measure(site: Site, layout: Layout = FILES, what: str = "64 MiB") -> Iterator[Figure]:
    rounds = [_round(site, layout) for _ in range(site.rounds)]
    gets = [float(asked) for _, _, asked in rounds]
    found = f"{max(gets):.0f} ({CLIENTS} right bodies)"  # get() raises at the first wrong byte
    work = f"{CLIENTS} clients, one cold {what}: upstream GETs"
    yield Figure(work, found, "exactly 1", set(gets) == {1.0}, tuple(gets))
    own, last = (median(side) for side in list(zip(*rounds, strict=True))[:2])
    ratios = [last / own for own, last, _ in rounds]
    yield at_most("  the last one done, against one download", ratios, 1.5, TIMES, f"{last:.2f} s after {own:.2f} s")


def _round(site: Site, layout: Layout) -> tuple[float, float, int]:
    """Seconds of a download without us, seconds of the last of all clients, GETs that upstream saw."""
    body = site.files.body("64", 64 * MIB)
    own = site.direct(layout.path(site.files, "64", RATE), body, gather=GATHER).total
    path = layout.path(site.files, "64", RATE)
    last = together(lambda _: site.through(path, body, at=layout.repository, gather=GATHER).total)
    eventually(lambda: site.files.asked(path), "upstream's log line", 5)
    return own, last, site.files.asked(path)


def together(client: Callable[[int], float]) -> float:
    """Run as many clients at once, each with its number; the longest of their seconds."""
    start = Barrier(CLIENTS)

    def one(number: int) -> float:
        start.wait()
        return client(number)

    with ThreadPoolExecutor(CLIENTS) as clients:
        return max(clients.map(one, range(CLIENTS)))
