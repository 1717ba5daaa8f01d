"""Which mirrors stand for a repository that names a list of them, in which order they are asked, and what is pinned.

    kept        min(mutable_ttl, 1 h), at least 60 s; then asked for again while the older one serves
    order       the list's own; a mirror that failed is the last for REST seconds (and not asked at all while its
                breaker is open)
    one walk    at most MOST mirrors, and none begun after twice the first_byte_timeout: clients do not wait longer

A list is a stranger's choice of addresses, so its mirrors are dialled as a redirect to them would be: under the
guard of the list's own host, and without credentials, unless they are of the list's own origin.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field, replace

from urllib3.util import parse_url

from app import paths
from app.errors import ArtifactError, UpstreamError, UpstreamLied, UpstreamTimeout
from app.resource import Digest, Repository, Resource
from app.upstream import metalink
from app.upstream.breaker import Health, Resting, without_secrets
from app.upstream.download import Download
from app.upstream.guard import Guard
from app.upstream.headers import retry_after

log = logging.getLogger(__name__)

MOST = 5  # mirrors asked for one resource
REST = 300.0  # seconds for which a mirror that failed is asked last
SHORTEST, LONGEST = 60.0, 3600.0  # seconds for which a list is kept
FAILED = 10.0  # seconds until a list that could not be had at all is asked for again
LARGEST, SLOWEST = 4 << 20, 30.0  # bytes of a list, seconds for its body
_MISSING = frozenset({401, 403, 404, 410, 451})
_REDIRECTED = 64  # final URLs remembered that do not begin as their mirror does

Visit = Callable[[str, Guard | None], Download]  # ask under a base URL, as a stranger's choice where guarded


@dataclass(slots=True)
class _List:
    """One repository's list: what it said last, and how its mirrors did."""

    source: str
    said: metalink.Mirrors | None = None
    fetched: float = 0.0
    due: float = float("-inf")  # when it is asked for again
    problem: ArtifactError | None = None
    resting: dict[str, float] = field(default_factory=dict)  # mirror -> until when it is the last
    redirected: dict[str, str] = field(default_factory=dict)  # final URL -> mirror
    lock: threading.Lock = field(default_factory=threading.Lock)

    def order(self, urls: tuple[str, ...], now: float) -> list[str]:
        """The list's own order, those that rest behind the others, first who has rested longest."""
        return sorted(urls, key=lambda each: until if (until := self.resting.get(each, 0.0)) > now else 0.0)

    def guard(self, mirror: str) -> Guard | None:
        """None only for the list's own server, which is not a stranger."""
        return None if _origin(mirror) == _origin(self.source) else Guard(parse_url(self.source).host or "")


class Mirrors:
    """Every repository's list; one per process, for many threads. `clock` is in seconds and never goes back."""

    def __init__(self, ask: Callable[[Resource, str], Download], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self.clock = clock
        self._lists: dict[str, _List] = {}
        self._lock = threading.Lock()

    def first(self, repository: Repository, visit: Visit) -> Download:
        """The first mirror's answer; that it has no such thing is one only where no mirror asked has it.

        What one mirror has not got yet another may have already. Raises the last mirror's error, or the list's
        own where there never was one to go by.
        """
        listed, said = self._current(repository)
        chosen = listed.order(said.urls, self.clock())[:MOST]
        until = self.clock() + 2 * repository.upstream.first_byte_timeout
        problem: ArtifactError | None = None
        missing = ""
        for base in chosen:
            try:
                download = self._asked(listed, base, visit)
            except (UpstreamError, Resting) as error:
                problem = problem if problem and isinstance(error, Resting) else error
            else:
                if download.status not in _MISSING or base == chosen[-1]:
                    return download
                download.close()
                missing = missing or base
            if self.clock() > until:
                break
        if missing:
            return self._asked(listed, missing, visit)
        raise problem or AssertionError("a list without mirrors is none")

    def pins(self, repository: Repository, path: str) -> tuple[Digest, ...]:
        """What a metalink says of repodata/repomd.xml now, the strongest first; of everything else nothing.

        Nor where the list cannot be had: then `first` has no mirrors to ask either.
        """
        if repository.metalink is None or path != metalink.INDEX or repository.offline:
            return ()
        try:
            return self._current(repository, wait=True)[1].pins
        except ArtifactError:
            return ()

    def demote(self, repository: Repository, url: str) -> None:
        """Ask the mirror that answered from the final URL `url` last for a while.

        Its body was not what the list says, or the list is of yesterday: so that is asked for again too.
        """
        listed = self._listed(repository)
        bases = listed.said.urls if listed.said else ()
        mirror = listed.redirected.get(url) or max((one for one in bases if url.startswith(f"{one}/")), default="")
        with self._lock:
            listed.due = min(listed.due, listed.fetched + SHORTEST)
        if mirror:
            self._rest(listed, mirror)

    def renew(self, name: str) -> None:
        """Forget which mirrors failed, and that there was no list."""
        with self._lock:
            if (listed := self._lists.get(name)) is not None:
                listed.resting = {}
                listed.due = listed.due if listed.said else float("-inf")

    def keep(self, repositories: Iterable[Repository]) -> None:
        """Forget every list that is not one of these repositories' any more."""
        wanted = {each.name: _source(each) for each in repositories}
        with self._lock:
            self._lists = {name: kept for name, kept in self._lists.items() if kept.source == wanted.get(name)}

    def health(self, name: str, found: tuple[Health, ...]) -> tuple[Health, ...]:
        """The same with the rests of this remote's mirrors; the list's own server is told of where it is unwell."""
        listed, now = self._lists.get(name), self.clock()
        if listed is None:
            return found
        with self._lock:
            rests = {without_secrets(mirror): until - now for mirror, until in listed.resting.items()}
        root = without_secrets(_root(listed.source))
        own = [each for each in found if each.url != root or each.state != "closed"] or found
        return tuple(_rested(each, rests.get(each.url, 0.0)) for each in own)

    def _asked(self, listed: _List, base: str, visit: Visit) -> Download:
        """One mirror's answer; 429 and 5xx are raised as every other failure, and make it rest."""
        try:
            download = visit(base, listed.guard(base))
            if download.status == 429 or (download.status >= 500 and download.status != 501):
                download.close()
                raise _failure(download)
        except UpstreamError as error:
            log.info("a mirror of %s fails: %s", parse_url(listed.source).netloc, error.message)
            self._rest(listed, base)
            raise
        if not download.url.startswith(f"{base}/"):
            self._remember(listed, download.url, base)
        return download

    def _rest(self, listed: _List, mirror: str) -> None:
        now = self.clock()
        with self._lock:
            listed.resting = {each: until for each, until in listed.resting.items() if until > now}
            listed.resting[mirror] = now + REST

    def _remember(self, listed: _List, url: str, mirror: str) -> None:
        with self._lock:
            listed.redirected[url] = mirror
            if len(listed.redirected) > _REDIRECTED:
                del listed.redirected[next(iter(listed.redirected))]

    # -- the list itself ----------------------------------------------------------------------------------

    def _listed(self, repository: Repository) -> _List:
        """What is known of the repository's list; nothing where a reload gave it another URL."""
        source = _source(repository)
        with self._lock:
            known = self._lists.get(repository.name)
            if known is None or known.source != source:
                known = self._lists[repository.name] = _List(source)
            return known

    def _current(self, repository: Repository, *, wait: bool = False) -> tuple[_List, metalink.Mirrors]:
        """The list, asked for where it is due: at once with `wait` or where there is none, else in the background."""
        listed = self._listed(repository)
        if listed.said is None or wait:
            self._renew(listed, repository)
        elif self.clock() >= listed.due and not listed.lock.locked():
            threading.Thread(target=self._renew, args=(listed, repository), daemon=True).start()
        if listed.said is None:
            raise copy(listed.problem) or AssertionError("neither a list nor a reason")
        return listed, listed.said

    def _renew(self, listed: _List, repository: Repository) -> None:
        """Ask for the list if that is due; never raises, the reason is kept."""
        with listed.lock:
            if self.clock() < listed.due:
                return
            try:
                listed.said, listed.problem = self._fetch(listed, repository), None
                listed.fetched = self.clock()
                listed.due = listed.fetched + _kept(repository)
            except ArtifactError as error:
                log.warning("%s: %s", repository.name, error.message)
                listed.problem = error
                listed.due = self.clock() + (FAILED if listed.said is None else SHORTEST)

    def _fetch(self, listed: _List, repository: Repository) -> metalink.Mirrors:
        url = parse_url(listed.source)
        asked = Resource(repository, "", paths.parse((url.path or "").lstrip("/")), url.query or "")
        with self._ask(asked, _root(listed.source)) as download:
            if download.status != 200:
                raise UpstreamError(f"upstream {url.netloc}: its list of mirrors answered {download.status}")
            body = _read(download, f"upstream {url.netloc}", self.clock)
        try:
            return metalink.read_metalink(body) if repository.metalink else metalink.read_mirrorlist(body)
        except ValueError as error:
            raise UpstreamLied(f"upstream {url.netloc}: its list of mirrors {error}") from None


def _source(repository: Repository) -> str:
    """The URL of its list; "" where it has none."""
    return repository.metalink or repository.mirrorlist or ""


def _root(source: str) -> str:
    return parse_url(source)._replace(path=None, query=None).url


def _rested(health: Health, rest: float) -> Health:
    """As it is shown while it is asked last."""
    if health.state != "closed" or rest <= 0:
        return health
    return replace(health, state="open", retry_in=rest, problem=health.problem or "asked last for a while")


def _read(download: Download, host: str, clock: Callable[[], float]) -> bytes:
    """The whole body of a list, which is neither large nor slow."""
    body, until = bytearray(), clock() + SLOWEST
    while data := download.read(65536):
        body += data
        if len(body) > LARGEST:
            raise UpstreamLied(f"{host}: its list of mirrors is larger than {LARGEST} bytes")
        if clock() > until:
            raise UpstreamTimeout(f"{host}: its list of mirrors takes longer than {SLOWEST:g} s")
    return bytes(body)


def _kept(repository: Repository) -> float:
    """Seconds for which the list is believed."""
    wanted = LONGEST if repository.mutable_ttl is None else repository.mutable_ttl
    return min(max(wanted, SHORTEST), LONGEST)


def _failure(download: Download) -> UpstreamError:
    wait = retry_after(download.headers, time.time())
    return UpstreamError(f"upstream answered {download.status}", retry_after=wait, upstream_status=download.status)


def _origin(url: str) -> tuple[str | None, str | None, int]:
    parts = parse_url(url)
    return parts.scheme, parts.host, parts.port or (443 if parts.scheme == "https" else 80)
