"""The whole comparison: start what is here, do all the work, say what is wanted of it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from bench.figures import Figure
from bench.peers import acng, cold, costs, install, large, ours, plain, pulls, registry, small, stock, wanted
from bench.peers.product import ACNG, REGISTRY, Product
from bench.peers.rounds import Work, interleaved
from bench.peers.stock import Stock
from bench.site import Site

QUICK = {small.ONE_KEY, small.MANY_KEYS, small.BY_DIGEST, "HIT 64 MiB", cold.FIRST}  # works by their first rows


@dataclass(frozen=True, slots=True)
class Field:
    """Everybody who is here, and what they serve."""

    products: tuple[Product, ...]
    stock: Stock
    work: Path
    tuned: tuple[Product, ...] = ()  # nginx with our settings, beside them


def measure(site: Site) -> Iterator[Figure]:
    """Every product in every round; then memory, and starts (last: they end what is warm)."""
    yield from _absent()
    with field(site) as here:
        found = list(interleaved(list(_works(here, site.seconds)), site.rounds))
        found += costs.memory(here.products)
        found += interleaved(list(costs.starts(here.products, here.stock)), site.rounds)
    yield from found
    yield from wanted.verdicts(found)


def _works(here: Field, seconds: float) -> Iterator[Work]:
    yield from small.hits(here.products, here.stock, seconds, here.tuned)
    yield from large.hits(here.products, here.stock)
    yield from cold.misses(here.products, here.stock)
    yield from cold.herds(here.products, here.stock)
    yield from pulls.skopeo(here.products, here.stock, here.work)
    yield from pulls.dnf(here.products, here.stock, here.work)


def _absent() -> Iterator[Figure]:
    for program, package in install.install().items():
        told = f"{program} is not here: apt-get install {package}"
        click.secho(f"!! {told}; what needs it is left out", err=True, fg="red")
        yield Figure(f"peers: {program}", told, "installed", good=False)


@contextlib.contextmanager
def field(site: Site, *, quick: bool = False) -> Iterator[Field]:
    """Start all that is installed, one after the other; stop all of it and remove what it stored after.

    `quick`: without apt-cacher-ng, S3, 1 GiB and nginx with our settings.
    """
    work = site.node.directory.parent / "peers"
    work.mkdir()
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, work, ignore_errors=True)
        nginx = install.program("nginx") or "nginx"
        origin = _origin(ends, nginx, work)
        stocked = stock.stocked(site.files, origin, [size for size in stock.SIZES if not quick or size != "1 GiB"])
        root = site.files.here
        products = [ends.enter_context(plain.serving(nginx, work / "plain", root))]
        tuned = [] if quick else [ends.enter_context(plain.serving(nginx, work / "tuned", root, tuned=True))]
        products += _peers(ends, _able(site, origin, work, quick))
        front = origin.front if origin else None
        products += ends.enter_context(ours.serving(nginx, work / "ours", site.files.port, front))
        if not quick:
            products += ends.enter_context(ours.on_s3(nginx, work / "s3", site.files.port))
        yield Field(tuple(products), stocked, work, tuple(tuned))


def _origin(ends: contextlib.ExitStack, nginx: str, work: Path) -> registry.Origin | None:
    program, skopeo = install.program("docker-registry"), install.program("skopeo")
    if program and skopeo:
        return ends.enter_context(registry.origin(program, nginx, skopeo, work / "origin"))
    return None


Peer = tuple[str, contextlib.AbstractContextManager[Product]]


def _able(site: Site, origin: registry.Origin | None, work: Path, quick: bool) -> Iterator[Peer]:
    """The peers that are installed."""
    if origin and (program := install.program("docker-registry")):
        yield REGISTRY, registry.serving(program, work / "registry", origin.front)
    if not quick and (program := install.program("apt-cacher-ng")):
        yield ACNG, acng.serving(program, work / "acng", site.files.port)


def _peers(ends: contextlib.ExitStack, able: Iterator[Peer]) -> Iterator[Product]:
    """A peer that does not start is a line on stderr and no column."""
    for name, serving in able:
        try:
            yield ends.enter_context(serving)
        except (OSError, subprocess.SubprocessError) as error:
            click.secho(f"!! {name} does not start: {error}", err=True, fg="red")


def quick(site: Site) -> Iterator[Figure]:
    """Small hits and 64 MiB of nginx, docker-registry and ours, on the filesystem alone."""
    with field(site, quick=True) as here:
        works = [
            *small.hits(here.products, here.stock, site.seconds),
            *large.hits(here.products, here.stock),
            *cold.misses(here.products, here.stock),
        ]
        yield from interleaved([_compared(work) for work in works if work.rows[0].work in QUICK], site.rounds)


def _compared(work: Work) -> Work:
    """Without docker-registry where nginx is what is compared with: a quick run is to be short."""
    if work.rows[0].work == small.BY_DIGEST:
        return work
    return replace(work, turns=tuple(turn for turn in work.turns if turn.product != REGISTRY))
