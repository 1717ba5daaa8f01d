"""A repository of 20,000 packages is republished: how long until its new set is switched, and who waits meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from bench import first_byte, hits, memory
from bench.client import WrongAnswer, get
from bench.figures import MILLISECONDS, Figure, Unit, at_most, percentile, shown
from bench.load import Load, load
from bench.packages import COUNT, Packages
from bench.site import BRIEF, FILES, MIB, SMALL, Site

EVERY = 0.05  # seconds between two looks at repomd.xml, and between two cold files
LONGEST = 60.0  # seconds that a switch may take
AFTER = 2  # seconds, at least, that others are watched: what the set lists is recorded when clients have it
LATE = BRIEF + 0.2
WORK = f"a new set of {COUNT} packages"

_SECONDS = Unit(1, 2, " s")
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class _Repository:
    """The generated repository, where nginx and where the node have it."""

    site: Site
    packages: Packages
    address: str

    def root(self) -> bytes:
        status, body = self.site.node.get(f"{self.address}repomd.xml")
        if status != 200:
            raise WrongAnswer(f"repomd.xml: {status} {body[:200]!r}")
        return body

    def members(self) -> set[str]:
        """Get every file that the newest edition names; their X-Cache."""
        port, found = self.site.node.port, self.packages.members
        return {get(port, self.address + name, self.packages.text(name)).cache for name in found}

    def switched(self, repomd: bytes) -> float:
        """Seconds from the first request after the expiry until `repomd` is what clients get."""
        begun = time.perf_counter()
        while self.root() != repomd:
            if time.perf_counter() - begun > LONGEST:
                raise WrongAnswer(f"the old set is still there after {LONGEST:.0f} s")
            time.sleep(EVERY)
        return time.perf_counter() - begun

    def republished(self, meanwhile: Callable[[Callable[[], bool]], _Found]) -> tuple[float, _Found]:
        """Publish, wait for the expiry; the seconds of the switch and what came of `meanwhile(over)` beside it.

        Raises WrongAnswer where what was switched to was not stored by then: that would have been no set.
        """
        repomd = self.packages.publish()
        time.sleep(LATE)
        with ThreadPoolExecutor(1) as pool:
            switching = pool.submit(self.switched, repomd)
            end = time.perf_counter() + AFTER
            found = meanwhile(lambda: switching.done() and time.perf_counter() > end)
            seconds = switching.result()
        if (states := self.members()) != {"HIT"}:
            raise WrongAnswer(f"the new set was not whole when it was switched: {', '.join(sorted(states))}")
        return seconds, found


@dataclass(frozen=True, slots=True)
class _Round:
    """Seconds of a switch alone; beside hits, with these when idle and then; how late a MISS began beside another."""

    quiet: float
    loaded: float
    idle: Load
    busy: Load
    late: list[float]


def measure(site: Site) -> Iterator[Figure]:
    repository, hit = _stored(site), _hit(site)
    memory.start_anew(site.node)
    with memory.watched(site.node) as peaks:
        rounds = [_round(repository, hit) for _ in range(site.rounds)]
    note = f"primary of {repository.packages.size / MIB:.0f} MiB"
    yield shown(f"{WORK}: expiry until switched", [each.quiet for each in rounds], _SECONDS, note)
    yield shown("  beside hits", [each.loaded for each in rounds], _SECONDS)
    yield from hits.beside("hits beside that", [(each.idle, each.busy) for each in rounds])
    late = [seconds for each in rounds for seconds in each.late]
    note = f"of {len(late)} one in ten above {MILLISECONDS.write(percentile(late, 0.9))}"
    yield at_most(f"{first_byte.MISS} beside that: 10 KiB", late, first_byte.LIMIT, MILLISECONDS, note)
    yield from memory.highest(site.node, peaks, WORK, ("fills", "a worker"))


def _stored(site: Site) -> _Repository:
    """A first edition, of which every file is stored: what a fleet of dnf leaves."""
    name = str(site.files.serial())
    packages = Packages(site.files.here / "sets" / name)
    repository = _Repository(site, packages, f"/repository/packages/{name}/repodata/")
    packages.publish()
    repository.root()
    repository.members()
    return repository


def _hit(site: Site) -> str:
    path = site.files.path("hit")
    site.through(path, site.files.body("hit", SMALL))
    return site.address(path)


def _round(repository: _Repository, hit: str) -> _Round:
    site = repository.site
    quiet, _ = repository.republished(lambda over: None)
    lasting = max(int(quiet), AFTER)
    idle = load(site.node.port, hit, lasting)
    loaded, busy = repository.republished(lambda over: load(site.node.port, hit, lasting))
    _, late = repository.republished(lambda over: _lateness(site, over))
    return _Round(quiet, loaded, idle, busy, late)


def _lateness(site: Site, over: Callable[[], bool]) -> list[float]:
    """How much later than upstream's own the first bytes of cold files come."""
    found = []
    while not over():
        pair = first_byte.file(site, FILES, "small", SMALL)
        found.append(pair.late())
        time.sleep(EVERY)
    return found
