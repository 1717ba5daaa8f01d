"""How often one may ask: what strangers may do in any case (OPEN), and all else as RATE_TOKEN and RATE_ADDRESS say.

    with a token that is known, RATE_TOKEN set      counted for its user (a project's for itself)
    anything else                                   counted for the address; of IPv6 its /64, which one client has
    a login, an account, a CI's token (OPEN)        counted for the address besides
    Redis down                                      those by each process for itself, the rest is not limited

A limit that is set costs every request one more round trip to Redis: the count must be raised before anything is
looked up, or what is refused would have cost as much as what is served. Unset, nothing asks.
"""

from __future__ import annotations

import ipaddress

from flask import Flask, current_app, request

from app.config import Settings
from app.errors import StoreDown, TooManyRequests
from app.stores.rates import Alone, Shared, parse
from app.web.auth import principal, shown_credentials
from app.web.node import ask, node

# From one address, in any case. A login guesses a password; the others are a row and an Argon2 hash, or a signature,
# and many people, or a CI's jobs, share an address.
OPEN = {"login": parse("5/minute"), "register": parse("60/minute"), "oidc": parse("60/minute")}
COUNTED = "artifactapi.counted"  # in the environment of a request that another process, or an outer one, counted
# What watches this server must not be kept from it; nginx's question is of an upload that is counted itself.
UNCOUNTED = ("/health", "/metrics", "/api/v1/edges/", "/api/v1/may-write")
_EXTENSION = "artifactapi.rates"


class Rates:
    """The limits of one process."""

    def __init__(self, settings: Settings) -> None:
        self._token = parse(settings.rate_token) if settings.rate_token else None
        self._address = parse(settings.rate_address) if settings.rate_address else None
        self._personal = self._token is not None and settings.auth != "open"
        self._shared, self._alone = Shared(settings.redis_url or ""), Alone()

    @property
    def limited(self) -> bool:
        """Whether anything but OPEN is."""
        return self._token is not None or self._address is not None

    def check(self) -> None:
        """Count the present request; TooManyRequests."""
        rate, whose = self._address, f"address {block(ask().client)}"
        if self._personal and (known := _known()):
            rate, whose = self._token, known
        if rate is None:
            return
        try:
            _refuse(self._shared.hit(rate, whose))
        except StoreDown:
            return

    def login(self, what: str = "login") -> None:
        """Count one of OPEN from the present address; TooManyRequests."""
        rate, whose = OPEN[what], f"{what} {block(ask().client)}"
        try:
            wait = self._shared.hit(rate, whose)
        except StoreDown:
            wait = self._alone.hit(rate, whose)
        _refuse(wait)

    def close(self) -> None:
        self._shared.close()


def install(app: Flask, settings: Settings) -> None:
    """After failures.install(): an Ask is there then."""
    rates = app.extensions[_EXTENSION] = Rates(settings)
    if rates.limited:
        app.before_request(_count)


def rates() -> Rates:
    found: Rates = current_app.extensions[_EXTENSION]
    return found


def block(address: str) -> str:
    """Whom an address stands for."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network(f"{found}/64", strict=False))


def _count() -> None:
    if COUNTED not in request.environ and not request.path.startswith(UNCOUNTED):
        request.environ[COUNTED] = "1"  # a text: it goes with what is handed over
        rates().check()


def _known() -> str:
    """The user that asks, with whichever token, or the project's token; "" where it is nobody, or nobody can tell."""
    if shown_credentials() is None and node().settings.auth != "header":
        return ""
    try:
        found = principal()
    except StoreDown:
        return ""
    if found.token and not found.user:  # a project's own
        return f"token {found.token}"
    return f"user {found.user or found.name}" if found.known else ""


def _refuse(wait: float) -> None:
    if wait:
        raise TooManyRequests("too many requests", retry_after=wait)
