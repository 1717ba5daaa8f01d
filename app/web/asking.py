"""Questions that clients send by POST because they are long: a format says which these are, upstream answers them."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace

from flask import g, request

from app.errors import BadRequest, TooLarge, UnsupportedMedia
from app.formats import FORMATS
from app.resource import Ask, Kind, Repository
from app.web.auth import readable, visible
from app.web.receiving import PIECE, Body

MOST = 4 << 20  # bytes of one, however small it was packed
_GZIP = 31  # zlib's word for a gzip stream with its header
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f]"
)  # JSON has none; each is six bytes on the way to the fills process


def asked(ask: Ask) -> tuple[Ask, Repository] | None:
    """The question and of which repository it is, if the present request is one."""
    found = visible(ask.repository)
    if found is None or ask.method != "POST" or found.kind is Kind.LOCAL or not FORMATS[found.package].asks(ask.path):
        return None
    source = readable(ask.repository)
    g.ask = ask = replace(ask, posted=_text())
    return ask, source


def _text() -> str:
    """What was sent: the same text however it is packed, so that it is the same question. Raises BadRequest."""
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("gzip", "identity"):
        raise UnsupportedMedia("a question comes plain or in gzip")
    body = _read()
    try:
        text = (_unpacked(body) if coding == "gzip" else body).decode("utf-8")
    except (zlib.error, UnicodeError) as error:
        raise BadRequest("the body is not what its headers say", code="bad_question") from error
    if not text:
        raise BadRequest("nothing is asked", code="bad_question")
    if _CONTROL.search(text):
        raise BadRequest("a question is JSON, which has no control characters", code="bad_question")
    return text


def _read() -> bytes:
    body, found = Body(), bytearray()
    while chunk := body.read(PIECE):
        found += chunk
        if len(found) > MOST:
            raise _too_large()
    body.verify()
    return bytes(found)


def _unpacked(body: bytes) -> bytes:
    packed = zlib.decompressobj(_GZIP)
    found = packed.decompress(body, MOST + 1)
    if len(found) > MOST:
        raise _too_large()
    if not packed.eof:
        raise zlib.error("the stream has no end")
    return found


def _too_large() -> TooLarge:
    return TooLarge(f"a question may have {MOST} bytes")
