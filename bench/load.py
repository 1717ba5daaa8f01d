"""Many short GETs at once: wrk where it is installed, else processes of our own.

python -m bench.load PORT PATH SECONDS    one such process; prints [errors, [seconds, ...]]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bench import client
from bench.figures import percentile

CONNECTIONS = 8
OWN_PROCESSES = 2
WRK = shutil.which("wrk")


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: requests a second, seconds that 99 of 100 did not exceed, failed requests."""

    rate: float
    p99: float
    errors: int


def load(port: int, path: str, seconds: float) -> Load:
    """Ask for `path` as often as possible for that long, over CONNECTIONS connections."""
    return _wrk(port, path, seconds) if WRK else _own(port, path, seconds)


def _wrk(port: int, path: str, seconds: float) -> Load:
    script = Path(__file__).with_name("load.lua")
    options = ("-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--latency", "-s", str(script))
    address = f"http://127.0.0.1:{port}{path}"
    ran = subprocess.run([str(WRK), *options, address], check=True, capture_output=True, text=True)
    return from_wrk(ran.stdout)


def from_wrk(printed: str) -> Load:
    """Read what load.lua wrote as the last line."""
    told = json.loads(printed.strip().rpartition("\n")[2])
    return Load(told["requests"] / told["seconds"], told["p99"], told["errors"])


def _own(port: int, path: str, seconds: float) -> Load:
    command = (sys.executable, "-m", "bench.load", str(port), path, str(seconds))
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(OWN_PROCESSES)]
    told = [json.loads(process.communicate()[0]) for process in running]
    latencies = list(chain.from_iterable(each[1] for each in told))
    return Load(len(latencies) / seconds, percentile(latencies or [0.0], 0.99), sum(each[0] for each in told))


def _one(port: int, path: str, seconds: float) -> Iterator[float]:
    """Latencies in seconds, negative where a request failed."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        try:
            yield client.seconds(port, path)
        except (OSError, client.WrongAnswer):
            yield -1.0


def main(port: str, path: str, seconds: str) -> None:
    threads = CONNECTIONS // OWN_PROCESSES
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(lambda: list(_one(int(port), path, float(seconds)))) for _ in range(threads)]
        found = list(chain.from_iterable(each.result() for each in running))
    print(json.dumps([sum(each < 0 for each in found), [each for each in found if each >= 0]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
