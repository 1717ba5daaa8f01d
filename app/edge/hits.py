"""What nginx alone served and no node has counted yet: which bytes of which entry, to whom, in which minute, and how.

Rows add up until they are cut into reports, each with a number of its own. A report is sent, the same rows under the
same number, until an answer comes, also over a restart: a node counts a number once.
While no node takes it, all waits in at most MOST rows; then the oldest go, and the log says how many.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from app.edge.lines import Name
from app.edge.node import Counted

MOST = 50_000  # rows: about 20 MB
ROWS, BYTES = 500, 80_000  # of one report
FEWER = 0.9  # of MOST are left when rows are dropped

Row = tuple[Name, list[int]]  # requests, bytes of bodies

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """`number` is 32 hexadecimal digits that no other report has."""

    number: str
    rows: Sequence[Row]

    def document(self) -> dict[str, Any]:
        return {"report": self.number, "hits": [_document(name, row) for name, row in self.rows]}


class Hits:
    """All that waits to be counted: reports, and rows that are in none yet."""

    def __init__(self, reports: Iterable[Report] = ()) -> None:
        self._rows: dict[Name, list[int]] = {}
        self.reports = deque(reports)  # the next one first

    def __len__(self) -> int:
        return len(self._rows) + sum(len(each.rows) for each in self.reports)

    def add(self, rows: Iterable[Row]) -> None:
        for name, (requests, sent) in rows:
            row = self._rows.setdefault(name, [0, 0])
            row[0] += requests
            row[1] += sent
        if len(self) > MOST:
            self._drop(len(self) - int(MOST * FEWER))

    def rows(self) -> Iterator[Row]:
        """Those that are in no report yet."""
        yield from self._rows.items()

    def cut(self) -> bool:
        """Make reports of the rows, once all earlier ones were counted; whether that made any."""
        if self.reports or not self._rows:
            return False
        while self._rows:
            self.reports.append(_report(self._batch()))
        return True

    def send(self, send: Callable[[dict[str, Any]], Counted]) -> Counted:
        """The next report. One row that is refused for good must not cost the others: halves of it come next."""
        report = self.reports[0]
        verdict = send(report.document())
        if verdict is not Counted.LATER:
            self.reports.popleft()
        if verdict is Counted.NEVER and len(report.rows) > 1:
            middle = len(report.rows) // 2
            self.reports.extendleft(map(_report, (report.rows[middle:], report.rows[:middle])))
        elif verdict is Counted.NEVER:
            _lost(report.rows, verdict.value)
        return verdict

    def _batch(self) -> list[Row]:
        """The rows of a report, taken out."""
        batch: list[Row] = []
        room = BYTES
        for name, row in self._rows.items():
            room -= len(json.dumps(_document(name, row))) + 2
            if len(batch) == ROWS or (room < 0 and batch):
                break
            batch.append((name, row))
        for name, _ in batch:
            del self._rows[name]
        return batch

    def _drop(self, rows: int) -> None:
        lost: list[Row] = []
        while self.reports and len(lost) < rows:
            lost.extend(self.reports.popleft().rows)
        oldest = sorted(self._rows, key=lambda name: name[2])[: rows - len(lost)] if len(lost) < rows else ()
        lost.extend((name, self._rows.pop(name)) for name in oldest)
        _lost(lost, "more than can be kept until a node counts")


def _report(rows: Sequence[Row]) -> Report:
    return Report(uuid.uuid4().hex, rows)


def _lost(rows: Sequence[Row], reason: str) -> None:
    fields = {"rows": len(rows), "requests": sum(requests for _, (requests, _) in rows), "reason": reason}
    log.warning("hits_lost", extra={"fields": fields})


def _document(name: Name, row: list[int]) -> dict[str, Any]:
    entry, client, minute, method, status = name
    repository, key, *digest = entry.decode("ascii", "replace").split(" ")
    return {
        "repository": repository,
        "key": unquote(key),
        **({"digest": digest[0]} if digest else {}),
        "client": client.decode("ascii", "replace"),
        "minute": minute,
        "method": method.decode("ascii"),
        "status": int(status),
        "requests": row[0],
        "bytes": row[1],
    }
