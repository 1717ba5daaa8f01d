"""Fifty clients at once for one cold object: one download, fifty right bodies, none of them late."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from bench.bodies import Body
from bench.figures import TIMES, Figure, at_most, median
from bench.site import MIB, Site
from tests.stack import eventually

CLIENTS = 50
RATE = 25_000_000  # bytes a second: 200 Mbit/s
GATHER = 128 * 1024


def measure(site: Site) -> Iterator[Figure]:
    rounds = [_round(site) for _ in range(site.rounds)]
    gets = [float(asked) for _, _, asked in rounds]
    found = f"{max(gets):.0f} ({CLIENTS} right bodies)"  # get() raises at the first wrong byte
    work = f"{CLIENTS} clients, one cold 64 MiB: upstream GETs"
    yield Figure(work, found, "exactly 1", set(gets) == {1.0}, tuple(gets))
    own, last = (median(side) for side in list(zip(*rounds, strict=True))[:2])
    ratios = [last / own for own, last, _ in rounds]
    yield at_most("  the last one done, against one download", ratios, 1.5, TIMES, f"{last:.2f} s after {own:.2f} s")


def _round(site: Site) -> tuple[float, float, int]:
    """Seconds of a download without us, seconds of the last of all clients, GETs that upstream saw."""
    body = site.files.body("64", 64 * MIB)
    own = site.direct(site.files.path("64", RATE), body, gather=GATHER).total
    path = site.files.path("64", RATE)
    last = _herd(site, path, body)
    eventually(lambda: site.files.asked(path), "upstream's log line", 5)
    return own, last, site.files.asked(path)


def _herd(site: Site, path: str, body: Body) -> float:
    start = Barrier(CLIENTS)

    def one(_: int) -> float:
        start.wait()
        return site.through(path, body, gather=GATHER).total

    with ThreadPoolExecutor(CLIENTS) as clients:
        return max(clients.map(one, range(CLIENTS)))
