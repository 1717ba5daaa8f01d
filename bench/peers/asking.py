"""The clients: wrk for what is small, curl for what is large. Both are C and not the limit before the server is."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.client import WrongAnswer
from bench.load import CONNECTIONS

SCRIPT = Path(__file__).with_name("ask.lua")
WARM_UP = 20  # requests before anything is measured
TOLERATED = 0.01  # share of requests that may fail; they are no part of the rate
LIMIT = 120.0  # seconds that a client may take
_TOLD = r"%{http_code} %{size_download} %{time_starttransfer} %{time_total}\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """What wrk saw: requests a second, seconds that 50 and 99 of 100 did not exceed."""

    rate: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """One download by curl; seconds since it began."""

    first: float
    total: float


def hammer(url: str, seconds: float, headers: Mapping[str, str] | None = None, script: Sequence[str] = ()) -> Asked:
    """Ask as often as possible over kept-alive connections; raises WrongAnswer where too many failed.

    `script`: ask.lua's arguments, for more than one address.
    """
    lines = [part for name, value in (headers or {}).items() for part in ("-H", f"{name}: {value}")]
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{max(seconds, 1):.0f}s", "--latency", "-s", str(SCRIPT), *lines]
    command = ["wrk", *options, url, "--", *script]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT)
    told = json.loads(ran.stdout.strip().rpartition("\n")[2])
    if told["errors"] > TOLERATED * told["requests"] or not told["requests"]:
        raise WrongAnswer(f"{url}: {told['errors']} of {told['requests']} requests failed")
    rate = (told["requests"] - told["errors"]) / told["seconds"]
    return Asked(rate, told["p50"], told["p99"])


def probed(url: str, size: int | None = None, headers: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The headers of an answer of 200 with that many bytes; also the warm-up."""
    for _ in range(WARM_UP if size is None or size < 1 << 20 else 2):
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=dict(headers or {})), timeout=LIMIT
        ) as answer:
            found = 0
            while chunk := len(answer.read(1 << 20)):
                found += chunk
            if size is not None and found != size:
                raise WrongAnswer(f"{url}: {found} bytes instead of {size}")
            known = dict(answer.headers.items())
    return known


def fetched(url: str, size: int, times: int = 1) -> list[Fetched]:
    """Downloads one after the other over one connection by one curl."""
    return _read(_finished(_start(url, times)), url, size)


def downloaded(url: str, size: int, clients: int, times: int = 1) -> float:
    """Bytes a second of that many curls at once, each `times` downloads.

    One client's are its own clock's, so that starting a process is not counted.
    """
    if clients == 1:
        return size * times / sum(each.total for each in fetched(url, size, times))
    begun = time.perf_counter()
    running = [_start(url, times) for _ in range(clients)]
    for each in running:
        _read(_finished(each), url, size)
    return size * times * clients / (time.perf_counter() - begun)


def together(url: str, size: int, clients: int) -> float:
    """Seconds until the last of that many clients of one curl has all of it."""
    options = ["--parallel", "--parallel-immediate", "--parallel-max", str(clients)]
    begun = time.perf_counter()
    _read(_finished(_start(url, clients, options)), url, size)
    return time.perf_counter() - begun


def _start(url: str, times: int, options: Sequence[str] = ()) -> subprocess.Popen[str]:
    limits = ["--max-time", f"{LIMIT:.0f}", "--noproxy", "*"]
    outputs = ["--output", "/dev/null"] * times
    command = ["curl", "--silent", *limits, *options, "--write-out", _TOLD, *outputs, *[url] * times]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _finished(process: subprocess.Popen[str]) -> str:
    try:
        printed, _ = process.communicate(timeout=LIMIT * 2)
    finally:
        process.kill()
    return printed


def _read(printed: str, url: str, size: int) -> list[Fetched]:
    """Every download must be whole."""
    rows = [line.split() for line in printed.splitlines()]
    if not rows or any((row[0], int(row[1])) != ("200", size) for row in rows):
        raise WrongAnswer(f"{url}: {printed.splitlines()[:3]} instead of 200 with {size} bytes")
    return [Fetched(float(row[2]), float(row[3])) for row in rows]


def passed(url: str, size: int, count: int) -> None:
    """Ask for each of `count` addresses once; %d in `url` is its number, from 1 (curl, "globbing")."""
    options = ["--parallel", "--parallel-max", str(CONNECTIONS)]
    found = _read(_finished(_start(url.replace("%d", f"[1-{count}]"), 1, options)), url, size)
    if len(found) != count:
        raise WrongAnswer(f"{url}: {len(found)} answers instead of {count}")


def unchanged(url: str, headers: Mapping[str, str]) -> None:
    """Raises WrongAnswer where a conditional request is answered by another status than 304."""
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            raise WrongAnswer(f"{url}: {answer.status} instead of 304")
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 304:
                raise WrongAnswer(f"{url}: {error.code} instead of 304") from error
