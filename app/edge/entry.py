"""What an answer is a copy of: `<stamp> <repository> <percent-encoded key> <sha256>`, as X-Edge-Entry and nginx's log
have it. The last is for what is counted (lines.py); a node of before does not tell it.

The head of a file in nginx's cache: a binary part, "\\nKEY: <key>\\n", the response's status and header lines, an
empty line. A client chooses most of the key, but it cannot put a line end into it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_LINE = re.compile(rb"\r\nX-Edge-Entry:[ \t]*([^\r\n]*)", re.IGNORECASE)
_ENTRY = re.compile(rb"(\d{1,18}) ([!-~]+) (\S*)(?: [0-9a-f]{64})?")
END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """`stamp` as in app/stores/edges.py; `key` hashed by hashed()."""

    stamp: int
    repository: str
    key: int


def hashed(key: str) -> int:
    """64 signed bits of it. Two keys of one hash are dropped together, which only costs a fetch."""
    return _hash(key.encode("utf-8", "surrogatepass"))


def _hash(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big", signed=True)


def parse(text: bytes) -> Entry | None:
    """None where it is no entry."""
    found = _ENTRY.fullmatch(text)
    if found is None:
        return None
    return Entry(int(found[1]), found[2].decode("ascii"), _hash(unquote_to_bytes(found[3])))


def of_file(head: bytes) -> Entry | None:
    """The entry that the head of a cache file tells; None where it tells none."""
    found = _LINE.search(head, 0, max(head.find(END), 0))
    return parse(found[1].strip()) if found else None
