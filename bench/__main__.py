"""`python -m bench`: run the items, print two tables, keep the figures in last.json; a shortfall is no failure."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import click

from bench import (
    charts,
    entries,
    figures,
    first_byte,
    fleet_herd,
    herd,
    hits,
    hosted_rpm,
    hot_path,
    images,
    memory,
    mixed,
    patience,
    picture,
    published,
    s3,
    sets,
    streams,
    throughput,
)
from bench.figures import Figure
from bench.peers import compare
from bench.peers.product import ORDER
from bench.site import Site, site

ITEMS: dict[str, Callable[[Site], Iterable[Figure]]] = {
    "peers": compare.measure,
    "first-byte": first_byte.measure,
    "throughput": throughput.measure,
    "herd": herd.measure,
    "mixed": mixed.measure,
    "hits": hits.measure,
    "hot-path": hot_path.measure,
    "memory": memory.measure,
    "images": images.measure,
    "sets": sets.measure,
    "s3": s3.measure,
    "fleet-herd": fleet_herd.measure,
    "streams": streams.measure,
    "entries": entries.measure,
    "hosted-rpm": hosted_rpm.measure,
    "published": published.measure,
    "charts": charts.measure,
    "patience": patience.measure,
}
BESIDE = "patience"  # waits rather than works, so it runs beside the others
REPEATED = ("herd", "mixed", "hits", "images")  # what peers, fleet-herd and streams measure in another way
LAST = Path(__file__).with_name("last.json")
PICTURE = LAST.with_suffix(".svg")


@click.command()
@click.option("--only", "names", multiple=True, type=click.Choice(list(ITEMS)), help="This item; may be repeated.")
@click.option("--all", "every", is_flag=True, help=f"Also what other items repeat: {', '.join(REPEATED)}.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 50), help="Repetitions.")
@click.option(
    "--seconds", default=1, show_default=True, type=click.IntRange(1, 60), help="Of load, for each product."
)
@click.option("--save/--no-save", default=None, help="Keep last.json and last.svg; by default where all was run.")
def main(names: Sequence[str], every: bool, rounds: int, seconds: int, save: bool | None) -> None:
    """Measure a real node of four workers on loopback; ratios within this run, medians over the rounds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that what was started is stopped
    chosen = selected(names, every=every)
    found = [_machine()]
    with site(rounds, seconds) as here, ThreadPoolExecutor(1) as pool:
        beside = pool.submit(_item, BESIDE, here) if BESIDE in chosen else None
        found += [figure for name in chosen if name != BESIDE for figure in _item(name, here)]
        found += _joined(beside)
    _tell(found)
    if save or (save is None and not names):
        _keep(found)


def selected(names: Sequence[str], *, every: bool) -> list[str]:
    """The items to run, in their order: those that are named, else what a quarter of an hour is enough for."""
    return [name for name in ITEMS if (name in names if names else every or name not in REPEATED)]


def _tell(found: Sequence[Figure]) -> None:
    click.echo(f"{comparison}\n" if (comparison := figures.matrix(found, ORDER)) else "", nl=False)
    click.echo(figures.table(found))


def _keep(found: Sequence[Figure]) -> None:
    LAST.write_text(figures.as_json(found), encoding="utf-8")
    if drawn := picture.drawn(found):
        PICTURE.write_text(drawn, encoding="utf-8")


def _machine() -> Figure:
    """How much of it is left for us: a figure taken beside other work is worth less."""
    cores = os.cpu_count() or 1
    before, begun = _idle(), time.monotonic()
    time.sleep(2)
    busy = 1 - (_idle() - before) / (time.monotonic() - begun) / cores
    return Figure("the machine before this run", f"{cores} cores, {max(busy, 0) * 100:.0f} % busy", samples=(busy,))


def _idle() -> float:
    """Seconds that all cores together had nothing to do since boot (proc(5))."""
    return float(Path("/proc/uptime").read_text(encoding="ascii").split()[1])


def _joined(beside: Future[list[Figure]] | None) -> list[Figure]:
    return beside.result() if beside else []


def _item(name: str, here: Site) -> list[Figure]:
    """One item's figures; one that breaks off is a line of the table, too."""
    click.echo(f"measuring {name}", err=True)
    found, begun = list[Figure](), time.monotonic()
    try:
        found.extend(ITEMS[name](here))
    except Exception as error:
        found.append(Figure(name, f"broke off: {error}", "an answer", good=False))
    click.echo(f"{name} took {time.monotonic() - begun:.0f} s", err=True)
    return found


if __name__ == "__main__":
    main()
