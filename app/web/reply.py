"""How an outcome reads in HTTP: status, headers and which bytes; pure, shared by workers and fills process."""

from __future__ import annotations

import hashlib
import mimetypes
import secrets
from dataclasses import replace
from urllib.parse import quote

from werkzeug.http import is_resource_modified, parse_date, parse_range_header

from app.assembly import left_out, said
from app.cache import Arriving, Blank, Outcome, Told
from app.errors import RangeNotSatisfiable, StoreDown
from app.fills.spool import Head
from app.making import HERES
from app.resource import HERE, Ask, Headers, Literal, Resource
from app.shelf import Served
from app.web.parts import Addressed, Span
from app.web.parts import Answer as Answer

PRIVATE = ("Cache-Control", "private")  # to no cache that others read, too (RFC 9111, 5.2.2.7)
# What is stored are other people's words, on the origin of the API: a browser shows it, and runs none of it.
SAFE: Headers = (
    ("Content-Security-Policy", "sandbox allow-downloads; default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)
FETCHED = frozenset({"MISS", "JOINED", "EXPIRED"})
MOST_RANGES = 256  # librepo asks for so many at once; more is abuse and gets the whole body
RENDERED = 16 << 20  # bytes of a document that is written anew; a larger one is sent as it is stored
TYPES = {
    ".rpm": "application/x-rpm",
    ".xml": "application/xml",
    ".tgz": "application/gzip",
    ".tar.gz": "application/gzip",
    ".yaml": "text/yaml",
    ".yml": "text/yaml",
}


def answer(ask: Ask, resource: Resource, outcome: Outcome) -> Answer:
    """GET or HEAD of `outcome`; RangeNotSatisfiable where no range can be met (RFC 9110, 15.5.17)."""
    found = _answer(ask, resource, outcome)
    private = (PRIVATE,) if ask.private or resource.repository.private else ()
    return replace(found, headers=(*found.headers, *SAFE, *private, *_without(ask, resource, outcome)))


def _without(ask: Ask, resource: Resource, outcome: Outcome) -> Headers:
    """A warning that members of a virtual did not answer, so that what they have may be missing (RFC 7234, 5.5)."""
    names = resource.left_out
    if resource.sources and isinstance(outcome, Served):
        names = (*names, *left_out(outcome.entry))
    agent = "299 -" if ask.route == "v2" else "199 artifactapi"  # as with what is stale
    return tuple(("Warning", f'{agent} "{name} did not answer and is left out"') for name in names)


def _answer(ask: Ask, resource: Resource, outcome: Outcome) -> Answer:
    if isinstance(outcome, Blank):
        return _literal(ask, resource, outcome, outcome.literal)
    if resource.addressed and isinstance(outcome, Served):
        return _addressed(ask, resource, outcome)
    if resource.stated:
        return _stated(ask, resource, outcome)
    if resource.rendered and isinstance(outcome, Served):
        return _rendered(ask, resource, outcome)
    return _stored(ask, resource, outcome)


def _stored(ask: Ask, resource: Resource, outcome: Served | Arriving | Told) -> Answer:
    head = _head(outcome)
    own = resource.format.headers(ask, resource, _digest(outcome), head.kept)
    headers = (*_headers(ask, outcome, head, _digest(outcome)), *own)
    if _unmodified(ask, resource, head):
        return Answer(304, headers, cache=outcome.state)
    if isinstance(outcome, Told):
        length = (("Content-Length", str(head.length)),) if head.length is not None else ()
        return Answer(200, (*_typed(ask, headers, head), *length), cache=outcome.state)
    spans = _spans(ask, outcome, head)
    if spans is None:
        whole = Span(0, head.length)
        return _sized(Answer(200, _typed(ask, headers, head), (whole,), outcome.state))
    if len(spans) == 1:
        where = _content_range(spans[0], head.length)
        return _sized(Answer(206, (*_typed(ask, headers, head), where), tuple(spans), outcome.state))
    return _sized(_multipart(headers, head, spans, outcome.state))


def _stated(ask: Ask, resource: Resource, outcome: Outcome) -> Answer:
    if not isinstance(outcome, Served):
        raise StoreDown("the body could not be stored, and what is said of it is not known", retry_after=1)
    said = resource.format.stated(ask, resource, outcome.entry, outcome.file)
    return _literal(ask, resource, outcome, said)


def _rendered(ask: Ask, resource: Resource, outcome: Served) -> Answer:
    if outcome.entry.size > RENDERED:
        return _stored(ask, resource, outcome)
    outcome.file.seek(0)
    stored = outcome.file.read()
    body, kept = resource.format.render(ask, resource, stored, outcome.entry.kept)
    if body == stored:
        return _stored(ask, resource, outcome)
    return _literal(ask, resource, outcome, Literal(body, outcome.entry.content_type), kept)


def _addressed(ask: Ask, resource: Resource, outcome: Served) -> Answer:
    """A body that names this server, under an ETag of that; without ranges, for nobody resumes a document."""
    entry, address = outcome.entry, ask.address.encode("ascii")
    length = entry.size + int(said(entry, HERES) or 0) * (len(address) - len(HERE.encode()))
    etag = f'"{entry.digest[:32]}-{hashlib.sha256(address).hexdigest()[:16]}"'
    head = Head(entry.content_type, length, etag, entry.last_modified)
    common = (line for line in _headers(ask, outcome, head, "") if line[0] != "Accept-Ranges")
    headers = (*common, *resource.format.headers(ask, resource, "", entry.kept))
    if _unmodified(ask, resource, head):
        return Answer(304, headers, cache=outcome.state)
    return _sized(Answer(200, _typed(ask, headers, head), (Addressed(entry.size, address, length),), outcome.state))


def _literal(ask: Ask, resource: Resource, outcome: Outcome, literal: Literal, kept: str = "") -> Answer:
    """A body of this server's own making, with an ETag of its own and without ranges."""
    digest = hashlib.sha256(literal.body).hexdigest()
    head = Head(literal.content_type, len(literal.body), f'"{digest}"')
    common = (line for line in _headers(ask, outcome, head, digest) if line[0] != "Accept-Ranges")
    headers = (*common, *resource.format.headers(ask, resource, digest, kept))
    if _unmodified(ask, resource, head):
        return Answer(304, headers, cache=outcome.state)
    return _sized(Answer(200, _typed(ask, headers, head), (literal.body,), outcome.state))


def _digest(outcome: Served | Arriving | Told) -> str:
    if isinstance(outcome, Served):
        return outcome.entry.digest
    return outcome.fill.digest if isinstance(outcome, Arriving) else ""


def _head(outcome: Served | Arriving | Told) -> Head:
    if isinstance(outcome, Served):
        entry = outcome.entry
        etag = entry.etag
        if etag is None and entry.last_modified is None:
            etag = f'"{entry.digest}"'
        return Head(entry.content_type, entry.size, etag, entry.last_modified, entry.kept)
    if isinstance(outcome, Arriving) and outcome.fill.complete:
        return replace(outcome.head, length=outcome.fill.available)
    return outcome.head


def _headers(ask: Ask, outcome: Outcome, head: Head, digest: str) -> Headers:
    source = "remote" if outcome.state in FETCHED else "cache"
    lines = [("X-Cache", outcome.state), ("X-Artifact-Source", source), ("Accept-Ranges", "bytes")]
    lines += [("ETag", head.etag)] if head.etag else []
    lines += [("Last-Modified", head.last_modified)] if head.last_modified else []
    lines += [("X-Artifact-Size", str(head.length))] if head.length is not None else []
    lines += [("X-Checksum-Sha256", digest)] if digest else []
    if outcome.state == "STALE":  # OCI distribution-spec, Warnings: another code and no agent's name
        told = '299 - "Response is Stale"' if ask.route == "v2" else '110 artifactapi "Response is Stale"'
        lines.append(("Warning", told))
    if isinstance(outcome, Served) and outcome.entry.gone:
        lines.append(("X-Upstream-Status", str(outcome.entry.gone)))
    if ask.route == "api":
        lines.append(("Content-Disposition", disposition(ask.path)))
    return tuple(lines)


def disposition(path: str) -> str:
    """An attachment named like the path's last segment (RFC 6266; RFC 8187 where it is not plain ASCII)."""
    name = path.rstrip("/").rpartition("/")[2]
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'


def typed_by_suffix(path: str, otherwise: str) -> str:
    """The content type of the /api/v1/ form."""
    return next((kind for suffix, kind in TYPES.items() if path.endswith(suffix)), otherwise)


def guessed(path: str) -> str:
    """A hosted file's content type where its publisher said none."""
    kind, encoding = mimetypes.guess_type(path)
    return typed_by_suffix(path, kind if kind and not encoding else "application/octet-stream")


def _typed(ask: Ask, headers: Headers, head: Head) -> Headers:
    kind = typed_by_suffix(ask.path, head.content_type) if ask.route == "api" else head.content_type
    return (*headers, ("Content-Type", kind))


def _sized(reply: Answer) -> Answer:
    if reply.length is None:
        return reply
    return replace(reply, headers=(*reply.headers, ("Content-Length", str(reply.length))))


def _unmodified(ask: Ask, resource: Resource, head: Head) -> bool:
    """RFC 9110, 13.2.2: If-None-Match outranks If-Modified-Since; the others do not concern reads."""
    if ask.method not in ("GET", "HEAD"):
        return False
    environ = {"REQUEST_METHOD": ask.method}
    if "if-none-match" in ask.headers:
        if head.etag is None and ask.headers["if-none-match"].strip() != "*":
            return False
        environ["HTTP_IF_NONE_MATCH"] = ask.headers["if-none-match"]
    elif "if-modified-since" in ask.headers and resource.sources:
        return _same_date(ask.headers["if-modified-since"], head)
    elif "if-modified-since" in ask.headers:
        environ["HTTP_IF_MODIFIED_SINCE"] = ask.headers["if-modified-since"]
    else:
        return False
    return not is_resource_modified(environ, etag=head.etag, last_modified=head.last_modified)


def _same_date(given: str, head: Head) -> bool:
    """Of a made document no other date will do, not even a later one: whoever has gained or lost the right to read a
    member is sent another document, which may be the older."""
    then = parse_date(head.last_modified)
    return then is not None and parse_date(given) == then


def _spans(ask: Ask, outcome: Served | Arriving, head: Head) -> list[Span] | None:
    """The ranges to send, or None for the whole body (RFC 9110, 14.2: a range may always be ignored)."""
    size = head.length
    if ask.method != "GET" or size is None or "range" not in ask.headers or not _if_range(ask, head):
        return None
    wanted = parse_range_header(ask.headers["range"])
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) > MOST_RANGES:
        return None
    spans = [span for first, stop in wanted.ranges if (span := _span(first, stop, size)) is not None]
    if not spans and len(wanted.ranges) > 1:
        return None  # librepo falls back on the whole body, and only then
    if not spans:
        raise RangeNotSatisfiable("no requested range lies within the body", size)
    if sum(span.length or 0 for span in spans) > size:
        return None
    if isinstance(outcome, Arriving) and not _near(outcome, spans):
        return None
    return spans


def _span(first: int, stop: int | None, size: int) -> Span | None:
    start = max(size + first, 0) if first < 0 else first
    end = size if stop is None else min(stop, size)
    return Span(start, end - start) if start < end else None


def _near(outcome: Arriving, spans: list[Span]) -> bool:
    """A range of an arriving body is only for who need not wait for its beginning, and only to the end that is
    withheld: a range before it would be whole before anything is verified."""
    if len(spans) != 1 or spans[0].length is None or spans[0].start > outcome.fill.available:
        return False
    return outcome.fill.complete or spans[0].start + spans[0].length == outcome.head.length


def _if_range(ask: Ask, head: Head) -> bool:
    """RFC 9110, 13.1.5: strong validators only; anything else gets the whole body."""
    if "if-range" not in ask.headers:
        return True
    given = ask.headers["if-range"].strip()
    return given in (head.etag, head.last_modified) and not given.startswith("W/")


def _content_range(span: Span, size: int | None) -> tuple[str, str]:
    return "Content-Range", f"bytes {span.start}-{span.start + (span.length or 0) - 1}/{size}"


def _multipart(headers: Headers, head: Head, spans: list[Span], state: str) -> Answer:
    boundary = secrets.token_hex(16)
    parts: list[bytes | Span] = []
    for span in spans:
        name, value = _content_range(span, head.length)
        parts.append(f"\r\n--{boundary}\r\nContent-Type: {head.content_type}\r\n{name}: {value}\r\n\r\n".encode())
        parts.append(span)
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    kind = ("Content-Type", f"multipart/byteranges; boundary={boundary}")
    return Answer(206, (*headers, kind), tuple(parts), state)
