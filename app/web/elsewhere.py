"""When a client gets a stored body from somebody else: from nginx by X-Accel-Redirect, or from S3 by a link.

    the blob is   asked for                               answer
    a file        the whole body by a plain GET, where    200, X-Accel-Redirect and every header: nginx sends
                  nginx in front says that it can         the file, and these headers instead of its own
    in S3         the whole body or one range by a GET,   307, Location is a presigned link
                  but below /api/v1/: that is a 200

Everything else is sent by the fills process: nginx would judge ranges and validators by the file's time, S3 by its
own ETag, and neither writes documents anew or hashes bytes before it sends them.
"""

from __future__ import annotations

from app.config import Settings
from app.resource import Ask, Headers, Resource
from app.shelf import Served
from app.stores.blobs import Distant
from app.web.reply import Answer, Span

LINK = 600  # seconds within which a client must begin with the link it was given
JUDGED = ("if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
OFFER = "x-sendfile-type"  # nginx sets it where it understands the next one: who comes past nginx gets bytes
ACCEL = "X-Accel-Redirect"
OF_THE_BODY = frozenset({"content-type", "content-length", "content-range"})


def elsewhere(settings: Settings, ask: Ask, resource: Resource, reply: Answer, served: Served) -> Answer | None:
    """The response without a body that has others send `reply`'s, for one too large to be sent by a worker; None
    where the bytes must come from this server.

    The worker logs what it answers. With X-Accel-Redirect the Content-Length stays and is logged as sent, although
    nginx sends it (and whoever ignored that header would see a body that is cut, not an empty one); what S3 sends
    is in nobody's log here.
    """
    if ask.method != "GET" or ask.route == "fill" or any(name in ask.headers for name in JUDGED):
        return None
    if resource.rendered or resource.repository.verify_on_read:
        return None
    if isinstance(served.file, Distant):
        linked = settings.s3_redirect and ask.route != "api"
        return _linked(reply, resource, served.file) if linked else None
    return _accelerated(settings.accel_redirect, ask, reply, served.entry.digest)


def _accelerated(location: str | None, ask: Ask, reply: Answer, digest: str) -> Answer | None:
    if location is None or reply.status != 200 or "range" in ask.headers or ask.headers.get(OFFER) != ACCEL:
        return None
    where = (ACCEL, f"{location}sha256/{digest[:2]}/{digest}")
    return Answer(200, (*reply.headers, where), cache=reply.cache)


def _linked(reply: Answer, resource: Resource, body: Distant) -> Answer | None:
    """A manifest is sent here: its clients expect its headers, and follow links for blobs alone."""
    if resource.whole or reply.status not in (200, 206) or not _is_one_span(reply):
        return None
    kind = next((value for name, value in reply.headers if name == "Content-Type"), "application/octet-stream")
    kept: Headers = tuple(line for line in reply.headers if line[0].lower() not in OF_THE_BODY)
    return Answer(307, (*kept, ("Location", body.link(LINK, kind)), ("Content-Length", "0")), cache=reply.cache)


def _is_one_span(reply: Answer) -> bool:
    return len(reply.parts) == 1 and isinstance(reply.parts[0], Span)
