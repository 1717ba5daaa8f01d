"""What a cache in front (nginx's) may keep of a worker's answer, and how long; the words the two speak.

nginx asks      X-Edge: <its time>            where it has its lease (app/stores/edges.py)
a node answers  X-Accel-Expires: @<second>    by nginx's own clock; without this line nothing is kept
                X-Edge-Entry: <stamp> <repository> <key, percent-encoded> <sha256>    for nginx's log, not for clients

a fresh stored body that a worker sends, of a public remote     kept
one that never changes                                          until it expires here, a day at most
any other                                                       to the end of nginx's present second
made of others, or of a virtual: what it depends on is not its own key's alone    not at all
a part of a set that changes as one, under a plain name         not at all: half of it would be the old edition
local, private, hashed on every read; a 404; what was fetched   not at all
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import replace

from app.resource import Ask, Headers, Kind, Resource
from app.shelf import Served
from app.web.elsewhere import JUDGED

ASKED = "x-edge"
LONGEST = 86400  # seconds
DECIDED_THERE = frozenset({"range", "if-range", *JUDGED})
_ASKED = re.compile(r"(\d{1,15})(?:\.\d{1,6})?")


def kept(ask: Ask, resource: Resource, served: Served, stamp: int, now: float) -> Headers:
    """The header lines that let the edge keep this answer; none where it must not. `now` in unix seconds."""
    told = _ASKED.fullmatch(ask.headers.get(ASKED, ""))
    if told is None or served.state != "HIT" or not _public(resource):
        return ()
    if resource.in_step or resource.sources or resource.addressed or ask.members is not None:
        return ()
    lasting = resource.immutable and stamp > 0  # else nobody could tell the edge of changes
    until = int(told[1]) + (_lifetime(resource, served, now) if lasting else 0)
    name = urllib.parse.quote(resource.key, safe="/:@+~", errors="surrogatepass")
    entry = f"{stamp} {resource.repository.name} {name} {served.entry.digest}"
    return (("X-Accel-Expires", f"@{until}"), ("X-Edge-Entry", entry))


def _public(resource: Resource) -> bool:
    return (
        resource.repository.kind is Kind.REMOTE
        and not resource.repository.access
        and not resource.repository.verify_on_read
    )


def _lifetime(resource: Resource, served: Served, now: float) -> int:
    """Whole seconds until it expires here."""
    if resource.ttl is None:
        return LONGEST
    return int(min(max(served.entry.checked + resource.ttl - now, 0), LONGEST))


def unkept(ask: Ask) -> Ask:
    """The same request of somebody who keeps nothing: its answer depends on who asks."""
    return replace(ask, headers={name: value for name, value in ask.headers.items() if name != ASKED})


def whole(ask: Ask) -> Ask:
    """The same request for all of the body: the edge judges ranges and conditions itself from what it keeps."""
    return replace(ask, headers={name: value for name, value in ask.headers.items() if name not in DECIDED_THERE})
