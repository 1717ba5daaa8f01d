"""What a WSGI environment says of a client's request: the Ask, and who sent it."""

from __future__ import annotations

import ipaddress
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from app import paths
from app.config import Network, Settings
from app.errors import BadRequest
from app.resource import Ask

# What an answer depends on; the last four only in who sends its bytes (app/web/elsewhere.py, app/web/edge.py).
CARRIED = (
    *("range", "if-range", "if-none-match", "if-modified-since", "accept"),
    *("if-match", "if-unmodified-since", "x-sendfile-type", "x-edge"),
)
GIVEN = tuple((name, f"HTTP_{name.upper().replace('-', '_')}") for name in CARRIED)  # with their names in WSGI
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
HOST = re.compile(r"[a-z0-9_.-]+(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?")
PORT = re.compile(r":[0-9]*$")
DIGITS = re.compile(r"[0-9]{1,5}")
PREFIX = re.compile(r"(?=.{1,512}\Z)(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+")
DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST = 8190  # characters of a header that is carried: gunicorn joins as many lines of one as a client sends
LOGGED = 2048  # characters of a path in the log


def begin(environ: Mapping[str, Any], trusted: tuple[Network, ...]) -> Ask:
    """The request before it is known what it is about: `repository` and `path` are empty."""
    raw = raw_path(environ)
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return Ask(
        method=environ["REQUEST_METHOD"],
        repository="",
        path="",
        query=environ.get("QUERY_STRING", ""),
        headers=_headers(environ),
        request_id=given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8),
        url_path=raw[:LOGGED],
        protocol=environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
        client=address(environ, trusted),
        started=time.time(),
    )


def raw_path(environ: Mapping[str, Any]) -> str:
    """The path as it was on the wire, still percent-encoded; an absolute-form target loses its origin."""
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "/")
    path = target.partition("?")[0].partition("#")[0]
    if "://" in path.partition("/")[0] + "//" and not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path


def within(environ: Mapping[str, Any], prefix: str) -> tuple[str, str]:
    """(repository, path) behind the URL's literal `prefix`; BadRequest for a harmful path.

    A prefix in any other spelling (`/repository%2f..%2fx/`) is what a proxy in front may have read differently.
    """
    name, raw = split(environ, prefix)
    return name, paths.parse(raw)


def split(environ: Mapping[str, Any], prefix: str) -> tuple[str, str]:
    """As within(), but the path is still as it was on the wire, and not judged."""
    raw = raw_path(environ)
    if not raw.startswith(f"{prefix}/"):
        raise BadRequest(f"the path does not begin with {prefix}/ as it stands", code="bad_path")
    name, _, rest = raw.removeprefix(f"{prefix}/").partition("/")
    return paths.parse(name), rest


def undotted(raw: str) -> str:
    """The path on the wire without the "." segments that are written as such; any other spelling is refused."""
    return "/".join(segment for segment in raw.split("/") if segment != ".")


def hosts(environ: Mapping[str, Any], trusted: tuple[Network, ...]) -> tuple[str, ...]:
    """The host that the client asked, in lower case: with its port, then without; X-Forwarded-Host is believed from
    trusted proxies alone, and of it the last, which is the nearest one's."""
    given: str = environ.get("HTTP_HOST", "")
    if from_proxy(environ, trusted):
        given = _forwarded(environ, "HOST") or given
    host = given.strip().lower()
    return tuple(dict.fromkeys((host, PORT.sub("", host)))) if host else ()


def origin(environ: Mapping[str, Any], settings: Settings) -> str:
    """Scheme, host and any prefix by which the client reaches this server, without a slash at its end: PUBLIC_URL,
    else what the request says (X-Forwarded-Proto, -Host, -Port and -Prefix from trusted proxies alone)."""
    if settings.public_url:
        return settings.public_url
    scheme: str = environ.get("wsgi.url_scheme", "http")
    behind = from_proxy(environ, settings.trusted_proxies)
    if behind and (told := _forwarded(environ, "PROTO")) in DEFAULT_PORTS:
        scheme = told
    known = hosts(environ, settings.trusted_proxies)
    host = known[0] if known and HOST.fullmatch(known[0]) else f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    if not behind:
        return f"{scheme}://{host}"
    prefix = _forwarded(environ, "PREFIX").rstrip("/")
    return f"{scheme}://{_ported(environ, host)}{prefix if PREFIX.fullmatch(prefix) else ''}"


def _ported(environ: Mapping[str, Any], host: str) -> str:
    """With X-Forwarded-Port where the host has none: it is the proxy's own, and the client may have come by another,
    which leads there. The other scheme's default is a proxy's in between, which knows of no TLS before it."""
    told = _forwarded(environ, "PORT")
    if PORT.search(host) or not DIGITS.fullmatch(told) or not 0 < int(told) < 1 << 16:
        return host
    return host if int(told) in DEFAULT_PORTS.values() else f"{host}:{int(told)}"


def _forwarded(environ: Mapping[str, Any], name: str) -> str:
    """What the nearest proxy says, the last of several."""
    given: str = environ.get(f"HTTP_X_FORWARDED_{name}", "")
    return given.rpartition(",")[2].strip()


def from_proxy(environ: Mapping[str, Any], trusted: tuple[Network, ...]) -> bool:
    """Whether a trusted proxy sent this itself."""
    return _trusted(_peer(environ), trusted)


def address(environ: Mapping[str, Any], trusted: tuple[Network, ...]) -> str:
    """The client's address: the last X-Forwarded-For hop that is not a trusted proxy itself."""
    peer = _peer(environ)
    hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    while hops and _trusted(peer, trusted):
        hop = hops.pop()
        if not _is_address(hop):
            break
        peer = _plain(hop)
    return peer


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """Cut to size, which leaves no validator that still matches; half a range would be another one."""
    given = {name: environ[variable] for name, variable in GIVEN if variable in environ}
    return {name: value[:LONGEST] for name, value in given.items() if name != "range" or len(value) <= LONGEST}


def _peer(environ: Mapping[str, Any]) -> str:
    """Who is at the other end of the connection, "-" for a unix socket."""
    return _plain(environ.get("REMOTE_ADDR") or "-")


def _plain(address: str) -> str:
    """An IPv4 address as such, where a dual-stack socket or a balancer wrote it as ::ffff:a.b.c.d."""
    if not address.lower().startswith("::ffff:") or not _is_address(address):
        return address
    mapped = ipaddress.IPv6Address(address).ipv4_mapped
    return address if mapped is None else str(mapped)


def _trusted(peer: str, trusted: tuple[Network, ...]) -> bool:
    if peer in ("", "-"):  # a unix socket: only a proxy of this machine can reach it
        return bool(trusted)
    return _is_address(peer) and any(ipaddress.ip_address(peer) in network for network in trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
