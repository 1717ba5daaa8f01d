"""A request from the base URLs to a final answer: headers, fail-over, challenges, and who is left alone."""

from __future__ import annotations

import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from http.client import TOO_MANY_REQUESTS
from importlib.metadata import PackageNotFoundError, version

import urllib3
from urllib3._collections import HTTPHeaderDict
from urllib3.util import Url, parse_url

from app import paths
from app.errors import Unavailable, UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.resource import Digest, Repository, Resource
from app.upstream.breaker import Health, Resting
from app.upstream.breakers import Breakers
from app.upstream.coding import Undecodable, undo
from app.upstream.dial import Dialler, where
from app.upstream.download import Download
from app.upstream.guard import Guard, refused
from app.upstream.headers import retry_after
from app.upstream.hops import Hop, discard, follow, harmless, origin
from app.upstream.login import Login
from app.upstream.mirrors import Mirrors
from app.upstream.tokens import Keyring, Tokens, name_of


class Upstreams:
    """Every remote's upstream; one per process, for many threads. Nothing connects before `open`."""

    def __init__(self, tokens: Tokens | None = None, *, offline: bool = False) -> None:
        """`offline`: nothing is ever dialled, whatever a remote says."""
        self.offline = offline
        self._keyring = Keyring(tokens)
        self._diallers: dict[str, Dialler] = {}
        self._lock = threading.Lock()
        self.breakers = Breakers()
        self.mirrors = Mirrors(lambda resource, base: self._visit(resource, base, "GET", {}))

    def open(self, resource: Resource, method: str = "GET", validators: Mapping[str, str] | None = None) -> Download:
        """Ask for a resource, GET or HEAD; the answer of any final status, its body still to be read.

        `validators` are If-None-Match and If-Modified-Since. The base URLs are tried in order while they cannot
        be reached, time out, lie or answer 429 or 5xx, those that rest left out: what else they say (403, 404) is
        the answer. Mirrors of a list (mirrors.py) are also passed by where they have no such thing.
        Raises Unavailable "offline" and "upstream_breaker_open", UpstreamTimeout, UpstreamUnreachable,
        UpstreamLied (what came is not HTTP, or not what was asked), UpstreamDenied "upstream_redirect_refused",
        and of token endpoints UpstreamDenied (also "upstream_realm_refused") and UpstreamError.
        """
        repository = resource.repository
        self._dare(repository)
        if not repository.base_urls:
            return self.mirrors.first(
                repository, lambda base, guard: self._visit(resource, base, method, validators or {}, guard)
            )
        if (home := _home(resource)) is not None:
            return self._visit(resource, home, method, validators or {})
        *earlier, last = self._awake(resource)
        for base in earlier:
            try:
                download = self._visit(resource, base, method, validators or {})
            except (Resting, UpstreamTimeout, UpstreamUnreachable, UpstreamLied) as error:
                if error.code == "upstream_busy":  # the next one shares the remote's limits
                    raise
            else:
                if download.status < 500 and download.status != TOO_MANY_REQUESTS:
                    return download
                download.close()
        return self._visit(resource, last, method, validators or {})

    def _awake(self, resource: Resource) -> list[str]:
        """The base URLs that may be asked for it now, in their order; raises Resting where all rest."""
        repository = resource.repository
        self._dialler(repository)  # a new one of new options has nothing against them
        awake, resting = [], []
        for base in repository.base_urls:
            try:
                self.breakers.of(repository, base).check(resource.path)
                awake.append(base)
            except Resting as error:
                resting.append(error)
        if not awake:
            raise min(resting, key=lambda each: each.retry_after)
        return awake

    def _dare(self, repository: Repository) -> None:
        """The last place before a socket: raises Unavailable "offline"."""
        if repository.offline or self.offline:
            raise Unavailable(f"{repository.name} is offline and has no copy of this", code="offline")

    def health(self) -> Mapping[str, tuple[Health, ...]]:
        """How every base URL and mirror is that was asked, by remote."""
        return {name: self.mirrors.health(name, found) for name, found in self.breakers.health().items()}

    def flushed(self, repository: Repository, epoch: int) -> None:
        """Something of it is asked for under that epoch: what failed before a flush ended the last may be well."""
        for name in self.breakers.flushed(repository, epoch):
            self.mirrors.renew(name)

    def keep(self, repositories: Iterable[Repository]) -> None:
        """Forget what was learned of upstreams that are not these repositories' any more."""
        known = list(repositories)
        self.breakers.keep(known)
        self.mirrors.keep(known)
        with self._lock:
            gone = [self._diallers.pop(name) for name in set(self._diallers) - {each.name for each in known}]
        for dialler in gone:
            dialler.close()

    def pinned(self, resource: Resource) -> Digest | None:
        """The checksum that the body must have by the repository's metalink; None where nothing says so."""
        return next(iter(self.pins(resource)), None)

    def pins(self, resource: Resource) -> tuple[Digest, ...]:
        """The same checksum by every algorithm that the metalink names, the strongest first."""
        return () if self.offline else self.mirrors.pins(resource.repository, resource.path)

    def demote(self, resource: Resource, url: str) -> None:
        """What came from `url` (Download.url) was wrong: its mirror is the last to be asked for some minutes."""
        self.mirrors.demote(resource.repository, url)

    def close(self) -> None:
        """Close the idle connections; running downloads go on."""
        with self._lock:
            diallers, self._diallers = list(self._diallers.values()), {}
        for dialler in diallers:
            dialler.close()

    def _visit(
        self,
        resource: Resource,
        base: str,
        method: str,
        validators: Mapping[str, str],
        guard: Guard | None = None,
    ) -> Download:
        """Ask under one base URL; with a guard a stranger chose it, and it hears no secrets. Raises Resting."""
        self._dare(resource.repository)
        root, login = _split(base, resource.repository)
        dialler = self._dialler(resource.repository)
        url, place = _address(resource, base, root)
        headers = _headers(resource, login, validators)
        if place is not root:  # an index of upstream's chose it
            guard = guard or Guard(root.host or "")
        if guard is not None:
            guard.admit_literal(place.host or "")
            headers = harmless(headers)
        method = "POST" if resource.posted else method
        hop = Hop(url, place, method, headers, guard, body=resource.posted.encode() or None)
        breaker = self.breakers.of(resource.repository, base if place is root else f"{place.scheme}://{place.netloc}")
        breaker.check(resource.path)
        release = dialler.reserve(where(url))
        try:
            with breaker.attempt(resource.path) as attempt:
                if resource.area and guard is None and "Authorization" not in headers:
                    response, final = self._challenged(dialler, hop, resource, login)
                else:
                    response, final = follow(dialler, hop)
                attempt.answer(response.status, retry_after(response.headers, time.time()), where(final.url))
            ended = attempt.end if method != "HEAD" else None
            return _download(response, final.url, resource.path, "Range" in headers, release, ended)
        except BaseException:
            release()
            raise

    def _challenged(
        self, dialler: Dialler, hop: Hop, resource: Resource, login: str | None
    ) -> tuple[urllib3.HTTPResponse, Hop]:
        """The answer after at most one challenge of upstream's own, not of whom it redirects to."""
        proof = self._login(resource, hop.root, login)
        shown = proof.known()
        response, final = follow(dialler, hop.showing(proof.header(shown)))
        if response.status != 401 or final.guard is not None:
            return response, final
        challenge = proof.chosen(response.headers.getlist("WWW-Authenticate"), shown)
        if challenge is None:
            return response, final
        discard(response)
        shown = proof.answer(challenge, shown, partial(_ask_for_token, dialler, hop.root, resource))
        response, final = follow(dialler, hop.showing(proof.header(shown)))
        proof.settle(shown, response.status)
        return response, final

    def _login(self, resource: Resource, root: Url, login: str | None) -> Login:
        repository = resource.repository
        options = repository.upstream
        name = name_of(repository.name, root.url, resource.area, login)
        return Login(self._keyring, name, root, login, options.auth_hosts, options.first_byte_timeout)

    def _dialler(self, repository: Repository) -> Dialler:
        """The remote's dialler, a new one where its options changed with a reload."""
        with self._lock:
            known = self._diallers.get(repository.name)
            if known is None or known.options != repository.upstream:
                if known is not None:
                    known.close()
                    self.breakers.forget(repository.name)  # another way to it may be a way that works
                known = self._diallers[repository.name] = Dialler(repository.upstream)
            return known


def _ask_for_token(dialler: Dialler, root: Url, resource: Resource, url: Url, authorization: str | None) -> Download:
    """A token endpoint's answer; away from the base URL's own origin it is dialled like a redirect's target."""
    guard = None if origin(url) == origin(root) else Guard(root.host or "")
    headers = _headers(replace(resource, headers={}), None, {})
    if guard is not None:
        guard.admit_literal(url.host or "")
        headers = harmless(headers)
    response, final = follow(dialler, Hop(url.url, url, "GET", headers, guard).showing(authorization))
    return _download(response, final.url, "", False, lambda: None)


def _home(resource: Resource) -> str | None:
    """The only base URL by which what an index names is asked for: one of the same origin, else the first, by whose
    settings another host is dialled. None where it is below the first one: that fails over with its index."""
    bases = resource.repository.base_urls
    if not resource.url or _below(resource.url, bases[0]):
        return None
    place = origin(parse_url(resource.url))
    return next((base for base in bases if origin(parse_url(base)) == place), bases[0])


def _below(url: str, base: str) -> str:
    """What follows the base URL, "" where it does not begin so; credentials are no part of either."""
    whole, root = (parse_url(each)._replace(auth=None).url for each in (url, base.rstrip("/") + "/"))
    return whole.removeprefix(root) if whole.startswith(root) else ""


def _address(resource: Resource, base: str, root: Url) -> tuple[str, Url]:
    """The URL to ask for, and the place that it belongs to: `root`, or another that an index of upstream's names."""
    if not resource.url:
        return paths.join(root.url, resource.path, resource.query), root
    url, bases = resource.url, resource.repository.base_urls
    if bases and (below := _below(url, bases[0])):
        url = f"{base.rstrip('/')}/{below}"
    target = parse_url(url)._replace(auth=None, fragment=None)
    if origin(target) == origin(root):
        return target.url, root
    if root.scheme == "https" and target.scheme == "http":
        raise refused(where(root.url), f"from https to http://{target.netloc}")
    return target.url, target


def _split(base: str, repository: Repository) -> tuple[Url, str | None]:
    """A base URL without its credentials, and the `user:password` to log in with there."""
    url = parse_url(base)
    login = urllib.parse.unquote(url.auth) if url.auth else None
    if repository.username is not None:
        login = f"{repository.username}:{repository.password or ''}"
    return url._replace(auth=None), login


def _headers(resource: Resource, login: str | None, validators: Mapping[str, str]) -> HTTPHeaderDict:
    """What upstream is told; a .netrc or the environment never has a say. Who challenges first sees no login."""
    headers = HTTPHeaderDict({"User-Agent": _user_agent(), "Accept": "*/*"})
    if login and not resource.area:
        headers.update(urllib3.make_headers(basic_auth=login))
    for own in (resource.headers, resource.repository.upstream.headers, validators, {"Accept-Encoding": "identity"}):
        for name, value in own.items():
            headers[name] = value
    return headers


@cache
def _user_agent() -> str:
    try:
        return f"artifactapi/{version('artifactapi')}"
    except PackageNotFoundError:
        return "artifactapi/0"


def _download(
    response: urllib3.HTTPResponse,
    url: str,
    path: str,
    ranged: bool,
    release: Callable[[], None],
    ended: Callable[[UpstreamError | None], None] | None = None,
) -> Download:
    """The answer, if it can be one to what was asked; raises UpstreamLied."""
    try:
        if response.status == 206 and not ranged:
            raise UpstreamLied(f"upstream {where(url)}: sent a part of the file although asked for all of it")
        has_body = 200 <= response.status < 300 and response.length_remaining != 0
        coding = undo(response.headers, path) if has_body else None
        return Download(response, url, coding, release, ended if has_body else None)
    except Undecodable as error:
        response.close()
        raise UpstreamLied(f"upstream {where(url)}: sent {error}") from None
    except UpstreamError:
        response.close()
        raise
