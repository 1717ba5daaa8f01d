"""Streams that last much longer than gunicorn's timeout: a slow upstream, and a slow client of what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from bench.client import Got, WrongAnswer
from bench.figures import Figure
from bench.site import MIB, Site

TIMEOUT = 60.0  # seconds, app/supervisor/gunicorn_settings.py
LASTING = TIMEOUT + 20
SLOW_UPSTREAM = 8 * MIB
SLOW_CLIENT = 128 * MIB  # far more than fits into a connection's buffers


def measure(site: Site) -> Iterator[Figure]:
    """Both at once: they cost next to nothing and can run beside other items."""
    with ThreadPoolExecutor(2) as pool:
        upstream, client = pool.submit(_figure, "upstream", _cold, site), pool.submit(_figure, "client", _warm, site)
        yield upstream.result()
        yield client.result()


def _figure(slow: str, run: Callable[[Site], Got], site: Site) -> Figure:
    work, wanted = f"a stream past gunicorn's timeout: slow {slow}", f"whole after > {TIMEOUT:.0f} s"
    try:
        got = run(site)
    except (OSError, WrongAnswer) as error:
        return Figure(work, str(error), wanted, good=False)
    return Figure(work, f"whole after {got.total:.0f} s", wanted, got.total > TIMEOUT, (got.total,))


def _cold(site: Site) -> Got:
    body = site.files.body("slow-upstream", SLOW_UPSTREAM)
    return site.through(site.files.path("slow-upstream", SLOW_UPSTREAM / LASTING), body)


def _warm(site: Site) -> Got:
    body = site.files.body("slow-client", SLOW_CLIENT)
    path = site.files.path("slow-client")
    site.through(path, body)
    return site.through(path, body, pace=SLOW_CLIENT / LASTING)
