"""Large things that are stored, by one client and by four at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.figures import MEGABYTES_A_SECOND
from bench.peers import asking
from bench.peers.product import ON_S3, Product
from bench.peers.rounds import Row, Turn, Work
from bench.peers.small import stored
from bench.peers.stock import SIZES, Stock

TIMES = {"64 MiB": 8, "1 GiB": 1}  # downloads of one client in each round
CLIENTS = (1, 4)
MORE = 2  # rounds of one client: its rate differs by a fifth from one to the next, on every product


def hits(products: Sequence[Product], stock: Stock) -> Iterator[Work]:
    for size, times in TIMES.items():
        able = [each for each in products if size == "64 MiB" or each.name not in ON_S3]
        urls = {each.name: url for each in able if (url := stored(size)(each, stock))}
        warm: set[str] = set()
        for clients in CLIENTS:
            rows = (Row(f"HIT {size}" + (f", {clients} clients" if clients > 1 else ""), MEGABYTES_A_SECOND),)
            turns = (_turn(name, url, size, clients, times, warm) for name, url in urls.items())
            yield Work(rows, tuple(turns), more=MORE if clients == 1 else 0)


def _turn(name: str, url: str, size: str, clients: int, times: int, warm: set[str]) -> Turn:
    """`warm`: the names of those who stored it already."""

    def measure() -> Sequence[float]:
        if name not in warm:
            asking.fetched(url, SIZES[size])
            warm.add(name)
        return (asking.downloaded(url, SIZES[size], clients, max(times // clients, 1)),)

    return Turn(name, measure)
