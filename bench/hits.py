"""What stored things cost, for information: small hits a second, a large one against nginx itself."""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import MEGABYTES_A_SECOND, WHOLE, Figure, Unit, median, shown
from bench.load import load
from bench.site import MIB, SMALL, WORKERS, Site

SECONDS = 4.0
LARGE = 64 * MIB
REPEATS = 5
_SHARE = Unit(100, 0, " %")


def measure(site: Site) -> Iterator[Figure]:
    body = site.files.body("hit", SMALL)
    path = site.files.path("hit")
    site.through(path, body)
    found = [load(site.node.port, f"/repository/files{path}", SECONDS) for _ in range(site.rounds)]
    note = f"p99 {median([each.p99 for each in found]) * 1000:.1f} ms, {sum(each.errors for each in found)} errors"
    yield shown(f"HIT 10 KiB, {WORKERS} workers: requests a second", [each.rate for each in found], WHOLE, note)
    yield _large(site)


def _large(site: Site) -> Figure:
    body = site.files.body("64", LARGE)
    path = site.files.path("64")
    site.through(path, body)
    times = [(site.direct(path, body).total, site.through(path, body).total) for _ in range(site.rounds * REPEATS)]
    own, hit = (MEGABYTES_A_SECOND.write(LARGE / median(side)) for side in zip(*times, strict=True))
    note = f"{hit} of {own}"
    return shown(
        "HIT 64 MiB: rate against nginx itself", [direct / through for direct, through in times], _SHARE, note
    )
