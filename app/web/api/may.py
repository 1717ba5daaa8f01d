"""Who may do what to accounts and projects: the questions that the API's views ask first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from app.accounts.rights import Principal
from app.errors import Forbidden, NotFound, StoreDown, Unavailable
from app.web.auth import require_known
from app.web.node import node

BROWSING = frozenset({"read", "write", "admin"})
TURN = 5.0  # seconds that a change of accounts waits for another
ANOTHER = "this token may not do that: it takes one with the scope "
NO_USER = (
    "this is a user's own, and the token no user's: log in as one (POST /api/v1/auth/login), for whom an "
    "administrator's token first makes the account (POST /api/v1/users)"
)


def require_browsing() -> Principal:
    """Whoever may look around: known, and not with a token for a few repositories alone."""
    found = require_known()
    if not found.scopes & BROWSING:
        raise Forbidden(f"{ANOTHER}read", code="scope_too_small")
    return found


def require_managing() -> Principal:
    """Whoever may change what is theirs."""
    found = require_known()
    if "admin" not in found.scopes:
        raise Forbidden(f"{ANOTHER}admin", code="scope_too_small")
    return found


def require_user() -> Principal:
    """Somebody with an account; neither the administrator's own token nor a project's."""
    found = require_known()
    if not found.user:
        raise Forbidden(NO_USER, code="not_a_user")
    return found


def require_manager() -> Principal:
    """A user who may change what is theirs."""
    require_user()
    return require_managing()


def require_member(project: str) -> Principal:
    """NotFound for a project that is not theirs, the same as for one that does not exist."""
    found = require_browsing()
    if not (found.administers or project in found.projects):
        raise unknown_project()
    return found


def require_owner(project: str) -> Principal:
    """Forbidden for its other members."""
    found = require_member(project)
    if not found.owns(project):
        raise Forbidden("this takes an owner of the project", code="not_an_owner")
    return found


def unknown_project() -> NotFound:
    return NotFound("no such project", code="unknown_project")


def require_project(project: str) -> None:
    """NotFound where an administrator asks for what does not exist."""
    if node().accounts.store.project(project) is None:
        raise unknown_project()


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Changes that must leave somebody in charge, one after the other on all nodes. While Redis is down they may
    come at the same time. Raises Unavailable."""
    deadline = time.monotonic() + TURN
    try:
        while (held := node().memory.lock("accounts")) is None:
            if time.monotonic() > deadline:
                raise Unavailable("another change of accounts is under way", retry_after=1)
            time.sleep(0.02)
    except StoreDown:
        yield
        return
    try:
        yield
    finally:
        held.release()
