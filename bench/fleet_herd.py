"""Fifty clients of two nodes for one cold object, and an upstream of 100 Mbit/s: one download, nobody waits long."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from bench.client import Got, get
from bench.figures import SECONDS, TIMES, Figure, at_most, median
from bench.herd import CLIENTS, GATHER
from bench.s3 import Fleet, fleet
from bench.site import MIB, Site
from tests.stack import eventually

RATE = 12_500_000  # bytes a second: 100 Mbit/s
FIRST = 1.0  # seconds until everyone has a byte


def measure(site: Site) -> Iterator[Figure]:
    with fleet(site) as both:
        rounds = [_round(site, both) for _ in range(site.rounds)]
    work = f"two nodes on S3, {CLIENTS} clients, one cold 64 MiB at 100 Mbit/s: upstream GETs"
    gets = [float(asked) for _, _, asked in rounds]
    found = f"{max(gets):.0f} ({CLIENTS} right bodies)"  # get() raises at the first wrong byte
    yield Figure(work, found, "exactly 1", set(gets) == {1.0}, tuple(gets))
    yield at_most(
        "  the last one's first byte", [max(got.first for got in all_) for _, all_, _ in rounds], FIRST, SECONDS
    )
    lasts = [max(got.total for got in all_) for _, all_, _ in rounds]
    owns = [own for own, _, _ in rounds]
    note = f"{median(lasts):.2f} s after {median(owns):.2f} s"
    ratios = [last / own for last, own in zip(lasts, owns, strict=True)]
    yield at_most("  the last one done, against one download", ratios, 1.2, TIMES, note)


def _round(site: Site, both: Fleet) -> tuple[float, list[Got], int]:
    """Seconds of a download without us, what each client got, GETs that upstream saw."""
    body = site.files.body("64", 64 * MIB)
    own = site.direct(site.files.path("64", RATE), body, gather=GATHER).total
    path = site.files.path("64", RATE)
    start = Barrier(CLIENTS)

    def one(number: int) -> Got:
        start.wait()
        return get(both.node(number).port, site.address(path), body, gather=GATHER)

    with ThreadPoolExecutor(CLIENTS) as clients:
        got = list(clients.map(one, range(CLIENTS)))
    eventually(lambda: site.files.asked(path), "upstream's log line", 5)
    return own, got, site.files.asked(path)
