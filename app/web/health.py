"""How this node is: its stores, its fills process and through that its upstreams, asked side by side."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from typing import Any

from flask import current_app

from app.errors import Unavailable
from app.web.node import ask, node

log = logging.getLogger(__name__)

LIMIT = 2.5  # seconds for all answers together; stores have shorter limits of their own
KEPT = 1.0  # seconds for which a good answer is given again: anyone may ask, and stores are written to for it
FILLS = "fills"
READ_DATABASE, REDIS, READ_STORAGE = "database (reading)", "redis", "storage (reading)"
_EXTENSION = "artifactapi.questions"

Told = Mapping[str, Any]  # what the fills process says of itself, as JSON: {"upstreams": ..., "fills": ...}


class Questions:
    """What is asked at the same time, each on a thread; one that hangs is not asked a second time beside that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[str, tuple[float, Future[Any]]] = {}  # by name, with the second in which it was asked

    def ask(
        self, questions: Mapping[str, Callable[[], Any]], seconds: float, kept: float = 0.0
    ) -> dict[str, Future[Any]]:
        """The answers by name; what is not here within `seconds` is not done(). A good one is `kept` for so many
        seconds; what failed is asked again, so that what is back is seen at once."""
        for name, question in questions.items():
            if not self._stands(name, kept):
                self._asked[name] = (self._clock(), _begun(name, question))
        asked = {name: self._asked[name][1] for name in questions}
        wait(asked.values(), seconds)
        return asked

    def _stands(self, name: str, kept: float) -> bool:
        """Whether the last answer, or waiting for it, will do."""
        if name not in self._asked:
            return False
        since, answer = self._asked[name]
        return not answer.done() or (answer.exception() is None and self._clock() - since < kept)


def _begun(name: str, question: Callable[[], Any]) -> Future[Any]:
    answer: Future[Any] = Future()

    def answered() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=answered, name=f"health {name}", daemon=True).start()
    return answer


def stores() -> dict[str, Callable[[], None]]:
    """What answers where a store is well, and raises where it is not."""
    shelf = node().shelf
    return {
        "database": shelf.catalog.index.ping,
        REDIS: node().memory.ping,
        "storage": shelf.blobs.ping,
    }


def reading() -> dict[str, Callable[[], None]]:
    """What answers where stored artifacts can be read, whether or not more can be stored."""
    shelf = node().shelf
    return {
        READ_DATABASE: partial(shelf.catalog.index.ping, writes=False),
        REDIS: node().memory.ping,
        READ_STORAGE: partial(shelf.blobs.ping, writes=False),
    }


def fills() -> dict[str, Callable[[], Told]]:
    """The question to the fills process."""
    asked = replace(ask(), method="GET", repository="", path="", route="status")
    handover = node().handover

    def told() -> Told:
        relayed = handover.relay(asked, None)
        found = json.loads(b"".join(relayed))
        if relayed.status != 200 or not isinstance(found, dict):
            raise Unavailable(f"the fills process answered {relayed.status}")
        return found

    return {FILLS: told}


def asked(questions: Mapping[str, Callable[[], Any]], kept: float = 0.0) -> dict[str, Future[Any]]:
    """All of them, within LIMIT; see Questions.ask."""
    own: Questions = current_app.extensions.setdefault(_EXTENSION, Questions())
    return own.ask(questions, LIMIT, kept)


def well(name: str, answer: Future[Any]) -> bool:
    """Whether it was answered; why not is for the log."""
    if not answer.done():
        log.warning("health: %s does not answer within %g s", name, LIMIT)
    elif (error := answer.exception()) is not None:
        log.warning("health: %s: %s", name, error)
    else:
        return True
    return False


def upstreams(told: Told) -> dict[str, dict[str, Any]]:
    """Remote -> its state and each base URL's; what is no longer configured here is left out."""
    known = node().repositories.remotes
    found = {name: urls for name, urls in told["upstreams"].items() if name in known and urls}
    return {name: {"state": _state(urls), "urls": [_shown(each) for each in urls]} for name, urls in found.items()}


def _state(urls: list[dict[str, Any]]) -> str:
    """The best of them: one that can be asked is enough."""
    states = {each["state"] for each in urls}
    return next(state for state in ("closed", "half-open", "open") if state in states)


def _shown(url: dict[str, Any]) -> dict[str, Any]:
    return url | {"retry_in": round(url["retry_in"], 1)}
