"""Nodes on one S3: what a 4 GiB object costs in memory, one cold object for fifty clients, small and large hits."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.supervisor.embedded import Postgres, Server, Valkey
from bench import memory, s3_large
from bench.bodies import Body
from bench.client import get
from bench.figures import MEBIBYTES, MEGABYTES_A_SECOND, TIMES, WHOLE, Figure, shown
from bench.herd import CLIENTS, GATHER, together
from bench.load import load
from bench.site import MIB, SMALL, WORKERS, Site
from tests import seaweed
from tests.stack import Stack, eventually

SPACE = 3 * memory.SIZE  # bytes of free disk: the spool, what SeaweedFS stores, and room beside it
SECONDS = 2.0  # of load, of each
OURS = ("a worker", "fills")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Two nodes that share Postgres, Redis and S3, before the site's upstreams, and one that sends clients to S3."""

    first: Stack
    second: Stack
    links: Stack
    bucket: seaweed.Bucket

    def node(self, number: int) -> Stack:
        """They take turns."""
        return self.second if number % 2 else self.first


def measure(site: Site) -> Iterator[Figure]:
    with fleet(site) as both:
        yield _herd(site, both)
        yield from _hits(site, both)
        yield from s3_large.measure(site, both.first, both.links, both.bucket)
        yield from _large(site, both)


@contextlib.contextmanager
def fleet(site: Site) -> Iterator[Fleet]:
    """Start its stores and nodes; stop them and remove what they stored after."""
    here = site.node.directory.parent / "s3"
    here.mkdir()
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, here, ignore_errors=True)
        postgres, valkey = Postgres(here / "p", here / "s"), Valkey(here / "v", here / "r")
        for server in (postgres, valkey):
            ends.enter_context(_running(server))
        bucket = ends.enter_context(seaweed.running(_directory(here / "w"))).bucket()
        stores = {"DATABASE_URL": postgres.url, "REDIS_URL": valkey.url, "STORAGE_URL": bucket.url}
        shared = stores | bucket.environment
        nodes = [ends.enter_context(_node(site, here / name, shared)) for name in ("1", "2")]
        links = ends.enter_context(_node(site, here / "3", {**shared, "S3_REDIRECT": "true", "WORKERS": "1"}))
        yield Fleet(nodes[0], nodes[1], links, bucket)


def _directory(path: Path) -> Path:
    path.mkdir()
    return path


@contextlib.contextmanager
def _running(server: Server) -> Iterator[None]:
    server.start()
    try:
        server.await_ready(60)
        yield
    finally:
        server.stop()


@contextlib.contextmanager
def _node(site: Site, directory: Path, shared: dict[str, str]) -> Iterator[Stack]:
    node = Stack(directory, json.loads(site.node.config.read_text()), {"WORKERS": str(WORKERS), **shared})
    node.settings["NODE_URL"] = node.url
    try:
        yield node.start()
    finally:
        node.close()


def _herd(site: Site, both: Fleet) -> Figure:
    """Half of the clients at each node."""
    gets = [float(_cold(site, both)) for _ in range(site.rounds)]
    found = f"{max(gets):.0f} ({CLIENTS} right bodies)"  # get() raises at the first wrong byte
    work = f"two nodes on S3, {CLIENTS} clients, one cold 64 MiB: upstream GETs"
    return Figure(work, found, "exactly 1", set(gets) == {1.0}, tuple(gets))


def _cold(site: Site, both: Fleet) -> int:
    body = site.files.body("64", 64 * MIB)
    path = site.files.path("64")
    together(lambda number: get(both.node(number).port, site.address(path), body, gather=GATHER).total)
    eventually(lambda: site.files.asked(path), "upstream's log line", 5)
    return site.files.asked(path)


def _hits(site: Site, both: Fleet) -> Iterator[Figure]:
    """10 KiB on S3 and on the filesystem, in turn."""
    body = site.files.body("hit", SMALL)
    path = site.files.path("hit")
    nodes = (both.first, site.node)
    for node in nodes:
        get(node.port, site.address(path), body)
    rounds = [[load(node.port, site.address(path), SECONDS) for node in nodes] for _ in range(site.rounds)]
    errors = sum(each.errors for found in rounds for each in found)
    note = " ".join(f"{s3.rate:.0f}/{file.rate:.0f}" for s3, file in rounds)
    yield shown(f"HIT 10 KiB on S3, {WORKERS} workers: requests a second", [s3.rate for s3, _ in rounds], WHOLE)
    shares = [s3.rate / file.rate for s3, file in rounds]
    yield shown("  against the filesystem", shares, TIMES, f"{note} a second, {errors} errors")


def _large(site: Site, both: Fleet) -> Iterator[Figure]:
    """A fill and its upload by one node, a download by the other."""
    work = "4 GiB object on S3"
    if (free := shutil.disk_usage(site.node.directory).free) < SPACE:
        yield Figure(f"{work}: memory", f"skipped: {MEBIBYTES.write(free)} of disk are free", MEBIBYTES.write(SPACE))
        return
    body = Body(site.files.serial(), memory.SIZE)
    path = f"/repository/late/0/0/{memory.SIZE}/{body.serial}"
    for way, node in (("cold, up", both.first), ("warm, down", both.second)):
        memory.start_anew(node)
        with memory.watched(node) as peaks:
            rate = memory.SIZE / get(node.port, path, body, gather=memory.GATHER).total
            eventually(lambda: _state(both.first, path) == "HIT", "uploaded", 300)
        yield from memory.highest(node, peaks, f"{work}, {way}", OURS)
        yield shown("  every byte right: rate", [rate], MEGABYTES_A_SECOND)


def _state(node: Stack, path: str) -> str:
    """X-Cache; HIT once it is stored and no longer only what the download left here."""
    with urllib.request.urlopen(urllib.request.Request(node.url + path, method="HEAD"), timeout=60) as answer:
        return str(answer.headers["X-Cache"])
