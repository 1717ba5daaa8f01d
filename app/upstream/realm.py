"""Which token endpoint a registry may name: one on its own site, or one that the configuration allows.

registry                its site
127.0.0.1:5000          that address, at any port
hub.images.example.org  images.example.org and everything below; for a login only that itself and auth.images...
example.org             that host alone: what is above it belongs to everyone

Below a cloud's domain everyone may have a name, and a login is worth having: so of the hosts beside a registry it is
told only to those whose name says that they are there for it.
A realm is a URL that a stranger chose and this server is asked to send a password to.
"""

from __future__ import annotations

import urllib.parse
from ipaddress import ip_address

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from app.errors import UpstreamDenied
from app.upstream.challenge import Challenge

# Below a country's domain these belong to everyone too (co.uk, com.au), as does whatever has two letters.
_SHARED = frozenset(
    (
        "asso",
        "com",
        "edu",
        "gob",
        "gouv",
        "gov",
        "govt",
        "info",
        "ltd",
        "mil",
        "net",
        "nhs",
        "nom",
        "org",
        "plc",
        "sch",
    )
)
_OF_LOGINS = frozenset({"accounts", "auth", "hub", "id", "login", "sso", "token"})  # a host's first label
_PORTS = {"http": 80, "https": 443}


def question(challenge: Challenge, registry: Url, allowed: tuple[str, ...], *, login: bool = False) -> Url:
    """The URL that grants a token for a Bearer challenge of `registry` (Docker's "Requesting a token").

    With `login` it will be told a password. `allowed` are hosts (and ports) besides the registry's site.
    Raises UpstreamDenied "upstream_realm_refused".
    """
    realm = _realm(challenge.parameters.get("realm", ""), registry)
    if registry.scheme == "https" and realm.scheme == "http":
        raise refused(registry, f"http://{realm.netloc}, and is itself https")
    if not (_on_site(_plain(realm), _plain(registry), login) or _allowed(realm, allowed)):
        raise refused(registry, f"{realm.netloc}: not on its own site, and not among upstream.auth_hosts")
    asked = [("service", service)] if (service := challenge.parameters.get("service")) else []
    asked += [("scope", scope) for scope in challenge.parameters.get("scope", "").split()]
    return realm._replace(query="&".join(filter(None, (realm.query, urllib.parse.urlencode(asked)))) or None)


def refused(registry: Url, where: str) -> UpstreamDenied:
    """The error of a realm that is not asked."""
    text = f"upstream {registry.netloc}: wants tokens of {where}, refused"
    return UpstreamDenied(text, code="upstream_realm_refused")


def _realm(text: str, registry: Url) -> Url:
    try:
        realm = parse_url(text)
    except (LocationParseError, ValueError):
        raise refused(registry, "something that is no URL") from None
    if realm.scheme not in _PORTS or not realm.host:
        raise refused(registry, "something that is not http or https")
    return realm._replace(auth=None, fragment=None)


def _plain(url: Url) -> str:
    return (url.host or "").lower().rstrip(".")


def _on_site(host: str, registry: str, login: bool) -> bool:
    if host == registry:
        return True
    parent = registry.partition(".")[2]
    owned = not (_is_address(host) or _is_address(registry) or _is_public(parent))
    first, _, rest = host.partition(".")
    below = rest == parent and first in _OF_LOGINS if login else host.endswith(f".{parent}")
    return owned and (host == parent or below)


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        return host.rpartition(".")[2].isdigit()  # an old spelling, or something that no name is


def _is_public(domain: str) -> bool:
    """Whether anyone can have a name below it: a rule of thumb that errs on this side, there is no list here."""
    above, _, top = domain.rpartition(".")
    return not above or (len(top) == 2 and "." not in above and (len(above) <= 2 or above in _SHARED))


def _allowed(realm: Url, allowed: tuple[str, ...]) -> bool:
    port = realm.port or _PORTS[realm.scheme or "https"]
    host = _plain(realm)
    return any(one.lower() in (host, f"{host}:{port}") for one in allowed)
