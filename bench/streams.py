"""Hits while a hundred cold streams run behind the shipped nginx.conf: what hits keep, and what a stream costs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.bodies import Body
from bench.client import get
from bench.edge import ACCEL, edge
from bench.figures import TIMES, Figure, Unit, at_least, at_most, median, shown
from bench.load import Load, load
from bench.site import ROOT, SMALL, WORKERS, Site
from tests.stack import Stack, eventually

STREAMS = 100
RATE = 2_000_000  # bytes a second, each
SECONDS = 4.0  # of load; the streams begin before and end after it
MARGIN = 5.0  # seconds that the streams run longer than the load
GATHER = 256 * 1024
SIZE = int(RATE * (SECONDS + MARGIN))
NICE = 19  # of who reads the streams: in life that is other machines' work
TICKS = os.sysconf("SC_CLK_TCK")

MEGABYTES = Unit(1e-6, 2, " MB/s")
SECONDS_EACH = Unit(1, 2, " s")
_READER = "import sys; from bench.streams import read; read(*sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one process: seconds of a core, and how often it was switched to."""

    cpu: float
    switches: int

    @classmethod
    def of(cls, pid: int) -> _Cost:
        """proc(5): utime and stime are the fields 14 and 15 of stat, and each thread has its own status."""
        spent = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()[11:13]
        found = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # it ended meanwhile
                lines = (task / "status").read_text(encoding="ascii").splitlines()
                found += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        return cls(sum(map(int, spent)) / TICKS, found)


@dataclass(frozen=True, slots=True)
class _Round:
    """The same load without and with streams, seconds of each stream, and what the fills process did meanwhile."""

    idle: Load
    busy: Load
    streams: list[float]
    carried: float  # bytes, while the load ran
    cpu: float  # seconds
    switches: float  # a second


def measure(site: Site) -> Iterator[Figure]:
    with _node(site) as node, edge(_program(), node.directory / "edge", node) as front:
        rounds = [_round(site, node, front.port, front.port) for _ in range(site.rounds)]
        through = [_round(site, node, front.port, node.port)]  # for information
    yield from _figures(f"{STREAMS} cold streams of 2 MB/s, edge: hits", rounds, 0.8, 2.0)
    yield from _figures("  hits of the node itself", through)
    cost = [each.cpu / each.carried * 1e9 for each in rounds]
    note = f"{median([each.switches for each in rounds]):.0f} switches a second"
    yield shown("  the fills process: seconds of a core for a gigabyte", cost, SECONDS_EACH, note)
    slowest = [SIZE / max(each.streams) for each in rounds]
    yield shown("  the slowest stream", slowest, MEGABYTES)


def _figures(work: str, rounds: Sequence[_Round], rate: float = 0.0, tail: float = 0.0) -> Iterator[Figure]:
    """What hits kept of their idle rate and p99; without limits for information."""
    rates = [each.busy.rate / each.idle.rate for each in rounds]
    note = " ".join(f"{each.busy.rate:.0f}/{each.idle.rate:.0f}" for each in rounds) + " a second"
    tails = [each.busy.p99 / each.idle.p99 for each in rounds]
    told = " ".join(f"{each.busy.p99 * 1000:.1f}/{each.idle.p99 * 1000:.1f}" for each in rounds) + " ms"
    yield (
        at_least(f"{work}: rate against idle", rates, rate, TIMES, note) if rate else shown(work, rates, TIMES, note)
    )
    yield at_most("  p99 against idle", tails, tail, TIMES, told) if tail else shown("  p99", tails, TIMES, told)


@contextlib.contextmanager
def _node(site: Site) -> Iterator[Stack]:
    """As the site's, and one upstream may be asked for a hundred bodies at once."""
    document = json.loads(site.node.config.read_text(encoding="utf-8"))
    document["remotes"]["files"]["upstream"] = {"max_connections": 2 * STREAMS}
    node = Stack(site.node.directory.parent / "streams", document, {"WORKERS": str(WORKERS), **ACCEL})
    try:
        yield node.start()
    finally:
        node.close()


def _program() -> str:
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"


def _round(site: Site, node: Stack, streams: int, hits: int) -> _Round:
    """Streams through the port `streams`, hits at the port `hits`."""
    body, path = site.files.body("hit", SMALL), site.files.path("hit")
    for _ in range(20):
        get(hits, site.address(path), body)
    idle = load(hits, site.address(path), SECONDS)
    fills = node.pids()["fills"]
    with _ballast(node.directory / "ballast"), ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_streams, site, streams)
        spool = node.data_dir / "spool"
        eventually(lambda: len(list(spool.glob("*.json"))) >= STREAMS or reading.done(), "streams", 20)
        before, begun = _Cost.of(fills), _carried(spool)
        busy = load(hits, site.address(path), SECONDS)
        after, ended = _Cost.of(fills), _carried(spool)
        if reading.done():
            raise RuntimeError("the streams ended before the load did")
        cpu, switches = after.cpu - before.cpu, (after.switches - before.switches) / SECONDS
        return _Round(idle, busy, reading.result(), max(ended - begun, 1), cpu, switches)


def _carried(spool: Path) -> int:
    """Bytes that have arrived of what is arriving."""
    found = 0
    for path in spool.iterdir():
        with contextlib.suppress(OSError):  # it was adopted
            found += path.stat().st_size
    return found


@contextlib.contextmanager
def _ballast(path: Path) -> Iterator[None]:
    """A file of as many bytes as the streams will write, which shrinks as they come; they get its pages.

    A virtual machine's host takes pages back that are free for seconds, and finds each anew at its first touch, which
    costs several times what the write itself does.
    """
    size, over = STREAMS * SIZE, threading.Event()
    with path.open("wb") as file:
        file.writelines(Body(0, size).blocks())
    began = time.monotonic()

    def shrink() -> None:
        while not over.wait(0.1):
            gone = int((time.monotonic() - began + 1) * STREAMS * RATE)
            os.truncate(path, max(size - gone, 0))

    shrinking = threading.Thread(target=shrink)
    shrinking.start()
    try:
        yield
    finally:
        over.set()
        shrinking.join()
        path.unlink()


def _streams(site: Site, port: int) -> list[float]:
    """Seconds of each stream; a process of their own reads them all."""
    jobs = []
    for number in range(STREAMS):
        name = f"stream-{number}"
        body = site.files.body(name, SIZE)
        jobs.append([site.address(site.files.path(name, RATE)), body.serial])
    command = [sys.executable, "-c", _READER, str(port), json.dumps(jobs)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return [float(each) for each in json.loads(ran.stdout)]


def read(port: str, jobs: str) -> None:
    """Read each [path, serial] of `jobs` (JSON) at once, compare every byte and print the seconds of each."""
    os.nice(NICE)
    asked = json.loads(jobs)

    def one(job: tuple[str, int]) -> float:
        return get(int(port), job[0], Body(job[1], SIZE), gather=GATHER).total

    with ThreadPoolExecutor(len(asked)) as pool:
        print(json.dumps(list(pool.map(one, asked))))
