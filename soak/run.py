"""One soak run from its beginning to its report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from soak.chaos import LONG_RUN, Chaos, Health, plans
from soak.client import Request, ask
from soak.judge import UNFORGIVABLE, Ledger, judged_hosted
from soak.load import Client, Doors
from soak.site import Site, site
from soak.watch import KEPT, LIMIT, Watch

RECOVERY = 30.0  # seconds in which every node is healthy after the last fault


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found; `outages` is the longest per door, in seconds, and when it ended."""

    seed: str
    nodes: int
    seconds: float
    ledger: Ledger
    faults: dict[str, int]
    outages: tuple[tuple[float, float], ...]
    recovered: bool

    @property
    def verdicts(self) -> list[tuple[str, str, bool]]:
        """(what, found, whether that is good enough)."""
        rows = [(outcome.lower(), str(number := self.ledger.total(outcome)), not number) for outcome in UNFORGIVABLE]
        for number, (longest, at) in enumerate(self.outages):
            told = f"{longest:.1f} s (until {at:.0f} s)"
            door = f"node {number}" if number < self.nodes else "nginx"
            rows.append((f"longest without a hit of what is reachable, {door}", told, longest <= LIMIT))
        return [*rows, ("all nodes healthy after the last fault", str(self.recovered), self.recovered)]

    @property
    def good(self) -> bool:
        return all(good for _, _, good in self.verdicts)

    def table(self) -> str:
        """Every count, as text."""
        kinds = sorted({kind for kind, _ in self.ledger.counts})
        lines = [f"seed {self.seed}, {self.seconds:.0f} s, {self.ledger.counts.total()} requests", ""]
        for kind in kinds:
            told = sorted((outcome, n) for (of, outcome), n in self.ledger.counts.items() if of == kind)
            lines.append(f"{kind:<14} " + "  ".join(f"{outcome} {number}" for outcome, number in told))
        lines += ["", "faults: " + ", ".join(f"{name} {n}" for name, n in sorted(self.faults.items())), ""]
        lines += [f"{what:<62} {found:<22} {'ok' if ok else 'FALLS SHORT'}" for what, found, ok in self.verdicts]
        lines += ["", f"{len(self.ledger.hosted)} hosted files, every one read back at the end"]
        return "\n".join([*lines, *self.ledger.complaints])


def run(duration: float, seed: str, nodes: int, clients: int, say: Callable[[str], None]) -> Report:
    """Call it from the main thread. `duration` is in seconds."""
    say(f"seed {seed} (SEED={seed} repeats its order of faults)")
    with site(nodes) as here:
        return _run(here, duration, seed, clients, say)


def _run(here: Site, duration: float, seed: str, clients: int, say: Callable[[str], None]) -> Report:
    ledger, over, begun = Ledger(time.time()), threading.Event(), time.monotonic()
    _warm(here)
    health = Health(here)
    order = plans(seed, len(here.nodes), long=duration >= LONG_RUN)
    chaos = Chaos(here, health, order, lambda what: say(f"{time.monotonic() - begun:6.1f} s  {what}"))
    doors = Doors(here.doors[-1:] if here.front else here.doors, here.token)
    crowd: list[threading.Thread] = [Client(f"{seed} {number}", doors, ledger, over) for number in range(clients)]
    for each in crowd:
        each.start()
    watches = [Watch(number, port, health, ledger) for number, port in enumerate(here.doors)]
    for watch in watches:
        crowd += watch.start(over)
    try:
        while time.monotonic() - begun < duration:
            chaos.tick()
            time.sleep(0.05)
    finally:
        chaos.calm()
        recovered = _recovered(here)
        over.set()
        for each in crowd:
            each.join()
    _read_back(here, ledger)
    outages = tuple((watch.longest, watch.ended_at) for watch in watches)
    return Report(seed, len(here.nodes), duration, ledger, chaos.counts, outages, recovered)


def _warm(here: Site) -> None:
    """Have what is watched stored, and remembered."""
    for number in range(KEPT):
        path = f"/repository/kept/kept/{number}"
        deadline = time.monotonic() + 30
        while ask(Request(here.nodes[0].port, path)).cache != "HIT" and time.monotonic() < deadline:
            time.sleep(0.05)


def _recovered(here: Site) -> bool:
    deadline = time.monotonic() + RECOVERY
    while time.monotonic() < deadline:
        if all(ask(Request(node.port, "/health", limit=5)).status == 200 for node in here.nodes):
            return True
        time.sleep(0.2)
    return False


def _read_back(here: Site, ledger: Ledger) -> None:
    """An upload that was answered 201 is there ever after, on every node."""
    for number, path in enumerate(ledger.hosted):
        port = here.nodes[number % len(here.nodes)].port
        answer = ask(Request(port, f"/repository/team{path}", limit=10))
        outcome = judged_hosted(path, answer)
        ledger.count("read back", outcome if answer.status == 200 and answer.whole else "LOST", path, answer)
