"""POST /api/v1/edges/<name>: a cache in front asks what it must drop, and has its lease from then on."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import asdict, replace
from typing import Any

from flask import Response, current_app, g, jsonify, request

from app.errors import BadRequest, StoreDown, Unprocessable
from app.stores.catalog import Catalog
from app.stores.edges import LEASE, NAME
from app.web import schemas
from app.web.auth import require_edge
from app.web.documented import EITHER, Blueprint
from app.web.node import ask, node

blueprint = Blueprint("edges", __name__, description="caches in front")
LONGEST = 4096  # bytes of a question
HIGHEST = 2**52  # a cursor: microseconds since 1970, in which Redis counts exactly
EVERY = 1.0  # seconds
_EPOCHS = "artifactapi.epochs"


class Epochs:
    """Those of the index, told to the memory again while edges ask.

    A node that could not reach Redis raised its epoch in Postgres alone, and nobody else reads that while the edges
    answer every request for a repository themselves.
    """

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._due = 0.0

    def tell(self, catalog: Catalog) -> None:
        """On a thread, at most every second: an edge does not wait for Postgres."""
        if time.monotonic() >= self._due and self._busy.acquire(blocking=False):
            threading.Thread(target=self._tell, args=(catalog,), name="epochs", daemon=True).start()

    def _tell(self, catalog: Catalog) -> None:
        try:
            with contextlib.suppress(StoreDown):
                catalog.memory.raise_epochs(catalog.index.epochs())
        finally:
            self._due = time.monotonic() + EVERY
            self._busy.release()


@blueprint.record
def _prepare(state: Any) -> None:
    state.app.extensions[_EPOCHS] = Epochs()


@blueprint.post("/api/v1/edges/<name>", parameters=[schemas.EDGE])
@blueprint.doc(security=EITHER)
@blueprint.takes(schemas.Poll, "json")
@blueprint.response(200, schemas.News)
def poll(name: str) -> Response:
    """{"cursor"} -> {"cursor", "everything", "purges": [{"number", "repository", "key"}], "lease"}, see News."""
    require_edge()
    if not NAME.fullmatch(name):
        raise BadRequest("an edge's name is up to 64 letters, digits, dots, dashes, underscores", code="bad_edge")
    news = node().memory.edges.poll(name, _cursor())
    current_app.extensions[_EPOCHS].tell(node().shelf.catalog)
    g.ask = replace(ask(), route="status")  # four a second of each edge: neither logged nor counted
    response = jsonify(**(asdict(news) | {"lease": LEASE}))
    response.headers["Cache-Control"] = "no-store"
    return response


def _cursor() -> int:
    request.max_content_length = LONGEST
    try:
        asked = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON", code="bad_body") from None
    cursor = asked.get("cursor") if isinstance(asked, dict) else None
    if type(cursor) is not int or cursor < 0:
        raise Unprocessable('the body is not {"cursor": <the last number you were given, at first 0>}')
    return cursor if cursor <= HIGHEST else 0  # nobody gave that one: it knows nothing
