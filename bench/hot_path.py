"""What a small hit costs without nginx: against a bare Flask view, and against docker-registry as a cache."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from app.layout import Layout
from bench.client import seconds
from bench.figures import TIMES, WHOLE, Figure, at_least, at_most, median, shown
from bench.load import Load, load
from bench.peers.rounds import rotated
from bench.site import ROOT, SMALL, Site
from tests.stack import Stack, eventually, free_port

WORKERS = 2
SHARE = 2  # seconds of load on each in each round, for one of the comparison
FILE, BLOB = "  a file against the bare view", "  a blob against docker-registry"
REGISTRY = shutil.which("docker-registry")
GUNICORN = (sys.executable, "-m", "gunicorn", "--chdir", str(ROOT), "--worker-tmp-dir", "/dev/shm")


@dataclass(frozen=True, slots=True)
class Served:
    """10 KiB that a server on this port has at hand."""

    name: str
    port: int
    path: str


def measure(site: Site) -> Iterator[Figure]:
    here = site.node.directory.parent / "hot"
    here.mkdir()
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, here, ignore_errors=True)
        node = ends.enter_context(_node(site, here / "node"))
        ours = [_file(site, node), _blob(site, node)]
        bare = ends.enter_context(_bare(site, node, here))
        registry = [ends.enter_context(_registry(site, here))] if REGISTRY else []
        for each in (served := [*ours, bare, *registry]):
            load(each.port, each.path, 1.0)
        rounds = [_round(served, number, SHARE * site.seconds) for number in range(site.rounds)]
    yield from _told(served, list(zip(*rounds, strict=True)))


def _round(served: list[Served], number: int, lasting: float) -> list[Load]:
    """Each in turn, beginning with another one in each round; in the order of `served`."""
    found: dict[int, Load] = {}
    for place in rotated(range(len(served)), number):
        found[place] = load(served[place].port, served[place].path, lasting)
    return [found[place] for place in sorted(found)]


def _told(served: list[Served], found: list[tuple[Load, ...]]) -> Iterator[Figure]:
    for each, loads in zip(served, found, strict=True):
        note = f"p99 {median([one.p99 for one in loads]) * 1000:.1f} ms, {sum(one.errors for one in loads)} errors"
        yield shown(f"{each.name}: requests a second", [one.rate for one in loads], WHOLE, note)
    file, blob, bare, *registry = found
    yield at_least(FILE, _ratios(file, bare), 0.8, TIMES)
    tails = [one.p99 / other.p99 for one, other in zip(file, bare, strict=True)]
    yield at_most("  its p99 against the bare view's", tails, 1.5, TIMES)
    if registry:
        yield at_least(BLOB, _ratios(blob, registry[0]), 3.0, TIMES)


def _ratios(ours: tuple[Load, ...], theirs: tuple[Load, ...]) -> list[float]:
    return [one.rate / other.rate for one, other in zip(ours, theirs, strict=True)]


def _file(site: Site, node: Stack) -> Served:
    site.files.body("hot", SMALL)
    path = site.address(site.files.path("hot"))
    node.get(path)
    return Served(f"HIT 10 KiB, {WORKERS} workers", node.port, path)


def _blob(site: Site, node: Stack) -> Served:
    site.files.body("blob", SMALL)
    path = site.address(site.files.blob("blob"), "images")
    node.get(path)
    return Served(f"HIT blob of 10 KiB, {WORKERS} workers", node.port, path)


@contextlib.contextmanager
def _node(site: Site, directory: Path) -> Iterator[Stack]:
    node = Stack(directory, json.loads(site.node.config.read_text(encoding="utf-8")), {"WORKERS": str(WORKERS)})
    try:
        yield node.start()
    finally:
        node.close()


@contextlib.contextmanager
def _bare(site: Site, node: Stack, here: Path) -> Iterator[Served]:
    """bench/bare.py behind a gunicorn with as many workers, counting into files as the node's do."""
    port, counts = free_port(), here / "counts"
    counts.mkdir()
    redis = f"unix://{quote(str(Layout(node.data_dir).socket('valkey.sock')))}"
    told = {"BARE_REDIS": redis, "BARE_FILE": str(site.files.here / "files" / "hot")}
    command = (*GUNICORN, "--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "bench.bare:application")
    with _running(command, here / "bare.log", told | {"PROMETHEUS_MULTIPROC_DIR": str(counts)}):
        served = Served(f"bare Flask view, {WORKERS} workers", port, "/10/KiB")
        eventually(lambda: _answers(served), served.name, 10)
        yield served


@contextlib.contextmanager
def _registry(site: Site, here: Path) -> Iterator[Served]:
    """docker-registry in front of the site's nginx, as its pull-through cache."""
    port = free_port()
    site.files.body("pulled", SMALL)
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"cache": {"blobdescriptor": "inmemory"}, "filesystem": {"rootdirectory": str(here / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "proxy": {"remoteurl": f"http://127.0.0.1:{site.files.port}"},
    }
    (here / "registry.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML, too
    with _running((str(REGISTRY), "serve", str(here / "registry.yml")), here / "registry.log", {}):
        served = Served("docker-registry, cached blob", port, site.files.blob("pulled"))
        eventually(lambda: _answers(served), served.name, 10)
        yield served


@contextlib.contextmanager
def _running(command: tuple[str, ...], log: Path, told: dict[str, str]) -> Iterator[None]:
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | told) as one,
    ):
        try:
            yield
        finally:
            one.terminate()


def _answers(served: Served) -> bool:
    try:
        return seconds(served.port, served.path) > 0
    except ConnectionRefusedError:
        time.sleep(0.05)
        return False
