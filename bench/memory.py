"""What a 4 GiB object costs in memory, cold and warm: the highest of every process of the node."""

from __future__ import annotations

import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.bodies import Body
from bench.client import get
from bench.figures import MEBIBYTES, MEGABYTES_A_SECOND, Figure, shown
from bench.site import MIB, Site
from tests.stack import Stack

SIZE = 4096 * MIB
SPACE = SIZE + 2048 * MIB  # bytes of free disk: the object once, and what else a run leaves
LIMIT = 120 * MIB
EVERY = 0.1  # seconds between two looks at every process
GATHER = 256 * 1024


@dataclass(slots=True)
class Peaks:
    """The highest seen of each process in bytes: resident at any moment (VmHWM), and without mapped files."""

    resident: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    own: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def see(self, pid: int, status: Mapping[str, int]) -> None:
        self.resident[pid] = max(self.resident[pid], status.get("VmHWM", 0))
        self.own[pid] = max(self.own[pid], status.get("RssAnon", 0) + status.get("RssShmem", 0))


def status(text: str) -> dict[str, int]:
    """The sizes in /proc/PID/status, in bytes (proc(5))."""
    fields = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(size) * 1024 for name, size, _ in fields}


def measure(site: Site) -> Iterator[Figure]:
    return large(site, "4 GiB object", lambda body: f"/repository/late/0/0/{SIZE}/{body.serial}")


def large(site: Site, work: str, address: Callable[[Body], str]) -> Iterator[Figure]:
    """A new body of SIZE, cold and warm, asked of the node under that address."""
    free = shutil.disk_usage(site.node.data_dir).free
    if free < SPACE:
        yield Figure(f"{work}: memory", f"skipped: {MEBIBYTES.write(free)} of disk are free", "6144 MiB")
        return
    body = Body(site.files.serial(), SIZE)
    path = address(body)
    if before := start_anew(site.node):
        yield Figure("highest memory of a process until now", f"{MEBIBYTES.write(max(before))}", samples=before)
    with watched(site.node) as peaks:
        rates = [SIZE / get(site.node.port, path, body, gather=GATHER).total for _ in ("cold", "warm")]
    yield from highest(site.node, peaks, work)
    for temperature, rate in zip(("cold", "warm"), rates, strict=True):
        yield shown(f"  {temperature}, every byte right: rate", [rate], MEGABYTES_A_SECOND)


def start_anew(node: Stack) -> tuple[float, ...]:
    """Each process's VmHWM, which then begins again at what is resident now (proc(5), clear_refs)."""
    found = []
    for pid in node.running():
        with suppress(OSError):
            found.append(float(status(_status(pid))["VmHWM"]))
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return tuple(found)


@contextmanager
def watched(node: Stack) -> Iterator[Peaks]:
    """Look at every process for as long as the block runs."""
    peaks, over = Peaks(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            _look(node, peaks)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


def _look(node: Stack, peaks: Peaks) -> None:
    for pid in node.running():
        with suppress(OSError):  # it ended between the two looks
            peaks.see(pid, status(_status(pid)))


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")


def highest(node: Stack, peaks: Peaks, work: str, only: Container[str] = ()) -> Iterator[Figure]:
    """The processes by their roles (`only` these, if any are named), the largest of each."""
    roles: dict[str, list[int]] = defaultdict(list)
    for pid in peaks.resident:
        roles[_role(node, pid)].append(pid)
    for role, pids in sorted((role, pids) for role, pids in roles.items() if not only or role in only):
        resident = max(peaks.resident[pid] for pid in pids)
        own = MEBIBYTES.write(max(peaks.own[pid] for pid in pids))
        label = f"{work}: peak memory of {role}" + (f" (of {len(pids)})" if len(pids) > 1 else "")
        found = f"{MEBIBYTES.write(resident)} (its own {own})"
        yield Figure(label, found, "< 120 MiB", resident < LIMIT, tuple(float(peaks.resident[p]) for p in pids))


def _role(node: Stack, pid: int) -> str:
    named = {found: name for name, found in node.pids().items()} | dict.fromkeys(node.workers(), "a worker")
    if pid in named:
        return named[pid]
    try:
        return "postgres" if b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes() else "another process"
    except OSError:
        return "postgres"  # its backends come and go; nothing else here does
