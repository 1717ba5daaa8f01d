"""nginx's edge log: one line for each request that nginx alone answered.

    HIT <unix time> <client> <method> <status> <bytes of body> <entry> <request id>

with tabs between. Values are escaped as in JSON, so a tab is never part of one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

METHODS = frozenset({b"GET", b"HEAD"})  # that nginx keeps answers to
STATUS = re.compile(rb"[1-5][0-9][0-9]")
FIELDS = 8
MINUTE = 60

# entry without its stamp, client, unix second of the minute, method, status
Name = tuple[bytes, bytes, int, bytes, bytes]

_Line = tuple[bytes, bytes, bytes, bytes, bytes]


@dataclass(slots=True)
class Counts:
    """`rows`: name -> [requests, bytes of bodies]; `unreadable`: lines that were none of ours."""

    rows: dict[Name, list[int]]
    unreadable: int


def counted(text: bytes) -> Counts:
    """What nginx alone served, of whole lines."""
    found: dict[_Line, list[int]] = {}
    unreadable = 0
    lines = text.split(b"\n")
    for line in lines[:-1]:
        try:
            word, at, client, method, status, size, entry, _ = line.split(b"\t")
            if word != b"HIT":
                continue  # a node has counted it
            sent = int(size)
            name = (entry, client, at[:-4], method, status)  # milliseconds off
            row = found.get(name)
            if row is None:
                found[name] = [1, sent]
            else:
                row[0] += 1
                row[1] += sent
        except ValueError:
            unreadable += 1
    return _by_minute(found, unreadable)


def _by_minute(found: dict[_Line, list[int]], unreadable: int) -> Counts:
    counts = Counts({}, unreadable)
    for (entry, client, at, method, status), (requests, sent) in found.items():
        if not at.isdigit() or len(at) > 12 or entry.count(b" ") not in (2, 3) or not _answered(method, status):
            counts.unreadable += requests
            continue
        second = int(at)
        name = (entry.partition(b" ")[2], client, second - second % MINUTE, method, status)
        row = counts.rows.setdefault(name, [0, 0])
        row[0] += requests
        row[1] += sent
    return counts


def _answered(method: bytes, status: bytes) -> bool:
    return method in METHODS and STATUS.fullmatch(status) is not None
