"""One change of an image's manifests after the other, on all nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import StoreDown, Unavailable
from app.resource import Repository
from app.stores.memory import Held, Memory

PATIENCE = 60.0  # seconds to wait for another change of the same image
LOOK = 0.02  # seconds between two looks at it


@contextmanager
def turn(memory: Memory, repository: Repository, name: str) -> Iterator[None]:
    """While this block runs nothing of the image is pushed or deleted by anybody else. Raises Unavailable.

    Without Redis nobody waits: then a manifest and the delete of its blob may pass each other by.
    """
    held = _held(memory, f"change of {repository.name} {name}")
    try:
        yield
    finally:
        if held is not None:
            held.release()


def _held(memory: Memory, name: str) -> Held | None:
    deadline = time.monotonic() + PATIENCE
    try:
        while (held := memory.lock(name)) is None:
            if time.monotonic() > deadline:
                raise Unavailable("another change of this image is still under way", retry_after=1)
            time.sleep(LOOK)
    except StoreDown:
        return None
    return held
