"""A request from the base URLs to a final answer: headers, fail-over, redirects followed by hand."""

from __future__ import annotations

import contextlib
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import urllib3
from urllib3._collections import HTTPHeaderDict
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from app import paths
from app.errors import Unavailable, UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.resource import Repository, Resource
from app.upstream.coding import Undecodable, undo
from app.upstream.dial import Dialler, where
from app.upstream.download import Download
from app.upstream.guard import Guard, refused

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DRAINED = 64 << 10  # bytes of a redirect's body worth reading to keep its connection
# What another host than the configured one is told; everything else may be a secret.
_HARMLESS = frozenset({"accept", "accept-encoding", "if-modified-since", "if-none-match", "range", "user-agent"})


class Upstreams:
    """Every remote's upstream; one per process, for many threads. Nothing connects before `open`."""

    def __init__(self) -> None:
        self._diallers: dict[str, Dialler] = {}
        self._lock = threading.Lock()

    def open(self, resource: Resource, method: str = "GET", validators: Mapping[str, str] | None = None) -> Download:
        """Ask for a resource, GET or HEAD; the answer of any final status, its body still to be read.

        `validators` are If-None-Match and If-Modified-Since. The base URLs are tried in order while they cannot
        be reached, time out or answer 5xx. Raises Unavailable "offline", UpstreamTimeout, UpstreamUnreachable,
        UpstreamLied (what came is not HTTP, or not what was asked), UpstreamDenied "upstream_redirect_refused".
        """
        repository = resource.repository
        if repository.offline:
            raise Unavailable(f"{repository.name} is offline and has no copy of this", code="offline")
        for base in repository.base_urls[:-1]:
            with contextlib.suppress(UpstreamTimeout, UpstreamUnreachable):
                download = self._visit(resource, base, method, validators or {})
                if download.status < 500:
                    return download
                download.close()
        return self._visit(resource, repository.base_urls[-1], method, validators or {})

    def close(self) -> None:
        """Close the idle connections; running downloads go on."""
        with self._lock:
            diallers, self._diallers = list(self._diallers.values()), {}
        for dialler in diallers:
            dialler.close()

    def _visit(self, resource: Resource, base: str, method: str, validators: Mapping[str, str]) -> Download:
        root, login = _split(base)
        dialler = self._dialler(resource.repository)
        url = paths.join(root.url, resource.path, resource.query)
        headers = _headers(resource, login, validators)
        release = dialler.reserve(where(url))
        try:
            response, final = _follow(dialler, _Hop(url, root, method, headers))
            return _download(response, final, resource, "Range" in headers, release)
        except BaseException:
            release()
            raise

    def _dialler(self, repository: Repository) -> Dialler:
        """The remote's dialler, a new one where its options changed with a reload."""
        with self._lock:
            known = self._diallers.get(repository.name)
            if known is None or known.options != repository.upstream:
                if known is not None:
                    known.close()
                known = self._diallers[repository.name] = Dialler(repository.upstream)
            return known


@dataclass(frozen=True, slots=True)
class _Hop:
    """One request on the way: what is asked of `url`, and under which base URL the way began."""

    url: str
    root: Url
    method: str
    headers: HTTPHeaderDict
    guard: Guard | None = None
    visited: tuple[str, ...] = ()

    def next(self, location: str) -> _Hop:
        """The hop a Location leads to; raises if it must not be followed."""
        target = _target(self.url, location)
        if self.root.scheme == "https" and target.scheme == "http":
            raise refused(where(self.url), f"from https to http://{target.netloc}")
        guard = self.guard or (None if _origin(target) == _origin(self.root) else Guard(self.root.host or ""))
        if guard is not None:
            guard.admit_literal(target.host or "")
        visited = (*self.visited, parse_url(self.url).url)
        if target.url in visited:
            raise UpstreamUnreachable(f"upstream {where(self.url)}: a redirect loop")
        if len(visited) > MAX_REDIRECTS:
            raise UpstreamUnreachable(f"upstream {where(self.url)}: more than {MAX_REDIRECTS} redirects")
        headers = self.headers if guard is None else _harmless(self.headers)
        return replace(self, url=target.url, headers=headers, guard=guard, visited=visited)


def _follow(dialler: Dialler, hop: _Hop) -> tuple[urllib3.HTTPResponse, str]:
    """The first answer that is no redirect, and its URL."""
    while True:
        response = dialler.request(hop.method, hop.url, hop.headers, hop.guard)
        location = response.headers.get("Location")
        if response.status not in _REDIRECTS or not location:
            return response, hop.url
        _discard(response)
        hop = hop.next(location)


def _discard(response: urllib3.HTTPResponse) -> None:
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


def _origin(url: Url) -> tuple[str | None, str | None, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _split(base: str) -> tuple[Url, str | None]:
    """A base URL without its credentials, and these (`user:password`)."""
    url = parse_url(base)
    return url._replace(auth=None), urllib.parse.unquote(url.auth) if url.auth else None


def _headers(resource: Resource, login: str | None, validators: Mapping[str, str]) -> HTTPHeaderDict:
    """What upstream is told; a .netrc or the environment never has a say."""
    repository = resource.repository
    if repository.username is not None:
        login = f"{repository.username}:{repository.password or ''}"
    headers = HTTPHeaderDict({"User-Agent": _user_agent(), "Accept": "*/*"})
    if login:
        headers.update(urllib3.make_headers(basic_auth=login))
    for own in (resource.headers, repository.upstream.headers, validators, {"Accept-Encoding": "identity"}):
        for name, value in own.items():
            headers[name] = value
    return headers


def _harmless(headers: HTTPHeaderDict) -> HTTPHeaderDict:
    return HTTPHeaderDict({name: value for name, value in headers.items() if name.lower() in _HARMLESS})


@cache
def _user_agent() -> str:
    try:
        return f"artifactapi/{version('artifactapi')}"
    except PackageNotFoundError:
        return "artifactapi/0"


def _download(
    response: urllib3.HTTPResponse, url: str, resource: Resource, ranged: bool, release: Callable[[], None]
) -> Download:
    """The answer, if it can be one to what was asked; raises UpstreamLied."""
    try:
        if response.status == 206 and not ranged:
            raise UpstreamLied(f"upstream {where(url)}: sent a part of the file although asked for all of it")
        has_body = 200 <= response.status < 300 and response.length_remaining != 0
        coding = undo(response.headers, resource.path) if has_body else None
        return Download(response, url, coding, release)
    except Undecodable as error:
        response.close()
        raise UpstreamLied(f"upstream {where(url)}: sent {error}") from None
    except UpstreamError:
        response.close()
        raise
