"""The audit trail: who changed what, and who logged in; one row at the end of every request that did so."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import g

from app.errors import ArtifactError
from app.logs import hidden
from app.resource import Ask
from app.stores.accounts import Event
from app.web.node import node

log = logging.getLogger(__name__)

LONGEST = 200  # characters of one value
READING = frozenset({"GET", "HEAD", "OPTIONS"})
CHATTER = re.compile(r"/v2/token|/api/v1/edges/.*")  # of machines, many a minute, that changes nothing here


@dataclass(frozen=True, slots=True)
class Note:
    """What the view says of the present request itself; `action` alone makes a refused one an event."""

    action: str = ""
    user: str = ""
    detail: str = ""
    repository: str = ""


def note(action: str = "", *, user: str = "", detail: str = "", repository: str = "") -> None:
    """`action` is "login" where it is one; `user` who it was, where that is not who sent the request; `repository`
    what it was about, where its path is none of a repository's. What was said before stands beside it."""
    known: Note = g.get("audited", Note())
    said = (action or known.action, user or known.user, detail or known.detail, repository or known.repository)
    g.audited = Note(*said)


def told(given: Mapping[str, Any], *values: str) -> str:
    """The names of what was sent, in order, with the values of these; a secret's is never among them."""
    return ", ".join(f"{key}={_short(given[key])}" if key in values else key for key in sorted(given))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def record(asked: Ask, status: int) -> None:
    """Write the row. What was done is done: a trail that cannot be written is an error in the log, with the row."""
    event = _event(asked, status)
    if event is None:
        return
    try:
        node().accounts.store.record([event])
    except ArtifactError as error:
        log.error("not in the audit trail: %s: %s", event, error.message)


def _event(asked: Ask, status: int) -> Event | None:
    said: Note = g.get("audited", Note())
    done = asked.method not in READING and not asked.posted and status < 400 and asked.route != "status"
    if CHATTER.fullmatch(asked.url_path) or not (done or said.action):
        return None
    known = g.get("principal")
    return Event(
        at=time.time(),
        user=said.user or (known.name if known is not None else ""),
        client=asked.client,
        action=said.action or asked.method,
        path=hidden(asked.url_path),
        status=status,
        request_id=asked.request_id,
        repository=said.repository or asked.repository,
        detail=hidden(said.detail),
    )
