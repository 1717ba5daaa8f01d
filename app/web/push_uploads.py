"""Uploads of blobs: whole in one request, in pieces by several, or not at all because the bytes are here already.

What has come of an upload is known to every node (app/stores/uploads.py), so each request may go to another one.
Source: OCI distribution-spec 1.1, Pushing Blobs, Mounting a blob from another repository.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from contextlib import ExitStack

from flask import Response, request

from app.errors import BadRequest, Forbidden, MethodNotAllowed, NotFound, RangeNotSatisfiable, TooLarge
from app.formats.docker import DOCKER
from app.formats.oci_names import digest_of, valid_name
from app.hosting import docker_blobs
from app.hosting.upload import Upload
from app.resource import Ask, Digest, Entry, Repository
from app.stores.uploads import LIFE, Piece, Uploads
from app.web import heartbeat, oci
from app.web.auth import shown, visible
from app.web.node import node
from app.web.receiving import received

MOST = 10_000  # pieces of one upload: each is a file, and whoever sends less than a MiB at a time sends too little
_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?")


def change(ask: Ask, source: Repository, name: str, upload: str) -> Response:
    """A PUT, POST, PATCH or DELETE of an image's uploads; `upload` is "" for a new one."""
    if ask.method == "POST" and not upload:
        return _begin(ask, source, name)
    if ask.method == "PATCH" and upload:
        return _go_on(ask, source, name, upload)
    if ask.method == "PUT" and upload:
        return _end(ask, source, name, upload)
    if ask.method == "DELETE" and upload:
        return _give_up(source, name, upload)
    raise MethodNotAllowed("an upload is begun with POST, goes on with PATCH and ends with PUT", oci.READING)


def status(ask: Ask, source: Repository, name: str, upload: str) -> Response:
    """How much of an upload has come."""
    return _told(ask.url_path, upload, _size(_pieces(source, name, upload)), 204)


# -- the requests ---------------------------------------------------------------------------------------------


def _begin(ask: Ask, source: Repository, name: str) -> Response:
    """Mounted or sent whole: 201; else 202 and where to send it to."""
    mount, whole = request.args.get("mount"), request.args.get("digest")
    if mount is not None and (found := _mountable(ask, source, name, digest_of(mount))) is not None:
        return _publish(ask, source, name, digest_of(mount), Piece(0, found.size, found.digest))
    if mount is None and whole is not None:
        return _whole(ask, source, name, digest_of(whole))
    upload, now = secrets.token_urlsafe(24), node().shelf.clock()
    _uploads().expire(now - LIFE)
    _uploads().begin(upload, source.name, name, now)
    return _told(f"{ask.url_path.rstrip('/')}/{upload}", upload, 0, 202)


def _whole(ask: Ask, source: Repository, name: str, expected: Digest) -> Response:
    with ExitStack() as kept:
        sent = _body(source, kept)
        with heartbeat.beating():
            whole = docker_blobs.stored(node().shelf, sent, expected)
    return _publish(ask, source, name, expected, whole)


def _go_on(ask: Ask, source: Repository, name: str, upload: str) -> Response:
    pieces = _taken(source, name, upload)
    return _told(ask.url_path, upload, _size(pieces), 202)


def _end(ask: Ask, source: Repository, name: str, upload: str) -> Response:
    """A proxy may send the same PUT to a second node when the first one died: what is whole already stays so."""
    expected = digest_of(request.args.get("digest", ""))
    try:
        pieces = _pieces(source, name, upload)
    except NotFound:
        if (entry := _held(source, name, expected)) is None:
            raise
        return _publish(ask, source, name, expected, Piece(0, entry.size, entry.digest))
    if [each.digest for each in pieces] != [expected.value] or "Content-Range" in request.headers:
        pieces = _taken(source, name, upload)
    return _ended(ask, source, name, upload, expected, pieces)


def _ended(
    ask: Ask, source: Repository, name: str, upload: str, expected: Digest, pieces: Sequence[Piece]
) -> Response:
    try:
        with heartbeat.beating():
            spools = node().settings.layout.spool
            whole = docker_blobs.joined(node().shelf, spools, source, pieces, expected)
    except BadRequest:  # nothing can be made of it any more
        _uploads().end(upload)
        raise
    response = _publish(ask, source, name, expected, whole)
    _uploads().end(upload)
    return response


def _give_up(source: Repository, name: str, upload: str) -> Response:
    _pieces(source, name, upload)
    _uploads().end(upload)
    return Response(status=204, headers=[oci.VERSION])


# -- their parts ----------------------------------------------------------------------------------------------


def _uploads() -> Uploads:
    return node().shelf.catalog.index.uploads


def _pieces(source: Repository, name: str, upload: str) -> Sequence[Piece]:
    found = _uploads().pieces(upload, source.name, name)
    if found is None:
        raise NotFound("no such upload is under way; begin a new one", code="blob_upload_unknown")
    return found


def _size(pieces: Sequence[Piece]) -> int:
    return pieces[-1].end if pieces else 0


def _taken(source: Repository, name: str, upload: str) -> Sequence[Piece]:
    """The upload with this request's body added; RangeNotSatisfiable where that belongs elsewhere."""
    pieces = _pieces(source, name, upload)
    start, length = _size(pieces), _length(_size(pieces))
    if len(pieces) >= MOST:
        raise BadRequest(f"an upload has {MOST} pieces at the most", code="blob_upload_invalid")
    _refuse_large(start + (request.content_length or length or 0))
    with ExitStack() as kept:
        sent = _body(source, kept)
        _refuse_large(start + sent.size)
        if length is not None and sent.size != length:
            raise BadRequest("the body is not as long as its Content-Range says", code="size_invalid")
        if not sent.size:
            return pieces
        with heartbeat.beating():
            piece = Piece(start, sent.size, sent.finish())
            node().shelf.blobs.adopt(sent.path, piece.digest)
    if not _uploads().append(upload, piece, node().shelf.clock(), node().shelf.blobs.exists):
        size = _size(_pieces(source, name, upload))
        raise RangeNotSatisfiable("another request went on with this upload meanwhile", size)
    return [*pieces, piece]


def _refuse_large(size: int) -> None:
    """UPLOAD_MAX is of a blob, in however many pieces it comes."""
    most = node().settings.upload_max
    if most is not None and size > most:
        raise TooLarge(f"an upload may have {most} bytes")


def _length(size: int) -> int | None:
    """Bytes that the request's Content-Range announces, None without one; it has to begin at `size`."""
    said = request.headers.get("Content-Range")
    if said is None:
        return None
    match = _RANGE.fullmatch(said.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise BadRequest("Content-Range is <first>-<last>", code="blob_upload_invalid")
    if int(match[1]) != size:
        raise RangeNotSatisfiable(f"the upload goes on at byte {size}", size)
    return int(match[2]) - int(match[1]) + 1


def _body(source: Repository, kept: ExitStack) -> Upload:
    spools = node().settings.layout.spool
    if request.content_length is None and "Transfer-Encoding" not in request.headers:  # no body (RFC 9112, 6.3)
        return kept.enter_context(Upload(spools, source.name))
    sent = received(spools, source, kept).files
    if len(sent) != 1 or sent[0].field:
        raise BadRequest("a blob is sent as it is, not as a form", code="blob_upload_invalid")
    return sent[0].upload


def _publish(ask: Ask, source: Repository, name: str, digest: Digest, whole: Piece) -> Response:
    path = docker_blobs.blob_path(name, digest)
    with heartbeat.beating():
        docker_blobs.publish(node().shelf, source, path, whole.digest, whole.size)
    place = ask.url_path.rpartition("/blobs/uploads")[0]
    text = f"{digest.algorithm}:{digest.value}"
    headers = [("Location", f"{place}/blobs/{text}"), ("Docker-Content-Digest", text), oci.VERSION]
    return Response(status=201, headers=headers)


def _told(location: str, upload: str, size: int, status: int) -> Response:
    """Range is inclusive; of no bytes there is none, and every registry says 0-0."""
    where = [("Location", location), ("Range", f"0-{max(size - 1, 0)}"), ("Docker-Upload-UUID", upload)]
    return Response(status=status, headers=[*where, oci.VERSION])


# -- mounting -------------------------------------------------------------------------------------------------


def _mountable(ask: Ask, source: Repository, name: str, digest: Digest) -> Entry | None:
    """The blob where the client may read it already: in the image that it names, or in any."""
    named = request.args.get("from")
    if named is None:
        known = node().repositories
        every = (each for all_of in (known.locals, known.remotes) for each in all_of.values())
        readable = {each.name: each for each in shown(every) if each.package == DOCKER.name}
        places = docker_blobs.places(node().shelf, digest, list(readable))
        held = (_held(readable[name], image, digest) for name, image in places)
        return next((entry for entry in held if entry is not None), None)
    first, _, rest = named.partition("/")
    repository, image = (_readable(first), rest) if ask.url_path.startswith("/v2/") else (source, named)
    return _held(repository, image, digest) if repository is not None and valid_name(image) else None


def _readable(name: str) -> Repository | None:
    """A repository of images that the client may know of."""
    found = visible(name)
    return found if found is not None and found.package == DOCKER.name else None


def _held(repository: Repository, image: str, digest: Digest) -> Entry | None:
    """What is stored of it; nothing is asked upstream, and what the repository's patterns forbid is not there."""
    asked = Ask("GET", repository.name, docker_blobs.blob_path(image, digest))
    try:
        entry = node().shelf.find(DOCKER.resolve(repository, asked)).entry
    except Forbidden:
        return None
    return entry if entry is not None and node().shelf.has(entry) else None
