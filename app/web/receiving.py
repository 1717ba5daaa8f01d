"""The body of an upload, however it is framed: raw or multipart, straight into the spool, never whole in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, cast

from flask import request
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser

from app.errors import BadRequest, TooLarge
from app.hosting.base import Sent
from app.hosting.upload import Upload, mismatch
from app.resource import Digest, Repository
from app.web import announced, heartbeat
from app.web.auth import require_still
from app.web.node import node

PIECE = 1 << 18  # bytes read from the client at a time
UNSAID = frozenset({"", "application/x-www-form-urlencoded"})  # what curl --data-binary says of any file
STALLED = 30.0  # seconds an uploading client may send no byte; less than gunicorn's timeout
MOST_MEMORY, MOST_PARTS = 2 << 20, 5000  # bytes of a multipart body's fields; its parts: a package's classifiers
MOST_FILES = 100  # each is an open file
LONGEST_TYPE = 255  # characters of a Content-Type


@dataclass(frozen=True, slots=True)
class Received:
    """What a request brought: files, and the other fields of a multipart body; `into` is the repository as it is when
    all of that has come."""

    into: Repository
    files: Sequence[Sent] = ()
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)


def received(spools: Path, into: Repository, kept: ExitStack) -> Received:
    """The present request's body; what is not adopted goes with `kept`. Who may is asked again when it has come.
    Raises BadRequest, TooLarge, StoreDown, and what require_still() does."""
    if request.method == "DELETE":
        return Received(into)
    headers = {name.lower(): value for name, value in request.headers.items()}
    files, bodies = announced.of_file(headers), announced.of_body(headers)
    if request.mimetype == "multipart/form-data":
        parts, fields = _multipart(spools, into.name, kept, files, Body(bodies))
        return Received(require_still(into), parts, fields)
    upload = kept.enter_context(Upload(spools, into.name, (*files, *bodies)))
    sent = Sent("", "", _raw(upload), upload)
    return Received(require_still(into), [sent])


def _raw(upload: Upload) -> str:
    unsaid = request.content_length is None and "HTTP_TRANSFER_ENCODING" not in request.environ
    if unsaid and request.method == "PUT":  # of a POST it means that there is none (RFC 9112, 6.3): curl -X POST
        raise BadRequest("an upload needs Content-Length or chunked encoding", code="length_required")
    body = Body()
    while chunk := body.read(PIECE):
        upload.write(chunk)
    body.verify()
    upload.verify()
    return "" if request.mimetype in UNSAID else _type(request.content_type)


def _multipart(
    spools: Path, repository: str, kept: ExitStack, files: Sequence[Digest], body: Body
) -> tuple[Sequence[Sent], Mapping[str, Sequence[str]]]:
    places = iter(range(MOST_FILES))

    def begun(*_: object, **__: object) -> IO[bytes]:
        if next(places, None) is None:
            raise TooLarge(f"a multipart body may have {MOST_FILES} files")
        return cast(IO[bytes], _Part(kept.enter_context(Upload(spools, repository, files))))

    parser = FormDataParser(begun, MOST_MEMORY, silent=False, max_form_parts=MOST_PARTS)
    try:
        _, fields, found = parser.parse(
            cast(IO[bytes], body), request.mimetype, request.content_length, request.mimetype_params
        )
    except ValueError as error:
        raise BadRequest(f"the multipart body cannot be read: {error}", code="bad_multipart") from error
    while body.read(PIECE):  # what follows the last part is part of the body
        pass
    body.verify()
    sent = [
        Sent(name, part.filename or "", _type(part.content_type), cast(_Part, part.stream).upload)
        for name, part in found.items(multi=True)
    ]
    if files and len(sent) != 1:
        raise BadRequest("X-Checksum-* says nothing of several files", code="bad_checksum")
    for each in sent:
        each.upload.verify()
    return sent, {name: tuple(values) for name, values in fields.lists()}


def _type(said: str | None) -> str:
    """A Content-Type that every answer can have, "" for none; BadRequest."""
    if said and (len(said) > LONGEST_TYPE or not said.isascii() or not said.isprintable()):
        raise BadRequest(
            f"a Content-Type is printable ASCII, {LONGEST_TYPE} characters at most", code="bad_content_type"
        )
    return said or ""


class _Part(RawIOBase):
    """A part of a multipart body, as the parser writes it."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload

    def write(self, data: Any) -> int:
        return self.upload.write(bytes(data))

    def seek(self, *_: object) -> int:
        """The parser rewinds what it has written; nobody reads it here."""
        return 0


class Body:
    """The client's body, in whatever coding it comes; a long upload is not a hung worker, a stalled one ends, and one
    that is too large, too."""

    def __init__(self, digests: Sequence[Digest] = ()) -> None:
        self.size = 0
        self._most = node().settings.upload_max
        self._digests = {each: hashlib.new(each.algorithm, usedforsecurity=False) for each in digests}
        client = request.environ.get("gunicorn.socket")
        if client is not None:
            client.settimeout(STALLED)
        self._refuse_large(request.content_length or 0)

    def read(self, size: int) -> bytes:
        heartbeat.beat()
        try:
            chunk = request.stream.read(size)
        except HTTPException:  # Werkzeug's own word for a body that ends early
            raise
        except Exception as error:  # the server's parser of chunked coding, or the socket: the client's doing
            raise BadRequest("the upload broke off or is framed wrongly", code="upload_incomplete") from error
        self.size += len(chunk)
        self._refuse_large(self.size)
        for each in self._digests.values():
            each.update(chunk)
        return chunk

    def verify(self) -> None:
        """BadRequest where all that was read is not all that was announced, or is something else."""
        if request.content_length is not None and self.size != request.content_length:
            raise BadRequest("the upload is shorter than announced", code="upload_incomplete")
        for digest, found in self._digests.items():
            if found.hexdigest() != digest.value:
                raise mismatch(digest, found.hexdigest())

    def _refuse_large(self, size: int) -> None:
        if self._most is not None and size > self._most:
            raise TooLarge(f"an upload may have {self._most} bytes")
