"""A thousand and a million stored entries: what a hit costs, and a flush of many while others are served.

The entries lie in Postgres as if they had been fetched; their body is one blob. Copies in Redis are what hits made,
and before a flush as many more as Redis has room for beside them.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import psycopg
import redis

from app.resource import Entry
from app.stores.redis_scripts import PREFIX
from app.supervisor import commands
from app.supervisor.commands import Stores
from bench import client, memory
from bench.client import get
from bench.figures import MEBIBYTES, MILLISECONDS, SECONDS, TIMES, Figure, at_most, median, shown
from bench.peers.asking import hammer
from bench.site import WORKERS, Site
from tests.stack import Stack, eventually

FEW, MANY, FLUSHED = 1_000, 1_000_000, 100_000  # FLUSHED are some of MANY, in a repository of their own
COPIES = 400_000  # in Redis beside those of the flushed repository: 256 MB hold no more
SIZE = 1024
ASKED, WARM = 500, 100  # requests one after the other; keys that are known in Redis
LOAD = 1.0  # seconds, of each in each round
ROLES = ("a worker", "postgres")  # valkey is as large as what it holds: it must not grow
GROWTH = 16 << 20  # bytes
COPY = json.dumps([0.0] + ["x" * 64] * 4)  # of about the size of an entry's
GAP = 1.0  # seconds that nobody may wait for a hit meanwhile

BASE = 10_000_000  # numbers of the keys begin beyond those of the site's own

_COLUMNS = ", ".join(field.name for field in fields(Entry))
_FILL = f"""
    INSERT INTO entries (repository, key_hash, key, path, {_COLUMNS})
    SELECT %(repository)s, sha256(convert_to(key, 'UTF8')), key, key, {_COLUMNS}
    FROM (SELECT * FROM entries WHERE repository = 'files' AND key = %(model)s) AS model (repository_, hash_, key_),
    LATERAL (SELECT replace(key_, %(old)s, number::text) AS key FROM
             generate_series(%(first)s::bigint, %(last)s::bigint) AS number) AS keys
"""


@dataclass(frozen=True, slots=True)
class Full:
    """A node with so many entries, and where it keeps them."""

    node: Stack
    entries: int
    files: int  # of them in `files`, the others in `flushed`
    stores: Stores

    def path(self, number: int) -> str:
        return f"/repository/files/0/{BASE + number}/one"

    def seconds(self, number: int) -> float:
        """How long a hit takes."""
        return client.seconds(self.node.port, self.path(number))

    def forget(self) -> None:
        """Empty Redis: each key is then asked of Postgres once."""
        with contextlib.closing(redis.Redis.from_url(self.stores.redis_url)) as memory_:
            memory_.flushall()


def measure(site: Site) -> Iterator[Figure]:
    with _full(site, FEW) as few, _full(site, MANY) as many:
        rounds = [_latencies(few, many) for _ in range(site.rounds)]
        for place, (work, limit) in enumerate((("in Redis", 1.1), ("in Postgres", 1.1))):
            pairs = [each[place] for each in rounds]
            yield _against(f"HIT 1 KiB, its copy {work}: {MANY:,} entries against {FEW:,}", pairs, limit)
        yield from _rates(site, few, many)
        for mode in ("expire", "delete"):
            yield from _flush(many, mode)


def _latencies(few: Full, many: Full) -> list[tuple[float, float]]:
    """(seconds with few, with many) of keys whose copies are in Redis, and of keys of which none is."""
    cold = [random.sample(range(each.files), ASKED) for each in (few, many)]
    for each in (few, many):
        each.forget()
    unknown = _in_turn(few, many, zip(*cold, strict=True))
    known = [(number, number) for number in range(WARM)]
    _in_turn(few, many, known)
    return [_in_turn(few, many, known * (ASKED // WARM)), unknown]


def _in_turn(few: Full, many: Full, numbers: Iterable[tuple[int, int]]) -> tuple[float, float]:
    """The median of each's seconds; they are asked one after the other, so that what else goes on hits both."""
    told = [(few.seconds(one), many.seconds(other)) for one, other in numbers]
    least, most = zip(*told, strict=True)
    return median(least), median(most)


def _against(work: str, pairs: Sequence[tuple[float, float]], limit: float) -> Figure:
    note = " ".join(f"{many * 1000:.2f}/{few * 1000:.2f}" for few, many in pairs)
    return at_most(work, [many / few for few, many in pairs], limit, TIMES, f"{note} ms")


def _rates(site: Site, few: Full, many: Full) -> Iterator[Figure]:
    """Eight connections: one key of each, and any of the thousand or of a hundred thousand of the million."""
    for work, script in (("one key", 1), ("keys at random", FLUSHED)):
        rounds = [[_rate(each, min(script, each.entries)) for each in (few, many)] for _ in range(site.rounds)]
        note = " ".join(f"{most:.0f}/{least:.0f}" for least, most in rounds)
        ratios = [most / least for least, most in rounds]
        yield shown(f"  {work}: rate with {MANY:,} against {FEW:,}", ratios, TIMES, f"{note} a second")


def _rate(full: Full, keys: int) -> float:
    pattern = full.path(0).replace(str(BASE), f"{str(BASE)[:-6]}%06d")
    return hammer(f"{full.node.url}{full.path(1)}", LOAD, script=["keys", str(keys - 1 or 1), pattern]).rate


def _flush(full: Full, mode: str) -> Iterator[Figure]:
    """One remote's, while hits of another go on; each process's highest memory meanwhile."""
    _copies(full)
    memory.start_anew(full.node)
    valkey = full.node.pids()["valkey"]
    held = memory.status(Path(f"/proc/{valkey}/status").read_text(encoding="ascii"))["VmHWM"]
    work = f"flush of {FLUSHED:,} of {full.entries:,} entries ({mode})"
    with memory.watched(full.node) as peaks, _hits(full) as told:
        taken = _flushed(full.node, mode)
    yield at_most(work, [taken], 10.0, SECONDS)
    yield at_most("  longest wait for a hit meanwhile", [max(told)], GAP, MILLISECONDS, f"{len(told)} hits")
    yield from memory.highest(full.node, peaks, work, ROLES)
    yield at_most("  valkey grew by", [max(peaks.resident[valkey] - held, 0)], GROWTH, MEBIBYTES)


def _copies(full: Full) -> None:
    """As many in Redis as it holds, those that are flushed among them."""
    with contextlib.closing(redis.Redis.from_url(full.stores.redis_url)) as there:
        there.flushall()
        together = there.pipeline(transaction=False)
        for number in range(COPIES + FLUSHED):
            name = "flushed" if number < FLUSHED else "files"
            together.set(f"{PREFIX}copy:{name}:{number:032x}", COPY, ex=86400)
            if number % 10_000 == 9_999:
                together.execute()


def _flushed(node: Stack, mode: str) -> float:
    request = urllib.request.Request(f"{node.url}/cache/flush?remote=flushed&mode={mode}", method="PUT")
    request.add_header("Authorization", f"Bearer {node.token}")
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=300) as answer:
        answer.read()
    return time.perf_counter() - begun


@contextlib.contextmanager
def _hits(full: Full) -> Iterator[list[float]]:
    """Ask for one after the other while the block runs; how long each took."""
    told: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            told.append(client.seconds(full.node.port, full.path(len(told) % FEW)))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield told
    finally:
        over.set()
        asking.join()


@contextlib.contextmanager
def _full(site: Site, entries: int) -> Iterator[Full]:
    """A node of its own with so many entries of one body, the last FLUSHED of a million in `flushed`."""
    directory = site.node.directory.parent / f"entries-{entries}"
    document = json.loads(site.node.config.read_text(encoding="utf-8"))
    document["remotes"]["flushed"] = document["remotes"]["files"]
    node = Stack(directory, document, {"WORKERS": str(WORKERS)})
    try:
        node.start()
        stores = Stores.read(node.data_dir / "run" / commands.URLS)
        assert stores is not None
        full = Full(node, entries, entries - FLUSHED if entries > FLUSHED else entries, stores)
        _fill(site, full)
        yield full
    finally:
        node.close()


def _fill(site: Site, full: Full) -> None:
    node = full.node
    body, path = site.files.body("one", SIZE), site.files.path("one")
    get(node.port, site.address(path), body)
    eventually(lambda: get(node.port, site.address(path), body).cache == "HIT", "stored", 10)
    parts = {"files": (0, full.files), "flushed": (full.files, full.entries)}
    with psycopg.connect(full.stores.database_url, autocommit=True) as connection:
        for repository, (first, end) in parts.items():
            given = {
                "repository": repository,
                "model": path.lstrip("/"),
                "old": path.split("/")[2],
                "first": BASE + first,
                "last": BASE + end - 1,
            }
            connection.execute(_FILL, given)
        connection.execute("ANALYZE entries")
