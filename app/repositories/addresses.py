"""What an address in remotes.json may be: base URLs, lists of mirrors, hosts, proxies; none hides a secret."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from app import paths
from app.errors import BadRequest
from app.problems import shown
from app.repositories.values import CONTROL, Secret, Value

LONGEST_URL = 2048

_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::([0-9]{{1,5}}))?", re.ASCII)
_VARIABLE = re.compile(r"\$\{?[a-z]", re.IGNORECASE)

MIRROR_LIST = "a list of mirrors, not a repository: say it with the key metalink (or mirrorlist)"
_MIRROR_LIST = re.compile(r"[/.](?:metalink|mirrorlist)(?:[/.]|$)", re.IGNORECASE)


def is_mirror_list(url: object) -> bool:
    """Whether a base URL looks like a list of mirrors instead of one."""
    return isinstance(url, str) and bool(_MIRROR_LIST.search(url.partition("?")[0]))


class BaseURL(Value):
    """Where a repository is upstream, kept without its last slash; no message repeats a secret in it."""

    json: Mapping[str, Any] = {
        "type": "string",
        "format": "uri",
        "pattern": r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
        "maxLength": LONGEST_URL,
    }

    def read(self, value: Any) -> str:
        url = _http(value)
        if "@" in url.netloc:
            raise ValueError('has credentials in it: they belong in "username" and "password"')
        if "?" in value and is_mirror_list(value):
            raise ValueError(MIRROR_LIST)
        if "?" in value or "#" in value:
            raise ValueError("has a query or a fragment: name the directory that holds the files")
        try:
            paths.parse(url.path.strip("/"))
        except BadRequest as error:
            raise ValueError(str(error)) from None
        return str(value).rstrip("/")


class ListURL(Value):
    """Where a list of mirrors is; what follows a `?` belongs to it."""

    json: Mapping[str, Any] = {
        "type": "string",
        "format": "uri",
        "pattern": r"^https?://[^/?#@\s$]+(/[^?#\s$]*)?(\?[^#\s$]*)?$",
        "maxLength": LONGEST_URL,
    }

    def read(self, value: Any) -> str:
        url = _http(value)
        if "@" in url.netloc:
            raise ValueError('has credentials in it: they belong in "username" and "password"')
        if "#" in value:
            raise ValueError("has a fragment: remove it")
        if _VARIABLE.search(value):
            raise ValueError("has a variable of dnf's in it: write what it stands for")
        try:
            paths.join(f"{url.scheme}://{url.netloc}", paths.parse(url.path.lstrip("/")), url.query)
        except BadRequest as error:
            raise ValueError(str(error)) from None
        return str(value)


class Host(Value):
    """host[:port], kept in lower case; an IPv6 address stands in brackets."""

    json: Mapping[str, Any] = {"type": "string", "minLength": 1, "maxLength": 260, "pattern": r"^[^/\s@?#]+$"}

    def read(self, value: Any) -> str:
        text = value.lower() if isinstance(value, str) else ""
        found = _HOST.fullmatch(text) if 0 < len(text) <= 260 else None
        if found is None or not 0 < int(found[1] or 1) < 65536:
            raise ValueError(f"{shown(value)} is not host or host:port{_scheme(text)}")
        return text


def _scheme(text: str) -> str:
    return ", without http:// and without a path" if "/" in text else ""


class Proxy(Secret):
    """http://[user:password@]host:port, or a secret that holds it."""

    def read(self, value: Any) -> str:
        text = super().read(value)
        url = _http(text)
        if url.path not in ("", "/") or url.query or url.fragment:
            raise ValueError("not a proxy's address: it is http://host:port, without a path")
        return text


def _http(value: Any) -> urllib.parse.SplitResult:
    if not isinstance(value, str) or len(value) > LONGEST_URL:
        raise ValueError(f"not a URL of at most {LONGEST_URL} characters")
    if not value.isascii() or re.search(r"[\s\\]", value) or CONTROL.search(value):
        raise ValueError("has a character that a URL cannot hold: percent-encode it")
    try:
        url = urllib.parse.urlsplit(value)
        whole = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("not a URL that begins with http:// or https:// and a host")
    return url
