"""A cold 256 MiB: against the same download without us, and against what one core can hash."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.bodies import Body
from bench.figures import MEGABYTES_A_SECOND, TIMES, Figure, at_least, at_most, median, shown
from bench.site import MIB, Site

SIZE = 256 * MIB
GIGABIT = 125_000_000  # bytes a second
GATHER = 128 * 1024


def measure(site: Site) -> Iterator[Figure]:
    yield _limited(site)
    rounds = [_unlimited(site) for _ in range(site.rounds + 2)]
    cores, writes, colds = zip(*rounds, strict=True)
    ratios = [cold / core for core, _, cold in rounds]
    core, cold = (MEGABYTES_A_SECOND.write(median(side)) for side in (cores, colds))
    note = f"{cold} of {core}, best {TIMES.write(max(ratios))}"
    yield at_least("cold 256 MiB unlimited, against one core's sha256", ratios, 0.4, TIMES, note)
    yield shown("  a plain write of a new file, in the same rounds", writes, MEGABYTES_A_SECOND)


def _limited(site: Site) -> Figure:
    pairs = [(_seconds(site, GIGABIT, cold=False), _seconds(site, GIGABIT, cold=True)) for _ in range(site.rounds)]
    direct, cold = (median(side) for side in zip(*pairs, strict=True))
    note = f"{cold:.2f} s after {direct:.2f} s"
    return at_most("cold 256 MiB at 1 Gbit/s, against direct", [c / d for d, c in pairs], 1.1, TIMES, note)


def _unlimited(site: Site) -> tuple[float, float, float]:
    """Bytes a second: one core's sha256, a plain write of a new file, a cold download into the memory that left."""
    hashed = _hashed()
    written = site.touch_memory(2 * SIZE)
    return SIZE / hashed, 2 * SIZE / written, SIZE / _seconds(site, 0, cold=True)


def _seconds(site: Site, rate: int, *, cold: bool) -> float:
    body = site.files.body("256", SIZE)
    path = site.files.path("256", rate)
    return (site.through if cold else site.direct)(path, body, gather=GATHER).total


def _hashed() -> float:
    """Seconds for as many bytes."""
    begun = time.perf_counter()
    Body(0, SIZE).sha256()
    return time.perf_counter() - begun
