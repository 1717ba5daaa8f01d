"""How a copy and a remembered 404 are read back from Redis."""

from __future__ import annotations

import json
from dataclasses import fields

from app.resource import Entry
from app.stores.memory import Recollection

_FIELDS = len(fields(Entry))


def recollection(epoch: bytes | None, copy: bytes | None, negative: bytes | None, stamp: int) -> Recollection:
    """What is known by the values of one key, which MGET gave."""
    known = int(epoch) if epoch is not None else None
    missing, missed = _missing(known, negative) if negative else (0, 0)
    try:
        copied_in, _, text = (copy or b"").split(b" ", 2)
        copied, *values = json.loads(text)
        return Recollection(known, Entry(*values[:_FIELDS]), int(copied_in), copied, missing, missed, stamp)
    except (TypeError, ValueError):  # none, forgotten, or of a version that wrote otherwise
        return Recollection(epoch=known, negative=missing, missed=missed, stamp=stamp)


def _missing(known: int | None, negative: bytes) -> tuple[int, int]:
    """Recollection's `negative` and `missed`; both 0 where it is of another epoch."""
    missed_in, status = map(int, negative.split())
    return (max(status, 0), max(-status, 0)) if missed_in == known else (0, 0)
