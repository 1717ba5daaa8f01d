"""How one visit proves who it is where upstream challenges: nothing at first, then what the challenge asks for.

known                                shown with the request at once
401, Bearer with a realm             a token of it, which the whole fleet shows from then on
401, Basic, and there is a login     the login
401 to that, or anything else        the answer
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import urllib3
from urllib3.util import Url

from app.errors import UpstreamDenied
from app.upstream.challenge import Challenge, challenges
from app.upstream.download import Download
from app.upstream.realm import question, refused
from app.upstream.tokens import LONGEST, Grant, Keyring, granted

_BASIC = "Basic"  # kept for a login that works; the login itself is kept nowhere


@dataclass(frozen=True, slots=True)
class Login:
    """What there is to show of one remote's image under one base URL; `name` is what a token is kept under.

    `login` is `user:password`; `patience` are the seconds that a token endpoint's body may take.
    """

    keyring: Keyring
    name: str
    base: Url
    login: str | None = field(default=None, repr=False)
    allowed: tuple[str, ...] = ()
    patience: float = 30.0

    def known(self) -> str | None:
        """What is known to be wanted, for `header`."""
        return self.keyring.find(self.name)

    def header(self, shown: str | None) -> str | None:
        """The value of Authorization."""
        return basic(self.login) if shown == _BASIC and self.login else shown

    def chosen(self, lines: Iterable[str], shown: str | None) -> Challenge | None:
        """The challenge to answer, None where what was shown is all there is."""
        said = challenges(lines)
        bearer = next((one for one in said if one.scheme == "bearer" and one.parameters.get("realm")), None)
        if bearer is not None:
            return bearer
        usable = self.login is not None and shown != _BASIC
        return next((one for one in said if one.scheme == "basic" and usable), None)

    def answer(self, challenge: Challenge, shown: str | None, ask: Callable[[Url, str | None], Download]) -> str:
        """What to show instead of `shown`; `ask` fetches a URL with an Authorization.

        Raises UpstreamDenied "upstream_realm_refused", and what tokens.granted does.
        """
        if challenge.scheme == "basic":
            return _BASIC
        url = question(challenge, self.base, self.allowed, login=self.login is not None)
        return self.keyring.renewed(self.name, shown, lambda: self._grant(url, ask))

    def settle(self, shown: str, status: int) -> None:
        """Remember a login that upstream took."""
        if shown == _BASIC and status != 401:
            self.keyring.keep(self.name, Grant(_BASIC, LONGEST))

    def _grant(self, url: Url, ask: Callable[[Url, str | None], Download]) -> Grant:
        try:
            return granted(ask(url, self.login and basic(self.login)), self.patience)
        except UpstreamDenied as error:
            if error.code != "upstream_redirect_refused":
                raise
            raise refused(self.base, f"{url.netloc}, and that leads where it may not") from None


def basic(login: str) -> str:
    """The value of Authorization for `user:password` (RFC 7617, 2.1: registries take it for UTF-8)."""
    return urllib3.make_headers(basic_auth=login, basic_auth_encoding="utf-8")["authorization"]
