"""First byte on a MISS, against the first byte of upstream itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.bodies import Body
from bench.client import Got, get
from bench.figures import MILLISECONDS, Figure, Unit, at_most, median
from bench.site import MIB, SMALL, Site

LIMIT = 0.020  # seconds
REPEATS = 7  # a round; a first byte is quick to measure
SLOW = 1_000_000  # bytes a second

_NUMBER = Unit(1000, 1, "")


@dataclass(frozen=True, slots=True)
class _Pair:
    """One path, direct and through the node."""

    direct: Callable[[], Got]
    cold: Callable[[], Got]


def measure(site: Site) -> Iterator[Figure]:
    small, large = site.files.body("small", SMALL), site.files.body("large", 16 * MIB)
    yield _compare("10 KiB", site, lambda: _file(site, "small", small))
    yield _compare("16 MiB", site, lambda: _file(site, "large", large))
    yield _compare("10 KiB, upstream waits 50 ms", site, lambda: _late(site, 50, 0, SMALL))
    yield _compare("16 MiB, upstream waits 50 ms", site, lambda: _late(site, 50, 0, 16 * MIB))
    yield _compare("512 KiB at 1 MB/s", site, lambda: _late(site, 0, SLOW, MIB // 2), repeats=2)


def _file(site: Site, name: str, body: Body) -> _Pair:
    path = site.files.path(name)
    return _Pair(lambda: site.direct(path, body), lambda: site.through(path, body))


def _late(site: Site, milliseconds: int, rate: int, size: int) -> _Pair:
    body = Body(site.files.serial(), size)
    path = f"/{milliseconds}/{rate}/{size}/{body.serial}"
    cold = f"/repository/late{path}"
    return _Pair(lambda: get(site.late, path, body), lambda: get(site.node.port, cold, body))


def _compare(work: str, site: Site, fresh: Callable[[], _Pair], repeats: int = REPEATS) -> Figure:
    pairs = [fresh() for _ in range(site.rounds * repeats)]
    times = [(pair.direct().first, pair.cold().first) for pair in pairs]
    late = [cold - direct for direct, cold in times]
    own, through = (_NUMBER.write(median(side)) for side in zip(*times, strict=True))
    return at_most(f"first byte on a MISS: {work}", late, LIMIT, MILLISECONDS, f"{through} after {own}")
