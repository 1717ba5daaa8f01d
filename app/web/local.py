"""Local repositories over HTTP: /api/v1/local/<name>/<path>, and the PUT and DELETE that every form shares."""

from __future__ import annotations

from typing import IO, cast

from flask import Blueprint, Response, jsonify, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser

from app.errors import BadRequest, NotFound, StoreDown
from app.hosting.publish import Upload, publish, refuse_published, withdraw
from app.resource import Ask, Kind, Repository
from app.web import client, heartbeat
from app.web.auth import require_admin
from app.web.node import about, node
from app.web.reply import guessed
from app.web.serve import repository, serve
from app.web.target import Target

PREFIX = "/api/v1/local"
blueprint = Blueprint("local", __name__, url_prefix=PREFIX)
PIECE = 1 << 18  # bytes read from the client at a time
UNSAID = frozenset({"", "application/x-www-form-urlencoded"})  # what curl --data-binary says of any file
STALLED = 30.0  # seconds an uploading client may send no byte; less than gunicorn's timeout
MOST_MEMORY, MOST_PARTS = 1 << 20, 100  # bytes of a multipart body's fields and headers, which nobody needs here


@blueprint.route("/<rest:rest>", methods=["GET", "HEAD", "PUT", "DELETE"], provide_automatic_options=False)
def file(rest: str) -> Response:
    if request.method in ("GET", "HEAD"):
        found = target()
        return serve(found.ask, found.repository)
    ask = _asked()
    require_admin()
    source = _hosted(ask)
    return put(ask, source) if ask.method == "PUT" else delete(ask, source)


def target() -> Target:
    """What the present request is about."""
    ask = _asked()
    return Target(ask, _hosted(ask))


def _asked() -> Ask:
    return about(*client.within(request.environ, PREFIX), route="api")


def _hosted(ask: Ask) -> Repository:
    found = repository(ask.repository)
    if found.kind is not Kind.LOCAL:
        raise NotFound("no such local repository", code="unknown_repository")
    return found


def put(ask: Ask, target: Repository) -> Response:
    """Publish the body, or the multipart field `file`; 201 with what was stored, 409 where it is there already."""
    if not ask.path or ask.path.endswith("/"):
        raise BadRequest("a file needs a name", code="bad_path")
    shelf = node().shelf
    refuse_published(shelf, target, ask.path)
    with Upload(node().settings.layout.spool, ask.repository) as upload:
        kind = _multipart(upload) if request.mimetype == "multipart/form-data" else _raw(upload)
        with heartbeat.beating():
            entry = publish(shelf, target, ask.path, upload, kind or guessed(ask.path))
    response = jsonify(repository=target.name, path=ask.path, size=entry.size, sha256=entry.digest)
    response.status_code = 201
    return response


def delete(ask: Ask, target: Repository) -> Response:
    """204, or NotFound; the bytes stay until nothing refers to them and gc runs."""
    with heartbeat.beating():
        withdraw(node().shelf, target, ask.path)
    return Response(status=204)


def _raw(upload: Upload) -> str:
    if request.content_length is None and not request.environ.get("wsgi.input_terminated"):
        raise BadRequest("an upload needs Content-Length or chunked encoding", code="length_required")
    _copy(_Body(), upload)
    if request.content_length is not None and upload.size != request.content_length:
        raise BadRequest("the upload is shorter than announced", code="upload_incomplete")
    return "" if request.mimetype in UNSAID else request.content_type or ""


def _multipart(upload: Upload) -> str:
    """The parser writes parts to files of its own under DATA_DIR; the named one is what is published."""
    parser = FormDataParser(upload.scratch, MOST_MEMORY, silent=False, max_form_parts=MOST_PARTS)
    body = cast(IO[bytes], _Body())
    try:
        _, _, files = parser.parse(body, request.mimetype, request.content_length, request.mimetype_params)
    except ValueError as error:
        raise BadRequest(f"the multipart body cannot be read: {error}", code="bad_multipart") from error
    except OSError as error:
        raise StoreDown(f"the upload cannot be written: {error.strerror}") from error
    part: FileStorage | None = files.get("file")
    if part is None:
        raise BadRequest("the multipart body has no field `file`", code="bad_multipart")
    _copy(part.stream, upload)
    return part.content_type or ""


def _copy(stream: IO[bytes] | _Body, upload: Upload) -> None:
    while chunk := stream.read(PIECE):
        upload.write(chunk)
        heartbeat.beat()


class _Body:
    """The client's body, in whatever coding it comes; a long upload is not a hung worker, a stalled one ends."""

    def __init__(self) -> None:
        client = request.environ.get("gunicorn.socket")
        if client is not None:
            client.settimeout(STALLED)

    def read(self, size: int) -> bytes:
        heartbeat.beat()
        try:
            return request.stream.read(size)
        except HTTPException:  # Werkzeug's own word for a body that ends early
            raise
        except Exception as error:  # the server's parser of chunked coding, or the socket: the client's doing
            raise BadRequest("the upload broke off or is framed wrongly", code="upload_incomplete") from error
