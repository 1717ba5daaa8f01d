"""What goes wrong in a soak run, in an order that a seed decides, and what of the site is well meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from app.supervisor.embedded import Server
from app.supervisor.processes import StartError
from soak.client import Request, ask
from soak.site import Site
from tests.fleet.fleet import destroy
from tests.stack import READY, Stack

LEAST, MOST = 1.0, 9.0  # seconds that a fault lasts
LONG_RUN, LONG = 300.0, (20.0, 60.0)  # a run of so many seconds has faults of a store that last for so many
PAUSE = 4.0  # seconds between two faults' beginnings, on average
AT_ONCE = 2  # faults
STORES, OF_SERVERS = ("redis", "postgres", "s3"), ("frozen", "killed")
SERVERS, OF_STORES = (*STORES, "upstream"), (*OF_SERVERS * 4, "frozen-long", "killed-long")
OF_NODES = (
    *("worker-frozen", "worker-killed", "gunicorn-killed", "fills-frozen", "fills-killed"),
    *("frozen", "killed", "restarted"),
)
SETTLED = 4.0  # seconds of Redis and Postgres together after which Redis has the kept objects again


class Health:
    """Since when what a hit needs has been there: read by the watching threads, written by the main one."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.ill: set[str] = set()  # servers, and nodes as "node 0"
        self._warm = True  # whether Redis knows all that is asked for
        self._both: float | None = time.monotonic()
        self.since: list[float | None] = [time.monotonic()] * (len(site.nodes) + 1)  # the last one: of any node

    def look(self) -> None:
        """Bring `since` up to date."""
        now = time.monotonic()
        both = not self.ill & {"redis", "postgres"}
        self._both = (self._both or now) if both else None
        self._warm = self._warm or (self._both is not None and now - self._both > SETTLED)
        index = "postgres" not in self.ill or ("redis" not in self.ill and self._warm)
        well = [f"node {number}" not in self.ill for number in range(len(self._site.nodes))]
        for number, there in enumerate([*well, any(well)]):
            reachable = there and index and "s3" not in self.ill
            self.since[number] = (self.since[number] or now) if reachable else None

    def forgot(self) -> None:
        """Redis lost what it had."""
        self._warm, self._both = False, None


@dataclass(slots=True)
class Fault:
    """Begun already; `ill` names what it takes away, `end` mends it; `over()` says when all is as before."""

    name: str
    until: float
    end: Callable[[], None]
    ill: frozenset[str] = frozenset()
    over: Callable[[], bool] = lambda: True
    ended: bool = False
    mends_itself: bool = False

    def mended(self) -> bool:
        """Whether what it took away is there again."""
        return (self.ended or self.mends_itself) and self.over()


@dataclass(frozen=True, slots=True)
class Plan:
    """One fault to come: seconds after the one before it, what it hits, how, and for how many seconds."""

    pause: float
    target: str
    how: str
    lasts: float


def plans(seed: str, nodes: int, long: bool = False) -> Iterator[Plan]:
    """Without end, and the same for the same seed, whatever the run makes of them; `long`: with such faults, too."""
    chance = random.Random(f"chaos {seed}")
    machines = [f"node {number}" for number in range(nodes)]
    while True:
        target = chance.choice([*SERVERS, *machines])
        of_servers = OF_STORES if long and target in STORES else OF_SERVERS
        how = chance.choice(OF_NODES if target in machines else of_servers)
        lasts = LONG if how.endswith("-long") else (LEAST, MOST)
        yield Plan(chance.uniform(0, 2 * PAUSE), target, how, chance.uniform(*lasts))


class Chaos:
    """Up to AT_ONCE faults at a time; call tick() often, from the main thread."""

    def __init__(self, site: Site, health: Health, order: Iterator[Plan], say: Callable[[str], None]) -> None:
        self._site, self._health, self._say = site, health, say
        self._plans = order
        self._plan = next(self._plans)
        self._last = time.monotonic()
        self._active: list[Fault] = []
        self.counts: dict[str, int] = {}

    def tick(self) -> None:
        now = time.monotonic()
        self._mend(now)
        if now >= self._last + self._plan.pause and self._free():
            self._begin(now, self._plan)
            self._last, self._plan = now, next(self._plans)
        self._update()

    def _free(self) -> bool:
        """Nothing is hit twice at a time, and one node at a time is enough."""
        taken = {fault.name.rpartition(" ")[0] for fault in self._active}
        target = self._plan.target
        other = target.startswith("node") and any(each.startswith("node") for each in taken)
        return len(self._active) < AT_ONCE and target not in taken and not other

    def calm(self, seconds: float = 120.0) -> None:
        """End everything; return when all is as before, or after so many seconds."""
        deadline = time.monotonic() + seconds
        while self._active and time.monotonic() < deadline:
            self._mend(float("inf"))
            self._update()
            time.sleep(0.05)

    def _mend(self, now: float) -> None:
        for fault in self._active:
            if not fault.ended and now >= fault.until:
                fault.end()
                fault.ended = True
        self._active = [fault for fault in self._active if not (fault.ended and fault.mended())]

    def _update(self) -> None:
        self._health.ill = {name for fault in self._active if not fault.mended() for name in fault.ill}
        self._health.look()

    def _begin(self, now: float, plan: Plan) -> None:
        until = now + plan.lasts
        begin = self._node if plan.target.startswith("node") else self._server
        fault = begin(plan.target, plan.how, until)
        self._active.append(fault)
        self.counts[fault.name] = self.counts.get(fault.name, 0) + 1
        self._say(f"{fault.name}, {plan.lasts:.1f} s")

    def _server(self, name: str, how: str, until: float) -> Fault:
        server = self._site.servers[name]
        title = f"{name} {how}"
        if how.startswith("frozen"):
            return self._frozen(title, until, lambda: self._site.pids(name), frozenset({name}))
        server.process.signal(signal.SIGKILL)
        server.process.bury()
        if name == "redis":
            self._health.forgot()
        return Fault(title, until, server.start, frozenset({name}), lambda: _ready(server))

    def _node(self, name: str, how: str, until: float) -> Fault:
        node = self._site.nodes[int(name.split(" ")[1])]
        title, ill = f"{name} {how}", frozenset({name})
        if how in ("killed", "restarted"):
            destroy(node) if how == "killed" else _ask_to_stop(node)
            return Fault(title, until, lambda: _launch(node), ill, lambda: READY in node.log())
        if how == "frozen":
            return self._frozen(title, until, node.running, ill)
        part, _, what = how.partition("-")
        pids = node.workers()[:1] if part == "worker" else [node.pids()[part]]
        if what == "frozen":
            return self._frozen(title, until, lambda: pids, ill if part == "fills" else frozenset())
        before = node.pids()[part] if part == "fills" else 0
        _send(pids, signal.SIGKILL)
        if part == "worker":
            return Fault(title, until, lambda: None)
        over = (lambda: node.pids().get(part, before) != before) if before else (lambda: _lives(node))
        return Fault(
            title, until, lambda: None, ill, over, mends_itself=True
        )  # its supervisor starts it again meanwhile

    def _frozen(self, name: str, until: float, pids: Callable[[], list[int]], ill: frozenset[str]) -> Fault:
        """Twice over, for what was forked while it was being stopped."""
        stopped: set[int] = set()
        for _ in range(2):
            found = set(pids()) - stopped
            _send(found, signal.SIGSTOP)
            stopped |= found
        return Fault(name, until, lambda: _send(stopped, signal.SIGCONT), ill)


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _ready(server: Server) -> bool:
    """One that does not come up again is started once more."""
    try:
        return server.ready()
    except StartError:
        server.start()
        return False


def _lives(node: Stack) -> bool:
    return ask(Request(node.port, "/health/live", limit=0.5)).status == 200


def _ask_to_stop(node: Stack) -> None:
    if node.process is not None:
        node.process.signal(signal.SIGTERM)


def _launch(node: Stack) -> None:
    """Start it again; one that still takes its leave is waited for."""
    if node.process is not None:
        node.process.stop(60)
        node.process = None
    node.launch()
