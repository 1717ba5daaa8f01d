"""`python -m bench.quick`: a part of the comparison in under two minutes, against the figures that are committed.

Only ratios are compared, each within one round: to nginx's plain file (manifests: to docker-registry), to a bare
view, to a direct download. So another machine, or a slower day, is no regression. What is chance is left out: p99 and
a first byte against 0.3 ms, whose ratios differ more within one run than by any regression that is looked for.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from bench import figures, hot_path
from bench.figures import MORE_IS_BETTER, TIMES, Figure, ratios
from bench.peers import compare, install
from bench.peers.cold import FIRST, TOTAL
from bench.peers.product import ALONE, EDGE, NGINX, ORDER, REGISTRY
from bench.site import Site, site

COMMITTED = Path(__file__).with_name("last.json")
ALLOWED = 0.15  # how much worse a ratio may be
ROUNDS = 3
OURS = "ours"  # what our own products' names begin with
CHANCE = "p99"
PROGRAMS = ("wrk", "curl", "nginx", "docker-registry", "skopeo")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One ratio of a run, round by round; `more` where more is better."""

    samples: tuple[float, ...]
    more: bool

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        return max(self.samples) if self.more else min(self.samples)


@dataclass(frozen=True, slots=True)
class Change:
    """One ratio then and now."""

    name: str
    then: Ratio
    now: Ratio

    @property
    def worse(self) -> float:
        """By which share its median got worse; negative where it got better."""
        return self._worse(self.now.median)

    @property
    def regressed(self) -> bool:
        """Its median is much worse, and no round was as good as it was: one bad round alone is chance."""
        return self.worse > ALLOWED and self._worse(self.now.best) > 0

    def _worse(self, now: float) -> float:
        return (self.then.median / now if self.now.more else now / self.then.median) - 1


def changes(then: Sequence[Figure], now: Sequence[Figure]) -> Iterator[Change]:
    """Every ratio that both runs have. Pure."""
    before = _ratios(then)
    for name, found in _ratios(now).items():
        if known := before.get(name):
            yield Change(name, known, found)


def gone(then: Sequence[Figure], now: Sequence[Figure]) -> list[str]:
    """What a run should have measured and did not: what broke off, and committed ratios of the quick works. Pure."""
    broken = [f"{each.work}: {each.measured}" for each in now if each.measured.startswith("broke off")]
    mine = _ratios([each for each in then if _quick(each)])
    return broken + [f"{name}: not measured" for name in mine if name not in _ratios(now)]


def _quick(figure: Figure) -> bool:
    """Whether this is of what is measured here, too."""
    if figure.product:
        return figure.product in (NGINX, REGISTRY, ALONE, EDGE) and figure.work in {*compare.QUICK, TOTAL}
    return figure.work in (hot_path.FILE, hot_path.BLOB)


def _ratios(found: Sequence[Figure]) -> dict[str, Ratio]:
    """By name: of our cells against their row's base, and of lines in x."""
    told: dict[str, Ratio] = {}
    steady = [each for each in found if CHANCE not in each.work and each.work != FIRST]
    cells = {(each.work, each.product): each for each in steady if each.product}
    for (work, product), cell in cells.items():
        base = next((cells[work, name] for name in (NGINX, REGISTRY) if (work, name) in cells), None)
        if product.startswith(OURS) and base and (shares := ratios(cell, base)):
            told[f"{work}: {product} against {base.product}"] = Ratio(tuple(shares), cell.unit in MORE_IS_BETTER)
    for each in steady:
        if not each.product and each.unit == TIMES.name and each.samples and each.good is not None:
            told[each.work] = Ratio(each.samples, each.wanted.startswith(">="))
    return {name: each for name, each in told.items() if min(each.samples) > 0}


_written = TIMES.write


def table(found: Sequence[Change]) -> str:
    """Worst first."""
    ordered = sorted(found, key=lambda change: -change.worse)
    return figures.table(
        Figure(
            each.name,
            f"{_written(each.now.median)}, best {_written(each.now.best)} (was {_written(each.then.median)})",
            f"{ALLOWED:.0%} worse at most",
            not each.regressed,
        )
        for each in ordered
    )


@click.command()
def main() -> None:
    """Exit 1 where a ratio is more than 15 % worse than the committed one, or is there no more."""
    for program in (absent := install.missing()):
        if program in PROGRAMS:
            click.secho(f"!! {program} is not here: apt-get install {absent[program]}", err=True, fg="red")
    with site(ROUNDS) as here:
        now = measured(here)
    click.echo(figures.matrix(now, ORDER))
    if not COMMITTED.exists():
        raise SystemExit("no committed figures to compare with: run make bench")
    then = figures.from_json(COMMITTED.read_text(encoding="utf-8"))
    raise SystemExit(judged(then, now))


def judged(then: Sequence[Figure], now: Sequence[Figure]) -> int:
    """Say what changed; the exit status."""
    found, lost = list(changes(then, now)), gone(then, now)
    click.echo(table(found))
    for each in lost:
        click.secho(f"!! {each}", err=True, fg="red")
    if not found:
        click.secho("!! no ratio is in both runs: run make bench, and keep its figures", err=True, fg="red")
    return int(not found or bool(lost) or any(each.regressed for each in found))


def measured(here: Site) -> list[Figure]:
    """The comparison's quick part, and the hot path against a bare view."""
    found = list(compare.quick(here))
    found += hot_path.measure(replace(here, seconds=here.seconds / 2))
    return found


if __name__ == "__main__":
    main()
