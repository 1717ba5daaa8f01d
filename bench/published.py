"""A million published files against none: what a PUT, a GET and a directory's page cost; 64 uploads at once.

The files lie in Postgres as if they had been published, a thousand in each of a thousand directories; their body is
one blob.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields

import psycopg

from app.resource import Entry
from app.supervisor import commands
from app.supervisor.commands import Stores
from bench.figures import MILLISECONDS, SECONDS, TIMES, Figure, at_most, median, shown
from bench.site import WORKERS, Site
from tests.stack import Stack

MANY = 1_000_000
ASKED = 150  # requests of each kind in a round, one after the other
LIMIT = 1.2  # times what it costs in an empty repository
TOGETHER, LARGE = 64, 2 << 20  # uploads at once; bytes of each that is large
BODY = random.Random(6).randbytes(1024)
DOCUMENT = {"locals": {"team": {"package": "generic"}}}

_FILL = """
    INSERT INTO entries (repository, key_hash, key, path, {columns})
    SELECT 'team', sha256(convert_to(path, 'UTF8')), path, path, {columns}
    FROM (SELECT {columns} FROM entries WHERE path = 'model') AS model,
    LATERAL (SELECT 'd' || number / 1000 || '/f' || number AS path FROM generate_series(1, %s) AS number) AS paths
    """


@dataclass(frozen=True, slots=True)
class Published:
    """A node with so many files in `team`."""

    node: Stack
    files: int
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new(self) -> str:
        """A path at which nothing is published yet."""
        number = next(self._numbers)
        return f"d{number % 1000}/new-{number}"

    def ask(self, method: str, path: str, body: bytes | None = None, expected: int = 200) -> float:
        """Seconds until the whole answer is here."""
        conn = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
        begun = time.perf_counter()
        with contextlib.closing(conn):
            conn.request(method, f"/repository/team/{path}", body, {"Authorization": f"Bearer {self.node.token}"})
            answer = conn.getresponse()
            answer.read()
        assert answer.status == expected, (method, path, answer.status)
        return time.perf_counter() - begun


def measure(site: Site) -> Iterator[Figure]:
    with _published(site, 0) as few, _published(site, MANY) as many:
        both = (few, many)
        for work, once in (("PUT", _put), ("GET, known in Redis", _warm), ("GET, of Postgres", _cold)):
            rounds = [_in_turn(once, both) for _ in range(site.rounds)]
            note = " ".join(f"{most * 1000:.2f}/{least * 1000:.2f}" for least, most in rounds)
            ratios = [most / least for least, most in rounds]
            yield at_most(f"{work} 1 KiB: {MANY:,} published files against none", ratios, LIMIT, TIMES, f"{note} ms")
        pages = [median([many.ask("GET", path) for _ in range(9)]) for path in ("?limit=1000", "d7/")]
        yield shown("  a page of a thousand directories; of a thousand files", pages, MILLISECONDS)
        for size in (len(BODY), LARGE):
            yield shown(f"  {TOGETHER} uploads of {size:,} bytes at once", [_together(many, size)], SECONDS)


def _put(on: Published) -> float:
    return on.ask("PUT", on.new(), BODY, 201)


def _warm(on: Published) -> float:
    return on.ask("GET", "model")


def _cold(on: Published) -> float:
    """A file that nobody has asked for since it was published."""
    path = on.new()
    on.ask("PUT", path, BODY, 201)
    if on.files:
        number = random.randrange(1, on.files)
        path = f"d{number // 1000}/f{number}"
    return on.ask("GET", path)


def _in_turn(once: Callable[[Published], float], both: Sequence[Published]) -> tuple[float, float]:
    """The median of each's seconds; one after the other, so that what else goes on hits both."""
    told = [tuple(once(each) for each in both) for _ in range(ASKED)]
    least, most = zip(*told, strict=True)
    return median(least), median(most)


def _together(on: Published, size: int) -> float:
    body = random.Random(size).randbytes(size)
    paths = [on.new() for _ in range(TOGETHER)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(lambda path: on.ask("PUT", path, body, 201), paths))
    return time.perf_counter() - begun


@contextlib.contextmanager
def _published(site: Site, files: int) -> Iterator[Published]:
    directory = site.node.directory.parent / f"published-{files}"
    node = Stack(directory, DOCUMENT, {"WORKERS": str(WORKERS)})
    try:
        node.start()
        found = Published(node, files)
        found.ask("PUT", "model", BODY, 201)
        stores = Stores.read(node.data_dir / "run" / commands.URLS)
        assert stores is not None
        with psycopg.connect(stores.database_url, autocommit=True) as connection:
            columns = ", ".join(each.name for each in fields(Entry))
            connection.execute(_FILL.format(columns=columns).encode(), [files])
            connection.execute("ANALYZE entries")
        yield found
    finally:
        node.close()
