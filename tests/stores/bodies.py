"""Bodies for tests of blob stores, and spool files of them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

BODY = b"some bytes\n" * 1000
DAMAGED = BODY[:-1] + b"\r"
DIGEST = hashlib.sha256(BODY).hexdigest()

Spool = Callable[[bytes], Path]


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def noise(size: int, seed: str = "") -> bytes:
    """So many bytes that never repeat."""
    return hashlib.shake_256(seed.encode()).digest(size)


def spool_in(directory: Path) -> Spool:
    """Makes finished spool files in a new directory."""
    directory.mkdir()
    numbers = itertools.count()

    def spool(body: bytes) -> Path:
        file = directory / f"fill.{next(numbers)}"
        file.write_bytes(body)
        return file

    return spool
