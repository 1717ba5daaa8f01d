"""What an agent must know again after its death: one JSON file, replaced whole.

    {"version": 2, "boot": "...", "ended": false, "cursor": n, "purges": [[repository, key, number, at], ...],
     "log": [[inode, offset], ...], "hits": [[entry, client, minute, method, status, requests, bytes], ...],
     "reports": [[number, hits], ...]}

It may be older than the truth: news are applied again, and lines read again. It must not be newer: after a crash of
the machine files that were dropped may be back, so what another boot left is believed only if that agent ended in
peace.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from app.edge.hits import Report
from app.edge.hits import Row as Hit
from app.edge.log import Position
from app.edge.problems import UnableError
from app.edge.purges import Row

VERSION = 2
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class State:
    """The last news that were acknowledged, the purges of late, how far the log was read, and what nobody counted
    yet: hits, and the reports of earlier ones."""

    cursor: int = 0
    purges: Sequence[Row] = ()
    log: Sequence[Position] = ()
    hits: Sequence[Hit] = ()
    reports: Sequence[Report] = ()


def load(file: Path) -> State:
    """What is known again; nothing where there is no such file, or none of ours. The purges count as of now, for
    what arrived while nobody looked is yet to be found."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(file.read_bytes())
        if found["version"] == VERSION:
            known = State(
                int(found["cursor"]),
                [Row(repository, key, number, time.time()) for repository, key, number, _ in found["purges"]],
                [Position(*each) for each in found["log"]],
                _read(found["hits"]),
                [Report(number, _read(hits)) for number, hits in found["reports"]],
            )
            trusted = found["ended"] or found["boot"] == _boot()
            return known if trusted else replace(known, cursor=0, purges=())
    return State()


def save(file: Path, state: State, ended: bool) -> None:
    """Replace the file; UnableError where it cannot be written. `ended`: nothing follows, and it is on the disk."""
    document = {
        "version": VERSION,
        "boot": _boot(),
        "ended": ended,
        "cursor": state.cursor,
        "purges": [astuple(each) for each in state.purges],
        "log": [astuple(each) for each in state.log],
        "hits": _written(state.hits),
        "reports": [[each.number, _written(each.rows)] for each in state.reports],
    }
    beside = file.with_name(f"{file.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as written:
            json.dump(document, written, separators=(",", ":"))
            if ended:
                written.flush()
                os.fsync(written.fileno())
        beside.replace(file)
    except OSError as error:
        raise UnableError(f"the state file {file}: {error.strerror}") from error


def _written(hits: Sequence[Hit]) -> list[Any]:
    """Bytes of the log as text: each is one character."""
    return [
        [*(each.decode("latin-1") if isinstance(each, bytes) else each for each in name), *row] for name, row in hits
    ]


def _read(hits: Sequence[Sequence[Any]]) -> list[Hit]:
    return [
        ((_bytes(entry), _bytes(client), int(minute), _bytes(method), _bytes(status)), [int(requests), int(sent)])
        for entry, client, minute, method, status, requests, sent in hits
    ]


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _boot() -> str:
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""
