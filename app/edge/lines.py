"""nginx's edge log: one line a request, written where the answer told an entry.

    <cache status> <unix time> <client> <method> <status> <bytes of body> <entry> <cache key>

with tabs between. Values are escaped as in JSON, so a tab is never part of one. What a node answered (MISS, EXPIRED)
the node has counted.
"""

from __future__ import annotations

from dataclasses import dataclass

SERVED = frozenset({b"HIT", b"STALE", b"UPDATING"})  # by nginx alone
FIELDS = 8
MINUTE = 60

# entry without its stamp, client, unix second of the minute, whether without a body (HEAD, 304: no pull)
Name = tuple[bytes, bytes, int, bool]

_Line = tuple[bytes, bytes, bytes, bool]


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
            status, at, client, _, _, size, entry, _ = line.split(b"\t")
            if status not in SERVED:
                continue
            sent = int(size)
            name = (entry, client, at[:-4], not sent)  # milliseconds off
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
    for (entry, client, at, bare), (requests, sent) in found.items():
        if not at.isdigit() or len(at) > 12 or entry.count(b" ") != 2:
            counts.unreadable += requests
            continue
        second = int(at)
        row = counts.rows.setdefault((entry.partition(b" ")[2], client, second - second % MINUTE, bare), [0, 0])
        row[0] += requests
        row[1] += sent
    return counts
