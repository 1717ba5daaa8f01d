"""What a product is to the bench: where it has what, which processes it is, how it starts again."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NGINX, REGISTRY, ACNG = "nginx", "docker-registry", "apt-cacher-ng"
TUNED = "nginx, our settings"  # for information: nothing is judged by it
ALONE, EDGE = "ours", "ours behind nginx"
S3_ALONE, S3_EDGE = "ours on S3", "ours on S3 behind nginx"
ON_S3 = (S3_ALONE, S3_EDGE)
ORDER = (NGINX, TUNED, REGISTRY, ACNG, ALONE, EDGE, *ON_S3)
START = 60.0  # seconds until a product must have answered


@dataclass(frozen=True, slots=True)
class Product:
    """One column; `file` and `image` say how it calls upstream's /<rate>/<number>/<name> and /v2/<name>/..."""

    name: str
    port: int
    processes: Callable[[], Sequence[int]]
    file: Callable[[str], str] | None = None
    image: Callable[[str], str] | None = None
    index: Callable[[str], str] | None = None  # of /sets/<path>
    restart: Callable[[], None] | None = None  # stops it, untimed, and returns the moment that it is started again
    stop: Callable[[], None] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # that its clients send with small requests

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class Program:
    """One program of a product: it can be started, stopped and started again with the same command."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command, self._log, self._environment = [str(each) for each in command], log, environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def pids(self) -> list[int]:
        """It and all that it started."""
        return descendants(self._process.pid) if self._process else []


@contextlib.contextmanager
def running(program: Program, url: str) -> Iterator[Program]:
    """It answers `url` at the block's begin and is stopped at its end."""
    program.start()
    try:
        answered(url)
        yield program
    finally:
        program.stop()


def answered(url: str, accept: str = "*/*") -> float:
    """Seconds from now until `url` is answered with 200; raises TimeoutError."""
    begun = time.perf_counter()
    request = urllib.request.Request(url, headers={"Accept": accept})
    while time.perf_counter() - begun < START:
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=START) as answer:
            answer.read(1)
            return time.perf_counter() - begun
        time.sleep(0.01)
    raise TimeoutError(f"{url}: no good answer within {START:.0f} s")


def descendants(pid: int) -> list[int]:
    """That process and all below it (proc(5), children)."""
    found = [pid]
    for each in found:
        for task in _tasks(each):
            with contextlib.suppress(OSError):
                found += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return found


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def proportional(pids: Sequence[int]) -> int:
    """Bytes of memory of all of them; what they share is divided (proc(5), Pss in smaps_rollup)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
