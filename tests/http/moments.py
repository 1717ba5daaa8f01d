"""How a test chooses the order of things: answers that wait for what overtakes them, ends that are waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from werkzeug.test import TestResponse

from tests.http.node import Node
from tests.upstream_wire import Reply, Seen
from tests.upstreams import Fault, Upstream

LONGEST = 20.0  # seconds after which a test that waits is stuck


class Gate:
    """Something comes to it and waits until it is opened."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    def come(self) -> None:
        self._reached.set()
        assert self._opened.wait(LONGEST), "the gate was never opened"

    def reached(self) -> None:
        assert self._reached.wait(LONGEST), "nothing came to the gate"

    def open(self) -> None:
        self._opened.set()


def as_it_was(reply: Reply, _: Seen) -> Reply:
    """What upstream had when it was asked."""
    return reply


def when_asked(then: Callable[[], None]) -> Fault:
    """Answer with what was there, and do something as soon as it is asked."""

    def fault(reply: Reply, _: Seen) -> Reply:
        then()
        return reply

    return fault


@contextmanager
def overtaken(
    node: Node, upstream: Upstream, prefix: str, path: str, answer: Fault = as_it_was
) -> Iterator[Future[TestResponse]]:
    """A client's request for `prefix` + `path` that upstream answers only when the block has ended.

    Behind the block everything that the node does has ended, too.
    """
    gate = Gate()

    def late(reply: Reply, seen: Seen) -> Reply:
        gate.come()
        return answer(reply, seen)

    upstream.fault(late, path, 1)
    client = node.app.test_client()
    with ThreadPoolExecutor(1) as pool:
        reply: Future[TestResponse] = pool.submit(lambda: client.get(prefix + path, buffered=True))
        try:
            gate.reached()
            yield reply
        finally:
            gate.open()
    node.idle()


def landed(path: str) -> None:
    """The fills of that path, which run in this process, have ended; others may go on."""
    for thread in threading.enumerate():
        if thread.name.startswith("fill ") and thread.name.endswith(path):
            thread.join(LONGEST)
            assert not thread.is_alive(), thread.name


def until(true: Callable[[], Any]) -> None:
    """Return as soon as it is."""
    end = time.monotonic() + LONGEST
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)
