"""What nobody has yet: first byte and total behind 1 Gbit/s, and fifty clients at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.figures import MILLISECONDS, SECONDS, WHOLE
from bench.peers import asking
from bench.peers.product import NGINX, ON_S3, Product
from bench.peers.registry import GIGABIT
from bench.peers.rounds import Row, Turn, Work
from bench.peers.stock import Stock
from bench.site import MIB
from tests.stack import eventually

SIZE = 64 * MIB
HERD, HERD_SIZE, HERD_RATE = 50, 8 * MIB, 12_500_000  # clients, bytes, bytes a second
DIRECT = NGINX  # this column is upstream itself here, asked without anybody between
FIRST, TOTAL = "MISS 64 MiB at 1 Gbit/s, first byte", "MISS 64 MiB at 1 Gbit/s, total"
HERD_GETS, HERD_LAST = f"{HERD} cold clients: upstream GETs", f"{HERD} cold clients: the last is done"


def misses(products: Sequence[Product], stock: Stock) -> Iterator[Work]:
    rows = (Row(FIRST, MILLISECONDS), Row(TOTAL, SECONDS))
    yield Work(rows, tuple(_Miss(each, stock).turn() for each in products if _has(each, stock)))


def herds(products: Sequence[Product], stock: Stock) -> Iterator[Work]:
    rows = (Row(HERD_LAST, SECONDS), Row(HERD_GETS, WHOLE))
    yield Work(rows, tuple(_Herd(each, stock).turn() for each in products if _has(each, stock)))


def _has(product: Product, stock: Stock) -> bool:
    return product.name not in ON_S3 and bool(product.file or (product.image and stock.image))


class _Cold:
    """One product and bytes that it never saw."""

    def __init__(self, product: Product, stock: Stock) -> None:
        self._product, self._stock = product, stock

    def turn(self) -> Turn:
        return Turn(self._product.name, self._measure)

    def _measure(self) -> Sequence[float]:
        raise NotImplementedError

    def _fresh(self, size: int, rate: float) -> tuple[str, Callable[[], int]]:
        """Its URL, and how often upstream was asked for it."""
        product, stock = self._product, self._stock
        if product.name == DIRECT:
            path = stock.fresh(size, rate)
            return f"http://127.0.0.1:{stock.upstream.port}{path}", lambda: stock.upstream.asked(path)
        if product.file:
            path = stock.fresh(size, rate)
            return product.url(product.file(path)), lambda: stock.upstream.asked(path)
        image, origin = stock.new_image([size]), stock.origin
        if image is None or origin is None or product.image is None:
            raise ValueError(f"{product.name} has nothing to ask for")
        blob = image.blob(0)
        return product.url(product.image(blob)), lambda: origin.asked(blob)


class _Miss(_Cold):
    def _measure(self) -> Sequence[float]:
        url, _ = self._fresh(SIZE, GIGABIT)
        (found,) = asking.fetched(url, SIZE)
        return found.first, found.total


class _Herd(_Cold):
    """Against one direct download, in the column of nginx."""

    def _measure(self) -> Sequence[float]:
        url, asked = self._fresh(HERD_SIZE, HERD_RATE)
        clients = 1 if self._product.name == DIRECT else HERD
        seconds = asking.together(url, HERD_SIZE, clients)
        eventually(asked, "upstream's log line", 5)
        return seconds, float(asked())
