"""One change of a scope after the other (an image's manifests, a package's tags), on all nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import StoreDown, Unavailable
from app.resource import Repository
from app.stores.memory import Held, Memory

PATIENCE = 60.0  # seconds to wait for another change of the same scope
LOOK = 0.02  # seconds between two looks at it


@contextmanager
def turn(memory: Memory, repository: Repository, name: str, *, required: bool = False) -> Iterator[None]:
    """While this block runs nobody else changes that scope (an image). Raises Unavailable.

    Without Redis nobody waits: then a manifest and the delete of its blob may pass each other by. What may not
    (`required`: what is written from what was read) is not begun: StoreDown.
    """
    held = _held(memory, f"change of {repository.name} {name}", required)
    try:
        yield
    finally:
        if held is not None:
            held.release()


def _held(memory: Memory, name: str, required: bool) -> Held | None:
    deadline = time.monotonic() + PATIENCE
    try:
        while (held := memory.lock(name)) is None:
            if time.monotonic() > deadline:
                raise Unavailable("another change of this is still under way", retry_after=1)
            time.sleep(LOOK)
    except StoreDown:
        if required:
            raise
        return None
    return held
