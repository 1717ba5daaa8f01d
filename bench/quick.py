"""`python -m bench.quick`: a part of the comparison in under two minutes, against the figures that are committed.

Only ratios are compared, each within one run: to nginx's plain file (manifests: to docker-registry), to a bare view,
to a direct download. So another machine, or a slower day, is no regression.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from bench import figures, hot_path
from bench.figures import MORE_IS_BETTER, TIMES, Figure, ratios
from bench.peers import compare
from bench.peers.product import NGINX, ORDER, REGISTRY
from bench.site import Site, site

COMMITTED = Path(__file__).with_name("last.json")
ALLOWED = 0.15  # how much worse a ratio may be
ROUNDS = 3
OURS = "ours"  # what our own products' names begin with


@dataclass(frozen=True, slots=True)
class Change:
    """One ratio then and now; `more` where more is better."""

    name: str
    then: float
    now: float
    more: bool

    @property
    def worse(self) -> float:
        """By which share it got worse; negative where it got better."""
        return (self.then / self.now if self.more else self.now / self.then) - 1


def changes(then: Sequence[Figure], now: Sequence[Figure]) -> Iterator[Change]:
    """Every ratio that both runs have. Pure."""
    before = dict(_ratios(then))
    for name, (found, more) in _ratios(now):
        known = before.get(name)
        if known and known[0] > 0 and found > 0:
            yield Change(name, known[0], found, more)


def _ratios(found: Sequence[Figure]) -> Iterator[tuple[str, tuple[float, bool]]]:
    """(name, (median ratio, whether more is better)) of our cells against their row's base, and of lines in x."""
    cells = {(each.work, each.product): each for each in found if each.product}
    for (work, product), cell in cells.items():
        base = next((cells[work, name] for name in (NGINX, REGISTRY) if (work, name) in cells), None)
        if product.startswith(OURS) and base and (shares := ratios(cell, base)):
            yield f"{work}: {product} against {base.product}", (_median(shares), cell.unit in MORE_IS_BETTER)
    for each in found:
        if not each.product and each.unit == TIMES.name and each.samples and each.good is not None:
            yield each.work, (_median(each.samples), each.wanted.startswith(">="))


_median = statistics.median


def table(found: Sequence[Change]) -> str:
    """Worst first."""
    ordered = sorted(found, key=lambda change: -change.worse)
    return figures.table(
        Figure(
            each.name,
            f"{TIMES.write(each.now)} (was {TIMES.write(each.then)})",
            "-15 % at most",
            each.worse <= ALLOWED,
        )
        for each in ordered
    )


@click.command()
def main() -> None:
    """Exit 1 where a ratio is more than 15 % worse than the committed one."""
    with site(ROUNDS) as here:
        now = measured(here)
    click.echo(figures.matrix(now, ORDER))
    if not COMMITTED.exists():
        raise SystemExit("no committed figures to compare with: run make bench")
    then = figures.from_json(COMMITTED.read_text(encoding="utf-8"))
    found = list(changes(then, now))
    click.echo(table(found))
    if not found:
        raise SystemExit("no ratio is in both runs: run make bench, and keep its figures")
    raise SystemExit(any(each.worse > ALLOWED for each in found))


def measured(here: Site) -> list[Figure]:
    """The comparison's quick part, and the hot path against a bare view."""
    found = list(compare.quick(here))
    found += hot_path.measure(replace(here, rounds=1))
    return found


if __name__ == "__main__":
    main()
