"""What a product costs beside the work: memory after all of the load, and the time until it serves again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.figures import MEBIBYTES, SECONDS, Figure, shown
from bench.peers.product import Product, answered, proportional
from bench.peers.rounds import Row, Turn, Work
from bench.peers.small import stored
from bench.peers.stock import Stock

MEMORY = "memory of all its processes (PSS)"
START = "cold start until the first hit"


def memory(products: Sequence[Product]) -> Iterator[Figure]:
    """A shared page counts for its share. Behind nginx: the node's, nginx's and the agent's together."""
    for product in products:
        found = shown(MEMORY, [float(proportional(product.processes()))], MEBIBYTES)
        yield Figure(found.work, found.measured, samples=found.samples, unit=found.unit, product=product.name)


def starts(products: Sequence[Product], stock: Stock) -> Iterator[Work]:
    """Each with all that it stored; a file of 10 KiB, or its layer."""
    able = [each for each in products if each.restart]
    yield Work((Row(START, SECONDS),), tuple(_turn(each, stock) for each in able))


def _turn(product: Product, stock: Stock) -> Turn:
    def measure() -> Sequence[float]:
        url = stored("10 KiB")(product, stock)
        if url is None or product.restart is None:
            raise ValueError(f"{product.name} has nothing to serve")
        product.restart()
        return (answered(url),)

    return Turn(product.name, measure)
