"""What stored things cost, for information: small hits a second, a large one against nginx itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.figures import MEGABYTES_A_SECOND, TIMES, WHOLE, Figure, Unit, at_least, at_most, median, shown
from bench.load import Load, load
from bench.site import MIB, SMALL, WORKERS, Site

SECONDS = 4.0
LARGE = 64 * MIB
REPEATS = 5
_SHARE = Unit(100, 0, " %")


def measure(site: Site) -> Iterator[Figure]:
    body = site.files.body("hit", SMALL)
    path = site.files.path("hit")
    site.through(path, body)
    yield from rates(site, {"10 KiB": site.address(path)}, SECONDS)
    yield _large(site)


def rates(site: Site, addresses: Mapping[str, str], seconds: float, repeats: int = 1) -> Iterator[Figure]:
    """Hits a second of each of these stored things, in turn, and against the first of them."""
    times, port = range(site.rounds * repeats), site.node.port
    rounds = [[load(port, each, seconds) for each in addresses.values()] for _ in times]
    first, *_ = columns = list(zip(*rounds, strict=True))
    for name, found in zip(addresses, columns, strict=True):
        shares = [each.rate / other.rate for each, other in zip(found, first, strict=True)]
        share = f", {TIMES.write(median(shares))} of the first" if found is not first else ""
        work = f"HIT {name}, {WORKERS} workers: requests a second"
        yield shown(work, [each.rate for each in found], WHOLE, _tail(found) + share)


def beside(work: str, rounds: Sequence[tuple[Load, Load]]) -> Iterator[Figure]:
    """What the same load kept of its idle figures beside other work: (idle, busy) of each round."""
    rates = [busy.rate / idle.rate for idle, busy in rounds]
    note = " ".join(f"{busy.rate:.0f}/{idle.rate:.0f}" for idle, busy in rounds)
    yield at_least(f"{work}: rate against idle", rates, 0.5, TIMES, f"{note} a second")
    tails = [busy.p99 / idle.p99 for idle, busy in rounds]
    note = " ".join(f"{busy.p99 * 1000:.1f}/{idle.p99 * 1000:.1f}" for idle, busy in rounds)
    yield at_most("  p99 against idle", tails, 3.0, TIMES, f"{note} ms")
    errors = [float(idle.errors + busy.errors) for idle, busy in rounds]
    yield Figure("  errors", f"{sum(errors):.0f}", "0", not any(errors), tuple(errors))


def _tail(found: Sequence[Load]) -> str:
    return f"p99 {median([each.p99 for each in found]) * 1000:.1f} ms, {sum(each.errors for each in found)} errors"


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
