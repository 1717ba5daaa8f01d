"""A GET or HEAD of any repository: answered here from the shelf where that is quick, else handed over."""

from __future__ import annotations

import socket
import struct
from contextlib import closing, suppress
from dataclasses import replace

from flask import Response, request

from app.assembly import Assembly
from app.errors import NotFound, StoreDown
from app.formats import FORMATS
from app.resource import Ask, Headers, Repository, Resource
from app.shelf import Served
from app.stores.catalog import Known
from app.web import client, edge
from app.web.elsewhere import elsewhere
from app.web.handover import HANDED
from app.web.node import ask as current
from app.web.node import node
from app.web.parts import Addressed, Answer, Span
from app.web.reply import answer
from app.web.settled import Settled
from app.web.usage import Artifact

SMALL = 64 * 1024  # bytes of a body that a worker sends itself; more could keep it from the next request
AT_ONCE = 8 * 1024  # bytes that any socket's buffer takes without waiting for its client
PATIENCE = struct.pack("ll", 2, 0)  # seconds, microseconds


def serve(ask: Ask, source: Repository) -> Response:
    """The response, or an empty one that stands for a request handed over."""
    resource = FORMATS[source.package].resolve(source, ask)
    ask = _told(ask, source, resource)
    resource, served, stamp = _chosen(resource)
    if served is None:
        return hand_over(ask, None)
    if resource.repository.name != source.name:
        ask = replace(ask, member=resource.repository.name)
    with closing(served.file):
        if (resource.rendered or resource.stated) and served.entry.size > SMALL:  # writing it anew takes time, too
            return hand_over(ask, served)
        kept = _kept(ask, resource, served, stamp)
        reply = answer(ask, resource, served)
        if kept:
            return _kept_response(ask, resource, served, reply, kept)
        if ask.method == "HEAD" or (reply.length or 0) <= SMALL:
            return _response(ask, resource, reply, served)
        if (better := elsewhere(node().settings, ask, resource, reply, served)) is not None:
            return _response(ask, resource, better, served)
        return hand_over(ask, served)


def _told(ask: Ask, source: Repository, resource: Resource) -> Ask:
    """The request with what the fills process cannot know of it."""
    if source.members:
        ask = replace(ask, members=tuple(part.name for part in source.parts), private=source.private)
    addressed = any(each.addressed for each in (resource, *resource.among))
    return replace(ask, address=address(source)) if addressed and not ask.address else ask


def address(source: Repository) -> str:
    """The repository's URL as its clients reach it."""
    return f"{client.origin(request.environ, node().settings)}/repository/{source.name}"


def _chosen(resource: Resource) -> tuple[Resource, Served | None, int]:
    """_stored() of it, or of the first that has it of what it is among; once one has to be asked, so are the rest."""
    if not resource.among:
        return resource, *_stored(resource)
    try:
        look = Assembly(node().shelf).look(resource)
    except StoreDown:
        return resource, None, 0
    for each, known in look.asked:
        with suppress(NotFound):
            return each, *_stored(each, known)
    raise NotFound("no member has such a file", code="file_not_found")


def _make_room() -> None:
    """Have the kernel take the whole body even from a client that does not read, and never wait for one long."""
    client = request.environ.get("gunicorn.socket")
    if client is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * SMALL)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, PATIENCE)


def _stored(resource: Resource, known: Known | None = None) -> tuple[Served | None, int]:
    """The copy and its stamp (Known.stamp); None where more than the shelf is needed. A store that is down is for the
    fills process to cope with."""
    shelf = node().shelf
    try:
        if resource.sources:
            return Assembly(shelf).ready(resource), 0
        known = known or shelf.find(resource)
        if resource.repository.verify_on_read and known.entry is not None and known.entry.size > SMALL:
            return None, 0  # hashing it takes time
        return shelf.stored(resource, known), known.stamp
    except StoreDown:
        return None, 0
    except NotFound:
        if resource.otherwise is None and resource.blank is None:
            raise
        return None, 0


def _kept(ask: Ask, resource: Resource, served: Served, stamp: int) -> Headers:
    """What lets the cache in front keep the answer, if it is one that this worker sends itself."""
    if edge.ASKED not in ask.headers or (ask.method != "HEAD" and served.entry.size > SMALL):
        return ()
    return edge.kept(ask, resource, served, stamp, node().shelf.clock())


def _kept_response(ask: Ask, resource: Resource, served: Served, reply: Answer, kept: Headers) -> Response:
    """All of the body, for the cache in front; what that makes of it for its client (`reply`) is what is told."""
    whole = answer(edge.whole(ask), resource, served) if reply.status != 200 else reply
    response = _response(ask, resource, replace(whole, headers=(*whole.headers, *kept)), served)
    if reply.status == 304:
        response.artifact, response.told = None, 304
    return response


def _response(ask: Ask, resource: Resource, reply: Answer, served: Served) -> Settled:
    if ask.method != "HEAD" and (reply.length or 0) > AT_ONCE:
        _make_room()
    body = b"" if ask.method == "HEAD" else b"".join(_bytes(part, served) for part in reply.parts)
    artifact = Artifact.of(resource, served.entry.digest)
    return Settled(body, reply.status, reply.headers, artifact=artifact)


def _bytes(part: bytes | Span | Addressed, served: Served) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, Addressed):
        return b"".join(part.chunks(served.file))
    try:
        served.file.seek(part.start)
        found = served.file.read(part.length or 0)  # a Distant reads all of it, too
    except OSError as error:
        raise StoreDown(f"the stored bytes cannot be read: {error.strerror}") from error
    if len(found) != part.length:
        raise StoreDown("the stored bytes ended early")
    return found


def hand_over(ask: Ask, served: Served | None) -> Response:
    """The empty response of a request that the fills process answers, or its answer, relayed."""
    handover, ask = node().handover, replace(ask, user=current().user)
    if handover.pass_on(request.environ, ask, served):
        request.environ[HANDED] = True
        return Settled(b"", 200, (), handed=True)
    relayed = handover.relay(ask, served)
    response = Settled(relayed, relayed.status, tuple(relayed.headers), handed=True)
    response.call_on_close(relayed.close)
    return response
