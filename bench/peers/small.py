"""Small things that are stored: one address, 20,000 addresses, manifests, conditional requests, nine hits in ten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.figures import A_SECOND, MILLISECONDS
from bench.peers import asking, ours
from bench.peers.product import ACNG, ALONE, EDGE, NGINX, ON_S3, Product
from bench.peers.rounds import Row, Turn, Work
from bench.peers.stock import ACCEPT, APK, KEYS, RPM, SIZES, Stock
from bench.site import SMALL

BLOBS = tuple(SIZES)
Address = Callable[[Product, Stock], str | None]

ONE_KEY, MANY_KEYS = "HIT 10 KiB", f"HIT 10 KiB, {KEYS:,} keys at random"
BY_DIGEST, BY_TAG = "manifest by digest", "manifest by tag"
RPM_304, APK_304 = "304 of an rpm index", "304 of an apk index"
MIXED = "9 of 10 are hits"


def hits(products: Sequence[Product], stock: Stock, seconds: float, tuned: Sequence[Product] = ()) -> Iterator[Work]:
    """Whatever has at most 1 MiB. Those on S3 and nginx with our settings do 10 KiB alone: a round is to be short."""
    yield _work(ONE_KEY, [*products, *tuned], stock, _Stored("10 KiB"), seconds)
    products = [each for each in products if each.name not in ON_S3]
    for size in ("1 KiB", "1 MiB"):
        yield _work(f"HIT {size}", products, stock, _Stored(size), seconds)
    yield _keys([*(each for each in products if each.name in (NGINX, EDGE)), *tuned], seconds)
    if stock.image:
        yield _work(BY_DIGEST, products, stock, lambda each, here: _manifest(each, here, tag=False), seconds)
        yield _work(BY_TAG, products, stock, lambda each, here: _manifest(each, here, tag=True), seconds)
    yield _unchanged(RPM_304, products, RPM, seconds)
    yield _unchanged(APK_304, products, APK, seconds)
    yield _mixed([each for each in products if each.name in (ACNG, ALONE, EDGE)], stock, seconds)


class _Stored:
    """The address of one of the stock's bodies: the file, or the image's layer of the same bytes."""

    def __init__(self, size: str) -> None:
        self.size = size

    def __call__(self, product: Product, stock: Stock) -> str | None:
        if self.size not in stock.files:
            return None
        if product.file:
            return product.url(product.file(stock.files[self.size]))
        if product.image and stock.image:
            return product.url(product.image(stock.image.blob(BLOBS.index(self.size))))
        return None


stored = _Stored


def _manifest(product: Product, stock: Stock, *, tag: bool) -> str | None:
    if product.image is None or stock.image is None:
        return None
    return product.url(product.image(stock.image.by_tag if tag else stock.image.by_digest))


def _work(work: str, products: Sequence[Product], stock: Stock, at: Address, seconds: float) -> Work:
    headers = ACCEPT if work in (BY_DIGEST, BY_TAG) else {}
    size = SIZES[at.size] if isinstance(at, _Stored) else None
    able = [(each, url) for each in products if (url := at(each, stock))]
    turns = (_turn(each.name, url, size, seconds, {**headers, **each.headers}) for each, url in able)
    return Work(_rows(work), tuple(turns))


def _rows(work: str) -> tuple[Row, ...]:
    return Row(work, A_SECOND), Row(f"{work}, p99", MILLISECONDS)


def _turn(name: str, url: str, size: int | None, seconds: float, headers: Mapping[str, str]) -> Turn:
    def measure() -> Sequence[float]:
        asking.probed(url, size, headers)
        found = asking.hammer(url, seconds, headers)
        return found.rate, found.p99

    return Turn(name, measure)


def _keys(products: Sequence[Product], seconds: float) -> Work:
    """Everybody has every key before: the first round begins with each of them once."""
    return Work(_rows(MANY_KEYS), tuple(_Random(each, seconds).turn() for each in products))


class _Random:
    """One product's 20,000 keys."""

    def __init__(self, product: Product, seconds: float) -> None:
        self._product, self._seconds = product, seconds
        self._pattern = product.file(ours.PATTERN) if product.file else ""
        self._url = product.url(self._pattern % 1)
        self._warm = False

    def turn(self) -> Turn:
        return Turn(self._product.name, self._measure)

    def _measure(self) -> Sequence[float]:
        asking.probed(self._url, SMALL)
        if not self._warm:
            asking.passed(self._product.url(self._pattern), SMALL, KEYS)
            self._warm = True
        found = asking.hammer(self._url, self._seconds, script=("keys", str(KEYS), self._pattern))
        return found.rate, found.p99


def _unchanged(work: str, products: Sequence[Product], index: str, seconds: float) -> Work:
    def turn(product: Product, path: str) -> Turn:
        url = product.url(path)

        def measure() -> Sequence[float]:
            told = {"If-None-Match": asking.probed(url)["ETag"]}
            asking.unchanged(url, told)
            found = asking.hammer(url, seconds, told)
            return found.rate, found.p99

        return Turn(product.name, measure)

    return Work(_rows(work), tuple(turn(each, each.index(index)) for each in products if each.index))


def _mixed(products: Sequence[Product], stock: Stock, seconds: float) -> Work:
    """One request in ten is for a path that nobody had; its bytes are upstream's `hit` file under a new number."""
    rows = tuple(
        Row(f"{MIXED}{what}", unit)
        for what, unit in (("", A_SECOND), (", p50", MILLISECONDS), (", p99", MILLISECONDS))
    )

    def turn(product: Product, file: Callable[[str], str]) -> Turn:
        url = product.url(file(stock.files["10 KiB"]))

        def measure() -> Sequence[float]:
            asking.probed(url, SMALL)
            begin = stock.upstream.serial() * 1_000_000
            pattern = file("/0/%d/hit-10-KiB.deb")
            found = asking.hammer(url, seconds, product.headers, ("mixed", str(begin), pattern))
            return found.rate, found.p50, found.p99

        return Turn(product.name, measure)

    return Work(rows, tuple(turn(each, each.file) for each in products if each.file))
