"""Real clients: skopeo copies an image, dnf installs packages; cold through each product, then warm."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import SECONDS
from bench.peers.install import program
from bench.peers.product import ALONE, EDGE, NGINX, REGISTRY, Product
from bench.peers.rounds import Row, Turn, Work
from bench.peers.stock import Image, Stock
from bench.site import MIB
from tests.clients.dnf import Dnf
from tests.clients.rpms import Package, Rpms

LAYERS = (8 * MIB,) * 4
PACKAGES = 4
PACKAGE_SIZE = 4 * MIB
LIMIT = 120.0  # seconds


def skopeo(products: Sequence[Product], stock: Stock, work: Path) -> Iterator[Work]:
    """Of an image of four layers that nobody had; the column of nginx is upstream's registry itself."""
    command = program("skopeo")
    if command and stock.origin:
        names = (NGINX, REGISTRY, ALONE, EDGE)
        turns = [_Pull(command, each, stock, work).turn() for each in products if each.name in names]
        yield Work((Row("skopeo pulls 32 MiB, cold", SECONDS), Row("  warm", SECONDS)), tuple(turns))


def dnf(products: Sequence[Product], stock: Stock, work: Path) -> Iterator[Work]:
    """Of packages that nobody had; the column of nginx is upstream itself."""
    tools = [program(name) for name in ("dnf", "rpmbuild", "createrepo_c")]
    if tools[0] and all(tools):
        rpms = Rpms(work / "rpms")
        turns = [_Install(tools[0], each, stock, rpms).turn() for each in products if each.name in (NGINX, EDGE)]
        yield Work((Row("dnf installs 16 MiB, cold", SECONDS), Row("  warm again", SECONDS)), tuple(turns))


class _Pull:
    def __init__(self, command: str, product: Product, stock: Stock, work: Path) -> None:
        self._command, self._product, self._stock, self._work = command, product, stock, work

    def turn(self) -> Turn:
        return Turn(self._product.name, self._measure)

    def _measure(self) -> Sequence[float]:
        image = self._stock.new_image(LAYERS)
        assert image is not None
        return [self._pull(image), self._pull(image)]

    def _pull(self, image: Image) -> float:
        target = self._work / f"pulled-{self._product.port}"
        options = ["--insecure-policy", "--src-tls-verify=false", "--quiet"]
        command = [self._command, "copy", *options, f"docker://{self._address(image)}", f"dir:{target}"]
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        seconds = time.perf_counter() - begun
        shutil.rmtree(target, ignore_errors=True)
        if done.returncode:
            raise RuntimeError(f"skopeo: {done.stderr[-300:]}")
        return seconds

    def _address(self, image: Image) -> str:
        product, origin = self._product, self._stock.origin
        if product.image is None:
            assert origin is not None
            return f"127.0.0.1:{origin.front}/{image.name}:latest"
        prefix = product.image("/v2/").removeprefix("/v2/")
        return f"127.0.0.1:{product.port}/{prefix}{image.name}:latest"


class _Install:
    def __init__(self, command: str, product: Product, stock: Stock, rpms: Rpms) -> None:
        self._command, self._product, self._stock, self._rpms = command, product, stock, rpms

    def turn(self) -> Turn:
        return Turn(self._product.name, self._measure)

    def _measure(self) -> Sequence[float]:
        name = f"rpms-{self._stock.upstream.serial()}"
        packages = [Package(f"p{each}", "1.0", size=PACKAGE_SIZE, salt=name) for each in range(PACKAGES)]
        self._rpms.publish(self._stock.upstream.here / "sets" / name, *packages)
        return [self._install(name, packages), self._install(name, packages)]

    def _install(self, name: str, packages: Sequence[Package]) -> float:
        assert self._product.index is not None
        home = self._rpms.work / "machine"
        url = self._product.url(self._product.index(name))
        machine = Dnf(self._command, home, url)
        begun = time.perf_counter()
        try:
            machine("install", *(package.name for package in packages))
            return time.perf_counter() - begun
        finally:
            shutil.rmtree(home, ignore_errors=True)
