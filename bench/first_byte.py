"""First byte on a MISS, against the first byte of upstream itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.bodies import Body
from bench.client import Got, get
from bench.figures import MILLISECONDS, Figure, Unit, at_most, median
from bench.site import FILES, MIB, SMALL, Layout, Site

LIMIT = 0.020  # seconds
REPEATS = 7  # a round; a first byte is quick to measure
SLOW = 1_000_000  # bytes a second
MISS = "first byte on a MISS"

_NUMBER = Unit(1000, 1, "")


@dataclass(frozen=True, slots=True)
class Pair:
    """One path, direct and through the node."""

    direct: Callable[[], Got]
    cold: Callable[[], Got]

    def late(self) -> float:
        """Seconds that the first byte through the node takes longer."""
        direct = self.direct().first
        return self.cold().first - direct


def measure(site: Site) -> Iterator[Figure]:
    yield compare(f"{MISS}: 10 KiB", site, lambda: file(site, FILES, "small", SMALL))
    yield compare(f"{MISS}: 16 MiB", site, lambda: file(site, FILES, "large", 16 * MIB))
    yield compare(f"{MISS}: 10 KiB, upstream waits 50 ms", site, lambda: _late(site, 50, 0, SMALL))
    yield compare(f"{MISS}: 16 MiB, upstream waits 50 ms", site, lambda: _late(site, 50, 0, 16 * MIB))
    yield compare(f"{MISS}: 512 KiB at 1 MB/s", site, lambda: _late(site, 0, SLOW, MIB // 2), repeats=2)


def file(site: Site, layout: Layout, name: str, size: int) -> Pair:
    """New bytes under that name, where nobody asked for them yet."""
    body = site.files.body(name, size)
    path = layout.path(site.files, name, 0)
    return Pair(lambda: site.direct(path, body), lambda: site.through(path, body, at=layout.repository))


def _late(site: Site, milliseconds: int, rate: int, size: int) -> Pair:
    body = Body(site.files.serial(), size)
    path = f"/{milliseconds}/{rate}/{size}/{body.serial}"
    cold = f"/repository/late{path}"
    return Pair(lambda: get(site.late, path, body), lambda: get(site.node.port, cold, body))


def compare(work: str, site: Site, fresh: Callable[[], Pair], repeats: int = REPEATS) -> Figure:
    """How much later than upstream's own the first bytes come, each time of a `fresh` pair."""
    pairs = (fresh() for _ in range(site.rounds * repeats))
    times = [(pair.direct().first, pair.cold().first) for pair in pairs]
    late = [cold - direct for direct, cold in times]
    own, through = (_NUMBER.write(median(side)) for side in zip(*times, strict=True))
    return at_most(work, late, LIMIT, MILLISECONDS, f"{through} after {own}")
