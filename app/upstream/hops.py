"""One request on its way to a final answer: redirects followed by hand, and what each next host is told."""

from __future__ import annotations

import contextlib
import urllib.parse
from dataclasses import dataclass, field, replace

import urllib3
from urllib3._collections import HTTPHeaderDict
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from app.errors import UpstreamLied, UpstreamUnreachable
from app.upstream.dial import Dialler, where
from app.upstream.guard import Guard, refused

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DRAINED = 64 << 10  # bytes of a redirect's body worth reading to keep its connection
# What another host than the configured one is told; everything else may be a secret.
_HARMLESS = frozenset({"accept", "accept-encoding", "if-modified-since", "if-none-match", "range", "user-agent"})


@dataclass(frozen=True, slots=True)
class Hop:
    """One request on the way: what is asked of `url`, and under which base URL the way began."""

    url: str
    root: Url
    method: str
    headers: HTTPHeaderDict = field(repr=False)
    guard: Guard | None = None
    visited: tuple[str, ...] = ()
    body: bytes | None = field(default=None, repr=False)  # of a POST: it goes nowhere but here

    def showing(self, authorization: str | None) -> Hop:
        """The same with a proof of who asks, or without one."""
        headers = HTTPHeaderDict(self.headers)
        if authorization is not None:
            headers["Authorization"] = authorization
        return replace(self, headers=headers)

    def next(self, location: str) -> Hop:
        """The hop a Location leads to; raises if it must not be followed."""
        target = _target(self.url, location)
        if self.root.scheme == "https" and target.scheme == "http":
            raise refused(where(self.url), f"from https to http://{target.netloc}")
        guard = self.guard or (None if origin(target) == origin(self.root) else Guard(self.root.host or ""))
        if guard is not None:
            guard.admit_literal(target.host or "")
        visited = (*self.visited, parse_url(self.url).url)
        if target.url in visited:
            raise UpstreamUnreachable(f"upstream {where(self.url)}: a redirect loop")
        if len(visited) > MAX_REDIRECTS:
            raise UpstreamUnreachable(f"upstream {where(self.url)}: more than {MAX_REDIRECTS} redirects")
        headers = self.headers if guard is None else harmless(self.headers)
        return replace(self, url=target.url, headers=headers, guard=guard, visited=visited)


def follow(dialler: Dialler, hop: Hop) -> tuple[urllib3.HTTPResponse, Hop]:
    """The first answer that is no redirect, and the hop it came from."""
    while True:
        response = dialler.request(hop.method, hop.url, hop.headers, hop.guard, hop.body)
        location = response.headers.get("Location")
        if response.status not in _REDIRECTS or not location or hop.body is not None:
            return response, hop
        discard(response)
        hop = hop.next(location)


def discard(response: urllib3.HTTPResponse) -> None:
    """Read a short body so that its connection can be used again; close on a long one."""
    left = _DRAINED if response.chunked or response.length_remaining is not None else 0
    with contextlib.suppress(HTTPError, OSError):
        while left > 0 and (data := response.read1(_DRAINED, decode_content=False)):
            left -= len(data)
    if not response.closed:
        response.close()


def _target(current: str, location: str) -> Url:
    """An absolute http or https URL without credentials and fragment; header bytes are read as UTF-8."""
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    try:
        target = parse_url(urllib.parse.urljoin(current, location))
    except (LocationParseError, ValueError):
        raise UpstreamLied(f"upstream {where(current)}: redirects to no URL") from None
    if target.scheme not in ("http", "https") or not target.host:
        raise refused(where(current), "to something that is not http or https")
    return target._replace(auth=None, fragment=None)


def origin(url: Url) -> tuple[str | None, str | None, int]:
    """Scheme, host and port: what may be told the same secrets."""
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def harmless(headers: HTTPHeaderDict) -> HTTPHeaderDict:
    """What may be told to any host."""
    return HTTPHeaderDict({name: value for name, value in headers.items() if name.lower() in _HARMLESS})
