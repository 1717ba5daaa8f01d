"""What one process of this server asks another: a node that follows a download, a worker how the downloads are.

The proof that a node may follow is judged in the fills process, which alone knows the token of its lock.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from flask import Blueprint, Response, g, request

from app.cache import Arriving
from app.errors import BadRequest, NotFound
from app.fills.fill import Flights, Stage
from app.resource import Ask, Headers
from app.upstream import Upstreams, peers
from app.web.node import ask
from app.web.parts import Answer, Span
from app.web.serve import hand_over

blueprint = Blueprint("peers", __name__)
PATIENCE = peers.FIRST_BYTE  # seconds for upstream's first byte


@blueprint.get(peers.PATH)
def fill() -> Response:
    try:
        name = peers.unpacked(request.headers.get("X-Fill", "")).decode("utf-8", "surrogatepass")
    except ValueError:
        raise BadRequest("X-Fill is not the name of a download", code="bad_fill") from None
    shown = {"authorization": request.headers.get("Authorization", "")}
    g.ask = replace(ask(), path=name, route="fill", headers=shown)
    return hand_over(g.ask, None)


def joined(flights: Flights, asked: Ask) -> Arriving:
    """The running download, once it has a body to follow; NotFound where it has none, or that is not proven."""
    found = flights.find(asked.path)
    if found is None or not peers.proven(found.token, asked.path, asked.headers.get("authorization", "")):
        raise NotFound("no such download runs here", code="unknown_fill")
    found.wait_for(Stage.ARRIVING, PATIENCE)
    found.wait_for_bytes(PATIENCE)  # the head comes with them: who follows waits for a first byte, not for a head
    if found.head is None or not (found.available or found.complete):
        raise NotFound("this download has no body to follow", code="unknown_fill")
    return Arriving(found, found.head, "")


def answer(outcome: Arriving) -> Answer:
    """Its head and all of its bytes."""
    length = outcome.head.length
    headers: Headers = (("X-Fill-Head", outcome.head.to_line()), ("Content-Type", "application/octet-stream"))
    if length is not None:
        headers = (*headers, ("Content-Length", str(length)))
    return Answer(200, headers, (Span(0, length),))


def status(upstreams: Upstreams, flights: Flights) -> bytes:
    """How the downloads are, as JSON."""
    health = {name: [asdict(each) for each in urls] for name, urls in upstreams.health().items()}
    return json.dumps({"upstreams": health, "fills": flights.running()}).encode() + b"\n"
