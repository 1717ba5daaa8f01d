"""Access tokens: what a token endpoint grants, and who in the fleet knows which (Docker's token specification)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from app.errors import StoreDown, UpstreamDenied, UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.upstream.dial import where
from app.upstream.download import Download
from app.upstream.headers import retry_after

LIFETIME = 60.0  # seconds where the endpoint does not say ("Requesting a token": expires_in)
LONGEST = 3600.0  # seconds a token is used for whatever it says
_EARLY = 0.1, 30.0  # this share of the lifetime, or so many seconds, is left for the request itself
_ANSWER = 64 << 10  # bytes of the endpoint's answer
_MOST = 1024  # tokens that one process keeps; each image has one
_TOKEN = re.compile(r"[\x21-\x7e]{1,32768}")  # it becomes a header


class Tokens(Protocol):
    """Where the fleet shares access tokens; both methods may raise StoreDown."""

    def token(self, name: str) -> str | None:
        """The unexpired token kept under that name."""

    def keep_token(self, name: str, token: str, seconds: float) -> None:
        """Keep a token for so long; an empty one drops what is kept."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What may be shown upstream (an Authorization header's value), and for how many seconds."""

    value: str = field(repr=False)
    seconds: float


class Keyring:
    """What this process shows upstreams, shared through `tokens` where there is such a store; for many threads."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
        self._own: dict[str, tuple[str, float]] = {}  # in the order they were kept; until monotonic seconds
        self._flights: dict[str, Future[str]] = {}
        self._lock = threading.Lock()

    def find(self, name: str, refused: str | None = None) -> str | None:
        """What is known under the name and is not what upstream just refused."""
        own, until = self._own.get(name, ("", 0.0))
        if own and own != refused and time.monotonic() < until:
            return own
        with contextlib.suppress(StoreDown):
            shared = self._tokens.token(name) if self._tokens else None
            return shared if shared and shared != refused else None
        return None

    def renewed(self, name: str, refused: str | None, ask: Callable[[], Grant]) -> str:
        """What somebody kept since `refused` was, else what `ask` grants: asked once however many threads want it.

        Those who waited share its failure too, so that a dead endpoint costs its time limit only once.
        """
        while True:
            with self._lock:
                flight, leads = self._flights.get(name), False
                if flight is None:
                    flight, leads = self._flights.setdefault(name, Future()), True
            if leads:
                self._fly(flight, name, refused, ask)
            if leads or flight.result() != refused:
                return flight.result()

    def _fly(self, flight: Future[str], name: str, refused: str | None, ask: Callable[[], Grant]) -> None:
        try:
            flight.set_result(self.find(name, refused) or self._asked(name, refused, ask))
        except BaseException as error:
            flight.set_exception(error)
        finally:
            with self._lock:
                del self._flights[name]

    def _asked(self, name: str, refused: str | None, ask: Callable[[], Grant]) -> str:
        if refused is not None:
            self.drop(name)
        grant = ask()
        self.keep(name, grant)
        return grant.value

    def keep(self, name: str, grant: Grant) -> None:
        """Remember it here and, where the store works, for the fleet."""
        now = time.monotonic()
        with self._lock:
            self._own.pop(name, None)
            self._own[name] = (grant.value, now + grant.seconds)
            while len(self._own) > _MOST:
                del self._own[next(iter(self._own))]
        self._share(name, grant.value, grant.seconds)

    def drop(self, name: str) -> None:
        """Forget it here and in the fleet."""
        with self._lock:
            self._own.pop(name, None)
        self._share(name, "", 0)

    def _share(self, name: str, value: str, seconds: float) -> None:
        if self._tokens is not None:
            with contextlib.suppress(StoreDown):
                self._tokens.keep_token(name, value, seconds)


def name_of(repository: str, base: str, area: str, login: str | None) -> str:
    """The name that a token is kept under: another for every repository, base URL, image and login.

    It tells nobody the password: that goes in stretched, so that who reads the store cannot try words quickly.
    """
    said = json.dumps([repository, base, area, login and _stretched(repository, base, login)])
    return hashlib.sha256(said.encode()).hexdigest()


@lru_cache(maxsize=256)
def _stretched(repository: str, base: str, login: str) -> str:
    salt = json.dumps([repository, base]).encode()
    return hashlib.pbkdf2_hmac("sha256", login.encode(), salt, 100_000).hex()


def granted(answer: Download, patience: float) -> Grant:
    """What a token endpoint's answer grants; its body must be here within `patience` seconds.

    Raises UpstreamDenied (401, 403), UpstreamUnreachable (5xx), UpstreamTimeout, UpstreamLied (no token in it).
    """
    host = where(answer.url)
    with answer:
        if answer.status != 200:
            raise _refusal(answer, host)
        body = _body(answer, host, time.monotonic() + patience)
    try:
        said = json.loads(body)
        token = said.get("token") or said.get("access_token")
        if _TOKEN.fullmatch(token):
            return Grant(f"Bearer {token}", _seconds(said.get("expires_in")))
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise UpstreamLied(f"upstream {host}: the token endpoint's answer holds no token")


def _refusal(answer: Download, host: str) -> UpstreamError:
    status, said = answer.status, f"upstream {host}: the token endpoint answered {answer.status}"
    if status in (401, 403):
        return UpstreamDenied(said, upstream_status=status)
    wait = retry_after(answer.headers, time.time())
    kind = UpstreamUnreachable if status >= 500 else UpstreamError
    return kind(said, retry_after=wait, upstream_status=status)


def _body(answer: Download, host: str, deadline: float) -> bytes:
    body = b""
    while data := answer.read(_ANSWER):
        body += data
        if len(body) > _ANSWER:
            raise UpstreamLied(f"upstream {host}: the token endpoint's answer is too long")
        if time.monotonic() > deadline:
            raise UpstreamTimeout(f"upstream {host}: the token endpoint's answer takes too long")
    return body


def _seconds(said: object) -> float:
    """How long a token that is valid for so long is used; nonsense counts as the default."""
    lifetime = LIFETIME
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < math.inf:
        lifetime = float(min(said, LONGEST))
    return lifetime - min(lifetime * _EARLY[0], _EARLY[1])
