"""What was found in a client's configuration; pure. A secret is never among it: only that there is one."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a client fetches packages from. `name` is how it may be called here; `login` says that credentials stand
    beside it: "basic" (a user's name and password) or "header" (an Authorization)."""

    package: str
    url: str
    name: str
    key: str = "base_url"  # or metalink, mirrorlist
    login: str = ""
    serves: tuple[str, ...] = ()
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    beside: bool = False  # its clients ask the usual one, too


@dataclass(frozen=True, slots=True)
class Note:
    """What was met and is not taken over, in words for the operator; never with a secret in them."""

    text: str


Found = Address | Note


def address(package: str, url: str, name: str, *, beside: bool = False, **more: str) -> Found:
    """An address without its credentials and its last slash; a Note for what is none over HTTP, and for one with a
    query, which may be a secret: only a list of mirrors needs it, to be told what is wanted."""
    try:
        parts = urllib.parse.urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return Note(f"{name}: its address cannot be read")
    if parts.scheme not in ("http", "https") or not host:
        return Note(f"{name}: {parts.scheme or 'what it names'} is no http or https address")
    if parts.query and more.get("key", "base_url") == "base_url":
        return Note(f"{name}: its address has a query, which may hold a secret: it is not taken over")
    if parts.username or parts.password:
        more = {**more, "login": "basic"}
    host = f"[{host}]" if ":" in host else host
    netloc = f"{host}:{port}" if port else host
    plain = urllib.parse.urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), parts.query, ""))
    return Address(package, plain, named(name), beside=beside, **more)  # type: ignore[arg-type]


def named(text: str) -> str:
    """As a repository may be called."""
    return _UNFIT.sub("-", text).strip("-._")[:48].rstrip("-._") or "remote"


def folder(url: str) -> str:
    """The last one of its path; "" where there is none."""
    try:
        return urllib.parse.urlsplit(url).path.rstrip("/").rpartition("/")[2]
    except ValueError:
        return ""


def host_of(url: str) -> str:
    """ "" where there is none."""
    try:
        return urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""
