"""What an agent must know again after its death: one JSON file, replaced whole.

    {"version": 1, "boot": "...", "ended": false, "cursor": n, "purges": [[repository, key, number, at], ...],
     "log": [[inode, offset], ...], "hits": [[entry, client, minute, bare, requests, bytes], ...]}

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
from dataclasses import astuple, dataclass
from pathlib import Path

from app.edge.lines import Name
from app.edge.log import Position
from app.edge.problems import UnableError
from app.edge.purges import Row

VERSION = 1
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class State:
    """The last news that were applied, the purges of late, how far the log was read, and hits nobody counted yet."""

    cursor: int = 0
    purges: Sequence[Row] = ()
    log: Sequence[Position] = ()
    hits: Sequence[tuple[Name, list[int]]] = ()


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
                [
                    ((entry.encode(), client.encode(), minute, bare), row)
                    for entry, client, minute, bare, *row in found["hits"]
                ],
            )
            trusted = found["ended"] or found["boot"] == _boot()
            return known if trusted else State(log=known.log, hits=known.hits)
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
        "hits": [[entry.decode(), client.decode(), at, bare, *row] for (entry, client, at, bare), row in state.hits],
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


def _boot() -> str:
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""
