"""How a worker tells gunicorn, in the middle of a long upload, that it is alive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _nobody() -> None:
    """Without gunicorn nobody waits for a sign of life."""


beat: Callable[[], None] = _nobody  # gunicorn.conf.py sets the worker's own


EVERY = 5.0  # seconds


@contextmanager
def beating() -> Iterator[None]:
    """Signs of life from a thread, for a block that waits for a store longer than gunicorn's timeout."""
    ended = threading.Event()

    def signs() -> None:
        while not ended.wait(EVERY):
            beat()

    thread = threading.Thread(target=signs, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
