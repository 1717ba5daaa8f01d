"""When a client gets a stored body from somebody else: from nginx by X-Accel-Redirect, or from S3 by a link.

    the blob is   asked for by a GET, where               answer
    a file        nginx in front says that it can:        200 or 206, X-Accel-Redirect and every header: nginx sends
                  the whole body, or one range            the file, and these headers instead of its own
    in S3         S3_REDIRECT is set, but not below       307, Location is a presigned link
                  /api/v1/ (that is a 200), nor a
                  manifest: the whole body or one range
                  nginx in front says that it can:        the same as of a file, below ACCEL_REDIRECT the path and
                  the whole body, or one range            the query of a presigned link: nginx asks S3 for it

Everything else is sent by the fills process: nginx would judge validators by the file's time, S3 by its own ETag,
and neither writes documents anew or hashes bytes before it sends them. Of a range nginx, or S3, says itself what it
sends (206 and Content-Range): it reads the client's Range once more, so that it must be one that nobody can read
otherwise. If-Range is ours to judge: S3 is never told of it, but nginx would compare the file's time.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from app.config import Settings
from app.resource import Ask, Headers, Resource
from app.shelf import Served
from app.stores.blobs import Distant
from app.web.parts import Answer, Span

LINK, PRIVATE = 600, 30  # seconds within which a client must begin with the link it was given
JUDGED = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
OFFER = "x-sendfile-type"  # nginx sets it where it understands the next one: who comes past nginx gets bytes
ACCEL = "X-Accel-Redirect"
OF_THE_BODY = frozenset({"content-type", "content-length", "content-range"})
PLAIN = re.compile(r"bytes=(\d{1,18}-(\d{1,18})?|-\d{1,18})")  # nginx answers 416 to numbers beyond 2^63


def elsewhere(settings: Settings, ask: Ask, resource: Resource, reply: Answer, served: Served) -> Answer | None:
    """The response without a body that has others send `reply`'s, for one too large to be sent by a worker; None
    where the bytes must come from this server.

    The worker logs what it answers. With X-Accel-Redirect the Content-Length stays and is logged as sent, although
    nginx sends it (and whoever ignored that header would see a body that is cut, not an empty one); what S3 sends
    to a client of its own is in nobody's log here.
    """
    if ask.method != "GET" or ask.route == "fill" or any(name in ask.headers for name in JUDGED):
        return None
    if resource.rendered or resource.repository.verify_on_read or not _is_one_span(reply):
        return None
    body, conditional = served.file, "if-range" in ask.headers
    if not isinstance(body, Distant):
        where = f"sha256/{served.entry.digest[:2]}/{served.entry.digest}"
        return None if conditional else _accelerated(settings.accel_redirect, ask, reply, where)
    if settings.s3_redirect and ask.route != "api" and not resource.whole and not conditional:
        return _linked(reply, body, PRIVATE if ask.private or resource.repository.private else LINK)
    return _accelerated(settings.accel_redirect, ask, reply, body)


def _accelerated(location: str | None, ask: Ask, reply: Answer, body: str | Distant) -> Answer | None:
    """`body` is where nginx finds a file below `location`, or what it is to ask S3 for by a link."""
    if location is None or ask.headers.get(OFFER) != ACCEL or not _reads_alike(ask, reply):
        return None
    where = body if isinstance(body, str) else _target(body.link(LINK, _type(reply)))
    return Answer(reply.status, (*reply.headers, (ACCEL, f"{location}{where}")), cache=reply.cache)


def _reads_alike(ask: Ask, reply: Answer) -> bool:
    """Whether nginx and S3 will send what `reply` says when they read the client's Range themselves."""
    if "range" not in ask.headers:
        return reply.status == 200
    return reply.status == 206 and PLAIN.fullmatch(ask.headers["range"]) is not None


def _target(link: str) -> str:
    """What a request to S3 by that link names: its path, without the first slash, and its query."""
    parts = urlsplit(link)
    return f"{parts.path.removeprefix('/')}?{parts.query}"


def _linked(reply: Answer, body: Distant, seconds: int) -> Answer:
    kept: Headers = tuple(line for line in reply.headers if line[0].lower() not in OF_THE_BODY)
    link = ("Location", body.link(seconds, _type(reply)))
    return Answer(307, (*kept, link, ("Content-Length", "0")), cache=reply.cache)


def _type(reply: Answer) -> str:
    return next((value for name, value in reply.headers if name == "Content-Type"), "application/octet-stream")


def _is_one_span(reply: Answer) -> bool:
    return reply.status in (200, 206) and len(reply.parts) == 1 and isinstance(reply.parts[0], Span)
