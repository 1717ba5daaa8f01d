"""What nginx alone served and no node has counted yet: per repository, key, client and minute.

While no node takes it, it adds up in at most MOST rows; then the oldest minutes go, and the log says how many.
A report without an answer is sent again, a while later: it may be counted twice, and no client is ever missing from
the record of pulls. Rows without a body (HEAD, 304) are apart from the others: their bytes are 0.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from app.edge.lines import Name
from app.edge.node import Counted

MOST = 50_000  # rows: about 20 MB
ROWS, BYTES = 500, 80_000  # of one report
FEWER = 0.9  # of MOST are left when rows are dropped

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hit:
    """`minute` in unix seconds; `sent` the bytes of all bodies."""

    repository: str
    key: str
    client: str
    minute: int
    requests: int
    sent: int

    def document(self) -> dict[str, Any]:
        return {
            "repository": self.repository,
            "key": self.key,
            "client": self.client,
            "minute": self.minute,
            "requests": self.requests,
            "bytes": self.sent,
        }


class Hits:
    """All that waits to be reported."""

    def __init__(self) -> None:
        self._rows: dict[Name, list[int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Iterable[tuple[Name, list[int]]]) -> None:
        for name, (requests, sent) in rows:
            row = self._rows.setdefault(name, [0, 0])
            row[0] += requests
            row[1] += sent
        if len(self._rows) > MOST:
            self._drop(len(self._rows) - int(MOST * FEWER))

    def rows(self) -> Iterator[tuple[Name, list[int]]]:
        yield from self._rows.items()

    def report(self, send: Callable[[list[dict[str, Any]]], Counted]) -> bool:
        """Send one batch, the oldest rows first; False where it has to wait."""
        batch = self._batch()
        return not batch or self._send(batch, send)

    def _send(self, batch: list[tuple[Name, list[int]]], send: Callable[[list[dict[str, Any]]], Counted]) -> bool:
        """One row that is refused for good must not cost the others: they are sent in halves."""
        verdict = send([_hit(name, row).document() for name, row in batch])
        if verdict in (Counted.LATER, Counted.UNKNOWN):
            self.add(batch)
            return False
        if verdict is Counted.NEVER and len(batch) > 1:
            middle = len(batch) // 2
            done = [self._send(each, send) for each in (batch[:middle], batch[middle:])]
            return all(done)
        if verdict is Counted.NEVER:
            log.warning("hits_lost", extra={"fields": {"rows": 1, "reason": verdict.value}})
        return True

    def _batch(self) -> list[tuple[Name, list[int]]]:
        """The rows of the next report, taken out."""
        batch: list[tuple[Name, list[int]]] = []
        room = BYTES
        for name, row in self._rows.items():
            room -= len(json.dumps(_hit(name, row).document())) + 2
            if len(batch) == ROWS or (room < 0 and batch):
                break
            batch.append((name, row))
        for name, _ in batch:
            del self._rows[name]
        return batch

    def _drop(self, rows: int) -> None:
        oldest = sorted(self._rows, key=lambda name: name[2])[:rows]
        requests = sum(self._rows.pop(name)[0] for name in oldest)
        fields = {"rows": len(oldest), "requests": requests, "reason": "more than can be kept until a node counts"}
        log.warning("hits_lost", extra={"fields": fields})


def _hit(name: Name, row: list[int]) -> Hit:
    entry, client, minute, _ = name
    repository, _, key = entry.decode("ascii", "replace").partition(" ")
    return Hit(repository, unquote(key), client.decode("ascii", "replace"), minute, *row)
