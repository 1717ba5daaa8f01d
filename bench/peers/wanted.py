"""Which ratios between products are wanted (issue 5, "How good"), as lines of the ordinary table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.figures import MILLISECONDS, TIMES, Figure, at_least, at_most, ratios, shown
from bench.peers.cold import FIRST, HERD_GETS, TOTAL
from bench.peers.product import ACNG, ALONE, EDGE, NGINX, REGISTRY, S3_EDGE, TUNED
from bench.peers.small import BY_DIGEST, MANY_KEYS, ONE_KEY


@dataclass(frozen=True, slots=True)
class Wish:
    """`product` against `other` at this work: a ratio, at least or (less is better) at most."""

    work: str
    product: str
    other: str
    limit: float
    upper: bool = False


LARGE = ("HIT 64 MiB", "HIT 1 GiB")
WISHES = (
    Wish(ONE_KEY, EDGE, NGINX, 0.85),
    Wish(ONE_KEY, S3_EDGE, NGINX, 0.85),  # what nginx keeps is the same, whatever is below the node
    Wish(MANY_KEYS, EDGE, NGINX, 0.5),
    Wish(BY_DIGEST, EDGE, REGISTRY, 5),
    *(Wish(work, product, NGINX, 0.9) for work in LARGE for product in (ALONE, EDGE)),
    *(Wish(work, product, ACNG, 1) for work in LARGE for product in (ALONE, EDGE)),
    Wish(ONE_KEY, ALONE, REGISTRY, 3),
    *(Wish(TOTAL, product, NGINX, 1.05, upper=True) for product in (ALONE, EDGE)),
)
LATE = 0.010  # seconds that a first byte may come later than upstream's


def verdicts(found: Sequence[Figure]) -> Iterator[Figure]:
    """A line for each wish whose two cells are there; one that says so for each other."""
    cells = {(each.work, each.product): each for each in found if each.product}
    for wish in WISHES:
        mine, theirs = cells.get((wish.work, wish.product)), cells.get((wish.work, wish.other))
        label = f"{wish.work}: {wish.product} against {wish.other}"
        if mine is None or theirs is None or not ratios(mine, theirs):
            yield Figure(
                label, "not measured", f"{'<=' if wish.upper else '>='} {TIMES.write(wish.limit)}", good=False
            )
            continue
        judged = at_most if wish.upper else at_least
        yield judged(label, ratios(mine, theirs), wish.limit, TIMES, f"{mine.measured}, {theirs.measured}")
    yield from _tuned(cells)
    yield from _late(cells)
    yield from _single(cells)


def _tuned(cells: Mapping[tuple[str, str], Figure]) -> Iterator[Figure]:
    """For information: the issue's limits are against nginx as Debian has it."""
    for work in (ONE_KEY, MANY_KEYS):
        mine, theirs = cells.get((work, EDGE)), cells.get((work, TUNED))
        if mine and theirs and (found := ratios(mine, theirs)):
            yield shown(f"{work}: {EDGE} against {TUNED}", found, TIMES, f"{mine.measured}, {theirs.measured}")


def _late(cells: Mapping[tuple[str, str], Figure]) -> Iterator[Figure]:
    direct = cells.get((FIRST, NGINX))
    for product in (ALONE, EDGE):
        mine = cells.get((FIRST, product))
        if mine and direct:
            late = [one - other for one, other in zip(mine.samples, direct.samples, strict=False)]
            yield at_most(f"{FIRST}: {product} later than direct", late, LATE, MILLISECONDS)


def _single(cells: Mapping[tuple[str, str], Figure]) -> Iterator[Figure]:
    for product in (ALONE, EDGE):
        if mine := cells.get((HERD_GETS, product)):
            found = f"{max(mine.samples):.0f}"
            yield Figure(f"{HERD_GETS}: {product}", found, "exactly 1", set(mine.samples) == {1.0}, mine.samples)
