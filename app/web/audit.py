"""The audit trail: who changed what, and who logged in; one row at the end of every request that did so."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass

from flask import g

from app.errors import ArtifactError
from app.resource import Ask
from app.stores.accounts import Event
from app.web.node import node

log = logging.getLogger(__name__)

READING = frozenset({"GET", "HEAD", "OPTIONS"})
CHATTER = re.compile(r"/v2/token|/api/v1/edges/.*")  # of machines, many a minute, that changes nothing here
SECRET = re.compile(r"aapi(?:_|%5[fF])[A-Za-z0-9_%-]+")  # a token in a path, as npm's logout sends it


@dataclass(frozen=True, slots=True)
class Note:
    """What the view says of the present request itself; `action` alone makes a refused one an event."""

    action: str = ""
    user: str = ""
    detail: str = ""
    repository: str = ""


def note(action: str = "", *, user: str = "", detail: str = "", repository: str = "") -> None:
    """`action` is "login" where it is one; `user` who it was, where that is not who sent the request; `repository`
    what it was about, where its path is none of a repository's."""
    g.audited = Note(action, user, detail, repository)


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
    done = asked.method not in READING and status < 400 and asked.route != "status"
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
        detail=said.detail,
    )


def hidden(path: str) -> str:
    """Without the tokens in it."""
    return SECRET.sub("***", path)
