"""Small documents that an address of the configuration leads to, read whole within seconds; no redirects."""

from __future__ import annotations

import time

from urllib3._collections import HTTPHeaderDict
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from app.errors import Unavailable, UpstreamError, UpstreamLied, UpstreamTimeout
from app.resource import UpstreamOptions
from app.upstream.dial import Dialler, where
from app.upstream.download import Download
from app.upstream.guard import Guard
from app.upstream.hops import origin

LONGEST = 256 << 10  # bytes
PATIENCE = 5.0  # seconds for all of it
_CHUNK = 64 << 10
_OPTIONS = UpstreamOptions(connect_timeout=2.0, first_byte_timeout=3.0, stall_timeout=2.0, max_connections=4)


class Documents:
    """One per process; nothing connects before `read`."""

    def __init__(self, *, offline: bool = False) -> None:
        self._offline = offline
        self._dialler = Dialler(_OPTIONS)

    def read(self, url: str, named_by: str) -> bytes:
        """The body of a 200. `named_by` is the address of the configuration that led to `url`: elsewhere than there
        only what a redirect from there might reach is dialled (guard.py). Raises UpstreamError, Unavailable."""
        if self._offline:
            raise Unavailable("this server asks nobody: it is offline", code="offline")
        target, root = _parsed(url), _parsed(named_by)
        if root.scheme == "https" and target.scheme != "https":
            raise UpstreamLied(f"{where(named_by)}: names an address that is not https")
        guard = None if origin(target) == origin(root) else Guard(root.host or "")
        if guard is not None:
            guard.admit_literal(target.host or "")
        headers = HTTPHeaderDict({"Accept": "application/json", "Accept-Encoding": "identity"})
        response = self._dialler.request("GET", target.url, headers, guard)
        with Download(response, target.url, None, lambda: None) as answer:
            return _body(answer)

    def close(self) -> None:
        self._dialler.close()


def _parsed(url: str) -> Url:
    try:
        found = parse_url(url)
    except (LocationParseError, ValueError):
        raise UpstreamLied("names an address that is no URL") from None
    if found.scheme not in ("http", "https") or not found.host:
        raise UpstreamLied("names an address that is not http or https")
    return found._replace(auth=None, fragment=None)


def _body(answer: Download) -> bytes:
    host, deadline, body = where(answer.url), time.monotonic() + PATIENCE, b""
    if answer.status != 200:
        raise UpstreamError(f"{host}: answered {answer.status}", upstream_status=answer.status)
    while data := answer.read(_CHUNK):
        body += data
        if len(body) > LONGEST:
            raise UpstreamLied(f"{host}: the answer is too long")
        if time.monotonic() > deadline:
            raise UpstreamTimeout(f"{host}: the answer takes too long")
    return body
